/** Pieces that several views show. */
import { html, nothing, repeat } from './lit.js';
import { plain, shown } from './text.js';

/** @import { Problem, Rendered } from './types.d.ts' */

/** @param {Problem} problem @param {(() => void) | null} [dismiss] */
export function problemBox(problem, dismiss = null) {
  // The first stands in the detail as a rule.
  const errors = problem.errors.filter(({ message }) => !problem.detail.includes(message));
  return html`<div class="problem">
    <p><strong class="code">${plain(problem.code)}</strong> ${shown(problem.detail)}</p>
    ${
      errors.length === 0
        ? nothing
        : html`<ul>${errors.map((error) => html`<li>${placeOf(error)}${shown(error.message)}</li>`)}</ul>`
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
 * @property {boolean} [full] A picture: where rows are cards it has a line of its own, without its label.
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
 * @param {boolean} [table.tall] Scrolls by itself, as it has many rows.
 */
export function dataTable({ caption, columns, rows, empty, tall = false }) {
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`;
  /** @param {number} at */
  const kind = (at) =>
    `${columns[at]?.number ? 'number' : ''} ${columns[at]?.wide ? 'wide' : ''} ${columns[at]?.hiddenLabel ? 'last' : ''} ${columns[at]?.full ? 'full' : ''}`;
  /** Beside the value, where there is no room for columns. @param {number} at */
  const label = (at) => (columns[at]?.hiddenLabel || columns[at]?.full ? '' : (columns[at]?.label ?? ''));
  // Roles are said, too: where rows are drawn as cards, it is a table all the same.
  return html`<div class="scroll ${tall ? 'tall' : ''}" role="group" aria-label=${caption} tabindex="0">
    <table role="table">
      <caption class="hidden">${caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          ${columns.map(
            ({ label, hiddenLabel }, at) =>
              html`<th scope="col" role="columnheader" class=${kind(at)}><span class=${hiddenLabel ? 'hidden' : ''}>${label}</span></th>`,
          )}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${repeat(
          rows,
          ({ key }) => key,
          ({ cells, below = nothing }) => html`<tr role="row">
              ${cells.map((cell, at) =>
                at === 0
                  ? html`<th scope="row" role="rowheader">${cell}</th>`
                  : html`<td role="cell" class=${kind(at)} data-label=${label(at)}>${cell}</td>`,
              )}
            </tr>
            ${below === nothing ? nothing : html`<tr role="row" class="below"><td role="cell" colspan=${columns.length}>${below}</td></tr>`}`,
        )}
      </tbody>
    </table>
  </div>`;
}

/**
 * Keys of rows that have no id: by what is in them, told apart where two are alike. A row keeps its key as others come.
 *
 * @template Item
 * @param {readonly Item[]} items
 * @param {(item: Item) => string} textOf
 */
export function keysOf(items, textOf) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  return items.map((item) => {
    const text = textOf(item);
    const before = seen.get(text) ?? 0;
    seen.set(text, before + 1);
    return `${text} ${before}`;
  });
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
