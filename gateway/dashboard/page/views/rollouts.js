/** Rollouts of one function: begin one, and follow it step by step. */
import { ago, count, duration, percent, short } from '../format.js';
import { html, nothing } from '../lit.js';
import { badge, dataTable, field, submitted } from '../parts.js';
import { shown } from '../text.js';

/** @import { Page, Rollout, RolloutArm, Version } from '../types.d.ts' */
/** @import { Subject } from './function.js' */

const LOOK_MS = 2_000;
const MOST_ENDED = 3;
const OVER = ['completed', 'stopped', 'aborted'];

/** @type {Record<string, 'ok' | 'warn' | 'bad' | 'info' | 'plain'>} */
const KINDS = { running: 'info', paused: 'warn', waiting: 'warn', completed: 'ok', stopped: 'bad', aborted: 'plain' };
/** @type {Record<string, string[]>} */
const ACTIONS = { running: ['confirm', 'pause', 'abort'], waiting: ['confirm', 'abort'], paused: ['resume', 'abort'] };
/** @type {Record<string, string>} */
const VERBS = { confirm: 'Next step now', pause: 'Pause', resume: 'Go on', abort: 'Take it back' };

/** @param {Page} page @param {Subject} subject @param {() => Version[]} versions */
export function rolloutsPart(page, subject, versions) {
  /** @type {Rollout[]} */
  let rollouts = [];

  async function look() {
    /** @type {{ rollouts: Rollout[] }} */
    const answer = await page.api.get('/v1/rollouts?limit=100', page.signal);
    rollouts = answer.rollouts.filter(({ functions }) => functions.some(({ name }) => name === subject.name));
  }
  page.every(LOOK_MS, look);

  /** @param {Event} event */
  async function begin(event) {
    const { text, words, data } = submitted(event);
    const pauseSeconds = Number(text('pause'));
    await page.act('The rollout has begun', async () => {
      await page.api.send('POST', '/v1/rollouts', {
        functions: [{ name: subject.name, version: text('version') }],
        steps: words('steps').map((share) => ({
          percent: Number(share.replace('%', '')),
          pauseSeconds: Number(share.replace('%', '')) === 100 ? 0 : pauseSeconds,
          confirm: data.get('confirm') !== null,
        })),
      });
      await Promise.all([look(), subject.refresh()]);
    });
  }

  /** @param {string} id @param {string} action */
  const change = (id, action) => () =>
    page.act('The rollout is changed', async () => {
      await page.api.send('PATCH', `/v1/rollouts/${encodeURIComponent(id)}`, { action });
      await Promise.all([look(), subject.refresh()]);
    });

  return () => {
    const running = rollouts.filter(({ state }) => !OVER.includes(state));
    const ended = rollouts.filter(({ state }) => OVER.includes(state)).slice(0, MOST_ENDED);
    const idle = versions().filter(({ percent }) => percent < 100);
    if (running.length === 0 && ended.length === 0 && idle.length === 0) return nothing;
    return html`<section aria-labelledby="rollouts">
      <h2 id="rollouts">Rollouts</h2>
      ${running.map((rollout) => progress(rollout))} ${running.length > 0 || idle.length === 0 ? nothing : beginForm(idle)}
      ${
        ended.length === 0
          ? nothing
          : html`<ul class="unmarked">
            ${ended.map(
              ({ state, functions, endedAt, why }) =>
                html`<li>${badge(KINDS[state] ?? 'plain', state)} <code>${short(functions.find(({ name }) => name === subject.name)?.version ?? '')}</code>
                  ${endedAt === null ? '' : ago(endedAt)} ${why === null ? nothing : html`<span class="muted">${shown(why)}</span>`}</li>`,
            )}
          </ul>`
      }
    </section>`;
  };

  /** @param {Version[]} idle */
  function beginForm(idle) {
    return html`<details>
      <summary>Roll out step by step</summary>
      <form class="card" @submit=${begin}>
        <div class="row">
          ${field('rollout-version', 'Version', html`<select id="rollout-version" name="version">${idle.map(({ version, createdAt }) => html`<option value=${version}>${short(version)}, ${ago(createdAt)}</option>`)}</select>`)}
          ${field('rollout-steps', 'Steps', html`<input id="rollout-steps" name="steps" required .defaultValue=${'10, 50, 100'} autocomplete="off" aria-describedby="rollout-steps-hint" />`, 'Percent, ending in 100.')}
          ${field('rollout-pause', 'Seconds a step', html`<input id="rollout-pause" name="pause" type="number" min="0" required .defaultValue=${'60'} aria-describedby="rollout-pause-hint" />`, 'It is watched so long, and goes back by itself when it is worse.')}
        </div>
        <div class="field check"><input id="rollout-confirm" name="confirm" type="checkbox" /><label for="rollout-confirm">Wait for a confirmation after each step</label></div>
        <button type="submit">Begin the rollout</button>
      </form>
    </details>`;
  }

  /** @param {Rollout} rollout */
  function progress(rollout) {
    const { id, state, step, steps, functions } = rollout;
    const own = functions.find(({ name }) => name === subject.name);
    return html`<div class="card">
      <p>${badge(KINDS[state] ?? 'plain', state)} Version <code>${short(own?.version ?? '')}</code>, step ${step} of ${steps.length}</p>
      <ol class="steps" aria-label="Steps of the rollout">
        ${steps.map(({ percent, beta }, at) => {
          const isNow = at + 1 === step;
          return html`<li class=${at + 1 < step ? 'done' : isNow ? 'now' : ''} aria-current=${isNow ? 'step' : nothing}>${beta === null ? `${percent} %` : 'beta'}</li>`;
        })}
      </ol>
      ${own === undefined || own.figures === null ? nothing : comparison(own.figures)}
      <div class="actions">
        ${(ACTIONS[state] ?? []).map((action) => html`<button type="button" class=${action === 'abort' ? 'danger' : ''} @click=${change(id, action)}>${VERBS[action]}</button>`)}
      </div>
    </div>`;
  }
}

/** @param {{ new: RolloutArm, old: RolloutArm }} figures */
function comparison(figures) {
  /** @param {string} name @param {RolloutArm} arm */
  const row = (name, { requests, errors, p95Ms, coldStarts }) => ({
    key: name,
    cells: [name, count(requests), percent(errors, requests), duration(p95Ms), count(coldStarts)],
  });
  return dataTable({
    caption: 'Both arms in this step',
    columns: [
      { label: 'Arm' },
      { label: 'Requests', number: true },
      { label: 'Errors', number: true },
      { label: 'p95', number: true },
      { label: 'Cold starts', number: true },
    ],
    rows: [row('new', figures.new), row('old', figures.old)],
    empty: '',
  });
}
