/** The command on a real terminal: a pseudo-terminal, as util-linux' `script` makes one. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type RunningCommand, running } from './testing/running.ts';

const BIN = fileURLToPath(new URL('./bin.js', import.meta.url));
const ESC = '\u001b';
const noTerminal = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux')
  ? false
  : 'util-linux’ script is not on PATH';

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-cli-terminal-'));
  await mkdir(join(directory, 'shop'));
  // Large enough that its upload takes several pieces.
  await writeFile(join(directory, 'shop/data.json'), JSON.stringify({ text: 'x'.repeat(400_000) }));
  await writeFile(join(directory, 'shop/index.ts'), source('one'));
});

after(async () => {
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

const source = (what: string) => `export default { fetch(request) {
  if (new URL(request.url).pathname === '/throw') throw new Error('on purpose');
  return new Response('${what}');
} };
`;

/** On a terminal of its own; what is written to it is typed. */
function onTerminal(args: readonly string[], env: Record<string, string> = {}): RunningCommand {
  const quoted = [process.execPath, BIN, ...args].map((arg) => `'${arg}'`).join(' ');
  return running([], {
    cwd: directory,
    env: { TERM: 'xterm-256color', ...env },
    // Without a shell between, which would take a Ctrl-C as its own end.
    command: ['script', '-qefc', `exec ${quoted}`, '/dev/null'],
  });
}

test('a template is asked for, and what is typed is taken', { skip: noTerminal }, async () => {
  await using init = onTerminal(['init', '--name', 'asked']);
  await init.said(/Which template \(typescript, hono, cron, queue, express\)\? \[typescript\] /);
  init.child.stdin?.write('cron\r');
  await init.said(/asked: cron, in /);
  assert.equal(await init.ended(), 0);

  await using again = onTerminal(['init', '--name', 'asked']);
  await again.said(/Which template/);
  again.child.stdin?.write('\u0003');
  await again.said(/Given up before there was an answer/);
  assert.equal(await again.ended(), 1);
});

test('dev is coloured, a deploy beside it shows its progress, and Ctrl-C ends both', { skip: noTerminal }, async () => {
  await using dev = onTerminal(['dev', 'shop', '--url', 'http://127.0.0.1:0', '--port', '0']);
  const [, url = '', control = ''] = await dev.said(/functions at (\S+), control API at (\S+),/);
  await dev.said(/shop.*deployed in/);
  assert.ok(dev.output().includes(`${ESC}[32mdeployed in`), 'green');
  await fetch(`${url}/shop/throw`);
  await dev.said(/GET \/throw/);
  assert.ok(dev.output().includes(`${ESC}[31mFUNCTION_EXCEPTION${ESC}[39m`), 'red');

  const env = { HEARTH_URL: control, HEARTH_DATA_DIR: join(directory, '.hearth/dev') };
  await using deploy = onTerminal(['deploy', 'shop', '--name', 'other'], env);
  await deploy.said(/url +\S+\/other/);
  assert.match(deploy.output(), /other [█░]+ \d+ % {2}[\d.]+ kB of 40\d\.\d kB/);
  assert.equal(await deploy.ended(), 0);
  // Neither colours nor a bar where nobody sees them.
  await using piped = running(['deploy', 'shop', '--name', 'other'], { cwd: directory, env });
  assert.equal(await piped.ended(), 0);
  assert.ok(!piped.output().includes(ESC) && !piped.output().includes('█'), piped.output());

  dev.child.stdin?.write('\u0003');
  assert.equal(await dev.ended(), 0);
  await assert.rejects(fetch(url));
});

test('a terminal that wants no colours gets none', { skip: noTerminal }, async () => {
  await using failing = onTerminal(['deploy', 'nowhere'], { NO_COLOR: '1' });
  assert.equal(await failing.ended(), 1);
  assert.ok(!failing.output().includes(ESC), failing.output());
});
