/** Queues: what waits in them and how long, what died, and the way back. */
import { age, ago, clock, count } from '../format.js';
import { html, nothing } from '../lit.js';
import { badge, dataTable, field, functionPath, submitted } from '../parts.js';
import { plain, shown } from '../text.js';

/** @import { DeadMessage, Page, Queue } from '../types.d.ts' */

const LOOK_MS = 2_000;
const MOST_DEAD = 100;
const MOST_SHOWN = 2_000;

/** @param {Page} page */
export function queuesPart(page) {
  /** @type {Queue[] | null} */
  let queues = null;
  /** Whose dead letters are looked at. @type {string | null} */
  let open = null;
  /** @type {DeadMessage[]} */
  let dead = [];

  /** @param {string} name @param {string} [what] */
  const urlOf = (name, what) => `/v1/queues/${encodeURIComponent(name)}${what === undefined ? '' : `/${what}`}`;

  async function look() {
    /** @type {{ queues: Queue[] }} */
    const answer = await page.api.get('/v1/queues', page.signal);
    queues = answer.queues;
    if (open === null) return;
    const asked = open;
    /** @type {{ messages: DeadMessage[] }} */
    const letters = await page.api.get(`${urlOf(asked, 'dead')}?limit=${MOST_DEAD}`, page.signal);
    if (open === asked) dead = letters.messages;
  }
  page.every(LOOK_MS, look);

  /** @param {string} name */
  const toggle = (name) => async () => {
    open = open === name ? null : name;
    dead = [];
    page.update();
    if (open !== null) await page.act('', look);
  };

  /** @param {string} done @param {string} path @param {unknown} [body] */
  const post = (done, path, body) =>
    page.act(done, async () => {
      await page.api.send('POST', path, body);
      await look();
    });

  /** @param {string} name */
  const purge = (name) => async () => {
    const sure = await page.confirm(
      `Purge ${plain(name)}?`,
      'All messages that wait in it are removed, and are nowhere else.',
      'Purge',
    );
    if (sure) await post(`${plain(name)} is empty`, urlOf(name, 'purge'));
  };

  /** @param {Event} event */
  async function send(event) {
    const { text, form } = submitted(event);
    const done = await page.act('The message is in the queue', async () => {
      const body = bodyOf(text('queue-body'));
      await page.api.send('POST', urlOf(text('queue-name'), 'messages'), { messages: [{ body }] });
      await look();
    });
    if (done) form.reset();
  }

  return () => html`<section aria-labelledby="queues">
    <h2 id="queues">Queues</h2>
    ${
      queues === null
        ? nothing
        : dataTable({
            caption: 'Queues',
            columns: [
              { label: 'Queue' },
              { label: 'Consumer', wide: true },
              { label: 'Depth', number: true },
              { label: 'In flight', number: true, wide: true },
              { label: 'Delayed', number: true, wide: true },
              { label: 'Oldest', number: true },
              { label: 'Dead', number: true },
              { label: 'Actions', hiddenLabel: true },
            ],
            rows: queues.map((queue) => ({
              key: queue.name,
              cells: row(queue),
              below: queue.name === open ? letters(queue) : nothing,
            })),
            empty: 'There are no queues.',
          })
    }
    ${queues === null || queues.length === 0 ? nothing : sendForm(queues)}
  </section>`;

  /** @param {Queue} queue */
  function row({ name, consumer, depth, inFlight, delayed, oldestAgeMs, dead, settings }) {
    return [
      html`${shown(name)} ${settings.paused ? badge('warn', 'paused') : nothing}`,
      consumer === null
        ? html`<span class="muted">nobody</span>`
        : html`<a href=${functionPath(consumer)}>${shown(consumer)}</a>`,
      count(depth),
      count(inFlight),
      count(delayed),
      oldestAgeMs === null ? '–' : age(oldestAgeMs),
      html`<span class=${dead > 0 ? 'bad' : ''}>${count(dead)}</span>`,
      html`<div class="actions">
        <button type="button" class="quiet" aria-expanded=${String(open === name)} @click=${toggle(name)} aria-label="Dead letters of ${plain(name)}">Dead letters</button>
        <button type="button" class="quiet" @click=${() => post(settings.paused ? `${plain(name)} goes on` : `${plain(name)} is paused`, urlOf(name, 'pause'), { paused: !settings.paused })} aria-label="${settings.paused ? 'Resume' : 'Pause'} ${plain(name)}">${settings.paused ? 'Resume' : 'Pause'}</button>
        <button type="button" class="quiet" @click=${purge(name)} aria-label="Purge ${plain(name)}">Purge</button>
      </div>`,
    ];
  }

  /** @param {Queue} queue */
  function letters({ name, settings }) {
    return html`<div class="details">
      <div class="actions">
        <h3>Dead letters of ${shown(name)}</h3>
        ${
          dead.length === 0
            ? nothing
            : html`<button type="button" class="primary" @click=${() => post('They are in the queue again', urlOf(name, 'redrive'))}>Redrive all</button>`
        }
      </div>
      ${dataTable({
        caption: `Dead letters of ${plain(name)}`,
        columns: [
          { label: 'Message' },
          { label: 'Died' },
          { label: 'Attempts', number: true, wide: true },
          { label: 'Why' },
          { label: 'Actions', hiddenLabel: true },
        ],
        rows: dead.map(({ id, body, diedAt, attempts, reason }) => ({
          key: id,
          cells: [
            html`<code>${shown(told(body))}</code>`,
            html`<span title=${clock(diedAt)}>${ago(diedAt)}</span>`,
            count(attempts),
            shown(reason),
            html`<button type="button" class="quiet" @click=${() => post('It is in the queue again', urlOf(name, 'redrive'), { ids: [id] })} aria-label="Redrive message ${plain(id)}">Redrive</button>`,
          ],
        })),
        empty: `None. What fails ${settings.maxRetries === 0 ? 'once' : `${settings.maxRetries + 1} times`} comes here.`,
      })}
    </div>`;
  }

  /** @param {Queue[]} all */
  function sendForm(all) {
    return html`<details>
      <summary>Send a message</summary>
      <form class="card" @submit=${send}>
        <div class="row">
          ${field('queue-name', 'Queue', html`<select id="queue-name" name="queue-name">${all.map(({ name }) => html`<option>${name}</option>`)}</select>`)}
          ${field('queue-body', 'Body', html`<textarea id="queue-body" name="queue-body" rows="3" required spellcheck="false" aria-describedby="queue-body-hint"></textarea>`, 'JSON, or any text.')}
        </div>
        <button type="submit">Send</button>
      </form>
    </details>`;
  }
}

/** @param {string} text */
function bodyOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    // Any text is a message as well.
    return text;
  }
}

/** @param {unknown} body */
function told(body) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)} …` : text;
}
