import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { ManifestInput } from '../../functions/contract/manifest.ts';
import type { Artifact } from '../store/api/registry.ts';
import { createSeal, keyFromText, type Seal } from '../store/seal.ts';
import { openSqliteStore } from '../store/sqlite/client.ts';
import type { Store } from '../store/store.ts';
import { createRegistry, type RegistryOptions } from './memory.ts';
import type { Registry } from './registry.ts';
import { artifactOf as artifactRecord, rolloutRecord, versionRecord } from './testing/records.ts';

const key = keyFromText('a'.repeat(64));
const cacheKeyOf = (code: Uint8Array) => `key of ${Buffer.from(code).toString()}`;

const ROLLOUT = rolloutRecord();

interface Bench {
  store: Store;
  seal: Seal;
  registry: Registry;
  lines: string[];
  /** Closes the store and starts again on the same data. */
  restart(options?: Partial<RegistryOptions>): Promise<Bench>;
}

function test(sentence: string, body: (bench: Bench) => Promise<void>): void {
  it(sentence, async () => {
    const dir = await mkdtemp(join(tmpdir(), 'hearth-registry-'));
    let store: Store | undefined;
    const lines: string[] = [];
    const keep = (message: string) => void lines.push(message);
    const log = { debug: keep, warn: keep, error: keep };
    async function start(options: Partial<RegistryOptions> = {}): Promise<Bench> {
      await store?.close();
      store = await openSqliteStore({ path: join(dir, 'hearth.db'), log });
      const seal = options.seal ?? createSeal([key]);
      const registry = await createRegistry({ store, seal, defaults: { network: 'all' }, log, cacheKeyOf, ...options });
      return { store, seal, registry, lines, restart: start };
    }
    try {
      await body(await start());
    } finally {
      await store?.close();
      await rm(dir, { recursive: true, force: true });
    }
  });
}

const versionOf = (functionName: string, version: string, manifest: ManifestInput = {}) =>
  versionRecord(functionName, version, { manifest });

function artifactOf(text: string, cached = false): Artifact {
  const artifact = artifactRecord(text);
  return cached ? { ...artifact, codeCache: { key: cacheKeyOf(artifact.code), bytes: new Uint8Array([1]) } } : artifact;
}

async function codeOf(registry: Registry, name: string): Promise<string> {
  const image = await registry.function(name)?.active?.spec.image();
  return Buffer.from(image?.code ?? []).toString();
}

/** What the registry tells of versions that leave, from now on. */
function leaving(registry: Registry): string[] {
  const lines: string[] = [];
  registry.onLeave(({ version: { functionName, version }, mayReturn, why }) => {
    lines.push(`${functionName} ${version} ${mayReturn ? 'rests' : 'goes'}: ${why}`);
  });
  return lines;
}

const withCode =
  (code: string, pattern = /./) =>
  (error: unknown) =>
    error instanceof HearthError && error.code === code && pattern.test(error.message);

describe('deploying', () => {
  test('serves the new version, and what was deployed, after a restart too', async ({ registry, restart }) => {
    const left = leaving(registry);
    const entry = await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    assert.equal(entry, registry.function('hi'));
    assert.deepEqual(left, []);
    assert.equal(entry.active?.record.version, 'v1');
    assert.equal(registry.route('127.0.0.1', '/hi/x')?.entry, entry);
    assert.equal(registry.route('127.0.0.1', '/hi/x')?.prefix, '/hi');

    const again = (await restart()).registry;
    assert.deepEqual(again.function('hi')?.record, entry.record);
    assert.equal(again.route('hi.localhost', '/')?.entry.active?.spec.key, 'hi@v1+0');
    assert.equal(again.route('hi.localhost', '/')?.prefix, null);
    assert.equal(await codeOf(again, 'hi'), 'one');
  });

  test('tells of the version before, so that it can drain, and remembers the traffic before', async ({ registry }) => {
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    const left = leaving(registry);
    const entry = await registry.addVersion(versionOf('hi', 'v2'), artifactOf('two'), true);
    assert.deepEqual(left, ['hi v1 rests: replaced by v2']);
    assert.deepEqual(entry.record.traffic, { split: [{ version: 'v2', percent: 100 }] });
    assert.deepEqual(entry.record.previousTraffic, { split: [{ version: 'v1', percent: 100 }] });
    assert.deepEqual([...entry.versions.keys()], ['v1', 'v2']);
  });

  test('leaves traffic alone when it is not to activate', async ({ registry, restart }) => {
    await registry.addVersion(versionOf('new', 'v1'), artifactOf('one'), false);
    assert.equal(registry.function('new')?.active, undefined);
    assert.equal(registry.route('x', '/new'), undefined);
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    const left = leaving(registry);
    await registry.addVersion(versionOf('hi', 'v2'), artifactOf('two'), false);
    assert.deepEqual(left, []);
    const again = (await restart()).registry;
    assert.equal(again.function('hi')?.active?.record.version, 'v1');
    assert.equal(again.function('hi')?.versions.size, 2);
    assert.equal(again.function('new')?.record.traffic, null);
  });

  test('takes the same content as the same version: not stored again, and activated all the same', async ({
    registry,
  }) => {
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    const known = registry.function('hi')?.active;
    await registry.addVersion(versionOf('hi', 'v2'), artifactOf('two'), true);
    const left = leaving(registry);
    const entry = await registry.addVersion(versionOf('hi', 'v1'), artifactOf('not one'), true);
    assert.equal(entry.active, known);
    assert.deepEqual(left, ['hi v2 rests: replaced by v1']);
    assert.equal(await codeOf(registry, 'hi'), 'one');
    const repeated = await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    assert.equal(left.length, 1);
    assert.deepEqual(repeated.record.previousTraffic, { split: [{ version: 'v2', percent: 100 }] });
  });

  test('lets go of what a replaced version runs, and reads it again when it is wanted', async ({ registry }) => {
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    const old = registry.function('hi')?.active;
    assert.equal(old?.spec.image() instanceof Promise, false);
    await registry.addVersion(versionOf('hi', 'v2'), artifactOf('two'), true);
    assert.equal(registry.function('hi')?.active?.spec.image() instanceof Promise, false);
    const image = old?.spec.image();
    assert.equal(image instanceof Promise, true, 'it was still in memory');
    assert.equal(Buffer.from((await image)?.code ?? []).toString(), 'one');
  });

  test('keeps both of two deploys at once, and the last one serves', async ({ registry, restart }) => {
    const left = leaving(registry);
    await Promise.all(
      ['v1', 'v2'].map((version) => registry.addVersion(versionOf('hi', version), artifactOf(version), true)),
    );
    assert.deepEqual(left, ['hi v1 rests: replaced by v2']);
    const again = (await restart()).registry;
    assert.equal(again.function('hi')?.active?.record.version, 'v2');
    assert.equal(again.function('hi')?.versions.size, 2);
    assert.deepEqual(again.function('hi')?.record.previousTraffic, { split: [{ version: 'v1', percent: 100 }] });
  });

  test('takes fifty names at once', async ({ registry }) => {
    const names = Array.from({ length: 50 }, (_, i) => `f${i}`);
    await Promise.all(names.map((name) => registry.addVersion(versionOf(name, 'v1'), artifactOf(name), true)));
    assert.deepEqual([...registry.functions()].map(({ record }) => record.name).sort(), names.sort());
    for (const name of names) assert.equal(registry.route('x', `/${name}`)?.entry.record.name, name);
  });

  test('changes nothing in memory when the store refuses', async ({ registry, store, seal }) => {
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    const before = registry.function('hi');
    const failing = await createRegistry({
      store: {
        ...store,
        registry: { ...store.registry, deploy: () => Promise.reject(new HearthError('NO_CAPACITY', 'full')) },
      },
      seal,
      defaults: { network: 'all' },
      log: { debug: () => undefined, warn: () => undefined, error: () => undefined },
      cacheKeyOf,
    });
    const told: string[] = [];
    failing.onChange((name) => told.push(name));
    await assert.rejects(failing.addVersion(versionOf('hi', 'v2'), artifactOf('two'), true), withCode('NO_CAPACITY'));
    assert.deepEqual(failing.function('hi')?.record, before?.record);
    assert.equal(failing.function('hi')?.versions.size, 1);
    assert.deepEqual(told, []);
    await failing.deleteFunction('hi');
    assert.equal(failing.function('hi'), undefined, 'a failed change does not hold up the next');
  });
});

describe('routes and queues across functions', () => {
  test('refuses a route of another function, also of two deploys at once, and frees it with its function', async ({
    registry,
  }) => {
    const routes = ['shop.example/*'];
    const results = await Promise.allSettled(
      ['a', 'b'].map((name) => registry.addVersion(versionOf(name, 'v1', { routes }), artifactOf(name), true)),
    );
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    const [, refused] = results;
    assert.ok(
      refused?.status === 'rejected' && withCode('CONFLICT', /shop\.example\/\*.*the function a\b/)(refused.reason),
    );
    assert.equal(registry.function('b'), undefined);
    assert.equal(registry.route('shop.example', '/x')?.entry.record.name, 'a');
    await registry.deleteFunction('a');
    await registry.addVersion(versionOf('b', 'v1', { routes }), artifactOf('b'), true);
    assert.equal(registry.route('shop.example', '/x')?.entry.record.name, 'b');
  });

  test('lets a version without traffic hold nothing', async ({ registry }) => {
    const routes = ['shop.example/*'];
    await registry.addVersion(versionOf('a', 'v1', { routes }), artifactOf('a'), false);
    await registry.addVersion(versionOf('b', 'v1', { routes }), artifactOf('b'), true);
    await assert.rejects(
      registry.addVersion(versionOf('a', 'v1', { routes }), artifactOf('a'), true),
      withCode('CONFLICT'),
    );
    await registry.addVersion(versionOf('b', 'v2'), artifactOf('b2'), true);
    await registry.addVersion(versionOf('a', 'v1', { routes }), artifactOf('a'), true);
    await assert.rejects(registry.rollback('b'), withCode('CONFLICT', /shop\.example/));
    assert.equal(registry.function('b')?.active?.record.version, 'v2');
  });

  test('knows the one consumer of a queue', async ({ registry, restart }) => {
    const consumes = (queue: string): ManifestInput => ({ queues: { consumers: [{ queue }] } });
    await registry.addVersion(versionOf('a', 'v1', consumes('orders')), artifactOf('a'), true);
    const second = registry.addVersion(versionOf('b', 'v1', consumes('orders')), artifactOf('b'), true);
    await assert.rejects(second, withCode('CONFLICT', /queue orders is consumed by the function a/));
    assert.equal(registry.consumer('orders')?.record.name, 'a');
    const again = (await restart()).registry;
    assert.equal(again.consumer('orders')?.active?.record.version, 'v1');
    await again.addVersion(versionOf('a', 'v2', consumes('other')), artifactOf('a2'), true);
    assert.equal(again.consumer('orders'), undefined);
    assert.equal(again.consumer('other')?.active?.record.version, 'v2');
  });

  test('routes nothing to a function that is not published', async ({ registry, restart }) => {
    const manifest: ManifestInput = {
      hearth: { publish: false },
      routes: ['shop.example/*'],
      queues: { consumers: [{ queue: 'orders' }] },
    };
    await registry.addVersion(versionOf('a', 'v1', manifest), artifactOf('a'), true);
    for (const { registry: current } of [{ registry }, await restart()]) {
      assert.equal(current.function('a')?.active?.record.version, 'v1');
      assert.equal(current.route('x', '/a'), undefined);
      assert.equal(current.route('a.localhost', '/'), undefined);
      assert.equal(current.route('shop.example', '/'), undefined);
      assert.equal(current.consumer('orders'), undefined);
    }
  });
});

function split(...shares: [string, number][]) {
  return { split: shares.map(([version, percent]) => ({ version, percent })) };
}

describe('traffic', () => {
  async function three(registry: Registry, name = 'hi'): Promise<void> {
    for (const version of ['v1', 'v2', 'v3']) {
      await registry.addVersion(versionOf(name, version), artifactOf(version), version === 'v1');
    }
  }

  test('serves several versions at once, the largest share giving routes, and so after a restart', async ({
    registry,
    restart,
  }) => {
    await three(registry);
    const traffic = {
      ...split(['v2', 30], ['v1', 70]),
      rules: [{ when: { header: { 'x-beta': 'yes' } }, version: 'v3' }],
      stickyBy: { header: 'x-user' },
    };
    await registry.setTraffic([{ name: 'hi', traffic }]);
    for (const { registry: current } of [{ registry }, await restart()]) {
      const entry = current.function('hi');
      assert.deepEqual(entry?.record.traffic, traffic);
      assert.equal(entry.active?.version, 'v1');
      assert.deepEqual(
        entry.serving.map(({ version }) => version),
        ['v2', 'v1', 'v3'],
      );
      assert.equal(entry.plan?.single, null);
      const picked = Array.from({ length: 100 }, () => entry.pick(null)?.version);
      assert.ok(Math.abs(picked.filter((version) => version === 'v2').length - 30) <= 1);
      assert.ok(!picked.includes('v3'));
      const beta = { header: () => 'yes', cookie: () => null, query: () => null, json: () => null };
      assert.equal(entry.pick(beta)?.version, 'v3');
    }
  });

  test('has nothing to choose where one version takes everything, and nothing at all where none does', async ({
    registry,
  }) => {
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), false);
    assert.equal(registry.function('hi')?.plan, null);
    assert.equal(registry.function('hi')?.pick(null), undefined);
    assert.deepEqual(registry.function('hi')?.serving, []);
    const entry = await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    assert.equal(entry.plan?.single, 'v1');
    assert.equal(entry.pick(null), entry.active);
  });

  test('moves several functions in the same moment, or none of them', async ({ registry, restart }) => {
    await three(registry, 'a');
    await three(registry, 'b');
    const seen: string[] = [];
    registry.onChange(() =>
      seen.push(`${registry.function('a')?.active?.version} ${registry.function('b')?.active?.version}`),
    );
    const both = (version: string, other = version) => [
      { name: 'a', traffic: split([version, 100]) },
      { name: 'b', traffic: split([other, 100]) },
    ];
    await registry.setTraffic(both('v2'));
    assert.deepEqual(seen, ['v2 v2', 'v2 v2']);
    await assert.rejects(registry.setTraffic(both('v3', 'v4')), withCode('NOT_FOUND', /b has no version v4/));
    await assert.rejects(
      registry.setTraffic([...both('v3'), { name: 'c', traffic: split(['v1', 100]) }]),
      withCode('NOT_FOUND', /no function c/),
    );
    await assert.rejects(registry.setTraffic([...both('v3'), ...both('v1')]), withCode('CONFLICT', /twice/));
    for (const { registry: current } of [{ registry }, await restart()]) {
      assert.equal(current.function('a')?.active?.version, 'v2');
      assert.equal(current.function('b')?.active?.version, 'v2');
    }
    assert.equal(seen.length, 2);
  });

  test('tells of what left: whether a rollback leads back to it, and of what nothing leads to any more', async ({
    registry,
  }) => {
    await three(registry);
    const left = leaving(registry);
    await registry.setTraffic([{ name: 'hi', traffic: split(['v1', 50], ['v2', 50]) }]);
    assert.deepEqual(left.splice(0), []);
    await registry.setTraffic([{ name: 'hi', traffic: split(['v3', 100]) }]);
    assert.deepEqual(left.splice(0), ['hi v1 rests: its traffic was moved', 'hi v2 rests: its traffic was moved']);
    await registry.setTraffic([{ name: 'hi', traffic: split(['v1', 100]) }]);
    assert.deepEqual(left.splice(0), ['hi v3 rests: its traffic was moved', 'hi v2 goes: its traffic was moved']);
    await registry.rollback('hi');
    assert.deepEqual(left.splice(0), ['hi v1 rests: rolled back']);
  });

  test('rolls back to where a change of several steps began, when that is said', async ({ registry }) => {
    await three(registry);
    const left = leaving(registry);
    const previous = split(['v1', 100]);
    for (const percent of [10, 50]) {
      await registry.setTraffic([{ name: 'hi', traffic: split(['v1', 100 - percent], ['v2', percent]), previous }]);
    }
    await registry.setTraffic([{ name: 'hi', traffic: split(['v2', 100]), previous }]);
    assert.deepEqual(left, ['hi v1 rests: its traffic was moved']);
    assert.deepEqual((await registry.rollback('hi')).record.traffic, previous);
    await assert.rejects(
      registry.setTraffic([{ name: 'hi', traffic: previous, previous: split(['v9', 100]) }]),
      withCode('NOT_FOUND', /v9/),
    );
  });

  test('keeps a version that only a rule names from being deleted', async ({ registry }) => {
    await three(registry);
    const rules = [{ when: { cookie: { beta: '1' } }, version: 'v3' }];
    await registry.setTraffic([{ name: 'hi', traffic: { ...split(['v1', 100]), rules } }]);
    await assert.rejects(registry.deleteVersion('hi', 'v3'), withCode('CONFLICT', /takes traffic/));
    assert.equal(await registry.deleteVersion('hi', 'v2'), true);
  });

  test('drops rules and stickiness when a deploy takes all traffic', async ({ registry }) => {
    await three(registry);
    const rules = [{ when: { query: { v: '2' } }, version: 'v2' }];
    await registry.setTraffic([{ name: 'hi', traffic: { ...split(['v1', 100]), rules, stickyBy: { query: 'user' } } }]);
    const entry = await registry.addVersion(versionOf('hi', 'v3'), artifactOf('v3'), true);
    assert.deepEqual(entry.record.traffic, split(['v3', 100]));
    assert.deepEqual(entry.record.previousTraffic?.rules, rules);
  });

  test('claims routes of the version with the largest share only', async ({ registry }) => {
    const routes = ['shop.example/*'];
    await registry.addVersion(versionOf('a', 'v1', { routes }), artifactOf('a'), true);
    await registry.addVersion(versionOf('b', 'v1'), artifactOf('b1'), true);
    await registry.addVersion(versionOf('b', 'v2', { routes }), artifactOf('b2'), false);
    await registry.setTraffic([{ name: 'b', traffic: split(['v1', 60], ['v2', 40]) }]);
    assert.equal(registry.route('shop.example', '/')?.entry.record.name, 'a');
    await assert.rejects(
      registry.setTraffic([{ name: 'b', traffic: split(['v1', 40], ['v2', 60]) }]),
      withCode('CONFLICT', /shop\.example/),
    );
  });
});

describe('what a rollout moves', () => {
  const shop = { routes: ['shop.example/*'], queues: { consumers: [{ queue: 'orders' }] } };
  const before = split(['v1', 100]);

  /** `a`: v1 claims a route and a queue, v2 has all the traffic in a rollout; `b` waits with the same claims. */
  async function movedAway(registry: Registry): Promise<void> {
    await registry.addVersion(versionOf('a', 'v1', shop), artifactOf('a1'), true);
    await registry.addVersion(versionOf('a', 'v2'), artifactOf('a2'), false);
    await registry.addVersion(versionOf('b', 'v1'), artifactOf('b1'), true);
    registry.reserve('r1', [{ name: 'a', version: 'v2', before }]);
    await registry.setTraffic([{ name: 'a', traffic: split(['v2', 100]), previous: null }], ROLLOUT);
  }

  test('keeps its versions, and nobody else takes the routes and queues it may return to', async ({ registry }) => {
    await movedAway(registry);
    assert.equal(registry.isRolledOut('a'), true);
    await assert.rejects(registry.deleteVersion('a', 'v1'), withCode('CONFLICT', /v1 of a is in the rollout r1/));
    for (const [manifest, taken] of [
      [{ routes: shop.routes }, /route shop\.example\/\* is kept for the function a, which the rollout r1/],
      [{ queues: shop.queues }, /queue orders is kept for the function a/],
    ] as const) {
      await assert.rejects(
        registry.addVersion(versionOf('b', 'v2', manifest), artifactOf('b2'), true),
        withCode('CONFLICT', taken),
      );
    }
    const published = { crons: null, queues: null, rpc: false, tag: null, splits: [] };
    await assert.rejects(
      registry.putPublication('other', { function: 'b', routes: shop.routes, ...published }),
      withCode('CONFLICT', /is kept for the function a/),
    );
    // What does not meet it is free.
    await registry.addVersion(versionOf('b', 'v3', { routes: ['other.example/*'] }), artifactOf('b3'), true);

    const heard: string[] = [];
    registry.onChange((name) => heard.push(name));
    registry.release('r1');
    assert.deepEqual([heard, registry.isRolledOut('a')], [['a'], false]);
    await registry.addVersion(versionOf('b', 'v4', shop), artifactOf('b4'), true);
    assert.equal(await registry.deleteVersion('a', 'v1'), true);
  });

  for (const [what, move] of [
    ['a deploy', (registry: Registry) => registry.addVersion(versionOf('a', 'v3'), artifactOf('a3'), true)],
    ['a traffic change', (registry: Registry) => registry.setTraffic([{ name: 'a', traffic: null }])],
    ['its deletion', (registry: Registry) => registry.deleteFunction('a')],
  ] as const) {
    test(`is free of it after ${what} by somebody else`, async ({ registry }) => {
      await movedAway(registry);
      await move(registry);
      assert.equal(registry.isRolledOut('a'), false);
      await registry.addVersion(versionOf('b', 'v2', shop), artifactOf('b2'), true);
    });
  }

  test('goes back but for what cannot, in one commit with the record that names it', async ({ registry, store }) => {
    for (const name of ['a', 'b', 'c']) {
      await registry.addVersion(versionOf(name, 'v1'), artifactOf(`${name}1`), true);
      await registry.addVersion(versionOf(name, 'v2'), artifactOf(`${name}2`), true);
    }
    const changes = [
      { name: 'a', traffic: before },
      { name: 'b', traffic: split(['v9', 100]) },
      { name: 'gone', traffic: before },
      { name: 'c', traffic: before, expected: split(['v2', 100]) },
    ];
    await registry.returnTraffic(changes, (stuck) => ({
      ...ROLLOUT,
      why: stuck.map(({ name, error }) => `${name} ${error.code}`).join(', '),
    }));
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => registry.function(name)?.active?.version),
      ['v1', 'v2', 'v1'],
    );
    assert.equal((await store.rollouts.get('r1'))?.why, 'b NOT_FOUND, gone NOT_FOUND');
  });
});

describe('rollback and removal', () => {
  test('goes back to the traffic before, and forth again', async ({ registry, restart }) => {
    await assert.rejects(registry.rollback('hi'), withCode('NOT_FOUND'));
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    await assert.rejects(registry.rollback('hi'), withCode('CONFLICT', /no earlier traffic/));
    await registry.addVersion(versionOf('hi', 'v2'), artifactOf('two'), true);
    const left = leaving(registry);
    const back = await registry.rollback('hi');
    assert.equal(back.active?.record.version, 'v1');
    assert.deepEqual(left, ['hi v2 rests: rolled back']);
    const again = (await restart()).registry;
    assert.equal(await codeOf(again, 'hi'), 'one');
    assert.equal((await again.rollback('hi')).active?.record.version, 'v2');
  });

  test('deletes a version that takes no traffic, and refuses one that does or that a rollback leads to', async ({
    registry,
    restart,
  }) => {
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    await registry.addVersion(versionOf('hi', 'v2'), artifactOf('two'), true);
    const first = registry.function('hi')?.versions.get('v1');
    await assert.rejects(registry.deleteVersion('hi', 'v2'), withCode('CONFLICT', /takes traffic/));
    await assert.rejects(
      registry.deleteVersion('hi', 'v1'),
      withCode('CONFLICT', /rollback of hi leads to version v1/),
    );
    await registry.addVersion(versionOf('hi', 'v3'), artifactOf('three'), true);
    assert.equal(await registry.deleteVersion('hi', 'v1'), true);
    assert.equal(await registry.deleteVersion('hi', 'v1'), false);
    assert.equal(await registry.deleteVersion('other', 'v1'), false);
    assert.equal((await registry.rollback('hi')).active?.version, 'v2');
    await assert.rejects(async () => first?.spec.image(), withCode('NOT_FOUND', /was deleted/));
    assert.deepEqual([...((await restart()).registry.function('hi')?.versions.keys() ?? [])], ['v2', 'v3']);
  });

  test('deletes a function, and a later one of that name has other keys', async ({ registry, store, seal }) => {
    await store.secrets.put('hi', 'K', seal.seal('hi', 'K', 'secret'), 1);
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    const removed = await registry.deleteFunction('hi');
    assert.equal(removed?.active?.record.version, 'v1');
    assert.equal(await registry.deleteFunction('hi'), undefined);
    assert.equal(registry.function('hi'), undefined);
    assert.equal(registry.route('x', '/hi'), undefined);
    const entry = await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    assert.notEqual(entry.active?.spec.key, removed?.active?.spec.key);
    assert.deepEqual(entry.active?.spec.vars, {});
  });
});

describe('secrets', () => {
  test('come as variables, before those of the manifest, under a new key for each change', async ({
    registry,
    store,
    seal,
    restart,
  }) => {
    const manifest: ManifestInput = { vars: { A: 'plain', B: { deep: [1] }, K: 'shadowed', L: 7 } };
    await store.secrets.put('hi', 'K', seal.seal('hi', 'K', 'one'), 1);
    await registry.secretsChanged('hi');
    await registry.addVersion(versionOf('hi', 'v1', manifest), artifactOf('one'), true);
    const before = registry.function('hi')?.active?.spec;
    assert.equal(before?.key, 'hi@v1+1');
    assert.deepEqual(before?.vars, { A: 'plain', K: 'one' });
    assert.deepEqual(before?.jsonVars, { B: { deep: [1] }, L: 7 });

    await store.secrets.put('hi', 'L', seal.seal('hi', 'L', 'two'), 2);
    const changed = await registry.secretsChanged('hi');
    assert.equal(changed?.active?.spec.key, 'hi@v1+2');
    assert.deepEqual(changed?.active?.spec.vars, { A: 'plain', K: 'one', L: 'two' });
    assert.deepEqual(changed?.active?.spec.jsonVars, { B: { deep: [1] } });
    assert.equal(registry.route('x', '/hi')?.entry, changed);

    const again = (await restart()).registry.function('hi');
    assert.deepEqual(again?.active?.spec.vars, { A: 'plain', K: 'one', L: 'two' });
    assert.equal(again?.active?.spec.key, 'hi@v1+2');
    assert.equal(again?.record.secretRevision, 2);
  });

  test('are there for the first deploy of a name, whoever was told', async ({ registry, store, seal }) => {
    await store.secrets.put('hi', 'K', seal.seal('hi', 'K', 'one'), 1);
    const candidate = await registry.candidate(versionOf('hi', 'v1'), artifactOf('one'));
    assert.deepEqual(candidate.spec.vars, { K: 'one' });
    assert.equal(candidate.spec.key, 'hi@v1+1');
  });

  test('that cannot be opened keep their function from running, and no other', async ({
    registry,
    store,
    seal,
    restart,
  }) => {
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    await registry.addVersion(versionOf('other', 'v1'), artifactOf('other'), true);
    await store.secrets.put('hi', 'K', seal.seal('hi', 'K', 'one'), 1);
    const { registry: again, lines } = await restart({ seal: createSeal([keyFromText('b'.repeat(64))]) });
    await assert.rejects(async () => again.function('hi')?.active?.spec.image(), withCode('INTERNAL', /another key/));
    assert.equal(await codeOf(again, 'other'), 'other');
    assert.ok(lines.some((line) => /secret K of hi cannot be read/.test(line)));
  });

  test('sealed with an older key are sealed with the newest at the next start', async ({ store, seal, restart }) => {
    await store.secrets.put('hi', 'K', seal.seal('hi', 'K', 'one'), 1);
    const newest = keyFromText('b'.repeat(64));
    const rotated = await restart({ seal: createSeal([newest, key]) });
    const [stored] = await rotated.store.secrets.all('hi');
    assert.ok(stored !== undefined);
    assert.equal(createSeal([newest]).open('hi', 'K', stored.sealed), 'one');
    assert.equal((await rotated.store.secrets.load('hi'))[0]?.revision, 1);
  });
});

describe('specs', () => {
  test('say what the manifest says', async ({ registry }) => {
    const manifest: ManifestInput = {
      kv_namespaces: [{ binding: 'KV', id: 'ns' }],
      queues: {
        producers: [
          { binding: 'Q', queue: 'orders' },
          { binding: 'LATER', queue: 'orders', delivery_delay: 5 },
        ],
      },
      services: [
        { binding: 'S', service: 'other', entrypoint: 'Admin', props: { a: 1 } },
        { binding: 'T', service: 'third' },
      ],
      limits: { cpu_ms: 50 },
      hearth: {
        trustGroup: 'shop',
        network: 'none',
        concurrency: 1,
        keepAlive: 0,
        memoryMb: 64,
        timeoutMs: 100,
        group: 'g',
      },
    };
    const entry = await registry.addVersion(versionOf('hi', 'v1', manifest), artifactOf('one'), true);
    const { image: _image, ...spec } = entry.active!.spec;
    assert.deepEqual(spec, {
      key: 'hi@v1+0',
      functionName: 'hi',
      version: 'v1',
      base: 'default',
      trustGroup: 'shop',
      network: 'none',
      group: 'g',
      pool: 'default',
      limits: {
        timeoutMs: 100,
        memoryMb: 64,
        cpuMs: 50,
        concurrency: 1,
        minInstances: 0,
        maxInstances: 16,
        reserved: 0,
        keepAlive: 0,
      },
      vars: {},
      jsonVars: {},
      bindings: [
        { kind: 'kv', name: 'KV', namespace: 'ns' },
        { kind: 'queue', name: 'Q', queue: 'orders' },
        { kind: 'queue', name: 'LATER', queue: 'orders', deliveryDelayS: 5 },
        { kind: 'service', name: 'S', service: 'other', entrypoint: 'Admin', props: { a: 1 } },
        { kind: 'service', name: 'T', service: 'third' },
      ],
    });
  });

  test('take the default network where the manifest names none', async ({ registry, restart }) => {
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    assert.equal(registry.function('hi')?.active?.spec.network, 'all');
    const again = (await restart({ defaults: { network: 'none' } })).registry;
    assert.equal(again.function('hi')?.active?.spec.network, 'none');
  });

  test('of a probed version stay the same object when it is stored', async ({ registry }) => {
    const artifact = artifactOf('one');
    const candidate = await registry.candidate(versionOf('hi', 'v1'), artifact);
    assert.equal(registry.function('hi'), undefined);
    const image = candidate.spec.image();
    assert.ok(!(image instanceof Promise) && image.code === artifact.code);
    const entry = await registry.addVersion(
      { ...versionOf('hi', 'v1'), handlers: ['fetch', 'queue'] },
      { ...artifact, codeCache: { key: cacheKeyOf(artifact.code), bytes: new Uint8Array([5]) } },
      true,
    );
    assert.equal(entry.active?.spec, candidate.spec);
    assert.deepEqual(entry.active?.record.handlers, ['fetch', 'queue']);
    assert.deepEqual((await candidate.spec.image()).codeCache, new Uint8Array([5]));
    assert.equal(await registry.candidate(versionOf('hi', 'v1'), artifactOf('one')), entry.active);
  });
});

describe('images', () => {
  test('come from memory at once after a deploy, and carry a code cache only where its key fits', async ({
    registry,
    restart,
  }) => {
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one', true), true);
    const image = registry.function('hi')?.active?.spec.image();
    assert.ok(image !== undefined && !(image instanceof Promise));
    assert.deepEqual(image.codeCache, new Uint8Array([1]));

    const upgraded = await restart({ cacheKeyOf: () => 'of a newer Node' });
    assert.equal((await upgraded.registry.function('hi')?.active?.spec.image())?.codeCache, null);
    const artifact = artifactOf('one');
    await upgraded.registry.addVersion(
      versionOf('hi', 'v1'),
      { ...artifact, codeCache: { key: 'of a newer Node', bytes: new Uint8Array([2]) } },
      true,
    );
    assert.deepEqual((await upgraded.registry.function('hi')?.active?.spec.image())?.codeCache, new Uint8Array([2]));
    const again = await restart({ cacheKeyOf: () => 'of a newer Node' });
    assert.deepEqual((await again.registry.function('hi')?.active?.spec.image())?.codeCache, new Uint8Array([2]));
  });

  test('give way to newer ones when memory is full, and are read again', async ({ restart }) => {
    const { registry } = await restart({ imageBytes: 250 });
    for (const name of ['a', 'b', 'c']) {
      await registry.addVersion(versionOf(name, 'v1'), artifactOf(name.repeat(100)), true);
    }
    const imageOf = (name: string) => registry.function(name)?.active?.spec.image();
    assert.equal(imageOf('b') instanceof Promise, false);
    assert.equal(imageOf('c') instanceof Promise, false);
    const reading = imageOf('a');
    assert.ok(reading instanceof Promise);
    assert.equal(imageOf('a'), reading, 'one read serves all that wait for it');
    assert.equal(Buffer.from((await reading).code).toString(), 'a'.repeat(100));
    assert.equal(imageOf('a') instanceof Promise, false);
    assert.equal(imageOf('b') instanceof Promise, true, 'the least recently used one made room');
  });
});

describe('listeners', () => {
  test('hear of each change after it can be seen, and one that throws harms nobody', async ({ registry, lines }) => {
    const heard: string[] = [];
    registry.onChange(() => {
      throw new Error('a defect');
    });
    const end = registry.onChange((name) => heard.push(`${name}:${registry.function(name)?.active?.record.version}`));
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    await registry.addVersion(versionOf('hi', 'v2'), artifactOf('two'), true);
    await registry.rollback('hi');
    await registry.secretsChanged('hi');
    await registry.addVersion(versionOf('hi', 'v3'), artifactOf('three'), false);
    await registry.deleteVersion('hi', 'v3');
    await registry.deleteFunction('hi');
    end();
    await registry.addVersion(versionOf('hi', 'v1'), artifactOf('one'), true);
    assert.deepEqual(heard, ['hi:v1', 'hi:v2', 'hi:v1', 'hi:v1', 'hi:v1', 'hi:v1', 'hi:undefined']);
    assert.ok(lines.includes('a listener of the registry failed'));
  });
});
