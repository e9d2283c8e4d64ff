/** Versions of one function, which of them take traffic, and what makes it reachable. */
import { ago, bytes, clock, short } from '../format.js';
import { html, nothing } from '../lit.js';
import { badge, dataTable, functionUrl } from '../parts.js';
import { plain } from '../text.js';
import { publicationsPart } from './publications.js';
import { rolloutsPart } from './rollouts.js';
import { trafficPart } from './traffic.js';

/** @import { Page, Version } from '../types.d.ts' */
/** @import { Subject } from './function.js' */

const LOOK_MS = 3_000;

/** @param {Page} page @param {Subject} subject */
export function versionsTab(page, subject) {
  const url = functionUrl(subject.name);
  /** @type {Version[]} */
  let versions = [];

  async function look() {
    /** @type {{ versions: Version[] }} */
    const answer = await page.api.get(`${url}/versions`, page.signal);
    versions = answer.versions;
  }
  page.every(LOOK_MS, look);

  const traffic = trafficPart(page, subject, () => versions);
  const rollouts = rolloutsPart(page, subject, () => versions);
  const publications = publicationsPart(page, subject);

  /** @param {Version} version */
  const remove = (version) => async () => {
    const sure = await page.confirm(
      `Remove version ${short(version.version)}?`,
      'It takes no traffic. It can be deployed again from the same files.',
      'Remove',
    );
    if (!sure) return;
    await page.act('The version is removed', async () => {
      await page.api.send('DELETE', `${url}/versions/${version.version}`);
      await look();
    });
  };

  async function removeFunction() {
    const sure = await page.confirm(
      `Delete ${plain(subject.name)}?`,
      'Its versions, secrets and crons go with it. Nobody reaches it any more.',
      'Delete',
    );
    if (!sure) return;
    const done = await page.act('The function is deleted', () => page.api.send('DELETE', url));
    if (done) page.go('#/functions');
  }

  async function evict() {
    await page.act('Idle instances are retired: the next call is a cold start', () =>
      page.api.send('POST', `${url}/evict`),
    );
  }

  return () => html`${traffic.render()} ${rollouts()}
    <section aria-labelledby="versions">
      <h2 id="versions">Versions</h2>
      ${dataTable({
        caption: 'Versions, newest first',
        columns: [
          { label: 'Version' },
          { label: 'Traffic', number: true },
          { label: 'Deployed' },
          { label: 'Handlers', wide: true },
          { label: 'Size', number: true, wide: true },
          { label: 'Actions', hiddenLabel: true },
        ],
        rows: versions.map((version) => ({ key: version.version, cells: row(version) })),
        empty: 'It has none.',
      })}
    </section>
    ${publications()}
    <section aria-labelledby="danger">
      <h2 id="danger">The function itself</h2>
      <div class="actions">
        <a class="button" href="#/deploy/${encodeURIComponent(subject.name)}">Deploy a new version</a>
        <button type="button" @click=${evict}>Retire idle instances</button>
        <button type="button" class="danger" @click=${removeFunction}>Delete the function</button>
      </div>
    </section>`;

  /** @param {Version} version */
  function row(version) {
    const name = short(version.version);
    return [
      html`<code title=${version.version}>${name}</code>`,
      version.active ? badge('ok', `${version.percent} %`) : '–',
      html`<span title=${clock(version.createdAt)}>${ago(version.createdAt)}</span>`,
      version.handlers.join(', '),
      bytes(version.sizeBytes),
      html`<div class="actions">
        ${
          traffic.has(version.version)
            ? nothing
            : html`<button type="button" class="quiet" @click=${() => traffic.add(version.version)} aria-label="Give traffic to version ${name}">Give traffic</button>`
        }
        ${
          version.active
            ? nothing
            : html`<button type="button" class="quiet" @click=${remove(version)} aria-label="Remove version ${name}">Remove</button>`
        }
      </div>`,
    ];
  }
}
