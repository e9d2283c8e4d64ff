/** The pool as a picture: hosts, the bases in them, what runs where, and why each came and went. */
import { bytes, clock, count, short } from '../format.js';
import { html, nothing, repeat } from '../lit.js';
import { badge, dataTable, functionPath, heading, keysOf, tile, valueIn } from '../parts.js';
import { shown } from '../text.js';

/** @import { Page, Pool, PoolBase, PoolEvent, PoolHost, View } from '../types.d.ts' */

const LOOK_MS = 2_000;
const MOST_EVENTS = 200;
const STATES = ['warm', 'leased', 'booting', 'rehearsing', 'draining', 'dead'];

/** @param {Page} page @returns {View} */
export function poolView(page) {
  /** @type {Pool | null} */
  let pool = null;
  /** @type {PoolEvent[]} */
  let events = [];
  let wanted = '';

  page.every(LOOK_MS, async () => {
    /** @type {[Pool, { events: PoolEvent[] }]} */
    const [now, log] = await Promise.all([
      page.api.get('/v1/pool', page.signal),
      page.api.get(`/v1/pool/events?limit=${MOST_EVENTS}`, page.signal),
    ]);
    pool = now;
    events = log.events;
  });

  /** @param {Event} event */
  function filter(event) {
    wanted = valueIn(event).toLowerCase();
    page.update();
  }

  return {
    title: 'Pool',
    render: () =>
      html`${heading('Pool')} ${pool === null ? nothing : html`${summary(pool)} ${picture(pool)} ${log()}`}`,
  };

  function log() {
    const found = events.filter(
      ({ id, what, why, function: name = '' }) =>
        wanted === '' || `${id} ${what} ${why} ${name}`.toLowerCase().includes(wanted),
    );
    const keys = keysOf(found, ({ time, id, what, why }) => `${time} ${id} ${what} ${why}`);
    return html`<section aria-labelledby="events">
      <h2 id="events">What happened</h2>
      <div class="toolbar">
        <label for="find-event">Contains</label>
        <input id="find-event" type="search" @input=${filter} autocomplete="off" spellcheck="false" />
      </div>
      ${dataTable({
        caption: 'Events of the pool, newest first',
        columns: [{ label: 'Time' }, { label: 'What' }, { label: 'Function', wide: true }, { label: 'Why' }],
        rows: found.map((event, at) => ({
          key: keys[at] ?? '',
          cells: [
            clock(event.time),
            html`${badge(kindOf(event.what), event.what)} ${event.subject} <code>${shown(event.id)}</code>`,
            event.function === undefined
              ? nothing
              : html`<a href=${functionPath(event.function)}>${shown(event.function)}</a>`,
            shown(event.why),
          ],
        })),
        empty: 'No such event.',
        tall: true,
      })}
    </section>`;
  }
}

/** @param {string} what @returns {'ok' | 'warn' | 'bad' | 'info' | 'plain'} */
function kindOf(what) {
  if (['killed', 'died', 'quarantined'].includes(what)) return 'bad';
  if (['leased', 'loaded', 'lent'].includes(what)) return 'info';
  return what === 'warm' ? 'ok' : 'plain';
}

/** @param {Pool} pool */
function summary({ bases, hosts, pools, waiting, stock }) {
  const used = pools.reduce((sum, { usedMb }) => sum + usedMb, 0);
  const target = stock.reduce((sum, each) => sum + each.target, 0);
  return html`<dl class="tiles">
    ${tile('Hosts', count(hosts.length))}
    ${tile('Warm bases', count(bases.warm ?? 0), { note: `of ${count(target)} wanted` })}
    ${tile('Leased', count(bases.leased ?? 0))}
    ${tile('Waiting calls', count(waiting), { kind: waiting > 0 ? 'bad' : '' })}
    ${tile('Memory', `${count(Math.round(used))} MB`)}
  </dl>`;
}

/** @param {Pool} pool */
function picture({ pools, hosts }) {
  return html`<ul class="legend" aria-label="States of a base">
      ${STATES.map((state) => html`<li><span class="base-mark ${state}"></span>${state}</li>`)}
    </ul>
    ${pools.map(
      ({ name, usedMb, memoryMb, pressure, maxBases, bases, waiting }) => html`<section aria-labelledby="pool-${name}">
        <h2 id="pool-${name}">Pool ${shown(name)} ${pressure === 'none' ? nothing : badge('warn', `memory: ${pressure}`)}</h2>
        <p class="muted">
          <meter aria-label="Memory of the pool ${name}" min="0" max=${memoryMb} high=${memoryMb * 0.9} value=${usedMb}></meter>
          ${count(Math.round(usedMb))} of ${count(memoryMb)} MB · ${count(Object.values(bases).reduce((sum, n) => sum + n, 0))}
          bases, at most ${count(maxBases)} · ${count(waiting)} waiting
        </p>
        <div class="hosts">
          ${repeat(
            hosts.filter(({ pool }) => pool === name),
            ({ id }) => id,
            hostOf,
          )}
        </div>
      </section>`,
    )}`;
}

/** @param {PoolHost} host */
function hostOf({ id, pid, base, state, trustGroup, network, memoryBytes, bases, lentBy }) {
  return html`<article class="host card" aria-label="Host ${id}">
    <h3>${shown(id)} ${state === 'running' ? nothing : badge('warn', state)} ${lentBy === null ? nothing : badge('info', `lent by ${lentBy}`)}</h3>
    <p class="muted">
      base ${shown(base)} · ${trustGroup === null ? 'not bound yet' : html`trust group ${shown(trustGroup)}`}
      ${network === 'none' ? ' · no network' : ''} · ${bytes(memoryBytes)}${pid === null ? '' : ` · pid ${pid}`}
    </p>
    <ul class="bases">${repeat(bases, (each) => each.id, baseOf)}</ul>
  </article>`;
}

/** @param {PoolBase} base */
function baseOf({ id, state, function: name, version, inFlight, modules = [], group }) {
  const runs = modules.length > 0 ? modules : name === null ? [] : [{ function: name, version, inFlight }];
  return html`<li class="base ${state}">
    <span class="id">${shown(id)}</span>
    ${
      runs.length === 0
        ? html`<span class="state">${state}</span>`
        : html`<span class="hidden">${state}</span>${group === undefined ? nothing : html`<span class="state">group ${shown(group)}</span>`}
          ${runs.map(
            (run) => html`<span class="runs"><a href=${functionPath(run.function)}>${shown(run.function)}</a>
              ${run.version === null ? nothing : html`<code>${short(run.version)}</code>`}
              ${run.inFlight === 0 ? nothing : html`<b>${run.inFlight} in flight</b>`}</span>`,
          )}`
    }
  </li>`;
}
