/** Who may do what, and who did what. */
import { ago, clock } from '../format.js';
import { html, nothing } from '../lit.js';
import { dataTable, field, heading, keysOf, submitted } from '../parts.js';
import { shown } from '../text.js';

/** @import { AuditRecord, Page, Token, View } from '../types.d.ts' */

const LOOK_MS = 5_000;
const PAGE_SIZE = 100;

/** @param {Page} page @returns {View} */
export function accessView(page) {
  /** @type {Token[] | null} */
  let tokens = null;
  /** @type {AuditRecord[] | null} */
  let audit = null;
  /** Records before the newest page, once they were asked for. @type {AuditRecord[]} */
  let older = [];
  let isAll = false;
  /** The text of one just made: it is in no other answer. @type {string | null} */
  let made = null;

  async function look() {
    /** @type {[{ tokens: Token[] }, { records: AuditRecord[] }]} */
    const [{ tokens: list }, { records }] = await Promise.all([
      page.api.get('/v1/tokens', page.signal),
      page.api.get(`/v1/audit?limit=${PAGE_SIZE}`, page.signal),
    ]);
    tokens = list;
    if (older.length === 0) {
      audit = records;
      isAll = records.length < PAGE_SIZE;
    }
  }
  page.every(LOOK_MS, look);

  /** @param {Event} event */
  async function create(event) {
    const { words, form } = submitted(event);
    made = null;
    const done = await page.act('The token is made', async () => {
      const body = { scopes: words('scopes'), trustGroups: words('trust-groups'), routes: words('token-routes') };
      /** @type {{ token: string }} */
      const answer = await page.api.send('POST', '/v1/tokens', body);
      made = answer.token;
      await look();
    });
    if (done) form.reset();
  }

  /** @param {Token} token */
  const revoke = (token) => async () => {
    const sure = await page.confirm(`Revoke ${token.id}?`, 'Whoever holds it is refused at once.', 'Revoke');
    if (!sure) return;
    await page.act('The token is revoked', async () => {
      await page.api.send('DELETE', `/v1/tokens/${encodeURIComponent(token.id)}`);
      await look();
    });
  };

  async function copy() {
    await page.act('Copied', () => navigator.clipboard.writeText(made ?? ''));
  }

  async function more() {
    const last = (older.at(-1) ?? audit?.at(-1))?.time;
    if (last === undefined) return;
    await page.act('Older records are shown', async () => {
      const path = `/v1/audit?limit=${PAGE_SIZE}&before=${encodeURIComponent(last)}`;
      /** @type {{ records: AuditRecord[] }} */
      const answer = await page.api.get(path, page.signal);
      older = [...older, ...answer.records];
      isAll = answer.records.length < PAGE_SIZE;
    });
  }

  return {
    title: 'Access',
    render: () =>
      html`${heading('Access')} ${tokens === null ? nothing : tokensPart(tokens)} ${audit === null ? nothing : auditPart([...audit, ...older])}`,
  };

  /** @param {Token[]} all */
  function tokensPart(all) {
    return html`<section aria-labelledby="tokens">
      <h2 id="tokens">Tokens</h2>
      ${dataTable({
        caption: 'Scoped tokens',
        columns: [
          { label: 'Token' },
          { label: 'Scopes' },
          { label: 'Trust groups', wide: true },
          { label: 'Routes', wide: true },
          { label: 'Made', wide: true },
          { label: 'Actions', hiddenLabel: true },
        ],
        rows: all.map((token) => ({
          key: token.id,
          cells: [
            html`<code>${shown(token.id)}</code>`,
            codes(token.scopes),
            codes(token.trustGroups),
            codes(token.routes),
            html`<span title=${clock(token.createdAt)}>${ago(token.createdAt)}</span>`,
            html`<button type="button" class="quiet" @click=${revoke(token)} aria-label="Revoke ${token.id}">Revoke</button>`,
          ],
        })),
        empty: 'There are none but the admin token.',
      })}
      ${
        made === null
          ? nothing
          : html`<div class="card made" role="status">
            ${field('made', 'The new token, shown this once', html`<input id="made" readonly .value=${made} spellcheck="false" />`)}
            <button type="button" @click=${copy}>Copy</button>
          </div>`
      }
      <details>
        <summary>Make a token</summary>
        <form class="card" @submit=${create}>
          <div class="row">
            ${field('scopes', 'Scopes', html`<input id="scopes" name="scopes" required autocomplete="off" spellcheck="false" aria-describedby="scopes-hint" />`, html`Such as <code>read deploy:shop-* enqueue:orders</code>`)}
            ${field('trust-groups', 'Trust groups', html`<input id="trust-groups" name="trust-groups" autocomplete="off" spellcheck="false" aria-describedby="trust-groups-hint" />`, 'In which it may deploy; none: default.')}
            ${field('token-routes', 'Routes', html`<input id="token-routes" name="token-routes" autocomplete="off" spellcheck="false" aria-describedby="token-routes-hint" />`, html`That it may claim, such as <code>shop.example.com/*</code>`)}
          </div>
          <button type="submit">Make it</button>
        </form>
      </details>
    </section>`;
  }

  /** @param {AuditRecord[]} records */
  function auditPart(records) {
    const keys = keysOf(records, ({ time, actor, action, subject }) => `${time} ${actor} ${action} ${subject}`);
    return html`<section aria-labelledby="audit">
      <h2 id="audit">Audit</h2>
      ${dataTable({
        caption: 'Who changed what, newest first',
        columns: [
          { label: 'Time' },
          { label: 'Who' },
          { label: 'What' },
          { label: 'Of what' },
          { label: 'Detail', wide: true },
        ],
        rows: records.map((record, at) => ({
          key: keys[at] ?? '',
          cells: [
            clock(record.time),
            shown(record.actor),
            shown(record.action),
            shown(record.subject),
            Object.keys(record.detail).length === 0
              ? nothing
              : html`<code class="detail">${shown(JSON.stringify(record.detail, null, 1).replaceAll(/\n */g, ' '))}</code>`,
          ],
        })),
        empty: 'Nothing was changed yet.',
        tall: true,
      })}
      ${isAll ? nothing : html`<button type="button" @click=${more}>Older ones</button>`}
    </section>`;
  }
}

/** @param {string[]} values */
function codes(values) {
  return values.map((value) => html`<code>${shown(value)}</code> `);
}
