/** What makes one function reachable: publish and unpublish, apart from deploying. */
import { html } from '../lit.js';
import { badge, dataTable, field, submitted } from '../parts.js';
import { plain, shown } from '../text.js';

/** @import { Page, Publication } from '../types.d.ts' */
/** @import { Subject } from './function.js' */

const LOOK_MS = 5_000;

/** @param {Page} page @param {Subject} subject */
export function publicationsPart(page, subject) {
  /** @type {Publication[] | null} */
  let publications = null;

  async function look() {
    /** @type {{ publications: Publication[] }} */
    const answer = await page.api.get('/v1/publications', page.signal);
    publications = answer.publications.filter((publication) => publication.function === subject.name);
  }
  page.every(LOOK_MS, look);

  const refresh = () => Promise.all([look(), subject.refresh()]);

  /** @param {Event} event */
  async function publish(event) {
    const { text, words, form } = submitted(event);
    const routes = words('routes');
    const done = await page.act(`${text('publication')} is published`, async () => {
      await page.api.send('PUT', `/v1/publications/${encodeURIComponent(text('publication'))}`, {
        function: subject.name,
        ...(routes.length === 0 ? {} : { routes }),
        ...(text('tag') === '' ? {} : { tag: text('tag') }),
      });
      await refresh();
    });
    if (done) form.reset();
  }

  /** @param {string} name */
  const unpublish = (name) => async () => {
    const sure = await page.confirm(
      `Unpublish ${plain(name)}?`,
      'What runs ends; nothing new comes in by its routes, crons and queues. The function stays deployed.',
      'Unpublish',
    );
    if (!sure) return;
    await page.act(`${plain(name)} is unpublished`, async () => {
      await page.api.send('DELETE', `/v1/publications/${encodeURIComponent(name)}`);
      await refresh();
    });
  };

  return () => html`<section aria-labelledby="publications">
    <h2 id="publications">Published as</h2>
    ${dataTable({
      caption: 'Publications of the function',
      columns: [
        { label: 'Name' },
        { label: 'Reached at' },
        { label: 'Crons and queues', wide: true },
        { label: 'Actions', hiddenLabel: true },
      ],
      rows: (publications ?? []).map((publication) => ({ key: publication.name, cells: row(publication) })),
      empty: 'Nobody reaches it: it is not published.',
    })}
    <details>
      <summary>Publish</summary>
      <form class="card" @submit=${publish}>
        <div class="row">
          ${field('publication', 'Name of the publication', html`<input id="publication" name="publication" required .defaultValue=${subject.name} autocomplete="off" spellcheck="false" />`)}
          ${field('routes', 'Routes', html`<input id="routes" name="routes" autocomplete="off" spellcheck="false" aria-describedby="routes-hint" />`, 'Such as shop.example.com/*; none: those of the manifest, and its own name.')}
          ${field('tag', 'Tag', html`<input id="tag" name="tag" autocomplete="off" spellcheck="false" aria-describedby="tag-hint" />`, 'Only requests that carry it; most have none.')}
        </div>
        <button type="submit">Publish</button>
      </form>
    </details>
  </section>`;

  /** @param {Publication} publication */
  function row({ name, byName, routes, crons, queues, tag, implied }) {
    const reached = [...(byName ? [`/${name}`] : []), ...routes];
    return [
      html`${shown(name)} ${implied ? badge('plain', 'by its manifest') : ''} ${tag === null ? '' : badge('info', tag)}`,
      reached.map((route) => html`<code>${shown(route)}</code> `),
      [...crons, ...queues].map((source) => html`<code>${shown(source)}</code> `),
      html`<button type="button" class="quiet" @click=${unpublish(name)} aria-label="Unpublish ${plain(name)}">Unpublish</button>`,
    ];
  }
}
