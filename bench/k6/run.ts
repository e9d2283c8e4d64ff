/**
 * `npm run bench:k6 [-- http cold …]`: runs the k6 scripts against a gateway of its own, or the one that HEARTH_URL,
 * HEARTH_ADMIN_URL and HEARTH_ADMIN_TOKEN name. RATE, DURATION and the scripts' thresholds come from the environment.
 * Without k6 it says how to get it and ends with 0: k6 is not a part of npm, and its absence is no failure.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { startGateway } from '../../gateway/testing/gateway.ts';

const SCRIPTS = ['http', 'cold', 'deploy', 'queue', 'cron'];
const ROOT = join(import.meta.dirname, '../..');

function findK6(): string | null {
  const folders = [join(ROOT, '.bin'), ...(process.env.PATH ?? '').split(delimiter)];
  return folders.map((folder) => join(folder, 'k6')).find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

interface Target {
  url: string;
  adminUrl: string;
  token: string;
}

async function runScript(k6: string, script: string, target: Target): Promise<boolean> {
  console.log(`\n── k6: ${script} ──`);
  const child = spawn(k6, ['run', '--no-usage-report', '--quiet', join(import.meta.dirname, `${script}.js`)], {
    stdio: 'inherit',
    env: { ...process.env, URL: target.url, ADMIN_URL: target.adminUrl, TOKEN: target.token },
  });
  const [code] = await once(child, 'exit');
  return code === 0;
}

async function runAll(k6: string, scripts: string[], target: Target): Promise<boolean> {
  const failed: string[] = [];
  for (const script of scripts) if (!(await runScript(k6, script, target))) failed.push(script);
  console.log(
    failed.length === 0
      ? `\nk6: all thresholds held (${scripts.join(', ')}).`
      : `\nk6: thresholds crossed or scripts failed in ${failed.join(', ')}.`,
  );
  return failed.length === 0;
}

async function main(scripts: string[]): Promise<number> {
  const unknown = scripts.filter((script) => !SCRIPTS.includes(script));
  if (unknown.length > 0) {
    console.error(`There is no k6 script ${unknown.join(', ')}; there are ${SCRIPTS.join(', ')}.`);
    return 2;
  }
  const chosen = scripts.length > 0 ? scripts : SCRIPTS;

  const k6 = findK6();
  if (k6 === null) {
    console.log(
      'k6 is not on PATH, so no k6 script was run. Install it with "go install go.k6.io/k6@v1.8.1", or see ' +
        'https://grafana.com/docs/k6/latest/set-up/install-k6/; .bin/k6 is found as well.',
    );
    return 0;
  }

  const { HEARTH_URL: url, HEARTH_ADMIN_URL: adminUrl, HEARTH_ADMIN_TOKEN: token } = process.env;
  if (url !== undefined) {
    if (adminUrl === undefined || token === undefined) {
      console.error('HEARTH_URL names a gateway: HEARTH_ADMIN_URL and HEARTH_ADMIN_TOKEN are needed with it.');
      return 2;
    }
    return (await runAll(k6, chosen, { url, adminUrl, token })) ? 0 : 1;
  }
  await using gateway = await startGateway({ env: { HEARTH_WARM_BASES: '8' } });
  return (await runAll(k6, chosen, gateway)) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
