/** Log lines as they come. */
import { problemFrom } from '../api.js';
import { preciseClock, short } from '../format.js';
import { html, nothing, repeat } from '../lit.js';
import { functionPath, functionUrl, problemBox, valueIn } from '../parts.js';
import { shown } from '../text.js';

/** @import { LogLine, Page, Problem } from '../types.d.ts' */
/** @import { Subject } from './function.js' */

const MOST_LINES = 1_000;
const AGAIN_MS = 2_000;
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'];

/** @param {Page} page @param {Subject} subject @param {string[]} rest */
export function logsTab(page, subject, [invocation]) {
  /** @type {(LogLine & { at: number })[]} */
  let lines = [];
  let count = 0;
  let level = 0;
  let wanted = '';
  /** While it stands still: what is shown meanwhile. @type {typeof lines | null} */
  let held = null;
  /** @type {'connecting' | 'following' | 'interrupted'} */
  let state = 'connecting';
  /** @type {Problem | null} */
  let problem = null;

  const query = new URLSearchParams({ follow: 'true', limit: '500' });
  if (invocation !== undefined) query.set('invocation', invocation);
  const path = `${functionUrl(subject.name)}/logs?${query}`;

  async function follow() {
    while (!page.signal.aborted) {
      try {
        await page.api.follow(path, page.signal, opened, onEvent);
        problem = null;
      } catch (error) {
        problem = problemFrom(error);
      }
      state = 'interrupted';
      page.update();
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  /** The stream begins with what is recent: nothing is shown twice. */
  function opened() {
    lines = [];
    problem = null;
    state = 'following';
    page.update();
  }

  /** @param {string} event @param {string} data */
  function onEvent(event, data) {
    if (event !== 'line') return;
    lines.push({ ...JSON.parse(data), at: count++ });
    if (lines.length > MOST_LINES * 1.2) lines = lines.slice(-MOST_LINES);
    if (held === null) page.update();
  }

  void follow();

  return () => {
    const found = (held ?? lines).filter(
      (line) => LEVELS.indexOf(line.level) >= level && (wanted === '' || line.message.toLowerCase().includes(wanted)),
    );
    return html`<section aria-labelledby="logs">
      <h2 id="logs">Logs ${invocation === undefined ? nothing : html`of <code>${shown(invocation)}</code>`}</h2>
      ${invocation === undefined ? nothing : html`<p><a href=${functionPath(subject.name, 'logs')}>All lines of the function</a></p>`}
      <div class="toolbar">
        <label for="level">Level</label>
        <select id="level" @change=${setLevel}>${LEVELS.map((name, at) => html`<option value=${at}>${at === 0 ? 'all' : name}</option>`)}</select>
        <label for="find">Contains</label>
        <input id="find" type="search" @input=${setWanted} autocomplete="off" spellcheck="false" />
        <button type="button" aria-pressed=${String(held !== null)} @click=${pause}>Pause</button>
        <button type="button" @click=${clear}>Clear</button>
        <span class="muted" role="status">${held === null ? state : 'paused'}</span>
      </div>
      ${problem === null ? nothing : html`<div role="alert">${problemBox(problem)}</div>`}
      <div id="log" class="log" role="log" aria-label="Log lines, newest last" tabindex="0">
        <div>
        ${repeat(found, ({ at }) => at, lineOf)}
        ${found.length === 0 ? html`<p class="empty">${state === 'following' ? 'No lines yet.' : ''}</p>` : nothing}
        </div>
      </div>
    </section>`;
  };

  /** @param {Event} event */
  function setLevel(event) {
    level = Number(valueIn(event));
    page.update();
  }

  /** @param {Event} event */
  function setWanted(event) {
    wanted = valueIn(event).toLowerCase();
    page.update();
  }

  function pause() {
    held = held === null ? [...lines] : null;
    page.update();
  }

  function clear() {
    lines = [];
    if (held !== null) held = [];
    page.update();
  }
}

/** @param {LogLine} line */
function lineOf({ time, level, version, invocationId, message }) {
  return html`<div class="line ${level}">
    <span class="when">${preciseClock(time)}</span>
    <span class="level">${level}</span>
    <span class="message">${shown(message)}</span>
    <span class="origin" title=${invocationId ?? ''}>${short(version)}</span>
  </div>`;
}
