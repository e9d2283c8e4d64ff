/** Deploys source from the page: one file that is typed in, or files that are chosen. */
import { bytes, duration, short } from '../format.js';
import { html, nothing } from '../lit.js';
import { dataTable, field, functionPath, functionUrl, heading, submitted } from '../parts.js';
import { shown } from '../text.js';

/** @import { Page, View } from '../types.d.ts' */

/**
 * @typedef {object} Deployed
 * @property {string} name
 * @property {string} version
 * @property {string} state
 * @property {string} url
 * @property {number} sizeBytes
 * @property {{ buildMs: number, loadMs: number, probeMs: number, totalMs: number }} timings
 */

const EXAMPLE = `export default {
  fetch(request: Request): Response {
    return new Response(\`Hello from \${new URL(request.url).pathname}\\n\`);
  },
};
`;

/** @param {Page} page @param {string} [name] @returns {View} */
export function deployView(page, name = '') {
  /** @type {Deployed | null} */
  let deployed = null;

  /** @param {Event} event */
  async function deploy(event) {
    const { data, text } = submitted(event);
    if (page.busy) return;
    const files = data.getAll('files').filter((file) => file instanceof File && file.size > 0);
    const body =
      files.length > 0 ? treeOf(/** @type {File[]} */ (files)) : { type: 'text/typescript', text: text('source') };
    deployed = null;
    await page.act(`${text('name')} is deployed`, async () => {
      const query = data.get('activate') === null ? '?activate=false' : '';
      deployed = await page.api.send('PUT', `${functionUrl(text('name'))}${query}`, body);
    });
  }

  return {
    title: 'Deploy',
    render: () => html`${heading('Deploy')}
      <form class="card" @submit=${deploy}>
        ${field(
          'name',
          'Name',
          html`<input id="name" name="name" required pattern="[a-z][a-z0-9\\-]{0,62}" value=${name} autocomplete="off" spellcheck="false" aria-describedby="name-hint" />`,
          'Small letters, digits and dashes; it is called at /NAME.',
        )}
        ${field('source', 'Source', html`<textarea id="source" name="source" rows="14" spellcheck="false" .defaultValue=${EXAMPLE} aria-describedby="source-hint"></textarea>`, 'One TypeScript or JavaScript file. What it imports has to come with it: choose files instead.')}
        ${field('files', 'Files instead', html`<input id="files" name="files" type="file" multiple aria-describedby="files-hint" />`, 'A manifest (hearth.jsonc) among them is used.')}
        <div class="field check">
          <input id="activate" name="activate" type="checkbox" checked /><label for="activate">Send it traffic at once</label>
        </div>
        <button type="submit" class="primary">${page.busy ? 'Deploying …' : 'Deploy'}</button>
      </form>
      ${deployed === null ? nothing : outcome(deployed)}`,
  };
}

/** @param {File[]} files */
function treeOf(files) {
  const form = new FormData();
  for (const file of files) form.append('files', file, file.webkitRelativePath || file.name);
  return form;
}

/** @param {Deployed} deployed */
function outcome({ name, version, state, url, sizeBytes, timings }) {
  return html`<section class="card" aria-labelledby="deployed">
    <h2 id="deployed">${state === 'active' ? 'It serves' : 'Deployed, without traffic'}</h2>
    <p><a href=${functionPath(name)}>${shown(name)}</a>, version <code>${short(version)}</code>, ${bytes(sizeBytes)}, at
      <a href=${url} target="_blank" rel="noreferrer">${url}</a></p>
    ${dataTable({
      caption: 'What it took',
      columns: [{ label: 'Step' }, { label: 'Duration', number: true }],
      rows: [
        { key: 'build', cells: ['Build', duration(timings.buildMs)] },
        { key: 'load', cells: ['Load on a base', duration(timings.loadMs)] },
        { key: 'probe', cells: ['Probe', duration(timings.probeMs)] },
        { key: 'total', cells: ['Until it served', duration(timings.totalMs)] },
      ],
      empty: '',
    })}
  </section>`;
}
