/** Asks before what cannot be taken back. */
import { html, render } from './lit.js';

/**
 * @param {string} question
 * @param {string} detail
 * @param {string} verb What the button that goes on says.
 * @returns {Promise<boolean>}
 */
export function confirm(question, detail, verb) {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'dialog-title');
  dialog.setAttribute('aria-describedby', 'dialog-detail');
  const answer = (/** @type {string} */ value) => () => dialog.close(value);
  render(
    html`<h2 id="dialog-title">${question}</h2>
      <p id="dialog-detail">${detail}</p>
      <div class="actions">
        <button type="button" @click=${answer('')}>Cancel</button>
        <button type="button" class="danger" @click=${answer('yes')}>${verb}</button>
      </div>`,
    dialog,
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        dialog.remove();
        resolve(dialog.returnValue === 'yes');
      },
      { once: true },
    );
  });
}
