/** One function: its head, and the parts of it that are shown apart. */
import { html, nothing } from '../lit.js';
import { functionPath, functionUrl, heading } from '../parts.js';
import { plain, shown } from '../text.js';
import { stateBadge } from './functions.js';
import { invokeTab } from './invoke.js';
import { logsTab } from './logs.js';
import { overviewTab } from './overview.js';
import { versionsTab } from './versions.js';

/** @import { FunctionInfo, Page, Rendered, View } from '../types.d.ts' */

/**
 * The function as it was last seen, for its parts.
 *
 * @typedef {object} Subject
 * @property {string} name
 * @property {FunctionInfo | null} info
 * @property {() => Promise<void>} refresh
 */

const LOOK_MS = 3_000;

/** @type {{ id: string | undefined, title: string, make: (page: Page, subject: Subject, rest: string[]) => () => Rendered }[]} */
const TABS = [
  { id: undefined, title: 'Overview', make: overviewTab },
  { id: 'versions', title: 'Versions', make: versionsTab },
  { id: 'logs', title: 'Logs', make: logsTab },
  { id: 'invoke', title: 'Invoke', make: invokeTab },
];

/** @param {Page} page @param {string} name @param {string[]} rest @returns {View} */
export function functionView(page, name, [id, ...rest]) {
  /** @type {Subject} */
  const subject = {
    name,
    info: null,
    async refresh() {
      subject.info = await page.api.get(functionUrl(name), page.signal);
    },
  };
  page.every(LOOK_MS, subject.refresh);
  const tab = TABS.find((candidate) => candidate.id === id) ?? TABS[0];
  const render = tab?.make(page, subject, rest);

  return {
    title: `${plain(name)} ${tab?.title ?? ''}`,
    render: () => html`${heading(html`${shown(name)} ${head(subject.info)}`, address(subject.info))}
      <nav class="tabs" aria-label="Parts of the function">
        ${TABS.map(
          (each) =>
            html`<a href=${functionPath(name, each.id)} aria-current=${each === tab ? 'page' : nothing}>${each.title}</a>`,
        )}
      </nav>
      ${subject.info === null || render === undefined ? nothing : render()}`,
  };
}

/** @param {FunctionInfo | null} info */
function head(info) {
  return info === null ? nothing : stateBadge(info.state, info.published);
}

/** @param {FunctionInfo | null} info */
function address(info) {
  if (info === null) return nothing;
  return html`<a href=${info.url} target="_blank" rel="noreferrer">${info.url}</a>`;
}
