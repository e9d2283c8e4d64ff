/** Locks, counters and configuration of functions. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { DAY, NOW, type SharedTest, type StoreTest, withCode } from './harness.ts';
import { claim, idsOf, kill, messageOf } from './messages.ts';

export function servicesContract(test: StoreTest): void {
  describe('locks', () => {
    const fenceOf = (taken: { fence: number | null }) => {
      assert.ok(taken.fence !== null);
      return taken.fence;
    };

    test('gives one to exactly one of many, and tells the others until when it is held', async (store) => {
      const taken = await Promise.all(Array.from({ length: 20 }, () => store.locks.take('ns', 'a', NOW, NOW + 1000)));
      assert.equal(taken.filter(({ fence }) => fence !== null).length, 1);
      for (const each of taken) if (each.fence === null) assert.equal(each.heldUntil, NOW + 1000);
      fenceOf(await store.locks.take('other', 'a', NOW, NOW + 1000));
      fenceOf(await store.locks.take('ns', 'b', NOW, NOW + 1000));
    });

    test('has higher fences for ever: after an end, a release, a sweep, a restart, and with a clock set back', async (store, again) => {
      const fences = [fenceOf(await store.locks.take('ns', 'a', NOW, NOW + 1000))];
      fences.push(fenceOf(await store.locks.take('ns', 'a', NOW + 1000, NOW + 2000)));
      assert.equal(await store.locks.release('ns', 'a', fences[1] ?? 0), true);
      fences.push(fenceOf(await store.locks.take('ns', 'a', NOW + 1001, NOW + 2000)));
      await store.locks.sweep(NOW + DAY, 10);
      const opened = await again();
      fences.push(fenceOf(await opened.locks.take('ns', 'a', NOW - DAY, NOW)));
      fences.push(fenceOf(await opened.locks.take('ns', 'b', NOW - DAY, NOW)));
      assert.deepEqual(
        fences,
        [...new Set(fences)].sort((a, b) => a - b),
      );
      // A restore from a backup sets a counter back, never the clock.
      assert.ok((fences[0] ?? 0) >= NOW * 1000 && Number.isSafeInteger(fences.at(-1)));
    });

    test('is lengthened and released under its own fence, while it lasts', async (store) => {
      const fence = fenceOf(await store.locks.take('ns', 'a', NOW, NOW + 1000));
      assert.equal(await store.locks.extend('ns', 'a', fence - 1, NOW, NOW + 5000), false);
      assert.equal(await store.locks.release('ns', 'a', fence - 1), false);
      assert.equal(await store.locks.extend('ns', 'a', fence, NOW + 999, NOW + 2000), true);
      assert.equal((await store.locks.take('ns', 'a', NOW + 1999, NOW + 3000)).fence, null);
      assert.equal(await store.locks.extend('ns', 'a', fence, NOW + 2000, NOW + 3000), false, 'it has ended');
      const next = fenceOf(await store.locks.take('ns', 'a', NOW + 2000, NOW + 3000));
      assert.equal(await store.locks.release('ns', 'a', fence), false);
      assert.equal((await store.locks.take('ns', 'a', NOW + 2500, NOW + 3000)).fence, null);
      assert.equal(await store.locks.release('ns', 'a', next), true);
      assert.equal(await store.locks.release('ns', 'a', next), false);
    });

    test('sweeps what has ended and nothing else', async (store) => {
      for (const name of ['a', 'b', 'c']) await store.locks.take('ns', name, NOW, NOW + 1000);
      const kept = fenceOf(await store.locks.take('ns', 'd', NOW, NOW + 1001));
      assert.equal(await store.locks.sweep(NOW + 999, 10), 0);
      assert.equal(await store.locks.sweep(NOW + 1000, 2), 2);
      assert.equal(await store.locks.sweep(NOW + 1000, 10), 1);
      assert.equal(await store.locks.extend('ns', 'd', kept, NOW + 1000, NOW + 2000), true);
    });
  });

  describe('counters', () => {
    test('counts each once, from many at a time, over a restart', async (store, again) => {
      const sums = await Promise.all(Array.from({ length: 50 }, () => store.counters.add('ns', 'a', 1)));
      assert.deepEqual(
        sums.sort((a, b) => a - b),
        Array.from({ length: 50 }, (_, i) => i + 1),
      );
      const opened = await again();
      assert.equal(await opened.counters.get('ns', 'a'), 50);
      assert.equal(await opened.counters.add('ns', 'a', -60), -10);
      assert.equal(await opened.counters.get('ns', 'never'), 0);
      assert.equal(await opened.counters.get('other', 'a'), 0);
      await opened.counters.delete('ns', 'a');
      assert.equal(await opened.counters.add('ns', 'a', 0), 0);
    });

    test('holds every safe integer and refuses what is beyond', async (store) => {
      assert.equal(await store.counters.add('ns', 'a', Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
      await assert.rejects(store.counters.add('ns', 'a', 1), withCode('BAD_REQUEST'));
      assert.equal(await store.counters.get('ns', 'a'), Number.MAX_SAFE_INTEGER);
      assert.equal(await store.counters.add('ns', 'a', -1), Number.MAX_SAFE_INTEGER - 1);
      assert.equal(await store.counters.add('ns', 'b', -Number.MAX_SAFE_INTEGER), -Number.MAX_SAFE_INTEGER);
      await assert.rejects(store.counters.add('ns', 'b', -1), withCode('BAD_REQUEST'));
    });
  });

  describe('configuration', () => {
    test('is replaced as a whole, with a version that rises, over a restart', async (store, again) => {
      assert.equal(await store.configs.get('shop'), null);
      const first = await store.configs.put('shop', { a: 1, b: [null, 'ü'] }, null, NOW);
      assert.deepEqual(first, { version: 1, values: { a: 1, b: [null, 'ü'] }, updatedAt: NOW });
      const opened = await again();
      assert.deepEqual(await opened.configs.get('shop'), first);
      assert.equal((await opened.configs.put('shop', {}, null, NOW + 1)).version, 2);
      assert.deepEqual(await opened.configs.get('shop'), { version: 2, values: {}, updatedAt: NOW + 1 });
      assert.equal(await opened.configs.get('other'), null);
    });

    test('is put only over the version that is expected, by one of many', async (store) => {
      await store.configs.put('shop', { a: 1 }, 0, NOW);
      await assert.rejects(store.configs.put('shop', { a: 2 }, 0, NOW), withCode('CONFLICT'));
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, (_, i) => store.configs.put('shop', { i }, 1, NOW)),
      );
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
      assert.equal((await store.configs.get('shop'))?.version, 2);
    });
  });
}

/** What is published to a topic. */
export function topicsContract(test: StoreTest): void {
  describe('topics', () => {
    test('puts each message into every queue, in order and due when it says, over a restart', async (store, again) => {
      const late = { ...messageOf('late'), delayS: 10 };
      await store.queues.publish(['topic.t.a', 'topic.t.b'], [messageOf('one'), late, messageOf('two')], NOW);
      await store.queues.publish(['topic.t.b'], [messageOf('three')], NOW);
      await store.queues.publish([], [messageOf('nobody')], NOW);
      const opened = await again();
      assert.deepEqual(idsOf(await claim(opened, 'topic.t.a', { most: 10 })), ['one', 'two']);
      const held = await claim(opened, 'topic.t.b', { most: 10, nowMs: NOW + 10_000 });
      assert.deepEqual(idsOf(held), ['one', 'two', 'three', 'late']);
      await kill(opened, 'topic.t.b', held.slice(0, 1), NOW + 10_000);
      assert.equal(await opened.queues.redrive('topic.t.b', 'all', NOW + 10_000), 1);
      assert.equal((await opened.queues.stats('topic.t.a', NOW)).depth, 3, 'the other queue is as it was');
    });
  });
}

/** Of a store that several have open. */
export function sharedServicesContract(test: SharedTest): void {
  test('a lock is held against every gateway, and a changed configuration is told to all', async (one, two) => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const end = two.changes.listen((changes) => {
      for (const { kind, name } of changes ?? []) if (kind === 'config') resolve(name);
    });
    try {
      const { fence } = await one.locks.take('ns', 'a', NOW, NOW + 1000);
      assert.ok(fence !== null);
      assert.equal((await two.locks.take('ns', 'a', NOW, NOW + 1000)).fence, null);
      await one.locks.release('ns', 'a', fence);
      assert.notEqual((await two.locks.take('ns', 'a', NOW, NOW + 1000)).fence, null);
      await one.configs.put('default/shop', { a: 1 }, null, NOW);
      assert.equal(await promise, 'default/shop');
    } finally {
      end();
    }
  });
}
