/** Queues: acceptance, claims, leases, fences. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import fc from 'fast-check';
import { type ClaimedMessage, defaultQueueSettings, type NewMessage, type Settlement } from '../api/queues.ts';
import type { Store } from '../store.ts';
import { DAY, NOW, type StoreTest } from './harness.ts';
import { ack, claim, enqueue, idsOf, kill, messageOf } from './messages.ts';
import { queueCase, runQueueCase } from './queue-model.ts';

/** More of them: sqlite/queue-model.test.ts, and `node bench/soak/queue-model.ts`. */
const MODEL_CASES = 40;

export function queuesContract(test: StoreTest): void {
  describe('queues', () => {
    test('keeps settings, lists and deletes', async (store, again) => {
      const settings = { ...defaultQueueSettings('orders'), maxRetries: 7, paused: true, maxConcurrency: 2 };
      await store.queues.put('orders', settings);
      await store.queues.enqueue('implied', [messageOf('a')], NOW);
      const opened = await again();
      assert.deepEqual(await opened.queues.get('orders'), settings);
      assert.deepEqual(await opened.queues.get('implied'), defaultQueueSettings('implied'));
      assert.equal(await opened.queues.get('unknown'), null);
      assert.deepEqual(
        (await opened.queues.list()).map(({ name }) => name),
        ['implied', 'orders'],
      );
      assert.equal(await opened.queues.delete('implied'), true);
      assert.equal(await opened.queues.delete('implied'), false);
      assert.equal(await opened.queues.get('implied'), null);
      assert.deepEqual(await claim(opened, 'implied', { most: 10 }), []);
      assert.equal((await opened.queues.enqueue('implied', [messageOf('a')], NOW)).duplicates.length, 0);
    });

    test('delivers what was enqueued, whole and in order, after a restart', async (store, again) => {
      const messages: NewMessage[] = [
        { ...messageOf('m1'), body: new Uint8Array(0), contentType: 'bytes' },
        { ...messageOf('m2'), traceparent: '00-aa-bb-01', hops: 3 },
        { ...messageOf('m3'), contentType: 'v8', body: new Uint8Array([0, 255, 1]) },
      ];
      const accepted = await store.queues.enqueue('q', messages, NOW);
      assert.deepEqual(accepted, { ids: ['m1', 'm2', 'm3'], duplicates: [] });
      const opened = await again();
      const claimed = await claim(opened, 'q', { most: 10 });
      assert.deepEqual(
        claimed.map(({ fence: _fence, ...rest }) => rest),
        messages.map((message) => ({ ...message, queue: 'q', timestamp: NOW, attempts: 1, kills: null })),
      );
    });

    test('delivers nothing twice while its lease lasts, and at most as many as asked', async (store) => {
      await enqueue(store, 'q', ['a', 'b', 'c']);
      assert.deepEqual(idsOf(await claim(store, 'q', { most: 2 })), ['a', 'b']);
      assert.deepEqual(idsOf(await claim(store, 'q', { most: 2 })), ['c']);
      assert.deepEqual(await claim(store, 'q', { most: 2 }), []);
      assert.deepEqual(await claim(store, 'q', { most: 0 }), []);
      assert.deepEqual(await claim(store, 'unknown', { most: 2 }), []);
    });

    test('hands each message to exactly one of many who claim at once', async (store) => {
      const ids = Array.from({ length: 200 }, (_, i) => `m${i}`);
      await enqueue(store, 'q', ids);
      const claims = await Promise.all(
        Array.from({ length: 50 }, (_, i) => claim(store, 'q', { most: 7, owner: `o${i}` })),
      );
      const taken = claims.flatMap(idsOf);
      assert.equal(taken.length, 200);
      assert.deepEqual(taken.toSorted(), ids.toSorted());
    });

    test('orders by due time, then by acceptance', async (store) => {
      await store.queues.enqueue(
        'q',
        [
          { ...messageOf('late'), delayS: 10 },
          { ...messageOf('soon'), delayS: 0.5 },
        ],
        NOW,
      );
      await enqueue(store, 'q', ['now', 'now too']);
      assert.deepEqual(idsOf(await claim(store, 'q', { most: 10 })), ['now', 'now too']);
      assert.equal(await store.queues.nextDue('q'), NOW + 500);
      assert.deepEqual(idsOf(await claim(store, 'q', { most: 10, nowMs: NOW + 499 })), []);
      assert.deepEqual(idsOf(await claim(store, 'q', { most: 10, nowMs: NOW + 10_000 })), ['soon', 'late']);
    });

    test('tells when something is next to do', async (store) => {
      assert.equal(await store.queues.nextDue('q'), null);
      await enqueue(store, 'q', ['a']);
      assert.equal(await store.queues.nextDue('q'), NOW);
      const held = await claim(store, 'q', { most: 1, leaseUntil: NOW + 30_000 });
      assert.equal(await store.queues.nextDue('q'), NOW + 30_000);
      await enqueue(store, 'q', ['b'], NOW + 40_000);
      assert.equal(await store.queues.nextDue('q'), NOW + 30_000);
      await ack(store, 'q', held);
      assert.equal(await store.queues.nextDue('q'), NOW + 40_000);
    });

    test('takes an id once within 24 hours, also when the message is long done', async (store, again) => {
      await enqueue(store, 'q', ['a', 'b']);
      await ack(store, 'q', await claim(store, 'q', { most: 10 }));
      const opened = await again();
      const repeat = await opened.queues.enqueue('q', [messageOf('a'), messageOf('c'), messageOf('c')], NOW + DAY - 1);
      assert.deepEqual(repeat, { ids: ['a', 'c', 'c'], duplicates: ['a', 'c'] });
      assert.deepEqual(idsOf(await claim(opened, 'q', { most: 10, nowMs: NOW + DAY })), ['c']);
      assert.deepEqual((await opened.queues.enqueue('q', [messageOf('b')], NOW + DAY)).duplicates, []);
      assert.deepEqual((await opened.queues.enqueue('q2', [messageOf('a')], NOW)).duplicates, [], 'another queue');
    });

    test('does not remember ids that were made for one message', async (store) => {
      const message = { ...messageOf('a'), generatedId: true };
      await store.queues.enqueue('q', [message], NOW);
      await ack(store, 'q', await claim(store, 'q', { most: 10 }));
      assert.deepEqual((await store.queues.enqueue('q', [messageOf('a')], NOW)).duplicates, []);
    });

    test('raises attempts and fence with each claim, and refuses the older fence', async (store) => {
      await enqueue(store, 'q', ['a']);
      const [first] = await claim(store, 'q', { most: 1, leaseUntil: NOW + 1000 });
      assert.ok(first !== undefined);
      assert.deepEqual(await claim(store, 'q', { most: 1, nowMs: NOW + 999 }), []);
      const [second] = await claim(store, 'q', { most: 1, nowMs: NOW + 1000, leaseUntil: NOW + 9000 });
      assert.ok(second !== undefined);
      assert.equal(first.attempts, 1);
      assert.equal(second.attempts, 2);
      assert.ok(second.fence > first.fence);
      for (const verdict of ['ack', 'retry', 'dead'] as const) {
        const late: Settlement = {
          id: 'a',
          fence: first.fence,
          verdict,
          dueAt: NOW,
          countAttempt: true,
          reason: 'late',
        };
        assert.deepEqual(await store.queues.settle('q', [late], NOW + 1001), { refused: ['a'] });
      }
      assert.deepEqual(await store.queues.extend('q', [first], NOW + 99_000), []);
      assert.deepEqual(await ack(store, 'q', [second]), { refused: [] });
      assert.deepEqual(await ack(store, 'q', [second]), { refused: ['a'] });
    });

    test('takes an acknowledgement after the lease has ended as long as nobody took over', async (store) => {
      await enqueue(store, 'q', ['a']);
      const held = await claim(store, 'q', { most: 1, leaseUntil: NOW + 10 });
      assert.deepEqual(await ack(store, 'q', held, NOW + 5000), { refused: [] });
    });

    test('lengthens leases that are held', async (store) => {
      await enqueue(store, 'q', ['a', 'b']);
      const held = await claim(store, 'q', { most: 2, leaseUntil: NOW + 1000 });
      const [a] = held;
      assert.ok(a !== undefined);
      assert.deepEqual(await store.queues.extend('q', [a, { id: 'x', fence: 1 }], NOW + 60_000), ['a']);
      assert.deepEqual(idsOf(await claim(store, 'q', { most: 9, nowMs: NOW + 1000 })), ['b']);
      assert.deepEqual(await store.queues.extend('unknown', [a], NOW), []);
    });

    test('delivers again when a retry is due, and gives an attempt back that did not count', async (store) => {
      await enqueue(store, 'q', ['a']);
      const retry = async (held: ClaimedMessage[], countAttempt: boolean) =>
        store.queues.settle(
          'q',
          held.map(({ id, fence }) => ({
            id,
            fence,
            verdict: 'retry',
            dueAt: NOW + 500,
            countAttempt,
            reason: 'thrown',
          })),
          NOW,
        );
      await retry(await claim(store, 'q', { most: 1 }), false);
      assert.deepEqual(await claim(store, 'q', { most: 1, nowMs: NOW + 499 }), []);
      const again = await claim(store, 'q', { most: 1, nowMs: NOW + 500 });
      assert.equal(again[0]?.attempts, 1);
      await retry(again, true);
      assert.equal((await claim(store, 'q', { most: 1, nowMs: NOW + 500 }))[0]?.attempts, 2);
    });

    test('says what a message is suspected of, until it is settled otherwise, dies or is put back', async (store, again) => {
      await enqueue(store, 'q', ['a', 'b']);
      const retry = (at: Store, held: ClaimedMessage[], kills: number | null | undefined, nowMs: number) =>
        at.queues.settle(
          'q',
          held.map(({ id, fence }) => ({
            ...{ id, fence, verdict: 'retry', dueAt: nowMs, countAttempt: false, reason: null },
            ...(kills === undefined ? {} : { kills }),
          })),
          nowMs,
        );
      const seen = (held: ClaimedMessage[]) => held.map(({ id, attempts, kills }) => `${id} ${attempts} ${kills}`);
      let held = await claim(store, 'q', { most: 2 });
      assert.deepEqual(seen(held), ['a 1 null', 'b 1 null']);
      await retry(store, held.slice(0, 1), 0, NOW);
      await retry(store, held.slice(1), 2, NOW);
      const opened = await again();
      held = await claim(opened, 'q', { most: 2, leaseUntil: NOW + 10 });
      assert.deepEqual(seen(held), ['a 1 0', 'b 1 2']);
      held = await claim(opened, 'q', { most: 2, nowMs: NOW + 10, leaseUntil: NOW + 20 });
      assert.deepEqual(seen(held), ['a 2 0', 'b 2 2'], 'kept when the lease ended');
      await retry(opened, held.slice(0, 1), undefined, NOW + 10);
      await kill(opened, 'q', held.slice(1));
      const [a] = await claim(opened, 'q', { most: 2, nowMs: NOW + 10 });
      assert.deepEqual(a?.kills, null);
      assert.deepEqual(seen(await claim(opened, 'q.dead', { most: 2 })), ['b 1 null']);
      const [letter] = (await opened.queues.dead('q', { most: 1, cursor: null })).messages;
      assert.equal(letter?.failures.length, 1, 'what came back without a reason had not failed');
      await opened.queues.redrive('q', 'all', NOW + 90_000);
      assert.deepEqual(seen(await claim(opened, 'q', { most: 1, nowMs: NOW + 90_000 })), ['a 3 null']);
    });

    test('settles each of a batch by its own verdict in one go', async (store) => {
      await enqueue(store, 'q', ['a', 'b', 'c', 'd']);
      const fences = new Map((await claim(store, 'q', { most: 4 })).map(({ id, fence }) => [id, fence]));
      const of = (id: string) => ({ id, fence: fences.get(id) ?? -1 });
      const { refused } = await store.queues.settle(
        'q',
        [
          { ...of('a'), verdict: 'ack' },
          { ...of('b'), verdict: 'retry', dueAt: NOW, countAttempt: true, reason: '' },
          { ...of('c'), verdict: 'dead', reason: 'hopeless' },
          { id: 'd', fence: 0, verdict: 'ack' },
        ],
        NOW,
      );
      assert.deepEqual(refused, ['d']);
      assert.deepEqual(await store.queues.stats('q', NOW), {
        depth: 2,
        delayed: 0,
        inFlight: 1,
        oldestAt: NOW,
        dead: 1,
      });
    });

    test('counts what waits, is delayed, is in flight and is dead', async (store) => {
      const empty = { depth: 0, delayed: 0, inFlight: 0, oldestAt: null, dead: 0 };
      assert.deepEqual(await store.queues.stats('q', NOW), empty);
      await enqueue(store, 'q', ['a', 'b', 'c']);
      await store.queues.enqueue('q', [{ ...messageOf('d'), delayS: 60 }], NOW + 5);
      await kill(store, 'q', await claim(store, 'q', { most: 1 }));
      await claim(store, 'q', { most: 1 });
      assert.deepEqual(await store.queues.stats('q', NOW), {
        depth: 3,
        delayed: 1,
        inFlight: 1,
        oldestAt: NOW,
        dead: 1,
      });
      assert.equal(await store.queues.purge('q'), 3);
      assert.equal(await store.queues.purge('q'), 0);
      assert.equal(await store.queues.purge('unknown'), 0);
      assert.deepEqual(await store.queues.stats('q', NOW), { ...empty, dead: 1 });
    });

    test('does what a list of messages would do, whatever is called in whatever order', async (store) => {
      let cases = 0;
      const property = fc.asyncProperty(queueCase, (commands) =>
        runQueueCase(store.queues, commands, `case${++cases}`),
      );
      await fc.assert(property, { numRuns: MODEL_CASES });
    });

    test('refuses the acknowledgement of what was purged', async (store) => {
      await enqueue(store, 'q', ['a']);
      const held = await claim(store, 'q', { most: 1 });
      await store.queues.purge('q');
      assert.deepEqual(await ack(store, 'q', held), { refused: ['a'] });
      assert.deepEqual(await ack(store, 'unknown', held), { refused: ['a'] });
    });
  });
}
