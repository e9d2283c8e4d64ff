/** Tokens, audit, and the end of a store. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { NOW, type StoreTest, withCode } from './harness.ts';
import { messageOf } from './messages.ts';

export function accessContract(test: StoreTest): void {
  describe('tokens and audit', () => {
    test('keeps tokens until they are deleted', async (store, again) => {
      const token = {
        id: 't1',
        hash: 'ab',
        scopes: ['read'],
        trustGroups: ['shop'],
        routes: ['x.example/*'],
        createdAt: NOW,
      };
      await store.tokens.put(token);
      await store.tokens.put({ ...token, id: 't2' });
      await store.tokens.put({ ...token, id: 't2', scopes: [] });
      const opened = await again();
      assert.deepEqual(await opened.tokens.list(), [token, { ...token, id: 't2', scopes: [] }]);
      assert.equal(await opened.tokens.delete('t1'), true);
      assert.equal(await opened.tokens.delete('t1'), false);
    });

    test('tells the latest changes first, and those before a time', async (store, again) => {
      const record = (time: number, subject: string) => ({
        time,
        actor: 'admin',
        action: 'deploy',
        subject,
        detail: { a: [1] },
      });
      for (const [time, subject] of [
        [1, 'a'],
        [2, 'b'],
        [2, 'c'],
        [3, 'd'],
      ] as const) {
        await store.audit.append(record(time, subject));
      }
      const opened = await again();
      assert.deepEqual(await opened.audit.list({ most: 2, before: null }), [record(3, 'd'), record(2, 'c')]);
      assert.deepEqual(
        (await opened.audit.list({ most: 9, before: 3 })).map(({ subject }) => subject),
        ['c', 'b', 'a'],
      );
    });
  });

  describe('closing', () => {
    test('finishes what was begun, then refuses', async (store, again) => {
      const begun = Array.from({ length: 50 }, (_, i) => store.queues.enqueue('q', [messageOf(`m${i}`)], NOW));
      const closed = store.close();
      await Promise.all(begun);
      await closed;
      await store.close();
      await assert.rejects(store.queues.list(), withCode('NO_CAPACITY'));
      assert.equal((await (await again()).queues.stats('q', NOW)).depth, 50);
    });
  });
}
