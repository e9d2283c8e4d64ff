/** The one place that knows where the renderer is. Types: lit.d.ts. */
export { live } from './lit/directives/live.js';
export { repeat } from './lit/directives/repeat.js';
export { html, nothing, render, svg } from './lit/lit-html.js';
