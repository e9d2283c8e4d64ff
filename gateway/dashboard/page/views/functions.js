/** All functions, and how they did in the last five minutes. */
import { sparkline } from '../charts.js';
import { count, duration, percent, rate, short } from '../format.js';
import { html, nothing } from '../lit.js';
import { badge, dataTable, functionPath, heading, tile, valueIn } from '../parts.js';
import { shown } from '../text.js';

/** @import { FiguresRow, FunctionInfo, Page, View } from '../types.d.ts' */

const LOOK_MS = 3_000;
/** Rows that are drawn; a filter finds the others. */
const MOST_ROWS = 200;

/** @param {Page} page @returns {View} */
export function functionsView(page) {
  /** @type {FunctionInfo[] | null} */
  let functions = null;
  /** @type {Map<string, FiguresRow>} */
  let figures = new Map();
  let wanted = '';

  page.every(LOOK_MS, async () => {
    /** @type {[{ functions: FunctionInfo[] }, { functions: FiguresRow[] }]} */
    const [list, metrics] = await Promise.all([
      page.api.get('/v1/functions', page.signal),
      page.api.get('/v1/metrics', page.signal),
    ]);
    functions = list.functions;
    figures = new Map(metrics.functions.map((row) => [row.name, row]));
  });

  return {
    title: 'Functions',
    render: () => html`${heading('Functions', html`<a class="button primary" href="#/deploy">Deploy</a>`)}
      ${functions === null ? nothing : content(functions)}`,
  };

  /** @param {FunctionInfo[]} all */
  function content(all) {
    const found = all.filter(({ name }) => name.includes(wanted));
    return html`${summary(all, [...figures.values()])}
      <div class="toolbar">
        <label for="filter">Filter by name</label>
        <input id="filter" type="search" .value=${wanted} @input=${filter} autocomplete="off" spellcheck="false" />
        <span class="muted" role="status">${found.length > MOST_ROWS ? `${MOST_ROWS} of ${count(found.length)} are shown` : ''}</span>
      </div>
      ${dataTable({
        caption: 'Functions with their figures of the last five minutes',
        columns: [
          { label: 'Name' },
          { label: 'Calls/s', number: true },
          { label: 'Last 5 min', wide: true },
          { label: 'Errors', number: true },
          { label: 'p50', number: true, wide: true },
          { label: 'p95', number: true },
          { label: 'p99', number: true, wide: true },
          { label: 'Cold starts', number: true, wide: true },
          { label: 'Version', wide: true },
        ],
        rows: found.slice(0, MOST_ROWS).map((info) => ({ key: info.name, cells: row(info, figures.get(info.name)) })),
        empty:
          all.length === 0
            ? html`Nothing is deployed yet. <a href="#/deploy">Deploy a first function</a>`
            : 'No function has such a name.',
      })}`;
  }

  /** @param {Event} event */
  function filter(event) {
    wanted = valueIn(event).trim().toLowerCase();
    page.update();
  }
}

/** @param {FunctionInfo[]} functions @param {FiguresRow[]} rows */
function summary(functions, rows) {
  /** @param {(row: FiguresRow) => number} of */
  const sum = (of) => rows.reduce((total, row) => total + of(row), 0);
  const calls = sum((row) => row.calls);
  const errors = sum((row) => row.errors);
  return html`<dl class="tiles" aria-label="The last five minutes">
    ${tile('Functions', count(functions.length))}
    ${tile('Calls per second', rate(sum(({ calls, spanSeconds }) => calls / Math.max(1, spanSeconds))))}
    ${tile('Errors', percent(errors, calls), { note: `${count(errors)} of ${count(calls)}`, kind: errors > 0 ? 'bad' : '' })}
    ${tile('Cold starts', count(sum((row) => row.coldStarts)))}
  </dl>`;
}

/** @param {FunctionInfo} info @param {FiguresRow | undefined} figures */
function row(info, figures) {
  const { name, state, published, version } = info;
  const calls = figures?.calls ?? 0;
  const errors = figures?.errors ?? 0;
  return [
    html`<a href=${functionPath(name)}>${shown(name)}</a> ${stateBadge(state, published)}`,
    rate(calls / Math.max(1, figures?.spanSeconds ?? 1)),
    sparkline(figures?.callsByStep ?? []),
    html`<span class=${errors > 0 ? 'bad' : ''}>${percent(errors, calls)}</span>`,
    duration(figures?.p50Ms ?? null),
    duration(figures?.p95Ms ?? null),
    duration(figures?.p99Ms ?? null),
    count(figures?.coldStarts ?? 0),
    version === null ? '–' : html`<code>${short(version)}</code>`,
  ];
}

/** @param {string} state @param {boolean} published */
export function stateBadge(state, published) {
  if (state === 'inactive') return badge('warn', 'inactive');
  return published ? nothing : badge('info', 'unpublished');
}
