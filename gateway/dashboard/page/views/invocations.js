/** Recent invocations as waterfalls of their phases. */
import { PHASES, phaseBar, phasesIn, waterfall } from '../charts.js';
import { clock, duration, preciseClock, short } from '../format.js';
import { html, nothing } from '../lit.js';
import { badge, dataTable, functionPath, functionUrl, valueIn } from '../parts.js';
import { plain, shown } from '../text.js';

/** @import { Invocation, Page } from '../types.d.ts' */

const LOOK_MS = 3_000;
const FIRST = 20;
/** As many as the API tells. */
const MOST = 1000;

/** @type {Record<'all' | 'failed' | 'cold', { label: string, none: string, fits: (invocation: Invocation) => boolean }>} */
const KINDS = {
  all: { label: 'All', none: '', fits: () => true },
  failed: {
    label: 'Failed',
    none: 'None of those that are remembered failed.',
    fits: ({ state, status }) => state === 'error' || (status ?? 0) >= 500,
  },
  cold: {
    label: 'Cold starts',
    none: 'None of those that are remembered was a cold start.',
    fits: ({ start }) => start === 'cold',
  },
};

/** @param {Page} page @param {string} name */
export function invocationsPart(page, name) {
  /** @type {Invocation[] | null} */
  let invocations = null;
  /** @type {keyof typeof KINDS} */
  let kind = 'all';
  let wanted = FIRST;
  /** @type {string | null} */
  let open = null;

  async function look() {
    const path = `${functionUrl(name)}/invocations?limit=${kind === 'all' ? wanted + 1 : MOST}`;
    /** @type {{ invocations: Invocation[] }} */
    const answer = await page.api.get(path, page.signal);
    invocations = answer.invocations;
  }
  page.every(LOOK_MS, look);

  /** @param {string} id */
  const toggle = (id) => () => {
    open = open === id ? null : id;
    page.update();
  };

  /** @param {Event} event */
  const filter = (event) => {
    kind = /** @type {keyof typeof KINDS} */ (valueIn(event));
    void page.act('', look);
  };

  function more() {
    wanted = Math.min(wanted * 3, MOST - 1);
    void page.act('', look);
  }

  return () => {
    const all = (invocations ?? []).filter(KINDS[kind].fits);
    const found = all.slice(0, wanted);
    const scaleMs = Math.max(0.001, ...found.map(totalOf));
    return html`<section aria-labelledby="recent">
      <h2 id="recent">Recent invocations</h2>
      <div class="toolbar">
        <label for="kind">Show</label>
        <select id="kind" @change=${filter}>${Object.entries(KINDS).map(([id, { label }]) => html`<option value=${id}>${label}</option>`)}</select>
        <ul class="legend" aria-label="Phases">${PHASES.map((phase) => html`<li><span class="swatch ${phase}"></span>${phase}</li>`)}</ul>
      </div>
      ${
        invocations === null
          ? nothing
          : dataTable({
              caption: 'Recent invocations, newest first',
              columns: [
                { label: 'Began' },
                { label: 'Trigger', wide: true },
                { label: 'Outcome' },
                { label: 'Start', wide: true },
                { label: 'Duration', number: true },
                { label: 'Phases', full: true },
                { label: 'Details', hiddenLabel: true },
              ],
              rows: found.map((invocation) => ({
                key: invocation.id,
                cells: cellsOf(invocation, scaleMs, open === invocation.id, toggle(invocation.id)),
                below: open === invocation.id ? detailsOf(name, invocation) : nothing,
              })),
              empty:
                kind !== 'all'
                  ? KINDS[kind].none
                  : html`It has not been called yet. <a href=${functionPath(name, 'invoke')}>Invoke it</a>`,
            })
      }
      ${all.length <= found.length ? nothing : html`<div class="actions after"><button type="button" @click=${more}>Show more</button></div>`}
    </section>`;
  };
}

/** @param {Invocation} invocation ms */
function totalOf({ phases }) {
  return phases === null ? 0 : phasesIn(phases).reduce((sum, { ms }) => sum + ms, 0);
}

/**
 * @param {Invocation} invocation
 * @param {number} scaleMs
 * @param {boolean} isOpen
 * @param {() => void} toggle
 */
function cellsOf(invocation, scaleMs, isOpen, toggle) {
  const { id, startedAt, trigger, start, phases } = invocation;
  return [
    startedAt === null ? '–' : preciseClock(startedAt),
    trigger,
    outcomeOf(invocation),
    start === null ? '–' : badge(start === 'cold' ? 'info' : 'plain', start),
    phases === null ? '–' : duration(totalOf(invocation)),
    phases === null ? nothing : phaseBar(phases, scaleMs),
    html`<button type="button" class="quiet" aria-expanded=${String(isOpen)} aria-label="${isOpen ? 'Less' : 'More'} about ${plain(id)}" @click=${toggle}>${isOpen ? 'Less' : 'More'}</button>`,
  ];
}

/** @param {Invocation} invocation */
function outcomeOf({ state, status, error }) {
  if (state === 'error') return badge('bad', error?.code ?? 'error');
  if (state !== 'ok') return badge('info', state);
  if (status === null) return badge('ok', 'ok');
  return badge(status >= 500 ? 'bad' : status >= 400 ? 'warn' : 'ok', String(status));
}

/** @param {string} name @param {Invocation} invocation */
function detailsOf(name, invocation) {
  const { id, version, instance, attempts, traceId, phases, error, startedAt } = invocation;
  return html`<div class="details">
    ${phases === null ? nothing : waterfall(phases)}
    <dl class="facts">
      <div><dt>Invocation</dt><dd><code>${shown(id)}</code></dd></div>
      ${startedAt === null ? nothing : html`<div><dt>Began</dt><dd>${clock(startedAt)}</dd></div>`}
      <div><dt>Version</dt><dd>${version === null ? '–' : html`<code>${short(version)}</code>`}</dd></div>
      <div><dt>Instance</dt><dd><code>${shown(instance ?? '–')}</code></dd></div>
      <div><dt>Attempts</dt><dd>${attempts}</dd></div>
      ${traceId === null ? nothing : html`<div><dt>Trace</dt><dd><code>${shown(traceId)}</code></dd></div>`}
      ${error === null ? nothing : html`<div><dt>Error</dt><dd>${shown(`${error.code}: ${error.message}`)}</dd></div>`}
      <div><dt>Logs</dt><dd><a href="${functionPath(name, 'logs')}/${encodeURIComponent(id)}">Lines of this invocation</a></dd></div>
    </dl>
  </div>`;
}
