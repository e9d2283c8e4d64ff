/** Versions that nobody needs, over a real registry on each of the stores; days pass by hand. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate as pause } from 'node:timers/promises';
import type { Registry } from '../registry/registry.ts';
import { artifactOf, rolloutRecord, versionRecord } from '../registry/testing/records.ts';
import { openRedisStore } from '../store/redis/client.ts';
import { readRedisUrl } from '../store/redis/target.ts';
import { REDIS_MISSING, type RedisServer, startRedis } from '../store/redis/testing/server.ts';
import { openSqliteStore } from '../store/sqlite/client.ts';
import type { Store } from '../store/store.ts';
import { createLocks } from '../triggers/locks.ts';
import { openRegistry, SILENT } from '../triggers/testing/harness.ts';
import { createVersionSweep, KEEP_VERSIONS } from './versions.ts';

const DAY = 24 * 60 * 60 * 1000;
const HOUR = DAY / 24;
const KEEP_DAYS = 7;

let dir: string;
let redis: RedisServer | null = null;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hearth-retention-'));
  if (!REDIS_MISSING) redis = await startRedis();
});
after(async () => {
  await redis?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

async function openRedis(): Promise<Store> {
  await redis?.command('FLUSHALL');
  const target = readRedisUrl(redis?.url ?? '');
  if (target === undefined) throw new Error('no Redis');
  return (await openRedisStore({ target, log: SILENT })).store;
}

let files = 0;
const openFile = () => openSqliteStore({ path: join(dir, `${++files}.db`), log: SILENT });

interface Bench {
  store: Store;
  registry: Registry;
  /** `count` versions, one a day from day 0 on, each activated as it comes. */
  deployDaily(name: string, count: number): Promise<void>;
  sweep(atMs: number, most?: number): Promise<number>;
  versions(name: string): string[];
  drained: string[];
  pauses: number;
}

for (const [name, open, skip] of [
  ['SQLite', openFile, false],
  ['Redis', openRedis, REDIS_MISSING],
] as const) {
  const over = (sentence: string, body: (bench: Bench) => Promise<void>) =>
    test(sentence, async () => {
      const store = await open();
      try {
        await body(await benchOver(store));
      } finally {
        await store.close();
      }
    });

  describe(`over ${name}`, { skip }, () => {
    over('those beyond the last ten that are old and not needed go, with their code', async (bench) => {
      const { store, registry, deployDaily, sweep, versions, drained } = bench;
      await deployDaily('hi', 15);
      await deployDaily('few', KEEP_VERSIONS);
      assert.equal(await sweep(3 * DAY), 0, 'none is old yet');
      assert.equal(await sweep(9.5 * DAY), 3);
      assert.deepEqual(versions('hi').slice(0, 2), ['hi-03', 'hi-04']);
      assert.deepEqual(drained, ['hi-00', 'hi-01', 'hi-02']);
      assert.equal(await store.registry.getArtifact('hi', 'hi-00'), null);
      assert.notEqual(await store.registry.getArtifact('hi', 'hi-03'), null);
      assert.equal(await sweep(1_000 * DAY), 2);
      assert.deepEqual([versions('hi').length, versions('few').length], [KEEP_VERSIONS, KEEP_VERSIONS]);
      assert.equal((await store.audit.list({ most: 1, before: null }))[0]?.actor, 'hearth');
      assert.deepEqual(
        [...(await openRegistry(store)).functions()].map(({ kept }) => kept.length),
        [10, 10],
      );
      assert.equal(registry.function('hi')?.active?.version, 'hi-14');
    });

    over(
      'what the traffic, a rollback or a rollout names stays, however old',
      async ({ registry, store, ...bench }) => {
        await bench.deployDaily('hi', 16);
        await registry.setTraffic([{ name: 'hi', traffic: { split: [{ version: 'hi-00', percent: 100 }] } }]);
        const half = [
          { version: 'hi-01', percent: 50 },
          { version: 'hi-15', percent: 50 },
        ];
        await registry.setTraffic([{ name: 'hi', traffic: { split: half } }]);
        const reserved = { name: 'hi', version: 'hi-02', before: { split: half }, previous: null };
        registry.reserve('r1', [reserved]);
        assert.equal(await bench.sweep(1_000 * DAY), 3);
        assert.deepEqual(bench.versions('hi').slice(0, 4), ['hi-00', 'hi-01', 'hi-02', 'hi-06']);
        registry.release('r1');
        // Of a rollout that another gateway leads this one may not have heard yet.
        const steps = [{ percent: 50, waitMs: null }] as never;
        await store.rollouts.put(rolloutRecord({ functions: [reserved], steps }));
        assert.equal(await bench.sweep(1_001 * DAY), 0);
        await store.rollouts.put(rolloutRecord({ revision: 2, state: 'aborted', functions: [reserved], steps }));
        assert.equal(await bench.sweep(1_002 * DAY), 1);
      },
    );

    over('one that is given traffic in the moment it would go stays', async ({ registry, ...bench }) => {
      await bench.deployDaily('hi', 12);
      const sweeping = bench.sweep(1_000 * DAY);
      const moving = registry.setTraffic([{ name: 'hi', traffic: { split: [{ version: 'hi-00', percent: 100 }] } }]);
      const [removed, moved] = await Promise.allSettled([sweeping, moving]);
      const kept = bench.versions('hi').includes('hi-00');
      assert.equal(moved.status, kept ? 'fulfilled' : 'rejected');
      assert.deepEqual(removed, { status: 'fulfilled', value: kept ? 1 : 2 });
    });
  });
}

describe('a look at all functions', () => {
  test('comes once an hour, stops where so many are removed, and goes on with the next call', async () => {
    const store = await openFile();
    try {
      const { deployDaily, sweep, versions } = await benchOver(store);
      await deployDaily('hi', 14);
      assert.equal(await sweep(1_000 * DAY, 3), 3);
      assert.equal(await sweep(1_000 * DAY, 3), 1);
      await deployDaily('ho', 11);
      assert.equal(await sweep(1_000 * DAY + HOUR - 1), 0);
      assert.equal(versions('ho').length, 11);
      assert.equal(await sweep(1_000 * DAY + HOUR), 1);
    } finally {
      await store.close();
    }
  });

  test('lets others have their turn', async () => {
    const store = await openFile();
    try {
      const bench = await benchOver(store);
      for (let n = 0; n < 5; n++) await bench.deployDaily(`f${n}`, 1);
      await bench.sweep(1_000 * DAY);
      // By the clock of this bench two functions take a turn.
      assert.equal(bench.pauses, 2);
    } finally {
      await store.close();
    }
  });
});

async function benchOver(store: Store): Promise<Bench> {
  const registry = await openRegistry(store);
  const drained: string[] = [];
  let ticks = 0;
  const bench = { pauses: 0 };
  const sweep = createVersionSweep({
    registry,
    rollouts: store.rollouts,
    deployer: {
      exclusive: createLocks(),
      drain: ({ version }) => void drained.push(version),
      collectAssets: () => undefined,
    },
    audit: (actor, action, subject, detail = {}) => store.audit.append({ time: 1, actor, action, subject, detail }),
    keepMs: KEEP_DAYS * DAY,
    pause: async () => {
      bench.pauses++;
      await pause();
    },
    clock: () => 1.5 * ticks++,
  });
  return Object.assign(bench, {
    store,
    registry,
    drained,
    async deployDaily(name: string, count: number) {
      for (let day = 0; day < count; day++) {
        const version = `${name}-${String(day).padStart(2, '0')}`;
        await registry.addVersion(versionRecord(name, version, { createdAt: day * DAY }), artifactOf(version), true);
      }
    },
    sweep: (atMs: number, most = 200) => sweep(atMs, most),
    versions: (name: string) => registry.function(name)?.kept.map(({ version }) => version) ?? [],
  });
}
