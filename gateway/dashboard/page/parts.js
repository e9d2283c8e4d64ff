/** Pieces that several views show. */
import { html, nothing, repeat } from './lit.js';
import { plain, shown } from './text.js';

/** @import { Problem, Rendered } from './types.d.ts' */

/** @param {Problem} problem @param {(() => void) | null} [dismiss] */
export function problemBox(problem, dismiss = null) {
  return html`<div class="problem">
    <p><strong class="code">${plain(problem.code)}</strong> ${shown(problem.detail)}</p>
    ${
      problem.errors.length === 0
        ? nothing
        : html`<ul>${problem.errors.map((error) => html`<li>${placeOf(error)}${shown(error.message)}</li>`)}</ul>`
    }
    ${dismiss === null ? nothing : html`<button type="button" class="quiet" @click=${dismiss}>Dismiss</button>`}
  </div>`;
}

/** @param {Problem['errors'][number]} error */
function placeOf({ file, line, column, path }) {
  const place = file === undefined ? path : [file, line, column].filter((part) => part !== undefined).join(':');
  return place === undefined ? nothing : html`<code>${shown(place)}</code> `;
}

/** @param {'ok' | 'warn' | 'bad' | 'info' | 'plain'} kind @param {string} text */
export function badge(kind, text) {
  return html`<span class="badge ${kind}">${shown(text)}</span>`;
}

/**
 * One figure with its name.
 *
 * @param {string} name
 * @param {Rendered} value
 * @param {{ note?: Rendered, kind?: string }} [options]
 */
export function tile(name, value, { note = nothing, kind = '' } = {}) {
  return html`<div class="tile ${kind}"><dt>${name}</dt><dd>${value}${note === nothing ? nothing : html` <small>${note}</small>`}</dd></div>`;
}

/**
 * @typedef {object} Column
 * @property {string} label
 * @property {boolean} [number] Aligned to the right.
 * @property {boolean} [wide] Left out where there is little room.
 * @property {boolean} [hiddenLabel] Its label is for screen readers only.
 */

/**
 * The first cell of each row names it.
 *
 * @param {object} table
 * @param {string} table.caption
 * @param {Column[]} table.columns
 * @param {{ key: string, cells: Rendered[], below?: Rendered }[]} table.rows `below`: more about it, over all columns.
 * @param {Rendered} table.empty Instead of a table without rows.
 */
export function dataTable({ caption, columns, rows, empty }) {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`;
  /** @param {number} at */
  const kind = (at) => `${columns[at]?.number ? 'number' : ''} ${columns[at]?.wide ? 'wide' : ''}`;
  return html`<div class="scroll" role="region" aria-label=${caption} tabindex="0">
    <table>
      <caption class="hidden">${caption}</caption>
      <thead>
        <tr>
          ${columns.map(
            ({ label, hiddenLabel }, at) =>
              html`<th scope="col" class=${kind(at)}><span class=${hiddenLabel ? 'hidden' : ''}>${label}</span></th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${repeat(
          rows,
          ({ key }) => key,
          ({ cells, below = nothing }) => html`<tr>
              ${cells.map((cell, at) =>
                at === 0 ? html`<th scope="row">${cell}</th>` : html`<td class=${kind(at)}>${cell}</td>`,
              )}
            </tr>
            ${below === nothing ? nothing : html`<tr class="below"><td colspan=${columns.length}>${below}</td></tr>`}`,
        )}
      </tbody>
    </table>
  </div>`;
}

/**
 * A control with its label, and what there is to know about it.
 *
 * @param {string} id Of the control.
 * @param {string} label
 * @param {Rendered} control With `aria-describedby=${id}-hint` where there is a hint.
 * @param {Rendered} [hint]
 */
export function field(id, label, control, hint = nothing) {
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${control}
    ${hint === nothing ? nothing : html`<small id="${id}-hint">${hint}</small>`}
  </div>`;
}

/** @param {Rendered} title @param {Rendered} [actions] */
export function heading(title, actions = nothing) {
  return html`<div class="heading">
    <h1 tabindex="-1">${title}</h1>
    ${actions === nothing ? nothing : html`<div class="actions">${actions}</div>`}
  </div>`;
}

/**
 * What a form holds, as text.
 *
 * @param {Event} event
 */
export function submitted(event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  const data = new FormData(form);
  return {
    form,
    data,
    /** @param {string} name */
    text: (name) => String(data.get(name) ?? '').trim(),
    /** Words, apart by commas, spaces and line ends. @param {string} name */
    words: (name) =>
      String(data.get(name) ?? '')
        .split(/[\s,]+/)
        .filter((word) => word !== ''),
  };
}

/** @param {Event} event */
export function valueIn(event) {
  return /** @type {HTMLInputElement} */ (event.target).value;
}

/** @param {string} name @param {string} [tab] */
export function functionPath(name, tab) {
  return `#/functions/${encodeURIComponent(name)}${tab === undefined ? '' : `/${tab}`}`;
}

/** @param {string} name */
export function functionUrl(name) {
  return `/v1/functions/${encodeURIComponent(name)}`;
}
