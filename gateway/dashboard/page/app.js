/** The frame: who is signed in, which view is shown, and what there is to say. */
import { createApi } from './api.js';
import { html, nothing, render } from './lit.js';
import { createPage } from './page.js';
import { problemBox } from './parts.js';
import { signIn } from './sign-in.js';
import { accessView } from './views/access.js';
import { deployView } from './views/deploy.js';
import { functionView } from './views/function.js';
import { functionsView } from './views/functions.js';
import { poolView } from './views/pool.js';
import { triggersView } from './views/triggers.js';

/** @import { Page, Problem, Rendered, View } from './types.d.ts' */

const TOKEN_KEY = 'hearth-token';
const THEME_KEY = 'hearth-theme';
const THEMES = ['auto', 'light', 'dark'];
/** How long it is said that something went well. */
const SAID_MS = 8_000;

const SECTIONS = [
  { path: 'functions', title: 'Functions' },
  { path: 'pool', title: 'Pool' },
  { path: 'triggers', title: 'Triggers' },
  { path: 'access', title: 'Access' },
];

/** @type {Record<string, (page: Page, rest: string[]) => View>} */
const VIEWS = {
  functions: (page, [name, ...rest]) => (name === undefined ? functionsView(page) : functionView(page, name, rest)),
  deploy: (page, [name]) => deployView(page, name),
  pool: (page) => poolView(page),
  triggers: (page) => triggersView(page),
  access: (page) => accessView(page),
};

const root = /** @type {HTMLElement} */ (document.getElementById('app'));

/** @type {{ view: View, held: ReturnType<typeof createPage>, section: string } | null} */
let current = null;
/** @type {(() => Rendered) | null} */
let asking = null;
let said = '';
/** @type {ReturnType<typeof setTimeout> | undefined} */
let unsaying;
let scheduled = false;

function update() {
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    render(frame(), root);
    document.title = current === null ? 'Hearth' : `${current.view.title} · Hearth`;
  });
}

/** @param {string} message */
function say(message) {
  said = message;
  clearTimeout(unsaying);
  unsaying = setTimeout(() => {
    said = '';
    update();
  }, SAID_MS);
  update();
}

/** @param {Problem | null} problem */
function signOut(problem) {
  sessionStorage.removeItem(TOKEN_KEY);
  current?.held.end();
  current = null;
  said = '';
  asking = signIn({ update, problem, signedIn });
  update();
  queueMicrotask(() => document.getElementById('token')?.focus());
}

/** @param {string} token */
function signedIn(token) {
  sessionStorage.setItem(TOKEN_KEY, token);
  asking = null;
  show();
  focusHeading();
}

/** So that a screen reader begins with what is new. */
function focusHeading() {
  queueMicrotask(() => document.querySelector('h1')?.focus({ preventScroll: true }));
}

/** Shows what the address says. */
function show() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (token === null) {
    if (asking === null) signOut(null);
    return;
  }
  current?.held.end();
  const refused = () =>
    signOut({
      code: 'UNAUTHORIZED',
      status: 401,
      detail: 'The token is not taken any more: sign in again.',
      errors: [],
    });
  const held = createPage(createApi(token, refused), { update, say });
  const [section = 'functions', ...rest] = segments();
  const make = VIEWS[section];
  current = {
    held,
    section,
    view: make === undefined ? { title: 'Not found', render: notFound } : make(held.page, rest),
  };
  update();
}

function segments() {
  const parts = location.hash.replace(/^#\/?/, '').split('/');
  return parts.filter((part) => part !== '').map(decoded);
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    // No name: shown as it stands there.
    return part;
  }
}

const notFound = () =>
  html`<h1 tabindex="-1">Not found</h1><p>There is no such page. <a href="#/functions">To the functions</a></p>`;

function frame() {
  if (current === null) return asking === null ? nothing : asking();
  const { view, held, section } = current;
  const { action, loads } = held.problems();
  return html`<a class="skip" href="#main" @click=${toMain}>Skip to the content</a>
    <header class="bar">
      <a class="brand" href="#/functions"><img src="/dashboard/icon.svg" alt="" width="28" height="28" />Hearth</a>
      <nav aria-label="Main">
        ${SECTIONS.map(
          ({ path, title }) =>
            html`<a href="#/${path}" aria-current=${section === path ? 'page' : nothing}>${title}</a>`,
        )}
        <a href="/docs">Docs</a>
      </nav>
      <div class="tools">
        <button type="button" class="quiet" @click=${nextTheme}>Theme: ${theme()}</button>
        <button type="button" class="quiet" @click=${() => signOut(null)}>Sign out</button>
      </div>
    </header>
    <main id="main" tabindex="-1" aria-busy=${String(held.isLoading() || held.page.busy)}>
      <div class="alerts" role="alert">
        ${action === null ? nothing : problemBox(action, held.dismiss)} ${loads.map((problem) => problemBox(problem))}
      </div>
      ${view.render()}
    </main>
    <div class="said" role="status">${said === '' ? nothing : html`<p>${said}</p>`}</div>`;
}

/** @param {Event} event The address keeps naming the view. */
function toMain(event) {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

function theme() {
  return localStorage.getItem(THEME_KEY) ?? 'auto';
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length] ?? 'auto';
  localStorage.setItem(THEME_KEY, next);
  useTheme();
  update();
}

function useTheme() {
  document.documentElement.dataset.theme = theme();
}

useTheme();
window.addEventListener('hashchange', () => {
  show();
  window.scrollTo(0, 0);
  if (current !== null) focusHeading();
});
show();
