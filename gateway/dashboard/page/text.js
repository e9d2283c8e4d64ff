/** Text of others, shown as text: nothing in it changes how it or its neighbours are read. */
import { html } from './lit.js';
import { pieces } from './unseen.js';

export { plain } from './unseen.js';

/**
 * For any place that takes markup. Most text is plain and stays one node.
 *
 * @param {unknown} value
 */
export function shown(value) {
  const text = String(value);
  const parts = pieces(text);
  if (parts.every(({ code }) => !code)) return html`<bdi>${text}</bdi>`;
  return html`<bdi>${parts.map((part) => (part.code ? html`<span class="unseen">${part.text}</span>` : part.text))}</bdi>`;
}
