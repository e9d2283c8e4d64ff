/** /docs/errors, made from the error table. */
import { ERRORS } from '../../functions/contract/errors.ts';
import { escapeHtml } from './html.ts';
import type { DocsPage } from './page.ts';

const ACTS = { caller: 'whoever sent the request', function: "the function's owner", platform: 'whoever runs Hearth' };

export function errorsPage(): DocsPage {
  const rows = Object.entries(ERRORS).map(
    ([code, error]) => `<tr id="${code.toLowerCase()}">
<td><code>${code}</code></td><td>${error.status}</td>
<td>${escapeHtml(error.title)}. ${escapeHtml(error.advice)}</td>
<td>${ACTS[error.fault]}</td><td>${error.retryable ? 'yes' : 'no'}</td></tr>`,
  );
  return {
    slug: 'errors',
    title: 'Errors',
    body: `<h1>Errors</h1>
<p>Every error is <code>application/problem+json</code> (RFC 9457). Match on <code>code</code>; the <code>detail</code> says what to do.</p>
<div class="table" tabindex="0"><table><thead><tr><th>Code</th><th>Status</th><th>What it means, what to do</th><th>Who acts</th><th>Send again?</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody></table></div>`,
  };
}
