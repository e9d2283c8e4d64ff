/** What calls functions by itself: crons and queues. */
import { ago, clock, count, duration, until } from '../format.js';
import { html, nothing } from '../lit.js';
import { badge, dataTable, functionPath, heading } from '../parts.js';
import { plain, shown } from '../text.js';
import { queuesPart } from './queues.js';

/** @import { Cron, Page, View } from '../types.d.ts' */

const LOOK_MS = 2_000;

/** @type {Record<string, 'ok' | 'warn' | 'bad' | 'info' | 'plain'>} */
const KINDS = { ok: 'ok', error: 'bad', running: 'info', skipped: 'warn' };

/** @param {Page} page @returns {View} */
export function triggersView(page) {
  /** @type {Cron[] | null} */
  let crons = null;

  async function look() {
    /** @type {{ crons: Cron[] }} */
    const answer = await page.api.get('/v1/crons', page.signal);
    crons = answer.crons;
  }
  page.every(LOOK_MS, look);
  const queues = queuesPart(page);

  /** @param {Cron} cron */
  const toggle = (cron) => () =>
    page.act(cron.paused ? 'The cron goes on' : 'The cron is paused', async () => {
      await page.api.send('PATCH', `/v1/crons/${encodeURIComponent(cron.id)}`, { paused: !cron.paused });
      await look();
    });

  return {
    title: 'Triggers',
    render: () => html`${heading('Triggers')}
      <section aria-labelledby="crons">
        <h2 id="crons">Crons</h2>
        ${
          crons === null
            ? nothing
            : dataTable({
                caption: 'Crons with their next and last run',
                columns: [
                  { label: 'Function' },
                  { label: 'Expression' },
                  { label: 'Next' },
                  { label: 'Last' },
                  { label: 'Late', number: true, wide: true },
                  { label: 'Actions', hiddenLabel: true },
                ],
                rows: crons.map((cron) => ({ key: cron.id, cells: row(cron) })),
                empty: 'No function that is published has a cron.',
              })
        }
      </section>
      ${queues()}`,
  };

  /** @param {Cron} cron */
  function row(cron) {
    const { function: name, expression, timezone, nextAt, last, running, paused } = cron;
    return [
      html`<a href=${functionPath(name)}>${shown(name)}</a> ${running > 0 ? badge('info', `${count(running)} running`) : nothing}`,
      html`<code>${shown(expression)}</code> <small class="muted">${shown(timezone)}</small>`,
      paused
        ? badge('warn', 'paused')
        : nextAt === null
          ? '–'
          : html`<span title=${clock(nextAt)}>${until(nextAt)}</span>`,
      last === null
        ? '–'
        : html`${badge(KINDS[last.outcome] ?? 'plain', last.outcome)} <span title=${clock(last.startedAt)}>${ago(last.startedAt)}</span>
          ${last.error === null ? nothing : html`<div class="bad">${shown(last.error)}</div>`}`,
      last === null ? '–' : duration(last.lateMs),
      html`<button type="button" class="quiet" @click=${toggle(cron)} aria-label="${paused ? 'Resume' : 'Pause'} ${plain(expression)} of ${plain(name)}">${paused ? 'Resume' : 'Pause'}</button>`,
    ];
  }
}
