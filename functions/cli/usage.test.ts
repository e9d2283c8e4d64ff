/** How the command behaves where no gateway is needed: usage, no connection, tokens, Node. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connectionOf } from './connection.ts';
import { hearth } from './testing/hearth.ts';

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-cli-usage-'));
});

after(async () => {
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

/** Answers every request by saying which token came with it. */
async function echo(answer: { status: number; type: string; body?: string }) {
  const tokens: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    tokens.push(request.headers.authorization);
    response.writeHead(answer.status, { 'content-type': answer.type }).end(answer.body ?? '{"functions":[]}');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    tokens,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const JSON_ANSWER = { status: 200, type: 'application/json' };

test('an unknown command is usage, 2, and the nearest one is named', async () => {
  const ran = await hearth(['depoly'], { cwd: directory });
  assert.equal(ran.code, 2);
  assert.equal(ran.stdout, '');
  assert.match(ran.stderr, /unknown command 'depoly'\n\(Did you mean deploy\?\)/);
});

test('no command, a missing argument and an unknown flag are usage, 2', async () => {
  const wrong = [
    [],
    ['versions'],
    ['ls', '--colour'],
    ['queue', 'send', 'orders'],
    ['secret'],
    ['logs', 'a', '-n', 'x'],
  ];
  for (const ran of await Promise.all(wrong.map((args) => hearth(args, { cwd: directory })))) {
    assert.equal(ran.code, 2, ran.stderr);
    assert.equal(ran.stdout, '');
  }
});

test('up passes its flags on to the gateway, whose help and whose errors they are', async () => {
  const help = await hearth(['up', '--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--admin-port VALUE/);
  const wrong = await hearth(['up', '--port', 'nonsense']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /^hearth: --port: given "nonsense", allowed is a whole number from 0 to 65535\.$/m);
});

test('--help and --version are what was asked for, 0', async () => {
  const help = await hearth(['queue', 'send', '--help'], { cwd: directory });
  assert.equal(help.code, 0);
  assert.match(help.stdout, /Usage: hearth queue send .*<queue> <message>/);
  assert.match(help.stdout, /--json/);
  const version = await hearth(['--version'], { cwd: directory });
  assert.deepEqual([version.code, version.stdout], [0, '0.1.0\n']);
});

test('where nothing listens, the URL and how to start a gateway are told', async () => {
  // A port that the kernel gives to nobody, unlike one that was just let go.
  const url = 'http://127.0.0.1:4';
  const ran = await hearth(['ls', '--url', url], { cwd: directory });
  assert.equal(ran.code, 1);
  assert.equal(ran.stdout, '');
  assert.ok(ran.stderr.includes(`hearth ls: Nothing answers at ${url} (ECONNREFUSED).`), ran.stderr);
  assert.match(ran.stderr, /→ Start Hearth with "npm start" .* --url or HEARTH_URL/);
  const json = await hearth(['--json', 'ls'], { cwd: directory, env: { HEARTH_URL: url } });
  assert.equal(json.code, 1);
  assert.equal(JSON.parse(json.stderr).code, 'FAILED');
  const stream = await hearth(['logs', 'some', '-f', '--url', url], { cwd: directory });
  assert.equal(stream.code, 1);
  assert.match(stream.stderr, /hearth logs: Nothing answers at .* \(ECONNREFUSED\)/);
});

test('what is no URL is usage, and is told by the name of its setting', async () => {
  const flag = await hearth(['ls', '--url', 'localhost:8081'], { cwd: directory });
  assert.equal(flag.code, 2);
  assert.match(flag.stderr, /--url is "localhost:8081"; it has to be a URL/);
  const env = await hearth(['ls'], { cwd: directory, env: { HEARTH_URL: 'nonsense' } });
  assert.equal(env.code, 2);
  assert.match(env.stderr, /HEARTH_URL is "nonsense"/);
});

test('what answers and is no control API is told so', async () => {
  await using page = await echo({ status: 404, type: 'text/html', body: '<h1>Not here</h1>' });
  const ran = await hearth(['ls', '--url', page.url], { cwd: directory });
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /answered 404, and not as Hearth's control API does/);
  await using other = await echo({ status: 200, type: 'text/html', body: '<h1>Hello</h1>' });
  const hello = await hearth(['ls', '--url', other.url], { cwd: directory });
  assert.equal(hello.code, 1);
  assert.match(hello.stderr, /answered 200, and not as Hearth's control API does/);
});

test('the token is HEARTH_TOKEN, else HEARTH_ADMIN_TOKEN, else that of the data directory', async () => {
  await using server = await echo(JSON_ANSWER);
  const cwd = join(directory, 'with-token');
  await mkdir(join(cwd, '.hearth'), { recursive: true });
  await mkdir(join(cwd, 'elsewhere'), { recursive: true });
  await writeFile(join(cwd, '.hearth/admin-token'), 'from-file\n');
  await writeFile(join(cwd, 'elsewhere/admin-token'), 'from-elsewhere\n');
  const ask = (env: Record<string, string>) => hearth(['ls', '--url', server.url], { cwd, env });
  assert.equal((await ask({ HEARTH_TOKEN: 'mine', HEARTH_ADMIN_TOKEN: 'admin' })).code, 0);
  assert.equal((await ask({ HEARTH_ADMIN_TOKEN: 'admin' })).code, 0);
  assert.equal((await ask({})).code, 0);
  assert.equal((await ask({ HEARTH_DATA_DIR: 'elsewhere' })).code, 0);
  assert.deepEqual(server.tokens, ['Bearer mine', 'Bearer admin', 'Bearer from-file', 'Bearer from-elsewhere']);
});

test("this machine's admin token is not sent to another machine", async () => {
  const cwd = join(directory, 'mine');
  await mkdir(join(cwd, '.hearth'), { recursive: true });
  await writeFile(join(cwd, '.hearth/admin-token'), 'mine');
  const of = (url: string, env = {}) => connectionOf({ url, env, cwd }).token;
  assert.equal(of('http://127.0.0.1:8081'), 'mine');
  assert.equal(of('http://localhost:8081/'), 'mine');
  assert.equal(of('http://[::1]:8081'), 'mine');
  assert.equal(of('https://hearth.example.com'), null);
  assert.equal(of('http://127.0.0.1.example.com:8081'), null);
  assert.equal(of('http://localhost.example.com:8081'), null);
  assert.equal(of('https://hearth.example.com', { HEARTH_TOKEN: 'given' }), 'given');
});

test('a heap snapshot is a new file that nobody else reads, and removes nothing that is none', async () => {
  await using gateway = await echo({ ...JSON_ANSWER, body: '{"snapshot":{}}' });
  const at = await mkdtemp(join(directory, 'profiles-'));
  const snapshot = (...rest: string[]) =>
    hearth(['profile', 'x', '--heap', '--url', gateway.url, ...rest], { cwd: at });
  await writeFile(join(at, 'precious'), 'kept');
  await symlink('precious', join(at, 'x.heapsnapshot'));
  await writeFile(join(at, 'readable'), '', { mode: 0o644 });
  await symlink('not/there', join(at, 'link'));

  assert.equal((await snapshot()).code, 0);
  assert.equal(await readFile(join(at, 'precious'), 'utf8'), 'kept');
  assert.equal((await snapshot('-o', 'readable')).code, 0);
  for (const name of ['x.heapsnapshot', 'readable']) {
    const { mode } = await lstat(join(at, name));
    assert.deepEqual([mode & 0o777, await readFile(join(at, name), 'utf8')], [0o600, '{"snapshot":{}}'], name);
  }
  // Such as /dev/stdout.
  assert.equal((await snapshot('-o', 'link')).code, 1);
  assert.ok((await lstat(join(at, 'link'))).isSymbolicLink());
});

test('neither an answer nor a refusal of a gateway steers the terminal', async () => {
  const clipboard = '\u001b]52;c;aGk=\u0007';
  const problem = { title: clipboard, status: 500, code: 'FUNCTION_EXCEPTION', detail: `threw ${clipboard}` };
  const errors = [{ message: clipboard, file: clipboard, line: 1 }];
  await using refusing = await echo({
    status: 500,
    type: 'application/problem+json',
    body: JSON.stringify({ ...problem, errors }),
  });
  const refused = await hearth(['ls', '--url', refusing.url], { cwd: directory });
  assert.match(refused.stderr, /^hearth ls: \\x1b\]52;c;aGk=\\x07 \(FUNCTION_EXCEPTION\)\n/);
  await using answering = await echo({ ...JSON_ANSWER, body: JSON.stringify({ invocationId: clipboard }) });
  const accepted = await hearth(['invoke', 'x', '--async', '--url', answering.url], { cwd: directory });
  assert.equal(accepted.stdout, '\\x1b]52;c;aGk=\\x07\n');
  assert.ok(!refused.stderr.includes('\u001b'));
});

test('a redirect is not followed', async () => {
  await using server = await echo({ status: 307, type: 'application/json', body: '{}' });
  const ran = await hearth(['ls', '--url', server.url], { cwd: directory, env: { HEARTH_TOKEN: 'mine' } });
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /answered 307/);
});

/** PATH as a user's shell has it, without what npm puts in front. */
const SHELL_PATH = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((entry) => !entry.endsWith('node_modules/.bin') && !entry.endsWith('node-gyp-bin'));

const shellNode = SHELL_PATH.some((entry) => existsSync(join(entry, 'node')));

test('it starts on whatever Node is on PATH, and runs on its own', {
  skip: shellNode ? false : 'there is no node on PATH but that of Hearth',
}, async () => {
  const bin = fileURLToPath(new URL('./bin.js', import.meta.url));
  const env = { ...process.env, PATH: SHELL_PATH.join(delimiter) };
  // The way npm's link is run: by its first line.
  const run = (...args: string[]) =>
    promisify(execFile)(bin, args, { cwd: directory, env }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      ({ code, stdout }: { code: number; stdout: string }) => ({ code, stdout }),
    );
  assert.deepEqual(await run('--version'), { code: 0, stdout: '0.1.0\n' });
  assert.deepEqual(await run('nonsense'), { code: 2, stdout: '' });
});

test('npx hearth is this one, and needs nothing from elsewhere', {
  skip: SHELL_PATH.some((entry) => existsSync(join(entry, 'npx'))) ? false : 'npx is not on PATH',
}, async () => {
  const { stdout } = await promisify(execFile)('npx', ['hearth', '--version'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: {
      PATH: SHELL_PATH.join(delimiter),
      HOME: directory,
      npm_config_cache: join(directory, 'npm'),
      npm_config_offline: 'true',
      npm_config_update_notifier: 'false',
    },
    timeout: 120_000,
  });
  assert.equal(stdout, '0.1.0\n');
});
