import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CronStore } from '../../store/api/crons.ts';
import { openRedisStore } from '../../store/redis/client.ts';
import { readRedisUrl } from '../../store/redis/target.ts';
import { REDIS_MISSING, startRedis } from '../../store/redis/testing/server.ts';
import { BEAT_MS } from './own-runs.ts';
import { LEASE_MS } from './runs.ts';
import { type Gateway, openMemoryCrons, World } from './testing/world.ts';

const SECOND = 1_000;
/** Each is a cron of its own. */
const EVERY_SECOND = ['* * * * * *', '*/1 * * * * *', '0-59 * * * * *', '* */1 * * * *', '* 0-59 * * * *'];
const CRONS = EVERY_SECOND.length;
const SECONDS = 200;
const TICKS = CRONS * SECONDS;
/** What is called for one tick in so many does not answer while its gateway lives, or stands. */
const LASTING = 7;

interface Fate {
  claims: number;
  attempts: number;
  accepted: number;
  refused: number;
}

/** Three gateways; one is killed and comes again as another, one stands still past its leases and goes on. */
async function threeGateways(store: CronStore): Promise<void> {
  const fates = new Map<string, Fate>();
  const ticks = new Map<string, string>();
  const fateOf = (id: string): Fate => {
    const fate = fates.get(id) ?? { claims: 0, attempts: 1, accepted: 0, refused: 0 };
    fates.set(id, fate);
    return fate;
  };
  const expressions = EVERY_SECOND;
  const world = new World(
    store,
    expressions,
    { missed: 'all', overlap: 'allow' },
    {
      claimed({ id, dueAt, invocationId }) {
        fateOf(invocationId).claims += 1;
        const tick = `${id} ${dueAt}`;
        assert.equal(ticks.get(tick), undefined, `${tick} was fired twice`);
        ticks.set(tick, invocationId);
      },
      takenOver: ({ invocationId, attempt }) => {
        fateOf(invocationId).attempts = attempt;
      },
      ended: (id, accepted) => {
        fateOf(id)[accepted ? 'accepted' : 'refused'] += 1;
      },
    },
  );
  const first = await world.start('first');
  const second = await world.start('second');
  const third = await world.start('third');
  const gateways = [first, second, third];
  const answer = () => {
    for (const call of world.calls.slice()) {
      const lasts = Number(call.invocationId.split('-')[1]) % LASTING === 0;
      if (!lasts || world.now() - call.dueAt > 3 * SECOND) call.end();
    }
  };
  let stoppedAt = 0;
  let lateIds: string[] = [];
  for (let s = 1; s <= SECONDS; s++) {
    await world.pass(SECOND);
    // In the middle of what it was called for.
    if (s === 50) {
      first.kill();
      for (const call of world.calls.filter(({ gateway }) => gateway === first))
        world.calls.splice(world.calls.indexOf(call), 1);
    }
    if (s === 70) gateways.push(await world.start('first again'));
    if (s === 100) {
      second.stop();
      stoppedAt = s;
      lateIds = world.calls.filter(({ gateway }) => gateway === second).map(({ invocationId }) => invocationId);
    }
    if (s - stoppedAt === (LEASE_MS + 2 * BEAT_MS) / SECOND) second.goOn();
    answer();
    await world.settle();
  }
  for (let s = 0; s < 30; s++) {
    await world.pass(SECOND);
    answer();
    await world.settle();
    if (s === 0) for (const record of await store.list()) await third.crons.setPaused(record.id, true);
  }
  await Promise.all(gateways.filter((gateway) => gateway !== first).map((gateway) => gateway.crons.drain()));

  assert.ok(ticks.size >= TICKS && ticks.size <= TICKS + CRONS, `${ticks.size} ticks`);
  for (const [id, fate] of fates) {
    assert.equal(fate.claims, 1, id);
    assert.equal(fate.accepted, 1, `${id}: ${JSON.stringify(fate)}`);
  }
  const again = [...fates.values()].filter(({ attempts }) => attempts > 1);
  assert.ok(again.length > 0, 'runs of the one that was killed are run again');
  assert.ok(lateIds.length > 0);
  for (const id of lateIds) {
    const fate = fateOf(id);
    assert.equal(fate.attempts, 2, `${id} was taken over`);
  }
  assert.deepEqual(
    (await store.list()).map(({ running }) => running),
    expressions.map(() => 0),
  );
}

describe('three gateways on one store', () => {
  test('fire each of 1,000 ticks once, while one is killed and one stands still past its leases', async () => {
    const { store, database } = openMemoryCrons();
    try {
      await threeGateways(store);
    } finally {
      database.close();
    }
  });

  test('do so on Redis', { skip: REDIS_MISSING }, async () => {
    await using redis = await startRedis();
    const target = readRedisUrl(redis.url);
    assert.ok(target !== undefined);
    const log = { info: () => undefined, warn: console.warn, error: console.error };
    const { store } = await openRedisStore({ target, log });
    try {
      await threeGateways(store.crons);
    } finally {
      await store.close();
    }
  });

  test('one that stood still has its late end refused, and nobody notices it', async () => {
    const { store, database } = openMemoryCrons();
    const refused: string[] = [];
    const taken: { invocationId: string; attempt: number }[] = [];
    const world = new World(
      store,
      ['0 0 1 1 *', '* * * * *'],
      { missed: 'once', overlap: 'skip' },
      {
        claimed: () => undefined,
        takenOver: (run) => taken.push(run),
        ended: (id, accepted) => {
          if (!accepted) refused.push(id);
        },
      },
    );
    try {
      const one = await world.start('one');
      await world.pass(60 * SECOND);
      const [call] = world.calls;
      assert.ok(call !== undefined);
      one.stop();
      const two = await world.start('two');
      for (let s = 0; s < 20; s++) await world.pass(SECOND);
      assert.deepEqual(
        taken.map(({ invocationId, attempt }) => [invocationId, attempt]),
        [[call.invocationId, 2]],
      );
      const repeated = world.calls.find(({ gateway }) => gateway === two);
      assert.equal(repeated?.invocationId, call.invocationId);
      // Its function has answered meanwhile, and it hears of that before anything else.
      call.end();
      one.goOn('newest first');
      await world.settle();
      assert.deepEqual(refused, [call.invocationId]);
      const shown = async () => (await one.crons.list()).find(({ expression }) => expression === '* * * * *')?.last;
      assert.equal((await shown())?.outcome, 'running');
      repeated?.end();
      await world.settle();
      // What the other one ran is shown here too.
      const last = await shown();
      assert.deepEqual([last?.outcome, last?.attempts, last?.invocationId], ['ok', 2, call.invocationId]);
      await Promise.all([one.crons.drain(), two.crons.drain()]);
    } finally {
      database.close();
    }
  });

  test('a run that another has taken over is given up where it was', async () => {
    const { store, database } = openMemoryCrons();
    const world = new World(
      store,
      ['* * * * *'],
      { missed: 'once', overlap: 'skip' },
      {
        claimed: () => undefined,
        takenOver: () => undefined,
        ended: () => undefined,
      },
    );
    try {
      const one = await world.start('one');
      await world.pass(60 * SECOND);
      one.stop();
      const two = await world.start('two');
      for (let s = 0; s < 20; s++) await world.pass(SECOND);
      assert.equal(world.calls.length, 2);
      one.goOn();
      for (let s = 0; s < 5; s++) await world.pass(SECOND);
      assert.deepEqual(
        world.calls.map(({ gateway }) => gateway === two),
        [true],
      );
      world.endAll();
      await Promise.all([one.crons.drain(), two.crons.drain()]);
    } finally {
      database.close();
    }
  });

  test('a clock that is set forward by an hour makes nobody take over what is alive', async () => {
    const { store, database } = openMemoryCrons();
    let taken = 0;
    const world = new World(
      store,
      ['* * * * *'],
      { missed: 'skip', overlap: 'skip' },
      {
        claimed: () => undefined,
        takenOver: () => {
          taken += 1;
        },
        ended: () => undefined,
      },
    );
    try {
      const half = async (count: number) => {
        for (let i = 0; i < count; i++) await world.pass(SECOND / 2);
      };
      const one = await world.start('one');
      await half(3);
      const two = await world.start('two');
      await half(118);
      assert.deepEqual(
        world.calls.map(({ gateway }) => gateway === one),
        [true],
      );
      // The other one looks for ended leases before this one has lengthened its own.
      world.clockMs += 3_600 * SECOND;
      await half(60);
      assert.equal(taken, 0);
      assert.equal(world.calls.length, 1);
      world.endAll();
      await Promise.all([one, two].map(({ crons }) => crons.drain()));
    } finally {
      database.close();
    }
  });

  test('what was paused or resumed at one is so at the others', async () => {
    const { store, database } = openMemoryCrons();
    const claimedBy: Gateway[] = [];
    const world = new World(
      store,
      ['* * * * *'],
      { missed: 'once', overlap: 'skip' },
      {
        claimed: (_claim, gateway) => claimedBy.push(gateway),
        takenOver: () => undefined,
        ended: () => undefined,
      },
    );
    world.auto = true;
    try {
      const one = await world.start('one');
      const two = await world.start('two');
      const id = (await two.crons.list())[0]?.id ?? '';
      await one.crons.setPaused(id, true);
      assert.deepEqual(
        (await two.crons.list()).map(({ paused, nextAt }) => [paused, nextAt]),
        [[true, null]],
      );
      await world.pass(90 * SECOND);
      assert.equal(claimedBy.length, 0);
      await one.crons.setPaused(id, false);
      await world.settle();
      one.kill();
      await world.pass(30 * SECOND);
      assert.deepEqual(claimedBy, [two]);
      await two.crons.drain();
    } finally {
      database.close();
    }
  });

  test('a run that has not ended elsewhere holds back, or skips, the next one', async () => {
    for (const overlap of ['queue', 'skip'] as const) {
      const { store, database } = openMemoryCrons();
      const claims: [number, string | null][] = [];
      const world = new World(
        store,
        ['* * * * *'],
        { missed: 'once', overlap },
        {
          claimed: ({ startedAt, skipped }) => claims.push([(startedAt - world.clockMs) / SECOND, skipped]),
          takenOver: () => undefined,
          ended: () => undefined,
        },
      );
      try {
        const one = await world.start('one');
        await world.pass(60 * SECOND);
        const two = await world.start('two');
        // It goes on with what it runs, and fires no more.
        const drained = one.crons.drain();
        for (let s = 0; s < 65; s++) await world.pass(SECOND);
        assert.equal(world.calls.length, 1);
        world.endAll();
        await drained;
        for (let s = 0; s < 2; s++) await world.pass(SECOND);
        assert.equal(world.calls.length, overlap === 'queue' ? 1 : 0);
        assert.equal(claims[1]?.[1], overlap === 'queue' ? null : 'the run before had not ended');
        world.endAll();
        await two.crons.drain();
      } finally {
        database.close();
      }
    }
  });
});
