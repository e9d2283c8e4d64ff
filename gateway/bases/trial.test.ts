import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import { type ManifestInput, manifestSchema } from '../../functions/contract/manifest.ts';
import type { ModuleSpec } from '../../pool/keeper/api.ts';
import type { BaseDefinition } from '../../pool/keeper/definition.ts';
import type { Registry } from '../registry/registry.ts';
import { openRegistry, openStore } from '../triggers/testing/harness.ts';
import { createTrial, missingIn } from './trial.ts';

type SharedLibrary = BaseDefinition['shared'][number];

const BEFORE: BaseDefinition = { name: 'default', generation: 1, shared: [], setupPath: null, env: {} };
const NEXT: BaseDefinition = { ...BEFORE, generation: 2 };

async function add(registry: Registry, name: string, version: string, manifest: ManifestInput = {}): Promise<void> {
  const code = Buffer.from(`${name} ${version}`);
  await registry.addVersion(
    {
      functionName: name,
      version,
      manifest: manifestSchema.parse({ name, ...manifest }),
      format: 'cjs',
      handlers: ['fetch'],
      sizeBytes: code.length,
      provided: [],
      createdAt: 0,
    },
    { code, sourceMap: null, files: [], codeCache: null },
    true,
  );
}

/** A registry, and bases on which those come up that no list names: `generation key`, the key without its revision. */
async function rig(t: TestContext, failing: string[] = []) {
  const registry = await openRegistry(await openStore(t));
  const proved: string[] = [];
  const bases = {
    prove(definition: BaseDefinition, { key, group }: ModuleSpec): Promise<void> {
      const what = `${definition.generation} ${key.replace('+0', '')}`;
      proved.push(group === null ? what : `${what} in ${group}`);
      const [, full] = failing.map((each) => each.split(' is ')).find(([name]) => name === what) ?? [];
      if (full !== undefined) return Promise.reject(new HearthError('NO_CAPACITY', full));
      return failing.includes(what) ? Promise.reject(new HearthError('PROBE_FAILED', 'No.')) : Promise.resolve();
    },
  };
  const noted: string[] = [];
  const trial = createTrial(
    { bases, registry, network: 'all' },
    {
      before: BEFORE,
      next: NEXT,
      progress: () => undefined,
      proved: ({ functionName, version }) => noted.push(`${functionName}@${version}`),
    },
  );
  return { registry, trial, proved, noted };
}

describe('a trial of a generation', () => {
  test('asks what serves and what a rollback leads to, on this base alone, and no older version', async (t) => {
    const { registry, trial, proved, noted } = await rig(t);
    for (const version of ['v1', 'v2', 'v3']) await add(registry, 'shop', version);
    await add(registry, 'apart', 'v1', { hearth: { base: 'other' } });
    await trial.run();
    assert.deepEqual(proved, ['2 base-default@empty', '2 shop@v3', '2 shop@v2']);
    assert.deepEqual(noted, ['shop@v3', 'shop@v2']);
    assert.deepEqual(trial.untried, []);
    await add(registry, 'shop', 'v4');
    assert.deepEqual(
      trial.untried.map(({ version }) => version),
      ['v4'],
    );
    await trial.run();
    assert.deepEqual(noted, ['shop@v3', 'shop@v2', 'shop@v4'], 'what was tried is not tried again');
  });

  test('names what does not come up, which of its versions it is, and why that counts', async (t) => {
    const { registry, trial } = await rig(t, ['2 shop@v1', '2 cart@v1']);
    for (const version of ['v1', 'v2']) await add(registry, 'shop', version);
    await add(registry, 'cart', 'v1');
    await assert.rejects(trial.run(), (error: HearthError) => {
      assert.equal(error.code, 'PROBE_FAILED');
      assert.deepEqual(error.errors, [
        { path: 'shop', message: 'Version v1, to which a rollback leads until traffic has moved again: No.' },
        { path: 'cart', message: 'No.' },
      ]);
      return true;
    });
  });

  test('passes over what comes up on neither generation, which then need not load', async (t) => {
    const { registry, trial, noted } = await rig(t, ['2 shop@v1', '1 shop@v1']);
    for (const version of ['v1', 'v2']) await add(registry, 'shop', version);
    await trial.run();
    assert.deepEqual(noted, ['shop@v2']);
    assert.deepEqual(
      trial.broken.map(({ version }) => version),
      ['v1'],
    );
    assert.equal(trial.requires({ functionName: 'shop', key: 'shop@v2+0' }), true);
    assert.equal(trial.requires({ functionName: 'shop', key: 'shop@v1+0' }), false);
  });

  test('takes want of room on the old generation for no proof that nothing comes up there', async (t) => {
    const busy = await rig(t, ['2 shop@v1', '1 shop@v1 is No base came free within 10 s.']);
    await add(busy.registry, 'shop', 'v1');
    await assert.rejects(busy.trial.run(), { code: 'NO_CAPACITY' });
    const dead = await rig(t, ['2 shop@v1', '1 shop@v1 is Bases of default do not come up.']);
    await add(dead.registry, 'shop', 'v1');
    await dead.trial.run();
    assert.equal(dead.trial.broken.length, 1);
  });

  test('requires what a publication splits off like its version, and nothing that is kept beyond', async (t) => {
    const { registry, trial } = await rig(t);
    for (const version of ['v1', 'v2', 'v3']) await add(registry, 'shop', version);
    await trial.run();
    const required = ['shop@v3+0', 'shop@v3+0/shop/vip', 'shop@v2+0', 'shop@v2+0/shop/vip'];
    const free = ['shop@v1+0', 'shop@v1+0/shop/vip', 'shop@v3+01', 'other@v1+0'];
    for (const key of [...required, ...free]) {
      const functionName = key.slice(0, key.indexOf('@'));
      assert.equal(trial.requires({ functionName, key }), required.includes(key), key);
    }
  });

  test('tries one of a group alone too, where a publication splits its requests', async (t) => {
    const { registry, trial, proved } = await rig(t);
    await add(registry, 'shop', 'v1', { hearth: { group: 'team' } });
    await add(registry, 'cart', 'v1', { hearth: { group: 'team' } });
    const settings = { crons: null, queues: null, rpc: false, tag: null };
    await registry.putPublication('shop', {
      ...settings,
      function: 'shop',
      routes: null,
      splits: [{ name: 'vip', when: { header: { 'x-vip': 'yes' } } }],
    });
    await trial.run();
    assert.deepEqual(proved.slice(1), ['2 shop@v1 in team', '2 shop@v1/split', '2 cart@v1 in team']);
  });
});

describe('what a version leaves to its base', () => {
  const library = (specifier: string, version = '4.0.0'): SharedLibrary => ({
    specifier,
    library: specifier.split('/')[0] as string,
    version,
    path: `/${specifier}`,
    bytes: 1,
  });
  const base = (...shared: SharedLibrary[]) => ({ ...BEFORE, shared });
  const provided = [{ library: 'hono', version: '4.0.0', bytes: 1 }];
  const CODE = Buffer.from('var a = require("hono"); var b = () => require("hono/jsx"); var c = "zod";');

  test('has to be there in every part that it asks for, whenever it asks', () => {
    assert.equal(missingIn(base(library('hono'), library('hono/jsx')), { provided }, CODE), null);
    const part = missingIn(base(library('hono')), { provided }, CODE);
    assert.match(part ?? '', /"hono\/jsx" to its base, which does not share it/);
    assert.match(missingIn(base(library('zod')), { provided }, CODE) ?? '', /leaves "hono" to its base/);
  });

  test('has to be in the range that its package.json gave', () => {
    const wants = [{ library: 'hono', range: '^4.0.0' }];
    const on = (version: string) =>
      missingIn(base(library('hono', version), library('hono/jsx', version)), { provided, wants }, CODE);
    assert.equal(on('4.9.0'), null);
    assert.match(on('5.0.0') ?? '', /wants "hono" \^4\.0\.0, and the base has 5\.0\.0/);
  });

  test('is nothing of libraries that it carries itself, and a name is not taken for its beginning', () => {
    const code = Buffer.from('require("hono-jsx"); require("zod");');
    assert.equal(missingIn(base(library('hono')), { provided }, code), null);
    assert.equal(missingIn(base(), { provided: [] }, CODE), null);
  });

  test('is found in both forms of the builder', () => {
    const esm = Buffer.from('const a = globalThis[Symbol.for("hearth.require")]("hono/jsx");');
    assert.match(missingIn(base(library('hono')), { provided }, esm) ?? '', /hono\/jsx/);
  });
});
