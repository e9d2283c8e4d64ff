/** Bases with shared libraries, through the real gateway: a hearth.config.jsonc, deploys over HTTP, calls. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { installed } from '../../functions/build/testing/trees.ts';
import { type Deployed, startGateway, type TestGateway } from '../testing/gateway.ts';
import { constantLoad } from '../testing/load.ts';
import { assertRefused, configured } from '../testing/refused-start.ts';

const versionOf = (name: string): string =>
  JSON.parse(readFileSync(new URL(`../../node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
const HONO_4 = versionOf('hono');
const HONO_3 = versionOf('hono3');

/** Hono 3 contexts have `jsonT`, those of 4 do not: what runs says itself which it is. */
const APP = `import { Hono } from 'hono';
const app = new Hono();
app.get('/', (c) => c.text('jsonT' in c ? 'three' : 'four'));
app.get('/same', (c) => c.text(String(c.env.BASE?.Hono === Hono)));
export default app;`;

/** Says which it runs on itself, and what the next one said. */
const NEXT = `import { Hono } from 'hono';
const app = new Hono();
app.get('/', async (c) => c.text(('jsonT' in c ? 'three' : 'four') + ' of ' + await (await c.env.NEXT.fetch('http://next/')).text()));
export default app;`;

const CONFIG = `{
  "bases": {
    "default": { "shared": ["hono", "zod"], "setup": "./base.ts", "env": ["DATABASE_URL", "ABSENT"] },
    // npm install hono3@npm:hono@3
    "legacy": { "shared": [{ "as": "hono", "from": "hono3" }] },
    "throws": { "setup": "./throws.ts" },
    "bare": { "warm": 2 },
  },
}`;

const SETUP = `import { Hono } from 'hono';
import type { Env } from './types.ts';
let connections = 0;
export default async ({ env }: { env: Env }) => {
  connections += 1;
  return { Hono, seen: Object.keys(env).join(), host: new URL(env.DATABASE_URL).host, connections: () => connections };
};`;

describe('bases with shared libraries', { timeout: 60_000 }, () => {
  let cwd: string;
  let gateway: TestGateway;
  before(async () => {
    cwd = await configured(CONFIG, {
      'base.ts': SETUP,
      'types.ts': 'export interface Env { DATABASE_URL: string }',
      'throws.ts': 'export default () => { throw new Error("the licence server is away"); };',
    });
    gateway = await startGateway({ cwd, env: { DATABASE_URL: 'postgres://db.example/shop', HEARTH_WARM_BASES: '1' } });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await rm(cwd, { recursive: true, force: true });
  });

  const on = (base: string) => ({ manifest: { hearth: { base } } });
  const ask = async (path: string) => (await fetch(`${gateway.url}/${path}`)).text();

  // Before any function has taken one.
  test('once it is ready each definition has a warm base, and is to have as many as it names', async () => {
    const { body } = await gateway.api<{ stock: { base: string; warm: number; target: number }[] }>('GET', '/v1/pool');
    const targets = body.stock.map(({ base, target }) => `${base} ${target}`);
    assert.deepEqual(targets.sort(), ['bare 2', 'default 1', 'legacy 1', 'throws 1']);
    for (const { base, warm } of body.stock) assert.ok(warm > 0, base);
  });

  test('two bases with different versions of one library run side by side under load, also while both are deployed anew', async () => {
    const four = await gateway.deploy('four', { 'index.ts': APP });
    const three = await gateway.deploy('three', { 'index.ts': APP }, on('legacy'));
    assert.deepEqual(
      [four, three].map(({ provided }) => provided.map(({ library, version }) => `${library} ${version}`)),
      [[`hono ${HONO_4}`], [`hono ${HONO_3}`]],
    );
    // Each calls the other: a request that passes through both versions.
    const through = (own: string, service: string) => ({
      manifest: { services: [{ binding: 'NEXT', service }], hearth: { base: own } },
    });
    await gateway.deploy('four-three', { 'index.ts': NEXT }, through('default', 'three'));
    await gateway.deploy('three-four', { 'index.ts': NEXT }, through('legacy', 'four'));
    await using stack = new AsyncDisposableStack();
    const answers = { four: 'four', three: 'three', 'four-three': 'four of three', 'three-four': 'three of four' };
    const loads = Object.keys(answers).map((path) => stack.use(constantLoad(`${gateway.url}/${path}`, { callers: 2 })));
    for (const load of loads) await load.more();
    for (let n = 0; n < 3; n++) {
      const again = { 'index.ts': `${APP}\n// ${n}` };
      await Promise.all([gateway.deploy('four', again), gateway.deploy('three', again, on('legacy'))]);
    }
    for (const load of loads) await load.more();
    for (const load of loads) await load.stop();
    assert.deepEqual(
      loads.map(({ seen }) => [...seen]),
      Object.values(answers).map((text) => [text]),
    );
  });

  test('the answer says how much the base saved the module, and the module is without it', async () => {
    const lean = await gateway.deploy('lean', { 'index.ts': APP });
    const whole = await gateway.deploy('whole', { 'index.ts': APP, ...textsOf(installed('hono')) }, on('bare'));
    assert.deepEqual(whole.provided, []);
    assert.ok(lean.sizeBytes < 3000, String(lean.sizeBytes));
    const saved = lean.provided[0]?.bytes ?? 0;
    const carried = whole.sizeBytes - lean.sizeBytes;
    // Not equal: an application leaves out what it does not use, and bases load CommonJS.
    assert.ok(saved >= carried * 0.8 && saved <= carried * 2, `said ${saved}, carried ${carried}`);
    assert.equal(await ask('whole'), 'four');
  });

  test('a module that brings another version gets its own copy, and the answer says so', async () => {
    const own = (await gateway.deploy(
      'own',
      { 'index.ts': APP, ...textsOf(installed('hono')) },
      on('legacy'),
    )) as Deployed & { ownCopies: unknown };
    assert.deepEqual(own.provided, []);
    assert.deepEqual(own.ownCopies, [{ library: 'hono', version: HONO_4, baseVersion: HONO_3 }]);
    assert.equal(await ask('own'), 'four');
  });

  test('package.json that asks for another version without bringing it is refused with file, line and what to do', async () => {
    const files = { 'index.ts': APP, 'package.json': '{"dependencies": {"hono": "^4"}}' };
    const manifest = on('legacy').manifest;
    const { status, body } = await gateway.api<{ code: string; detail: string }>('PUT', '/v1/functions/wants-four', {
      manifest,
      files,
    });
    assert.equal(status, 422);
    assert.equal(body.code, 'BUILD_FAILED');
    assert.match(body.detail, /index\.ts:1:22: package\.json wants "hono" \^4 and the base has 3\.[\d.]+: upload/);
  });

  test('setup is TypeScript, sees the variables its base names, and shares its libraries with the modules', async () => {
    await gateway.deploy('made', { 'index.ts': APP });
    assert.equal(await ask('made/same'), 'true');
    await gateway.deploy(
      'uses-base',
      'export default { fetch: (r, env) => Response.json([env.BASE.seen, env.BASE.host, env.BASE.connections()]) };',
    );
    assert.equal(await ask('uses-base'), '["DATABASE_URL","db.example",1]');
    assert.equal(await ask('uses-base'), '["DATABASE_URL","db.example",1]', 'made once');
  });

  test('modules see neither the variables of their base nor those of the gateway', async () => {
    await gateway.deploy(
      'curious',
      'export default { fetch: (r, env) => Response.json([process.env, Object.keys(env), JSON.stringify(globalThis.process.env)]) };',
    );
    assert.equal(await ask('curious'), '[{},["BASE"],"{}"]');
  });

  test('a base without setup gives no BASE', async () => {
    await gateway.deploy(
      'plain',
      { 'index.ts': 'export default { fetch: (r, env) => Response.json("BASE" in env) };' },
      on('bare'),
    );
    assert.equal(await ask('plain'), 'false');
  });

  test('a setup that throws refuses the deploy with what it said, and other bases serve on', async () => {
    const files = { 'index.ts': 'export default { fetch: () => new Response("never") };' };
    const { status, body } = await gateway.api<{ code: string; detail: string }>('PUT', '/v1/functions/luckless', {
      manifest: { hearth: { base: 'throws' } },
      files,
    });
    assert.equal(status, 422);
    assert.equal(body.code, 'PROBE_FAILED');
    assert.match(body.detail, /The setup of its base threw Error: the licence server is away/);
    assert.equal((await fetch(`${gateway.url}/luckless`)).status, 404);
    await gateway.deploy('still', 'export default { fetch: () => new Response("here") };');
    assert.equal(await ask('still'), 'here');
  });

  test('a manifest with an unknown base is refused, and told which there are', async () => {
    const { status, body } = await gateway.api<{ code: string; detail: string }>('PUT', '/v1/functions/lost', {
      manifest: { hearth: { base: 'defualt' } },
      files: { 'index.ts': APP },
    });
    assert.equal(status, 422);
    assert.equal(body.code, 'MANIFEST_INVALID');
    assert.match(body.detail, /There is no base "defualt"; there are: default, legacy, throws, bare\./);
  });
});

describe('a start with a bad base definition ends with a sentence', { timeout: 60_000 }, () => {
  const cases: [what: string, config: string, files: Record<string, string>, sentence: RegExp][] = [
    [
      'a library that is not installed',
      '{ "bases": { "default": { "shared": ["left-pad"] } } }',
      {},
      /bases\.default\.shared: "left-pad" is installed neither in .* nor with Hearth.*npm install it there/,
    ],
    [
      'a library shared twice',
      '{ "bases": { "default": { "shared": ["hono", { "as": "hono", "from": "hono3" }] } } }',
      {},
      /bases\.default\.shared: "hono" stands there twice/,
    ],
    [
      'two versions of a library in one base',
      '{ "bases": { "default": { "shared": ["hono", { "as": "hono/cors", "from": "hono3/cors" }] } } }',
      {},
      /"hono" stands there in two versions, 4\.[\d.]+ and 3\.[\d.]+; .*a base of its own/,
    ],
    [
      'an entry that is neither a name nor an alias',
      '{ "bases": { "default": { "shared": [7] } } }',
      {},
      /:1:38: bases\.default\.shared\.0: an import specifier, or \{ "as"/,
    ],
    [
      'a setup that does not compile',
      '{ "bases": { "default": { "setup": "./base.ts" } } }',
      { 'base.ts': 'export default () => ({\n  a: 1,\n  b: ;\n});' },
      /bases\.default\.setup: .*base\.ts:3:6: Unexpected ";"/,
    ],
    [
      'a setup that imports what is not there',
      '{ "bases": { "default": { "setup": "./base.ts" } } }',
      { 'base.ts': 'import "./missing.ts";\nexport default 1;' },
      /bases\.default\.setup: .*base\.ts:1:8: Could not resolve "\.\/missing\.ts"/,
    ],
  ];
  for (const [what, config, files, sentence] of cases) {
    test(what, () => assertRefused(config, files, sentence));
  }
});

function textsOf(files: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  return Object.fromEntries([...files].map(([path, bytes]) => [path, Buffer.from(bytes).toString()]));
}
