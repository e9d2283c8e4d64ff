/** /docs/arklet: the commands of arklet's operations API, and what they mean here. */
import { escapeHtml } from './html.ts';
import type { DocsPage } from './page.ts';

const COMMANDS: readonly [command: string, takes: string, does: string][] = [
  ['help', '{}', 'Lists the commands.'],
  [
    'installBiz',
    '{bizName, bizVersion, bizUrl, installStrategy?, async?, requestId?}',
    'Deploys a function from a source file, or a .zip, .jar or .tgz of a source folder. It gets the traffic when no other version of that name has it. bizName and bizVersion may both be left out where the bundle says them. installStrategy "uninstallThenInstall" removes the others once the new one serves.',
  ],
  [
    'batchInstallBiz',
    '{bizList: [{bizName, bizVersion, bizUrl}]} or {bizDirAbsolutePath}',
    'The same for several, or for every archive below a directory.',
  ],
  ['switchBiz', '{bizName, bizVersion}', 'Gives all traffic to that version.'],
  [
    'uninstallBiz',
    '{bizName, bizVersion}',
    'Removes the version, also the one that has the traffic. With the last one the function goes, unless it has secrets or publications of its own.',
  ],
  [
    'queryAllBiz',
    '{}',
    'Every version: ACTIVATED takes traffic, DEACTIVATED does not, RESOLVED is being installed, BROKEN is in quarantine.',
  ],
  ['queryBizOps', '{requestId}', 'What became of a command that was sent with async.'],
  [
    'health',
    '{type?: "system" | "biz", metrics?, bizName?, bizVersion?}',
    'The gateway, its hosts and what is installed.',
  ],
];

export function arkletPage(): DocsPage {
  const rows = COMMANDS.map(
    ([command, takes, does]) =>
      `<tr><td><code>POST /${command}</code></td><td><code>${escapeHtml(takes)}</code></td><td>${escapeHtml(does)}</td></tr>`,
  );
  return {
    slug: 'arklet',
    title: "arklet's operations API",
    body: `<h1>arklet's operations API</h1>
<p>For tools of Koupleless, on a port of its own: <code>HEARTH_ARKLET_PORT</code>, off unless set. A biz is a function, its
<code>bizVersion</code> the <code>hearth.label</code> of a version, or its hash where it has none. Answers have status 200 and
<code>{code, message, data}</code>, <code>code</code> being <code>SUCCESS</code> or <code>FAILED</code>.</p>
<p>Each command needs a token of the control API, as bearer or as the password of basic authentication, unless
<code>HEARTH_ARKLET_TOKEN=off</code>. <code>HEARTH_ARKLET_SOURCES</code> names the directories that <code>file:</code> URLs are
read from, and the hosts that may be fetched from although they stand on this machine or next to it.</p>
<div class="table" tabindex="0"><table><thead><tr><th>Command</th><th>Body</th><th>What it does</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody></table></div>`,
  };
}
