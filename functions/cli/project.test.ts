/** `hearth deploy` in projects that bring their own packages: bundled here, told of by file, line and column of their sources. */
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
  directory = await mkdtemp(join(tmpdir(), 'hearth-cli-project-'));
  gateway = await startGateway();
  cli = hearthOf(gateway, { cwd: directory });
});

after(async () => {
  await gateway?.[Symbol.asyncDispose]();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

async function files(tree: Record<string, string | Uint8Array>): Promise<void> {
  for (const [path, content] of Object.entries(tree)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
}

/** A package as npm installs it. */
const installed = (at: string, name: string, version: string, source: string) => ({
  [`${at}/node_modules/${name}/package.json`]: JSON.stringify({ name, version, main: 'index.js' }),
  [`${at}/node_modules/${name}/index.js`]: source,
});

test('a Workers project goes with what its own node_modules have, and with what lies beside it', async () => {
  // (module (func (export "six") (result i32) i32.const 6))
  const wasm = Buffer.from(
    '0061736d0100000001050160' + '00017f03020100070701037369780000' + '0a06010400' + '41060b',
    'hex',
  );
  await files({
    'app/wrangler.toml':
      'name = "stock"\nmain = "src/index.ts"\ncompatibility_date = "2026-01-01"\n[vars]\nWHO = "Ada"\n[[rules]]\ntype = "Text"\nglobs = ["**/*.md"]\n',
    'app/tsconfig.json': '{ "compilerOptions": { "paths": { "@/*": ["./src/*"] } } }',
    'app/src/index.ts': `import { greet } from '@/greet';
import { WorkerEntrypoint } from 'cloudflare:workers';
import pad from 'pad';
import { price } from '../../shared/price';
import six from './six.wasm';
import note from './note.txt';
import marked from './marked.md';
export class Stock extends WorkerEntrypoint {}
export default {
  async fetch(_request: Request, env: { WHO: string }): Promise<Response> {
    const { exports } = (await WebAssembly.instantiate(six)) as { exports: { six(): number } };
    return new Response([greet(env.WHO), pad('x'), price(2), exports.six(), note.trim(), marked].join('|'));
  },
};`,
    'app/src/greet.ts': "export const greet = (who: string) => 'hi '.concat(who);",
    'app/src/six.wasm': wasm,
    'app/src/note.txt': 'noted\n',
    'app/src/marked.md': '# by a rule',
    'shared/price.ts': 'export const price = (count: number) => count * 21;',
    ...installed(
      'app',
      'pad',
      '1.0.0',
      "const { join } = require('path'); module.exports = (text) => join(text, 'y');",
    ),
  });
  const ran = await cli.run('deploy', 'app');
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stderr, /^bundled: .* kB with its source map$/m);
  assert.equal(await (await fetch(`${gateway.url}/stock`)).text(), 'hi Ada|x/y|42|6|noted|# by a rule');
});

test('what has a name with a dot in front is not sent because a project imports it, also by way of a link', async () => {
  await files({
    'home/.keys/id': 'a key',
    'home/.keys/token.json': '{"token":"a key"}',
    'home/notes.txt': 'seen',
    'home/app/.env': 'KEY=1',
    'home/app/.env.local': 'KEY=1',
    ...installed('home/app', 'pad', '1.0.0', 'exports.pad = 1;'),
  });
  await symlink('../.keys/id', join(directory, 'home/app/linked'));
  const entry = (specifier: string) =>
    `import pad from 'pad';\nimport it from ${specifier};\nexport default { fetch: () => Response.json([pad, it]) };`;
  for (const [specifier, what] of [
    ["'../.keys/token.json'", '../.keys/token.json'],
    ["'../.keys/id' with { type: 'text' }", '../.keys/id'],
    ["'./linked' with { type: 'text' }", '../.keys/id'],
    ["'./.env' with { type: 'text' }", '.env'],
    ["'./.env.local'", '.env.local'],
  ] as const) {
    await files({ 'home/app/index.ts': entry(specifier) });
    const ran = await cli.run('deploy', 'home/app', '--name', 'greedy');
    assert.equal(ran.code, 1, specifier);
    assert.ok(ran.stderr.includes(`  index.ts: It imports ${what}: what has a name with a dot`), ran.stderr);
  }
  await files({ 'home/app/index.ts': entry("'../notes.txt'") });
  const told = await cli.run('deploy', 'home/app', '--name', 'greedy');
  assert.match(told.stderr, /^from outside of it: home\/notes\.txt$/m);
});

test('what throws is logged with the file and the line of the source, also out of a bundle', async () => {
  const thrower = (imports: string) => `${imports}
interface Order { id: string }

export default {
  fetch(request: Request): Response {
    const order: Order = { id: new URL(request.url).pathname };
    if (order.id === '/stop') throw new TypeError(\`no such order\`);
    return new Response(order.id);
  },
};`;
  await files({
    'bundled/src/index.ts': thrower("import 'tiny';"),
    ...installed('bundled', 'tiny', '1.0.0', 'globalThis.tiny = 1;'),
    'plain/src/index.ts': thrower(''),
  });
  for (const name of ['bundled', 'plain']) {
    const deployed = await cli.run('deploy', name);
    assert.equal(deployed.code, 0, deployed.stderr);
    assert.equal((await fetch(`${gateway.url}/${name}/stop`)).status, 500);
    const { stdout } = await cli.run('logs', name);
    assert.match(stdout, /TypeError: no such order\n +at .*\(src\/index\.ts:7:37\)/);
    const raw = await cli.json<{ lines: { message: string }[] }>('logs', name);
    assert.match(
      raw.lines[0]?.message ?? '',
      new RegExp(`${name}\\.js:\\d+:\\d+`),
      'the API tells places of the bundle',
    );
  }
});

test('errors of the build stand where the source is, whoever finds them', async () => {
  await files({
    'faulty/src/index.ts':
      "import 'tiny';\nimport { gone } from './gone';\nexport default { fetch: () => new Response(gone) };",
    ...installed('faulty', 'tiny', '1.0.0', 'globalThis.tiny = 1;'),
    'lacking/src/index.ts':
      "import 'tiny';\n\nimport left from 'left-pad';\nexport default { fetch: () => new Response(left('x')) };",
    ...installed('lacking', 'tiny', '1.0.0', 'globalThis.tiny = 1;'),
    'falling/src/index.ts':
      "import 'tiny';\n\nexport default { fetch: () => new Response('x') };\nthrow new Error('at the top');",
    ...installed('falling', 'tiny', '1.0.0', 'globalThis.tiny = 1;'),
  });
  const here = await cli.run('deploy', 'faulty');
  assert.equal(here.code, 1);
  assert.match(here.stderr, /\(BUILD_FAILED\)\n {2}src\/index\.ts:2:22: Could not resolve/);
  const there = await cli.run('deploy', 'lacking');
  assert.equal(there.code, 1);
  assert.match(there.stderr, /\(BUILD_FAILED\)\n {2}src\/index\.ts:3:18: .*left-pad/);
  const probed = await cli.run('deploy', 'falling');
  assert.equal(probed.code, 1);
  assert.match(probed.stderr, /\(PROBE_FAILED\)\n {2}src\/index\.ts:4:7: .*at the top/);
});

test('what the base shares is left to it where its name is given and the version is the same', async () => {
  await files({
    'based/hearth.jsonc': '{ "hearth": { "base": "default" } }',
    'based/index.ts': "import { Hono } from 'hono';\nexport default new Hono().get('/', (c) => c.text('by the base'));",
  });
  await mkdir(join(directory, 'based/node_modules'));
  const hono = new URL('../../node_modules/hono', import.meta.url).pathname;
  await symlink(hono, join(directory, 'based/node_modules/hono'));
  const left = await cli.json<{ provided: { library: string }[]; sizeBytes: number }>('deploy', 'based');
  assert.deepEqual(
    left.provided.map(({ library }) => library),
    ['hono'],
  );

  await writeFile(join(directory, 'based/hearth.jsonc'), '{}');
  const own = await cli.json<{ provided: unknown[]; sizeBytes: number }>('deploy', 'based');
  assert.deepEqual(own.provided, []);
  assert.ok(own.sizeBytes > left.sizeBytes + 10_000, `${own.sizeBytes} bytes`);
  assert.equal(await (await fetch(`${gateway.url}/based`)).text(), 'by the base');

  const sent = await cli.json<{ provided: { library: string }[] }>('deploy', 'based', '--no-bundle');
  assert.deepEqual(
    sent.provided.map(({ library }) => library),
    ['hono'],
  );
  const elsewhere = await cli.run('deploy', 'based', '--base', 'nowhere');
  assert.equal(elsewhere.code, 1);
  assert.match(elsewhere.stderr, /There is no base "nowhere"/);
});

test('a wrangler file is read as wrangler reads it, bundled or not', async () => {
  const worker = 'export default { fetch: () => new Response("due"), scheduled() {} };';
  const wrangler = (name: string) =>
    `{ "name": "${name}", "main": "src/index.ts", // as wrangler numbers weekdays, 1 is Sunday\n "triggers": { "crons": ["0 0 * * 1"] } }`;
  await files({
    'sent/wrangler.jsonc': wrangler('sent'),
    'sent/src/index.ts': worker,
    'packed/wrangler.jsonc': wrangler('packed'),
    'packed/src/index.ts': `import 'tiny';\n${worker}`,
    ...installed('packed', 'tiny', '1.0.0', 'globalThis.tiny = 1;'),
  });
  for (const name of ['sent', 'packed']) {
    const ran = await cli.run('deploy', name);
    assert.equal(ran.code, 0, ran.stderr);
    const { crons } = await cli.json<{ crons: { function: string; nextAt: string }[] }>('cron');
    const due = crons.find((cron) => cron.function === name);
    assert.equal(new Date(due?.nextAt ?? '').getUTCDay(), 0);
  }
});
