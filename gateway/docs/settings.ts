/** /docs/settings, made from the table that flags, environment and `--help` are made from. */
import { settings } from '../settings.ts';
import { escapeHtml } from './html.ts';
import type { DocsPage } from './page.ts';

export function settingsPage(): DocsPage {
  const rows = Object.entries(settings()).map(
    ([flag, setting]) => `<tr id="${setting.env.toLowerCase()}">
<td><code>${setting.env}</code><br><code>--${flag}</code></td>
<td>${defaultOf(flag, setting.default)}</td><td>${escapeHtml(setting.allowed)}</td><td>${escapeHtml(setting.meaning)}</td></tr>`,
  );
  return {
    slug: 'settings',
    title: 'Settings',
    body: `<h1>Settings</h1>
<p>Each is a flag of <code>npm start --</code> and an environment variable; flags win. A value that is not allowed ends the
start with one line that says so. The <code>OTEL_*</code> variables mean what OpenTelemetry says;
<code>OTEL_EXPORTER_OTLP_ENDPOINT</code> turns export on.</p>
<div class="table" tabindex="0"><table><thead><tr><th>Setting</th><th>Default</th><th>Allowed</th><th>Meaning</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody></table></div>`,
  };
}

/** Of a machine's own memory nothing is said to whoever reads this page: no token is asked for it. */
function defaultOf(flag: string, text: string | null): string {
  if (flag === 'memory-mb') return 'half the machine';
  return text === null || text === '' ? 'none' : `<code>${escapeHtml(text)}</code>`;
}
