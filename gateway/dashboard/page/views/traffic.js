/** Which versions serve, by percent: sliders that are moved together, set at once, and taken back. */
import { short } from '../format.js';
import { html, live, nothing } from '../lit.js';
import { functionUrl, valueIn } from '../parts.js';
import { rebalance } from '../split.js';

/** @import { Page, Split, Traffic, Version } from '../types.d.ts' */
/** @import { Subject } from './function.js' */

const LOOK_MS = 3_000;

/** @param {Page} page @param {Subject} subject @param {() => Version[]} versions */
export function trafficPart(page, subject, versions) {
  const url = functionUrl(subject.name);
  /** @type {Traffic | null} */
  let traffic = null;
  /** @type {Traffic | null} */
  let previous = null;
  /** What was moved and is not set yet. @type {Split[] | null} */
  let draft = null;

  async function look() {
    /** @type {{ traffic: Traffic | null, previous: Traffic | null }} */
    const answer = await page.api.get(`${url}/traffic`, page.signal);
    ({ traffic, previous } = answer);
  }
  page.every(LOOK_MS, look);

  const split = () => draft ?? traffic?.split ?? [];

  /** @param {string} version @param {number} percent */
  function move(version, percent) {
    draft = rebalance(split(), version, percent);
    page.update();
  }

  async function refresh() {
    await Promise.all([look(), subject.refresh()]);
  }

  async function set() {
    const wanted = split().filter(({ percent }) => percent > 0);
    const done = await page.act('The traffic is set', async () => {
      await page.api.send('PUT', `${url}/traffic`, { ...traffic, split: wanted });
      await refresh();
    });
    if (done) draft = null;
    page.update();
  }

  async function rollback() {
    draft = null;
    await page.act('Back to the traffic before', async () => {
      await page.api.send('POST', `${url}/rollback`);
      await refresh();
    });
  }

  function reset() {
    draft = null;
    page.update();
  }

  return {
    /** @param {string} version */
    has: (version) => split().some((arm) => arm.version === version),
    /** @param {string} version */
    add(version) {
      const arms = split();
      draft = [...arms, { version, percent: arms.length === 0 ? 100 : 0 }];
      page.update();
      queueMicrotask(() => document.getElementById(`share-${version}`)?.focus());
    },
    render: () => html`<section class="card" aria-labelledby="traffic">
      <h2 id="traffic">Traffic</h2>
      ${split().length === 0 ? html`<p class="empty">No version takes traffic. Give one of those below some.</p>` : nothing}
      ${split().map((arm) => slider(arm, split().length === 1))}
      ${
        traffic?.rules === undefined || traffic.rules.length === 0
          ? nothing
          : html`<p class="muted">${traffic.rules.length} rules come before this split; they stay as they are.</p>`
      }
      <div class="actions">
        ${
          draft === null
            ? nothing
            : html`<button type="button" class="primary" @click=${set}>Set this traffic</button>
              <button type="button" @click=${reset}>Leave it as it was</button>`
        }
        ${
          previous === null
            ? nothing
            : html`<button type="button" @click=${rollback}>Roll back to ${told(previous)}</button>`
        }
      </div>
    </section>`,
  };

  /** @param {Split} arm @param {boolean} isOnly */
  function slider({ version, percent }, isOnly) {
    const known = versions().find((candidate) => candidate.version === version);
    const id = `share-${version}`;
    return html`<div class="slider">
      <label for=${id}>Version <code>${short(version)}</code>${known === undefined ? nothing : html` <small>${new Date(known.createdAt).toLocaleString('en-GB')}</small>`}</label>
      <input id=${id} type="range" min="0" max="100" step="1" .value=${live(String(percent))} ?disabled=${isOnly} @input=${(/** @type {Event} */ event) => move(version, Number(valueIn(event)))} />
      <output for=${id}>${percent} %</output>
    </div>`;
  }
}

/** @param {Traffic} traffic */
function told({ split }) {
  return split.map(({ version, percent }) => `${short(version)} ${percent} %`).join(', ');
}
