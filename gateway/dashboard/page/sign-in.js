/** Asks for a token. It is kept in sessionStorage: gone with the tab, and never sent by itself. */
import { createApi, problemFrom } from './api.js';
import { html, nothing } from './lit.js';
import { field, problemBox, submitted } from './parts.js';

/** @import { Problem } from './types.d.ts' */

/**
 * @param {object} parts
 * @param {() => void} parts.update
 * @param {(token: string) => void} parts.signedIn
 * @param {Problem | null} parts.problem Why it is asked for again.
 */
export function signIn({ update, signedIn, problem }) {
  let shownProblem = problem;
  let checking = false;

  /** @param {Event} event */
  async function check(event) {
    const token = submitted(event).text('token');
    if (checking) return;
    checking = true;
    shownProblem = null;
    update();
    try {
      if (!/^[!-~]+$/.test(token)) throw new Error('A token has letters, digits and signs, without spaces.');
      await createApi(token, () => undefined).get('/v1/functions');
      signedIn(token);
    } catch (error) {
      shownProblem = problemFrom(error);
    } finally {
      checking = false;
      update();
    }
  }

  return () => html`<main class="sign-in" id="main" aria-busy=${String(checking)}>
    <form @submit=${check}>
      <img src="/dashboard/icon.svg" alt="" width="48" height="48" />
      <h1 tabindex="-1">Hearth</h1>
      <div role="alert">${shownProblem === null ? nothing : problemBox(shownProblem)}</div>
      ${field(
        'token',
        'Token',
        html`<input id="token" name="token" type="password" required autocomplete="off" spellcheck="false" aria-describedby="token-hint" />`,
        html`The admin token stands in the data directory: <code>cat .hearth/admin-token</code>. A token with the scope
          <code>read</code> sees everything but tokens and the audit. It is kept until this tab is closed.`,
      )}
      <button type="submit" class="primary">Sign in</button>
      <p><a href="/docs">Documentation of the control API</a></p>
    </form>
  </main>`;
}
