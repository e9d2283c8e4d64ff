import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, it } from 'node:test';
import { buildFiles, buildTree, installed, refusal, run, textOf, treeOf } from './testing/trees.ts';

const require = createRequire(import.meta.url);
const honoVersion: string = JSON.parse(
  readFileSync(new URL('../../node_modules/hono/package.json', import.meta.url), 'utf8'),
).version;

const lib = (version: string) => [
  { specifier: 'lib', library: 'lib', version, bytes: 10 },
  { specifier: 'lib/more', library: 'lib', version, bytes: 5 },
];
const index = 'import { v } from "lib"; import { m } from "lib/more"; export { v, m };';
const copy = (version: string) => ({
  'node_modules/lib/package.json': `{"name":"lib","version":"${version}"}`,
  'node_modules/lib/index.js': `exports.v = "own ${version}"`,
  'node_modules/lib/more.js': `exports.m = "own more"`,
});

describe('a library that the base shares', () => {
  it('is left out of the code and listed with the bytes of what is used', async () => {
    const result = await buildFiles({ 'index.ts': index }, { provided: lib('2.0.0') });
    assert.deepEqual(result.provided, [{ library: 'lib', version: '2.0.0', bytes: 15 }]);
    assert.deepEqual(result.ownCopies, []);
    const exported = run(result, { provides: { lib: { v: 'base' }, 'lib/more': { m: 'base more' } } });
    assert.deepEqual([exported.v, exported.m], ['base', 'base more']);
  });

  it('is listed only where the code still uses it', async () => {
    const result = await buildFiles(
      { 'index.ts': 'import { v } from "lib"; export const x: typeof v = 1' },
      { provided: lib('2.0.0') },
    );
    assert.deepEqual(result.provided, []);
  });

  it('is shared though the same version was uploaded', async () => {
    const result = await buildFiles({ 'index.ts': index, ...copy('2.0.0') }, { provided: lib('2.0.0') });
    assert.deepEqual(result.provided, [{ library: 'lib', version: '2.0.0', bytes: 15 }]);
    assert.doesNotMatch(textOf(result), /own 2/);
  });

  it('is bundled when another version was uploaded, and the answer says so', async () => {
    const result = await buildFiles({ 'index.ts': index, ...copy('1.5.0') }, { provided: lib('2.0.0') });
    assert.deepEqual(result.provided, []);
    assert.deepEqual(result.ownCopies, [{ library: 'lib', version: '1.5.0', baseVersion: '2.0.0' }]);
    const exported = run(result);
    assert.deepEqual([exported.v, exported.m], ['own 1.5.0', 'own more']);
  });

  it('may be shared with the function and bundled for a package that brings its own', async () => {
    const result = await buildFiles(
      {
        'index.ts': 'import { v } from "lib"; import { w } from "p"; export { v, w };',
        'node_modules/p/index.js': 'exports.w = require("lib").v',
        'node_modules/p/node_modules/lib/package.json': '{"name":"lib","version":"1.0.0"}',
        'node_modules/p/node_modules/lib/index.js': 'exports.v = "own"',
      },
      { provided: lib('2.0.0') },
    );
    assert.deepEqual(result.ownCopies, [{ library: 'lib', version: '1.0.0', baseVersion: '2.0.0' }]);
    const exported = run(result, { provides: { lib: { v: 'base' } } });
    assert.deepEqual([exported.v, exported.w], ['base', 'own']);
  });

  it('is shared when package.json allows its version, or says nothing of versions', async () => {
    for (const range of ['^2.0.0', '>=1 <3', '*', 'latest', 'workspace:*', '1 || 2']) {
      const json = JSON.stringify({ dependencies: { lib: range } });
      const result = await buildFiles({ 'index.ts': index, 'package.json': json }, { provided: lib('2.3.4') });
      assert.equal(result.provided.length, 1, range);
    }
  });

  it('is asked for with a sentence when package.json wants another version and none was uploaded', async () => {
    const json = JSON.stringify({ dependencies: { lib: '^1.0.0' } });
    const [error] = await refusal(buildFiles({ 'index.ts': index, 'package.json': json }, { provided: lib('2.0.0') }));
    assert.match(error?.message ?? '', /package\.json wants "lib" \^1\.0\.0 and the base has 2\.0\.0: upload/);
    assert.deepEqual([error?.file, error?.line, error?.column], ['index.ts', 1, 19]);
  });

  it('is asked for with a sentence when only other parts of it are shared', async () => {
    const [error] = await refusal(buildFiles({ 'index.ts': 'import "lib/gone"' }, { provided: lib('2.0.0') }));
    assert.match(error?.message ?? '', /shares "lib", "lib\/more" and not "lib\/gone"/);
  });
});

describe('a Hono application', () => {
  const source =
    'import { Hono } from "hono"; const app = new Hono(); app.get("/", (c) => c.text("hi")); export default app;';
  const answer = async (exported: Record<string, unknown>) => {
    const app = exported.default as { fetch(request: Request): Promise<Response> };
    return (await app.fetch(new Request('http://x/'))).text();
  };

  it('is some hundred bytes on a base with Hono', async () => {
    const provided = [{ specifier: 'hono', library: 'hono', version: honoVersion, bytes: 60_000 }];
    const result = await buildFiles({ 'index.ts': source }, { provided });
    assert.ok(result.code.byteLength < 3000);
    assert.deepEqual(result.provided, [{ library: 'hono', version: honoVersion, bytes: 60_000 }]);
    assert.equal(await answer(run(result, { provides: { hono: require('hono') } })), 'hi');
  });

  it('brings its own Hono where the base has another', async () => {
    const provided = [{ specifier: 'hono', library: 'hono', version: '3.0.0', bytes: 60_000 }];
    const result = await buildTree(new Map([...installed('hono'), ...treeOf({ 'index.ts': source })]), { provided });
    assert.deepEqual(result.ownCopies, [{ library: 'hono', version: honoVersion, baseVersion: '3.0.0' }]);
    assert.equal(await answer(run(result)), 'hi');
  });
});
