/** From a directory to traffic: deploy, ls, invoke, versions, traffic, rollback and rollout against a real gateway. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import { hearthOf } from './testing/hearth.ts';

let directory: string;
let gateway: TestGateway;
let cli: ReturnType<typeof hearthOf>;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-cli-deploy-'));
  gateway = await startGateway();
  cli = hearthOf(gateway, { cwd: directory });
});

after(async () => {
  await gateway?.[Symbol.asyncDispose]();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

async function files(tree: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(tree)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
}

const saying = (what: string) => `export default { fetch: () => new Response(${JSON.stringify(what)}) };`;

/** Deployed, no traffic moved: its version. */
async function kept(name: string, what: string): Promise<string> {
  return (await gateway.deploy(name, saying(what), { query: 'activate=false' })).version;
}

test('a file is deployed under its own name, and serves', async () => {
  await files({ 'Say_Hello.ts': saying('hello') });
  const ran = await cli.run('deploy', 'Say_Hello.ts');
  assert.equal(ran.code, 0, ran.stderr);
  const url = /^url +(\S+)$/m.exec(ran.stdout)?.[1];
  assert.equal(url, `${gateway.url}/say-hello`);
  assert.match(ran.stdout, /^version +[0-9a-f]{12}, serves$/m);
  assert.match(ran.stdout, /^time +.* ms \(build .* ms, load .* ms, probe .* ms\)$/m);
  assert.equal(await (await fetch(url)).text(), 'hello');
});

test('a directory goes with its manifest, without node_modules, hidden files and links', async () => {
  await files({
    'shop/hearth.jsonc': '{ "name": "shop-front", "main": "src/index.ts", "vars": { "WHO": "Ada" } } // as JSONC',
    'shop/src/index.ts': `import { greet } from './parts/greet.ts';
      export default { fetch: (_request: Request, env: { WHO: string }) => new Response(greet(env.WHO)) };`,
    'shop/src/parts/greet.ts': 'export const greet = (who: string) => "hi ".concat(who);',
    'shop/node_modules/evil/index.js': 'throw new Error("not to be sent")',
    'shop/.env': 'SECRET=1',
    'shop/public/.well-known/hello.txt': 'there to be served',
  });
  await symlink('/etc/hostname', join(directory, 'shop/src/link.txt'));
  const ran = await cli.run('deploy', 'shop');
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(ran.stderr, 'left out: .env, node_modules, src/link.txt\n');
  assert.equal(await (await fetch(`${gateway.url}/shop-front`)).text(), 'hi Ada');

  const listed = await cli.json<{ functions: { name: string }[] }>('ls');
  assert.ok(listed.functions.some(({ name }) => name === 'shop-front'));
  const { stdout } = await cli.run('ls');
  assert.match(stdout, /^NAME +VERSION +BASE/);
  assert.match(stdout, /^shop-front +[0-9a-f]{12} +default +fetch +yes .*\/shop-front$/m);
});

test('what does not build is told with file, line and column, and what to do', async () => {
  await files({ 'broken/src/index.ts': 'export default {\n  fetch: () => new Respons(;\n};\n' });
  const ran = await cli.run('deploy', 'broken');
  assert.equal(ran.code, 1);
  assert.equal(ran.stdout, '');
  assert.match(ran.stderr, /^hearth deploy: The source does not build \(BUILD_FAILED\)$/m);
  assert.match(ran.stderr, /^ {2}src\/index\.ts:2:28: \S/m);
  assert.match(ran.stderr, /^ {2}→ Mend the file, line and column/m);

  const json = await cli.run('deploy', 'broken', '--json');
  assert.equal(json.code, 1);
  const problem = JSON.parse(json.stderr);
  assert.deepEqual([problem.code, problem.errors[0].file, problem.errors[0].line], ['BUILD_FAILED', 'src/index.ts', 2]);
});

test('a manifest that is wrong is told with its place, whether it is read here or there', async () => {
  const manifest = '{\n  "name": "wrong",\n  "hearth": { "timeoutMs": "soon" }\n}';
  await files({ 'wrong/hearth.jsonc': manifest, 'wrong/index.ts': saying('never') });
  for (const args of [
    ['deploy', 'wrong'],
    ['deploy', 'wrong', '--name', 'other'],
  ]) {
    const ran = await cli.run(...args);
    assert.equal(ran.code, 1);
    assert.match(
      ran.stderr,
      /hearth deploy: The manifest is not valid \(MANIFEST_INVALID\)\n {2}hearth\.jsonc:3:28: \S/,
    );
  }
});

test('there has to be something to deploy, and a name for it', async () => {
  await files({ 'hidden/.env': 'X=1', '123.ts': saying('x') });
  const nothing = await cli.run('deploy', 'nowhere');
  assert.equal(nothing.code, 1);
  assert.match(nothing.stderr, /nowhere cannot be read: ENOENT/);
  const empty = await cli.run('deploy', 'hidden');
  assert.equal(empty.code, 1);
  assert.match(empty.stderr, /There is no file to deploy/);
  const unnamed = await cli.run('deploy', '123.ts');
  assert.equal(unnamed.code, 2);
  assert.match(unnamed.stderr, /Give one with --name/);
});

test('a wrong token and a missing one are told with where they came from', async () => {
  const wrong = await cli.with({ env: { HEARTH_TOKEN: 'wrong' } }, 'ls');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /hearth ls: No valid token \(UNAUTHORIZED\)/);
  assert.match(wrong.stderr, /→ The token is that of HEARTH_TOKEN, and this gateway does not know it\./);
  const none = await cli.with({ env: { HEARTH_TOKEN: '' } }, 'ls');
  assert.equal(none.code, 1);
  assert.match(none.stderr, /→ There is no token in HEARTH_TOKEN, HEARTH_ADMIN_TOKEN or .*\.hearth\/admin-token/);
});

test('invoke prints the body alone to stdout, and what is told about it beside it', async () => {
  const source = `export default {
    async fetch(request) {
      const body = await request.text();
      if (new URL(request.url).pathname === '/throw') throw new TypeError('on purpose');
      return new Response([request.method, new URL(request.url).search, request.headers.get('x-a'), body].join('|'),
        { status: 207, headers: { 'x-answer': 'yes' } });
    },
    queue(batch) { for (const message of batch.messages) if (message.body.sku === 'bad') message.retry({ delaySeconds: 7 }); else message.ack(); },
    scheduled(controller) { if (controller.cron !== '0 0 1 1 *') throw new Error('which?'); controller.noRetry(); },
  };`;
  await gateway.deploy('echo', source);
  const ran = await cli.with(
    { stdin: 'from stdin' },
    'invoke',
    'echo',
    '/x?q=1',
    '-H',
    'x-a: b',
    '-d',
    '@-',
    '-X',
    'PUT',
  );
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(ran.stdout, 'PUT|?q=1|b|from stdin');
  assert.match(ran.stderr, /^207, (warm|cold), wait .* ms, run .* ms.*; version [0-9a-f]{12}, invocation \S+\n$/);
  const head = await cli.run('invoke', 'echo', '-i');
  assert.match(head.stdout, /^HTTP 207\n(.+\n)*x-answer: yes\n(.+\n)*\nGET\|\|\|$/);

  const cron = await cli.run('invoke', 'echo', '--cron', '0 0 1 1 *');
  assert.equal(cron.code, 0, cron.stderr);
  assert.match(cron.stderr, /asked for no retry/);
  const queue = await cli.json<{ verdicts: object[] }>('invoke', 'echo', '--queue', 'orders', '-d', '{"sku":"bad"}');
  assert.equal(JSON.stringify(queue.verdicts).includes('"verdict":"retry","delaySeconds":7'), true);

  const threw = await cli.run('invoke', 'echo', '/throw');
  assert.equal(threw.code, 1);
  assert.match(threw.stderr, /hearth invoke: The function threw \(FUNCTION_EXCEPTION\)/);
  const invocation = /→ Read its log: hearth logs NAME --invocation (\S+)$/m.exec(threw.stderr)?.[1];
  assert.match(threw.stderr, new RegExp(`^ {2}invocation ${invocation}$`, 'm'));
  const both = await cli.run('invoke', 'echo', '--cron', '--queue');
  assert.equal(both.code, 2);
});

test('traffic is shown, split and rolled back, and a split keeps the rules', async () => {
  const one = (await gateway.deploy('arms', saying('one'))).version;
  const two = await kept('arms', 'two');
  await files({
    'traffic.json': JSON.stringify({
      split: [{ version: one, percent: 100 }],
      rules: [{ when: { header: { 'x-beta': 'yes' } }, version: two }],
    }),
  });
  assert.equal((await cli.run('traffic', 'arms', '--set', 'traffic.json')).code, 0);
  const split = await cli.run('traffic', 'arms', `${one.slice(0, 8)}=75`, `${two.slice(0, 8)}=25`);
  assert.equal(split.code, 0, split.stderr);
  assert.ok(split.stdout.includes(`${one.slice(0, 12)}  75 %\n${two.slice(0, 12)}  25 %\nrule 1:`), split.stdout);

  const { versions } = await cli.json<{ versions: { version: string; percent: number }[] }>('versions', 'arms');
  assert.deepEqual(Object.fromEntries(versions.map(({ version, percent }) => [version, percent])), {
    [one]: 75,
    [two]: 25,
  });
  assert.match((await cli.run('versions', 'arms')).stdout, new RegExp(`^${two.slice(0, 12)} +25 % +fetch`, 'm'));

  const back = await cli.json<{ traffic: { split: object[]; rules: object[] } }>('rollback', 'arms');
  assert.deepEqual(back.traffic.split, [{ version: one, percent: 100 }]);
  const shown = await cli.run('traffic', 'arms');
  assert.match(shown.stdout, /100 %\nrule 1: .*\n\nA rollback leads to:\n/);

  const sum = await cli.run('traffic', 'arms', `${one}=75`);
  assert.equal(sum.code, 1);
  assert.match(sum.stderr, /The percent add up to 75, not to 100/);
  assert.equal((await cli.run('traffic', 'arms', one)).code, 2);
  assert.equal((await cli.run('traffic', 'arms', `${one}=most`)).code, 2);
});

test('a rollout goes from step to step as it is confirmed', async () => {
  await gateway.deploy('slow', saying('one'));
  const two = await kept('slow', 'two');
  const started = await cli.json<{ id: string; state: string; steps: object[] }>(
    ...['rollout', 'start', `slow=${two}`, '--steps', '50,100', '--pause', '0', '--confirm', '--no-guard'],
  );
  assert.deepEqual(started.steps, [
    { percent: 50, beta: null, pauseSeconds: 0, confirm: true },
    { percent: 100, beta: null, pauseSeconds: 0, confirm: false },
  ]);
  const shown = await cli.run('rollout', 'show', started.id);
  assert.match(shown.stdout, new RegExp(`^functions +slow ${two.slice(0, 12)}$`, 'm'));
  assert.match(shown.stdout, /^→ +50 % +0 s, then confirm$/m);
  assert.match((await cli.run('rollout', 'ls')).stdout, new RegExp(`^${started.id} .*slow`, 'm'));
  assert.equal((await cli.run('rollout', 'abort', started.id)).code, 0);
  const over = await cli.run('rollout', 'confirm', started.id);
  assert.equal(over.code, 1);
  assert.match(over.stderr, /CONFLICT/);
  assert.equal((await cli.run('rollout', 'start')).code, 2);
  assert.equal((await cli.run('rollout', 'start', 'slow=x', '--steps', 'half')).code, 2);
});

test('--no-activate leaves the traffic alone', async () => {
  await files({ 'later/index.ts': saying('before') });
  assert.equal((await cli.run('deploy', 'later')).code, 0);
  await files({ 'later/index.ts': saying('after') });
  const ran = await cli.run('deploy', 'later', '--no-activate');
  assert.match(ran.stdout, /^version +[0-9a-f]{12}, has no traffic$/m);
  assert.equal(await (await fetch(`${gateway.url}/later`)).text(), 'before');
});
