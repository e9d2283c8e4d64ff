/** Dead letters: where they go, and how they come back. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { defaultQueueSettings } from '../api/queues.ts';
import type { Store } from '../store.ts';
import { NOW, type StoreTest, withCode } from './harness.ts';
import { ack, claim, enqueue, idsOf, kill, messageOf } from './messages.ts';

export function deadLettersContract(test: StoreTest): void {
  describe('dead letters', () => {
    test('keeps a dead letter with its history in the queue the settings name, an ordinary queue', async (store, again) => {
      await store.queues.put('q', { ...defaultQueueSettings('q'), deadLetterQueue: 'graves' });
      await enqueue(store, 'q', ['a']);
      await kill(store, 'q', await claim(store, 'q', { most: 1 }), NOW + 5);
      const opened = await again();
      const { messages, cursor } = await opened.queues.dead('q', { most: 10, cursor: null });
      assert.deepEqual(messages, [
        {
          id: 'a',
          body: messageOf('a').body,
          contentType: 'json',
          timestamp: NOW,
          attempts: 1,
          diedAt: NOW + 5,
          source: 'q',
          reason: 'out of retries',
          failures: [{ at: NOW + 5, reason: 'out of retries' }],
        },
      ]);
      assert.equal(cursor, null);
      assert.deepEqual(await opened.queues.get('graves'), defaultQueueSettings('graves'));
      const [claimed] = await claim(opened, 'graves', { most: 1, nowMs: NOW + 5 });
      assert.equal(claimed?.id, 'a');
      assert.equal(claimed?.attempts, 1);
      assert.equal(claimed?.queue, 'graves');
      assert.deepEqual(await ack(opened, 'graves', claimed === undefined ? [] : [claimed]), { refused: [] });
      assert.deepEqual((await opened.queues.dead('q', { most: 10, cursor: null })).messages, []);
    });

    test('keeps what each delivery failed with, until it is put back', async (store, again) => {
      await enqueue(store, 'q', ['a', 'b']);
      const failed = ['one\n"two"', 'zwei, ü', 'drei'];
      for (const [i, reason] of failed.entries()) {
        const held = (await claim(store, 'q', { most: 9, nowMs: NOW + i })).filter(({ id }) => id === 'a');
        const retry = { verdict: 'retry' as const, dueAt: NOW + i + 1, countAttempt: i !== 1, reason };
        const settled = held.map(({ id, fence }) => ({ id, fence, ...retry }));
        assert.deepEqual(await store.queues.settle('q', settled, NOW + i), { refused: [] });
      }
      const opened = await again();
      await kill(opened, 'q', await claim(opened, 'q', { most: 9, nowMs: NOW + 60_000 }), NOW + 70_000);
      const { messages } = await opened.queues.dead('q', { most: 9, cursor: null });
      const death = { at: NOW + 70_000, reason: 'out of retries' };
      assert.deepEqual(
        messages.map(({ id, attempts, failures }) => ({ id, attempts, failures })),
        [
          { id: 'a', attempts: 3, failures: [...failed.map((reason, i) => ({ at: NOW + i, reason })), death] },
          { id: 'b', attempts: 2, failures: [death] },
        ],
      );
      await opened.queues.redrive('q', 'all', NOW + 80_000);
      await kill(opened, 'q', await claim(opened, 'q', { most: 1, nowMs: NOW + 80_000 }), NOW + 80_000);
      const [again_] = (await opened.queues.dead('q', { most: 9, cursor: null })).messages;
      assert.equal(again_?.failures.length, 1);
    });

    test('keeps the first and the last of very many failures', async (store) => {
      await enqueue(store, 'q', ['a']);
      const reasonOf = (i: number) => `${i} ${'x'.repeat(1000)}`;
      for (let i = 0; i < 30; i++) {
        const held = await claim(store, 'q', { most: 1 });
        const retry = { verdict: 'retry' as const, dueAt: NOW, countAttempt: false, reason: reasonOf(i) };
        await store.queues.settle(
          'q',
          held.map(({ id, fence }) => ({ id, fence, ...retry })),
          NOW,
        );
      }
      await kill(store, 'q', await claim(store, 'q', { most: 1 }));
      const failures = (await store.queues.dead('q', { most: 1, cursor: null })).messages[0]?.failures ?? [];
      assert.ok(failures.length > 10 && failures.length < 30);
      assert.equal(failures[0]?.reason, reasonOf(0));
      assert.equal(failures.at(-1)?.reason, 'out of retries');
    });

    test('names the dead-letter queue NAME.dead when the settings do not say, and one of that in turn', async (store) => {
      await enqueue(store, 'q', ['a']);
      await kill(store, 'q', await claim(store, 'q', { most: 1 }));
      await kill(store, 'q.dead', await claim(store, 'q.dead', { most: 1 }));
      assert.deepEqual((await store.queues.dead('q', { most: 1, cursor: null })).messages, []);
      const [letter] = (await store.queues.dead('q.dead', { most: 1, cursor: null })).messages;
      assert.equal(letter?.source, 'q.dead');
      assert.deepEqual(idsOf(await claim(store, 'q.dead.dead', { most: 1 })), ['a']);
    });

    test('keeps apart dead letters of two sources that have the same id', async (store) => {
      for (const queue of ['q1', 'q2']) {
        await store.queues.put(queue, { ...defaultQueueSettings(queue), deadLetterQueue: 'graves' });
        await enqueue(store, queue, ['same']);
        await kill(store, queue, await claim(store, queue, { most: 1 }));
      }
      const [one, two, ...more] = await claim(store, 'graves', { most: 10 });
      assert.ok(one !== undefined && two !== undefined && more.length === 0);
      assert.deepEqual(await ack(store, 'graves', [one]), { refused: [] });
      assert.deepEqual(await ack(store, 'graves', [one]), { refused: ['same'] });
      assert.deepEqual(await ack(store, 'graves', [two]), { refused: [] });
    });

    test('lists dead letters by death, page by page, and refuses a cursor that is none', async (store) => {
      const ids = ['a', 'b', 'c', 'd', 'e'];
      await enqueue(store, 'q', ids);
      const held = await claim(store, 'q', { most: 10 });
      await kill(store, 'q', held.slice(3), NOW + 1);
      await kill(store, 'q', held.slice(0, 3), NOW + 2);
      const listed: string[] = [];
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<Store['queues']['dead']>> = await store.queues.dead('q', { most: 2, cursor });
        listed.push(...page.messages.map(({ id }) => id));
        cursor = page.cursor;
      } while (cursor !== null);
      assert.deepEqual(listed, ['d', 'e', 'a', 'b', 'c']);
      await assert.rejects(store.queues.dead('q', { most: 2, cursor: 'x' }), withCode('BAD_REQUEST'));
    });

    test('redrives the named ones or all, with no attempts used, but none that a consumer holds', async (store) => {
      await enqueue(store, 'q', ['a', 'b', 'c', 'd']);
      await kill(store, 'q', await claim(store, 'q', { most: 10 }));
      assert.equal(await store.queues.redrive('q', ['b', 'b', 'unknown'], NOW + 10), 1);
      const [b] = await claim(store, 'q', { most: 10, nowMs: NOW + 10 });
      assert.equal(b?.id, 'b');
      assert.equal(b?.attempts, 1);
      assert.deepEqual(idsOf(await claim(store, 'q.dead', { most: 1, leaseUntil: NOW + 1000 })), ['a']);
      assert.equal(await store.queues.redrive('q', 'all', NOW + 20), 2);
      assert.deepEqual(idsOf(await claim(store, 'q', { most: 10, nowMs: NOW + 20 })), ['c', 'd']);
      assert.equal(await store.queues.redrive('q', 'all', NOW + 1000), 1, 'its lease has ended');
      assert.equal(await store.queues.redrive('unknown', 'all', NOW), 0);
    });
  });
}
