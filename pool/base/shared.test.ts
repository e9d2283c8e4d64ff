import assert from 'node:assert/strict';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TestBase } from './testing/harness.ts';

let dir: string;
const shared: { specifier: string; path: string }[] = [];
before(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'hearth-shared-')));
  const libraries: Record<string, string> = {
    plain: 'module.exports = { made: Math.random(), greet: (who) => "hello " + who }',
    'with/sub': 'exports.__esModule = true; exports.default = class Client {}; exports.named = 7',
    server:
      'const http = require("http"); exports.start = () => http.createServer((q, r) => r.end("shared " + q.url)).listen(80)',
    late: 'exports.fs = () => require("node:fs").readFileSync("/etc/passwd")',
  };
  for (const [specifier, code] of Object.entries(libraries)) {
    const path = join(dir, `${specifier.replace('/', '-')}.cjs`);
    await writeFile(path, code);
    shared.push({ specifier, path });
  }
});
after(() => rm(dir, { recursive: true }));

test('a module requires what its base shares: one copy for all modules', async () => {
  await using base = await TestBase.start({ shared });
  const first = await base.evaluate("require('plain').greet('you') + require('plain').made");
  assert.match(first, /^hello you0\.\d+$/);
  assert.equal(await base.evaluate("require('plain').greet('you') + require('plain').made"), first);
  assert.equal(
    await base.evaluate("new (require('with/sub').default)().constructor.name + require('with/sub').named"),
    'Client7',
  );
});

test('a module with top-level await imports what its base shares', async () => {
  await using base = await TestBase.start({ shared });
  await base.load(
    `import plain, { greet } from 'plain'; import Client, { named } from 'with/sub';
     const who = await Promise.resolve('you');
     export default { fetch: () => new Response([greet(who), plain.greet === greet, Client.name, named].join()) }`,
    { format: 'esm' },
  );
  assert.equal((await base.http('/').whole()).text, 'hello you,true,Client,7');
});

test('a server that a shared library makes is given to the base', async () => {
  await using base = await TestBase.start({ shared });
  const { head } = await base.load("require('server').start()");
  assert.deepEqual(head.handlers, ['node-http']);
  assert.equal((await base.http('/p').whole()).text, 'shared /p');
});

test('a shared library can read no more than the module that calls it', async () => {
  await using base = await TestBase.start({ shared });
  assert.match(await base.evaluate("require('late').fs()"), /restricted/);
});

test('a base whose library does not load, or whose setup throws, says so', async () => {
  const missing = [{ specifier: 'gone', path: join(dir, 'gone.cjs') }];
  await assert.rejects(TestBase.start({ shared: missing }), /Cannot find module/);
  await using base = await TestBase.start({ setup: 'exports.default = () => { throw new Error("no database") }' });
  await assert.rejects(base.load('module.exports = { fetch() {} }'), { code: 'PROBE_FAILED', message: /no database/ });
});

test("'hearth' gives the module its own env, and waitUntil of the invocation that runs", async () => {
  await using base = await TestBase.start();
  await base.load(
    `const { env, waitUntil, RpcTarget, WorkerEntrypoint } = require('cloudflare:workers');
     const outside = (() => { try { waitUntil(1) } catch (error) { return error.message } })();
     module.exports = { fetch() { waitUntil(Promise.resolve()); return new Response([env.A, outside, typeof RpcTarget, require('hearth').WorkerEntrypoint === WorkerEntrypoint].join()) } }`,
    { vars: { A: 'a' } },
  );
  const { head, text } = await base.http('/').whole();
  assert.equal(text, 'a,waitUntil was called outside of an invocation.,function,true');
  assert.equal(head.waiting, true);
});
