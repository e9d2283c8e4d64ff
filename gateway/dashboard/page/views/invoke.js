/** Any trigger by hand. */
import { waterfall } from '../charts.js';
import { short } from '../format.js';
import { html, nothing } from '../lit.js';
import { badge, dataTable, field, functionPath, functionUrl, submitted, valueIn } from '../parts.js';
import { shown } from '../text.js';

/** @import { Page } from '../types.d.ts' */
/** @import { Subject } from './function.js' */

/**
 * @typedef {object} Outcome
 * @property {string} invocationId
 * @property {string} version
 * @property {'cold' | 'warm'} start
 * @property {Record<string, number>} phases
 * @property {number} [status]
 * @property {Record<string, string | string[]>} [headers]
 * @property {string} [body]
 * @property {string} [bodyEncoding]
 * @property {{ id: string, verdict: string }[]} [verdicts]
 * @property {{ name: string, message: string }} [error]
 * @property {unknown} [result]
 */

/** Of a body: beyond that the page would stand still. */
const MOST_SHOWN = 100_000;
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];

/** @param {Page} page @param {Subject} subject */
export function invokeTab(page, subject) {
  let trigger = 'http';
  /** @type {Outcome | null} */
  let outcome = null;

  /** @param {Event} event */
  async function invoke(event) {
    const { text } = submitted(event);
    if (page.busy) return;
    outcome = null;
    await page.act('It answered', async () => {
      const request = { trigger, ...requestOf(trigger, text) };
      outcome = await page.api.send('POST', `${functionUrl(subject.name)}/invoke`, request);
    });
  }

  /** @param {Event} event */
  function choose(event) {
    trigger = valueIn(event);
    outcome = null;
    page.update();
  }

  return () => html`<section aria-labelledby="invoke">
    <h2 id="invoke">Invoke</h2>
    <form class="card" @submit=${invoke}>
      ${field(
        'trigger',
        'Trigger',
        html`<select id="trigger" @change=${choose}>
          <option value="http">HTTP request</option>
          <option value="cron">Cron tick</option>
          <option value="queue">Queue message</option>
          <option value="rpc">RPC call</option>
        </select>`,
      )}
      ${fieldsOf(trigger, subject)}
      <button type="submit" class="primary">${page.busy ? 'Invoking …' : 'Invoke'}</button>
    </form>
    ${outcome === null ? nothing : outcomeOf(subject.name, outcome)}
  </section>`;
}

/** @param {string} trigger @param {(name: string) => string} text */
function requestOf(trigger, text) {
  switch (trigger) {
    case 'cron':
      return text('cron') === '' ? {} : { cron: text('cron') };
    case 'queue':
      return {
        ...(text('queue') === '' ? {} : { queue: text('queue') }),
        messages: [{ body: parsed(text('message'), 'The message') }],
      };
    case 'rpc': {
      const args = parsed(text('args') || '[]', 'The arguments');
      if (!Array.isArray(args)) throw new Error('The arguments are a list, such as [1, "two"].');
      return { method: text('method'), args };
    }
    default:
      return {
        method: text('httpMethod'),
        path: text('path'),
        headers: headersOf(text('headers')),
        ...(text('body') === '' ? {} : { body: text('body') }),
      };
  }
}

/** @param {string} text @param {string} what */
function parsed(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what}: no JSON (${error instanceof Error ? error.message : ''})`);
  }
}

/** @param {string} text One `name: value` in each line. */
function headersOf(text) {
  /** @type {Record<string, string[]>} */
  const headers = Object.create(null);
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`A header is written "name: value", not ${JSON.stringify(line)}.`);
    const name = line.slice(0, colon).trim();
    headers[name] = [...(headers[name] ?? []), line.slice(colon + 1).trim()];
  }
  return headers;
}

/** @param {string} trigger @param {Subject} subject */
function fieldsOf(trigger, { info }) {
  switch (trigger) {
    case 'cron':
      return field(
        'cron',
        'Cron',
        html`<input id="cron" name="cron" .defaultValue=${info?.crons[0] ?? ''} autocomplete="off" aria-describedby="cron-hint" />`,
        "What controller.cron says; empty: the manifest's first.",
      );
    case 'queue':
      return html`${field('queue', 'Queue', html`<input id="queue" name="queue" .defaultValue=${info?.queues.consumes[0] ?? ''} autocomplete="off" aria-describedby="queue-hint" />`, "Empty: the manifest's first.")}
      ${field('message', 'Message', html`<textarea id="message" name="message" rows="4" spellcheck="false" required .defaultValue=${'{"hello": "world"}'} aria-describedby="message-hint"></textarea>`, 'JSON. The function gets it at once, past the queue.')}`;
    case 'rpc':
      return html`${field('method', 'Method', html`<input id="method" name="method" required autocomplete="off" spellcheck="false" />`)}
      ${field('args', 'Arguments', html`<textarea id="args" name="args" rows="3" spellcheck="false" .defaultValue=${'[]'} aria-describedby="args-hint"></textarea>`, 'A JSON list.')}`;
    default:
      return html`<div class="row request">
          ${field('http-method', 'Method', html`<select id="http-method" name="httpMethod">${METHODS.map((method) => html`<option>${method}</option>`)}</select>`)}
          ${field('path', 'Path', html`<input id="path" name="path" required pattern="/.*" .defaultValue=${'/'} autocomplete="off" spellcheck="false" />`)}
        </div>
        ${field('headers', 'Headers', html`<textarea id="headers" name="headers" rows="2" spellcheck="false" aria-describedby="headers-hint"></textarea>`, 'One in each line, name: value.')}
        ${field('body', 'Body', html`<textarea id="body" name="body" rows="4" spellcheck="false"></textarea>`)}`;
  }
}

/** @param {string} name @param {Outcome} outcome */
function outcomeOf(name, outcome) {
  const { invocationId, version, start, phases, status, headers, verdicts, error } = outcome;
  return html`<section class="card" aria-labelledby="answer">
    <h2 id="answer">Answer</h2>
    <p>
      ${status === undefined ? nothing : badge(status >= 500 ? 'bad' : status >= 400 ? 'warn' : 'ok', String(status))}
      ${badge(start === 'cold' ? 'info' : 'plain', start)} version <code>${short(version)}</code>,
      <a href="${functionPath(name, 'logs')}/${encodeURIComponent(invocationId)}">its log lines</a>
    </p>
    ${error === undefined ? nothing : html`<p class="bad">${shown(`${error.name}: ${error.message}`)}</p>`}
    ${
      verdicts === undefined
        ? nothing
        : html`<ul>${verdicts.map(({ id, verdict }) => html`<li><code>${shown(id)}</code>: ${verdict}</li>`)}</ul>`
    }
    ${bodyOf(outcome)} ${waterfall(phases)}
    ${
      headers === undefined
        ? nothing
        : html`<details>
          <summary>Headers</summary>
          ${dataTable({
            caption: 'Headers of the answer',
            columns: [{ label: 'Name' }, { label: 'Value' }],
            rows: Object.entries(headers).map(([key, value]) => ({
              key,
              cells: [shown(key), shown([value].flat().join(', '))],
            })),
            empty: 'None.',
          })}
        </details>`
    }
  </section>`;
}

/** @param {Outcome} outcome */
function bodyOf(outcome) {
  const text = outcome.body ?? ('result' in outcome ? JSON.stringify(outcome.result, null, 2) : undefined);
  if (text === undefined) return nothing;
  const cut = text.length > MOST_SHOWN;
  return html`<h3 id="answer-body">${outcome.bodyEncoding === 'base64' ? 'Body, as base64' : outcome.body === undefined ? 'Result' : 'Body'}</h3>
    <pre role="region" aria-labelledby="answer-body" tabindex="0">${text === '' ? html`<i>empty</i>` : shown(text.slice(0, MOST_SHOWN))}</pre>
    ${cut ? html`<p class="muted">Only the beginning of ${text.length} characters.</p>` : nothing}`;
}
