/** What becomes of calls while Redis is away, full, a replica, or empty; and afterwards. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Change } from '../api/changes.ts';
import { artifactOf, NOW, versionOf, withCode } from '../contract/harness.ts';
import { ack, claim, enqueue, idsOf } from '../contract/messages.ts';
import type { Store } from '../store.ts';
import { openOn } from './testing/open.ts';
import { REDIS_MISSING, startRedis } from './testing/server.ts';

const away = withCode('NO_CAPACITY');
const AWAY = /^Redis at \S+ is away/;
const BACK = /^Redis at \S+ is back/;

/** One of each kind: what writes, what reads, what takes several commands. */
function callsOf(store: Store): Promise<unknown>[] {
  return [
    enqueue(store, 'q', ['late']),
    claim(store, 'q', { most: 1 }),
    store.queues.list(),
    store.registry.page(null),
    store.registry.putVersion(versionOf('shop', 'v9'), artifactOf('code')),
    store.kv.put('ns', 'k', { value: new Uint8Array(3), metadata: null, expiration: null }),
    store.leases.take('rollouts', 'me', NOW, NOW + 10_000),
  ];
}

async function allRefused(store: Store): Promise<void> {
  for (const outcome of await Promise.allSettled(callsOf(store))) {
    assert.equal(outcome.status, 'rejected');
    assert.ok(away(outcome.reason), String(outcome.reason));
  }
}

describe('the Redis store in trouble', { skip: REDIS_MISSING }, () => {
  it('refuses every call while Redis is away, and goes on by itself when it is back, with all that was there', async () => {
    await using redis = await startRedis({ config: { appendfsync: 'always' } });
    await using opened = await openOn(redis);
    const { store, log } = opened;
    await enqueue(store, 'q', ['a', 'b']);
    await redis.kill();
    await log.said(AWAY);
    await allRefused(store);
    await redis.restart();
    await log.said(BACK);
    assert.deepEqual(idsOf(await claim(store, 'q', { most: 9 })), ['a', 'b']);
    assert.equal(log.lines.length, 2, log.lines.join('\n'));
  });

  it('refuses calls that are on their way when Redis is killed', async () => {
    await using redis = await startRedis();
    await using opened = await openOn(redis);
    redis.pause();
    const calls = Promise.all(callsOf(opened.store).map((call) => assert.rejects(call, away)));
    await redis.kill();
    await calls;
  });

  it('waits for no Redis that has stopped to answer, and goes on when it answers again', async () => {
    await using redis = await startRedis();
    await using opened = await openOn(redis);
    const { store, log } = opened;
    redis.pause();
    await allRefused(store);
    await log.said(AWAY);
    await allRefused(store);
    redis.resume();
    await log.said(BACK);
    // What was asked before it stopped may have been done: that is what NO_CAPACITY leaves open.
    const { depth } = await store.queues.stats('q', NOW);
    assert.ok(depth <= 1);
    await enqueue(store, 'q', ['again']);
    assert.equal((await store.queues.stats('q', NOW)).depth, depth + 1);
  });

  it('loads its scripts again where they were forgotten', async () => {
    await using redis = await startRedis();
    await using opened = await openOn(redis);
    await enqueue(opened.store, 'q', ['a']);
    await redis.command('SCRIPT', 'FLUSH');
    await Promise.all([enqueue(opened.store, 'q', ['b']), enqueue(opened.store, 'q', ['c'])]);
    assert.deepEqual(idsOf(await claim(opened.store, 'q', { most: 9 })).toSorted(), ['a', 'b', 'c']);
  });

  it('touches nothing in a Redis that was emptied, until its data is back or it is opened anew', async () => {
    await using redis = await startRedis();
    await using opened = await openOn(redis);
    const { store, log } = opened;
    await enqueue(store, 'q', ['a']);
    await redis.command('SAVE');
    for (const empty of ['FLUSHALL', 'restart'] as const) {
      if (empty === 'FLUSHALL') await redis.command(empty);
      else {
        await redis.kill();
        await log.said(AWAY);
        await redis.restart({ empty: true });
        await log.said(BACK);
      }
      await allRefused(store);
      assert.equal(await redis.command('DBSIZE'), 0);
    }
    assert.equal(log.lines.filter((line) => /no longer holds the data/.test(line)).length, 1);
    await using anew = await openOn(redis);
    assert.equal(anew.isNew, true);
    assert.deepEqual(await anew.store.queues.list(), []);
    await allRefused(store);
  });

  it('goes on with the data when it was put back', async () => {
    await using redis = await startRedis();
    await using opened = await openOn(redis);
    await enqueue(opened.store, 'q', ['a']);
    const keys = (await redis.command('KEYS', '*')) as string[];
    await redis.command('COPY', '{hearth}:store', 'x');
    for (const key of keys) await redis.command('MOVE', key, 1);
    await allRefused(opened.store);
    await redis.command('FLUSHDB');
    await redis.command('SWAPDB', 0, 1);
    assert.deepEqual(idsOf(await claim(opened.store, 'q', { most: 9 })), ['a']);
  });

  it('is refused from the moment on at which a newer Hearth takes the store over', async () => {
    await using redis = await startRedis();
    await using opened = await openOn(redis);
    const before = (await redis.command('GET', '{hearth}:store')) as string;
    await redis.command('SET', '{hearth}:store', '2:newer');
    await redis.command('RENAME', `{hearth}:store:${before}`, '{hearth}:store:2:newer');
    await allRefused(opened.store);
  });

  it('says that it is full and takes nothing, hands out and settles what it has, and takes again when there is room', async () => {
    await using redis = await startRedis();
    await using opened = await openOn(redis);
    const { store } = opened;
    await enqueue(store, 'q', ['a', 'b', 'c']);
    await redis.command('CONFIG', 'SET', 'maxmemory', 1);
    const calls = [
      enqueue(store, 'q', ['d']),
      enqueue(store, 'new', ['d']),
      store.registry.putVersion(versionOf('shop', 'v1'), artifactOf('code')),
      store.kv.put('ns', 'k', { value: new Uint8Array(3), metadata: null, expiration: null }),
    ];
    const full = (error: unknown) => away(error) && /full/.test((error as Error).message);
    await Promise.all(calls.map((call) => assert.rejects(call, full)));
    assert.deepEqual(
      (await store.queues.list()).map(({ name }) => name),
      ['q'],
    );
    const [a, b, c] = await claim(store, 'q', { most: 9 });
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    const { refused } = await store.queues.settle(
      'q',
      [
        { id: a.id, fence: a.fence, verdict: 'ack' },
        { id: b.id, fence: b.fence, verdict: 'retry', dueAt: NOW, countAttempt: true, reason: 'thrown' },
        { id: c.id, fence: c.fence, verdict: 'dead', reason: 'hopeless' },
      ],
      NOW,
    );
    assert.deepEqual(refused, []);
    await redis.command('CONFIG', 'SET', 'maxmemory', 0);
    await enqueue(store, 'q', ['d']);
    assert.deepEqual(idsOf(await claim(store, 'q', { most: 9 })).toSorted(), ['b', 'd']);
    assert.deepEqual(idsOf(await claim(store, 'q.dead', { most: 9 })), ['c']);
  });

  it('takes nothing while its Redis is a replica, and finds a primary again', async () => {
    await using redis = await startRedis();
    await using opened = await openOn(redis);
    const { store, log } = opened;
    await enqueue(store, 'q', ['a']);
    await redis.command('REPLICAOF', '127.0.0.1', '1');
    await assert.rejects(enqueue(store, 'q', ['b']), away);
    await redis.command('REPLICAOF', 'NO', 'ONE');
    await log.said(BACK);
    await enqueue(store, 'q', ['c']);
    assert.deepEqual(idsOf(await claim(store, 'q', { most: 9 })), ['a', 'c']);
  });

  it('refuses what is too much to wait for, and nothing afterwards', async () => {
    await using redis = await startRedis();
    await using opened = await openOn(redis);
    const { store } = opened;
    redis.pause();
    const outcomes = await Promise.allSettled(Array.from({ length: 30_000 }, () => store.leases.release('a', 'b')));
    const reasons = outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : null));
    assert.ok(reasons.every(away));
    assert.ok(reasons.some((reason: Error) => /fallen behind/.test(reason.message)));
    redis.resume();
    await opened.log.said(BACK);
    await store.leases.release('a', 'b');
  });

  it('tells listeners what they missed while Redis was away, and that everything may have changed when it is another', async () => {
    await using redis = await startRedis();
    await using listening = await openOn(redis);
    await using other = await openOn(redis);
    const told: (Change[] | null)[] = [];
    let wake: () => void = () => undefined;
    const heard = (what: (all: (Change[] | null)[]) => boolean) =>
      new Promise<void>((resolve) => {
        wake = () => what(told) && resolve();
        wake();
      });
    listening.store.changes.listen((changes) => {
      told.push(changes);
      wake();
    });
    await other.store.tokens.put({ id: 't1', hash: '', scopes: [], trustGroups: [], routes: [], createdAt: NOW });
    await heard((all) => all.flat().some((change) => change?.name === 't1'));
    assert.ok(!told.includes(null));

    // Its connection is cut, and Redis is the same.
    await redis.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await other.log.said(BACK);
    await other.store.tokens.delete('t1');
    await heard((all) => all.flat().filter((change) => change?.name === 't1').length === 2);
    assert.ok(!told.includes(null));

    await redis.stop();
    await redis.restart();
    await heard((all) => all.includes(null));
  });
});

describe('acknowledged messages of the Redis store', { skip: REDIS_MISSING }, () => {
  it('are there again after kill -9 of Redis with appendfsync always', async () => {
    await using redis = await startRedis({ config: { appendfsync: 'always' } });
    const acknowledged: string[] = [];
    {
      await using opened = await openOn(redis);
      let next = 0;
      const produce = async () => {
        for (;;) {
          const id = `m${next++}`;
          try {
            await enqueue(opened.store, 'q', [id]);
          } catch (error) {
            assert.ok(away(error), String(error));
            return;
          }
          acknowledged.push(id);
          if (acknowledged.length === 200) await redis.kill();
        }
      };
      await Promise.all(Array.from({ length: 8 }, produce));
    }
    await redis.restart();
    await using opened = await openOn(redis);
    const kept = await claim(opened.store, 'q', { most: 100_000 });
    const ids = new Set(idsOf(kept));
    assert.deepEqual(
      acknowledged.filter((id) => !ids.has(id)),
      [],
    );
    assert.deepEqual(await ack(opened.store, 'q', kept), { refused: [] });
  });
});
