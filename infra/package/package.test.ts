/** The package as somebody gets it who has no checkout: packed, installed into an empty folder, started, used. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { type RunningCommand, running } from '../../functions/cli/testing/running.ts';

const ROOT = join(import.meta.dirname, '../..');
const run = promisify(execFile);

let directory: string;
let up: RunningCommand;
let hearth: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-package-'));
  await run('npm', ['pack', '--pack-destination', directory], { cwd: ROOT });
  const [tarball = ''] = await readdir(directory);
  await install(join(directory, tarball), join(directory, 'node_modules'));
  hearth = join(directory, 'node_modules/.bin/hearth');
  up = running(['up', '--port', '0', '--admin-port', '0'], {
    cwd: directory,
    command: [hearth],
    env: { HEARTH_WARM_BASES: '2' },
  });
});

after(async () => {
  await up?.[Symbol.asyncDispose]();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

/** As npm does it, with what `npm ci` brought in place of the registry. */
async function install(tarball: string, into: string): Promise<void> {
  await mkdir(join(into, '.bin'), { recursive: true });
  await run('tar', ['xzf', tarball, '-C', into]);
  await rename(join(into, 'package'), join(into, 'hearth'));
  for (const name of await readdir(join(ROOT, 'node_modules'))) {
    if (!name.startsWith('.')) await symlink(join(ROOT, 'node_modules', name), join(into, name));
  }
  await symlink('../hearth/functions/cli/bin.js', join(into, '.bin/hearth'));
}

test('it holds JavaScript alone where code is run, and starts with its examples', async () => {
  const installed = join(directory, 'node_modules/hearth');
  assert.ok(!existsSync(join(installed, 'gateway')), 'no TypeScript of its own');
  const [line] = await up.said(/^\{.*"msg":"ready".*\}$/m);
  const ready = JSON.parse(line) as { url: string; adminUrl: string; dataDir: string; examples: string[] };
  assert.equal(ready.dataDir, join(directory, '.hearth'));
  assert.ok(ready.examples.includes('hello') && ready.examples.includes('express-site'), String(ready.examples));
  assert.match(await (await fetch(`${ready.url}/hello`)).text(), /./);
  for (const path of ['/docs', '/docs/errors', '/openapi.json']) {
    assert.equal((await fetch(`${ready.adminUrl}${path}`)).status, 200, path);
  }
});

test('its command begins a project, deploys it and calls it, and ends what it started', async () => {
  const [line] = await up.said(/^\{.*"msg":"ready".*\}$/m);
  const { adminUrl } = JSON.parse(line) as { adminUrl: string };
  // The Node that runs this, by the name under which the command looks for it.
  const env = { HEARTH_URL: adminUrl, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };
  const cli = async (...args: string[]) => (await run(hearth, args, { cwd: directory, env })).stdout;
  assert.match(await cli('init', 'typescript', 'mine'), /^mine: typescript/);
  assert.match(await cli('deploy', 'mine'), /^url +\S+\/mine$/m);
  assert.equal(await cli('invoke', 'mine', '/?name=Ada'), '{"message":"Hello, Ada!"}');
  assert.equal(await up.end('SIGTERM'), 0);
  await assert.rejects(fetch(adminUrl));
});
