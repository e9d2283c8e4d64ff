/** `hearth dev`: the gateway it starts, what it says, the edit loop, and that nothing is left when it ends. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '../../examples/testing/until.ts';
import { hearth } from '../testing/hearth.ts';
import { type RunningCommand, running } from '../testing/running.ts';

/** Whatever runs on this machine at the usual ports is not asked. */
const ANYWHERE = ['--url', 'http://127.0.0.1:0', '--port', '0'];

let directory: string;
let dev: RunningCommand;
let url: string;
let adminUrl: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-cli-dev-'));
  await files({
    'hearth.config.jsonc': '{ "bases": { "greeting": { "setup": "./base.ts" } } }',
    'base.ts': "export default () => ({ greet: (who) => 'hi ' + who });",
    'shop/src/index.ts': shop('one'),
    'greeter/index.ts': "export default { fetch: (_request, env) => new Response(env.BASE.greet('Ada')) };",
  });
  dev = running(['dev', 'shop', 'greeter', '--base', 'greeting', ...ANYWHERE], { cwd: directory });
  const [, functions = '', control = ''] = await dev.said(/functions at (\S+), control API at (\S+),/);
  [url, adminUrl] = [functions, control];
  await dev.said(/watching; Ctrl-C ends it/);
});

after(async () => {
  await dev?.[Symbol.asyncDispose]();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

async function files(tree: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(tree)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
}

const shop = (what: string) => `import { price } from '../../shared/price.ts';
export default {
  fetch(request: Request): Response {
    const { pathname } = new URL(request.url);
    console.log('asked for', pathname);
    if (pathname === '/throw') throw new TypeError('on purpose');
    return new Response(\`${what} \${price}\`);
  },
};
`;

/** What the command says because of what is done here. */
async function after_(act: () => Promise<unknown>, what: RegExp): Promise<RegExpExecArray> {
  const since = dev.output().length;
  await act();
  return await dev.said(what, since);
}

const get = async (path: string) => await (await fetch(`${url}${path}`)).text();

test('what does not build yet is told with its place, and serves once it does', async () => {
  assert.doesNotMatch(dev.output(), /can be debugged/, 'nobody asked for it');
  assert.match(dev.output(), /hearth dev: The source does not build \(BUILD_FAILED\)\n {2}shop\/src\/index\.ts:1:23: /);
  await after_(() => files({ 'shared/price.ts': 'export const price = 1;' }), /$/);
  await after_(() => files({ 'shop/src/index.ts': shop('one') }), /shop {2}deployed in \d+ ms {2}http:\S+\/shop\n/);
  assert.equal(await get('/shop'), 'one 1');
  assert.equal(await get('/greeter'), 'hi Ada');
});

test('a save is served in place, whichever file it is, and a failing build leaves the version before', async () => {
  await after_(() => files({ 'shop/src/index.ts': shop('two') }), /shop {2}deployed/);
  assert.equal(await get('/shop'), 'two 1');
  await after_(() => files({ 'shared/price.ts': 'export const price = 2;' }), /shop {2}deployed/);
  assert.equal(await get('/shop'), 'two 2');
  const broken = shop('three').replace('return new', 'retur new');
  await after_(() => files({ 'shop/src/index.ts': broken }), /shop\/src\/index\.ts:7:11: Expected ";"/);
  assert.equal(await get('/shop'), 'two 2');
  // Back to what serves already: said, since the last word was a failure.
  await after_(() => files({ 'shop/src/index.ts': shop('two') }), /shop {2}deployed/);
});

test('requests and logs are printed as they come, with stacks that lead to the source', async () => {
  await after_(() => get('/shop/cart?secret=1'), /shop {2}GET \/cart {2}200 {2}[\d.]+ ms {2}(warm|cold)\n/);
  assert.match(dev.output(), /shop {2}asked for \/cart\n/);
  await after_(() => get('/shop/throw'), /shop {2}GET \/throw {2}FUNCTION_EXCEPTION/);
  const [stack] = await dev.said(/TypeError: on purpose\n( +at .*\n)+/);
  assert.equal(stack, 'TypeError: on purpose\n    at Object.fetch (shop/src/index.ts:6:38)\n');
});

test('a second one in the same directory uses the gateway of the first, and leaves it running', async () => {
  await files({ 'late/index.js': "export default { fetch: () => new Response('late') };" });
  await using second = running(['dev', 'late', '--url', adminUrl, '--json'], { cwd: directory });
  const [line] = await second.said(/^\{"event":"deployed".*$/m);
  assert.equal(JSON.parse(line).name, 'late');
  assert.equal(await get('/late'), 'late');
  await second.said(/"event":"call","function":"late"/);
  assert.equal(await second.end('SIGTERM'), 0);
  assert.equal(await get('/late'), 'late');
});

test('Ctrl-C ends all that it started, and so does a kill that it cannot notice', async () => {
  const hosts = await hostsOf(directory, adminUrl);
  assert.ok(hosts.length > 0);
  assert.equal(await dev.end('SIGINT'), 0);
  await assert.rejects(fetch(adminUrl));
  await until(async () => (hosts.some(isThere) ? undefined : true), 'the end of all hosts');

  const killed = running(['dev', 'greeter', '--base', 'greeting', ...ANYWHERE], { cwd: directory });
  await using _killed = killed;
  const [, control = ''] = await killed.said(/control API at (\S+),/);
  await killed.said(/watching/);
  const left = await hostsOf(directory, control);
  await killed.end('SIGKILL');
  await until(
    async () => (left.some(isThere) || (await answers(control)) ? undefined : true),
    'the end of what it left behind',
  );
});

test('a directory that is not there is told before anything is started', async () => {
  const ran = await hearth(['dev', 'nowhere', ...ANYWHERE], { cwd: join(directory, 'shop') });
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /^hearth dev: \S+nowhere cannot be read: ENOENT/);
});

async function hostsOf(cwd: string, control: string): Promise<number[]> {
  const token = (await readFile(join(cwd, '.hearth/dev/admin-token'), 'utf8')).trim();
  const ran = await hearth(['pool', '--json', '--url', control], { cwd, env: { HEARTH_TOKEN: token } });
  return (JSON.parse(ran.stdout) as { hosts: { pid: number }[] }).hosts.map(({ pid }) => pid);
}

/** Ended and not collected by its parent, which has gone as well, is as good as gone. */
function isThere(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT');
    return false;
  }
}

async function answers(control: string): Promise<boolean> {
  return await fetch(control).then(
    () => true,
    () => false,
  );
}
