/** How one function does: figures, their course, its recent invocations. */
import { callsChart, durationChart } from '../charts.js';
import { clock, count, duration, percent, rate, short } from '../format.js';
import { html, nothing } from '../lit.js';
import { dataTable, functionUrl, tile } from '../parts.js';
import { shown } from '../text.js';
import { invocationsPart } from './invocations.js';

/** @import { FunctionInfo, OneFigures, Page } from '../types.d.ts' */
/** @import { Subject } from './function.js' */

const LOOK_MS = 3_000;
/** Five minutes of ten seconds. */
const SLOTS = 30;

/** @param {Page} page @param {Subject} subject */
export function overviewTab(page, subject) {
  /** @type {OneFigures | null} */
  let figures = null;
  page.every(LOOK_MS, async () => {
    figures = await page.api.get(`${functionUrl(subject.name)}/metrics`, page.signal);
  });
  const invocations = invocationsPart(page, subject.name);

  return () => html`${figures === null ? nothing : course(figures)} ${invocations()}
    ${subject.info === null ? nothing : about(subject.info)}`;
}

/** @param {OneFigures} figures */
function course(figures) {
  const { calls, errors, timeouts, coldStarts, spanSeconds, p50Ms, p95Ms, p99Ms, steps } = figures;
  const note = [errors > 0 ? count(errors) : '', timeouts > 0 ? `${count(timeouts)} timed out` : ''];
  return html`<section aria-labelledby="course">
    <h2 id="course">The last five minutes</h2>
    <dl class="tiles">
      ${tile('Calls per second', rate(calls / Math.max(1, spanSeconds)), { note: `${count(calls)} calls` })}
      ${tile('Errors', percent(errors, calls), { note: note.filter((part) => part !== '').join(', '), kind: errors > 0 ? 'bad' : '' })}
      ${tile('p50', duration(p50Ms))} ${tile('p95', duration(p95Ms))} ${tile('p99', duration(p99Ms))}
      ${tile('Cold starts', count(coldStarts))}
    </dl>
    <div class="charts">
      <figure class="card"><figcaption>Calls, and <span class="bad">errors</span></figcaption>${callsChart(steps, SLOTS)}</figure>
      <figure class="card"><figcaption>p95 of the duration</figcaption>${durationChart(steps, SLOTS)}</figure>
    </div>
    <details>
      <summary>As a table</summary>
      ${dataTable({
        caption: 'Steps of ten seconds, newest first',
        columns: [
          { label: 'From' },
          { label: 'Calls', number: true },
          { label: 'Errors', number: true },
          { label: 'Cold starts', number: true },
          { label: 'p95', number: true },
        ],
        rows: steps.toReversed().map((step) => ({
          key: step.at,
          cells: [clock(step.at), count(step.calls), count(step.errors), count(step.coldStarts), duration(step.p95Ms)],
        })),
        empty: 'No steps yet.',
      })}
    </details>
  </section>`;
}

/** @param {FunctionInfo} info */
function about(info) {
  const lists = [
    { name: 'Handlers', values: info.handlers },
    { name: 'Routes', values: info.routes },
    { name: 'Crons', values: info.crons },
    { name: 'Consumes', values: info.queues.consumes },
    { name: 'Produces', values: info.queues.produces },
  ];
  return html`<section aria-labelledby="about">
    <h2 id="about">About it</h2>
    <dl class="facts">
      <div><dt>Version</dt><dd>${info.version === null ? 'none takes traffic' : html`<code>${short(info.version)}</code>`}</dd></div>
      <div><dt>Base</dt><dd>${shown(info.base ?? '–')}</dd></div>
      <div><dt>Trust group</dt><dd>${shown(info.trustGroup ?? '–')}</dd></div>
      ${lists
        .filter(({ values }) => values.length > 0)
        .map(
          ({ name, values }) =>
            html`<div><dt>${name}</dt><dd>${values.map((value) => html`<code>${shown(value)}</code> `)}</dd></div>`,
        )}
      <div><dt>Changed</dt><dd>${clock(info.updatedAt)}</dd></div>
    </dl>
  </section>`;
}
