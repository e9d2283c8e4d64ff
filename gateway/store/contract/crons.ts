/** Crons: due once, whoever asks. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { CronRun } from '../store.ts';
import { cronOf, NOW, type StoreTest } from './harness.ts';

function runOf(invocationId: string, startedAt = NOW, owner = 'one'): CronRun {
  return { startedAt, invocationId, owner, leaseUntil: startedAt + 10_000 };
}

export function cronsContract(test: StoreTest): void {
  describe('crons', () => {
    test('sets the crons of one function and keeps what was known of those that stay', async (store, again) => {
      await store.crons.replace('f', [cronOf('f', 0), cronOf('f', 1)]);
      await store.crons.replace('g', [cronOf('g', 0)]);
      assert.equal(await store.crons.claim('f/0', NOW, NOW + 60_000, runOf('inv-1', NOW + 3)), true);
      assert.equal(await store.crons.setPaused('f/1', true, null), true);
      await store.crons.replace('f', [
        { ...cronOf('f', 0), nextAt: NOW + 120_000, overlap: 'queue' },
        { ...cronOf('f', 1), nextAt: NOW + 120_000 },
        cronOf('f', 2),
      ]);
      const opened = await again();
      const byId = new Map((await opened.crons.list()).map((cron) => [cron.id, cron]));
      assert.deepEqual([...byId.keys()], ['f/0', 'f/1', 'f/2', 'g/0']);
      assert.deepEqual(byId.get('f/0'), {
        ...cronOf('f', 0),
        overlap: 'queue',
        nextAt: NOW + 120_000,
        paused: false,
        last: {
          dueAt: NOW,
          startedAt: NOW + 3,
          endedAt: null,
          outcome: 'running',
          invocationId: 'inv-1',
          error: null,
        },
      });
      assert.equal(byId.get('f/1')?.paused, true);
      assert.equal(byId.get('f/1')?.nextAt, null, 'a paused one is not due');
      await opened.crons.replace('f', []);
      assert.deepEqual(
        (await opened.crons.list()).map(({ id }) => id),
        ['g/0'],
      );
    });

    test('lets exactly one of many claim a due time', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      const claims = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.crons.claim('f/0', NOW, NOW + 60_000, runOf(`inv-${i}`))),
      );
      assert.equal(claims.filter(Boolean).length, 1);
      assert.equal(await store.crons.claim('f/0', NOW, NOW + 60_000, runOf('late')), false);
      assert.equal(await store.crons.claim('f/0', NOW + 60_000, null, runOf('next')), true);
      assert.equal(await store.crons.claim('unknown', NOW, null, runOf('x')), false);
      assert.equal((await store.crons.list())[0]?.nextAt, null);
    });

    test('records how the last run ended, and nothing of one before it', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      await store.crons.claim('f/0', NOW, NOW + 1, runOf('one'));
      await store.crons.claim('f/0', NOW + 1, NOW + 2, runOf('two', NOW + 1));
      await store.crons.finish('f/0', 'one', NOW + 9, 'error', 'late news');
      assert.equal((await store.crons.list())[0]?.last?.outcome, 'running');
      await store.crons.finish('f/0', 'two', NOW + 9, 'error', 'it threw');
      const last = (await store.crons.list())[0]?.last;
      assert.deepEqual(last, {
        dueAt: NOW + 1,
        startedAt: NOW + 1,
        endedAt: NOW + 9,
        outcome: 'error',
        invocationId: 'two',
        error: 'it threw',
      });
      await store.crons.finish('unknown', 'two', NOW, 'ok', null);
    });

    test('a run whose owner was not heard from is taken over once, with its id; one that has ended is not', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0), cronOf('f', 1)]);
      await store.crons.claim('f/0', NOW, NOW + 1, runOf('first'));
      await store.crons.claim('f/0', NOW + 1, NOW + 2, runOf('beside', NOW + 1));
      await store.crons.claim('f/1', NOW, null, runOf('over'));
      await store.crons.finish('f/1', 'over', NOW + 5, 'ok', null);
      assert.deepEqual(await store.crons.takeOver('two', NOW + 9_999, NOW + 20_000, false), []);
      assert.deepEqual((await store.crons.extend('one', NOW + 12_000)).sort(), ['beside', 'first']);
      assert.deepEqual(await store.crons.takeOver('two', NOW + 11_000, NOW + 20_000, false), []);
      const takers = await Promise.all(
        ['two', 'three'].map((owner) => store.crons.takeOver(owner, NOW + 12_000, NOW + 22_000, false)),
      );
      assert.deepEqual(takers.flat(), [
        { id: 'f/0', dueAt: NOW, startedAt: NOW, invocationId: 'first' },
        { id: 'f/0', dueAt: NOW + 1, startedAt: NOW + 1, invocationId: 'beside' },
      ]);
      assert.deepEqual(await store.crons.extend('one', NOW + 30_000), [], 'they are no longer its own');
      await store.crons.finish('f/0', 'first', NOW + 13_000, 'ok', null);
      await store.crons.replace('f', [cronOf('f', 1)]);
      assert.deepEqual(await store.crons.takeOver('four', NOW + 99_000, NOW + 99_000, false), []);
    });

    test('who starts again takes its own runs back at once', async (store, again) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      await store.crons.claim('f/0', NOW, null, runOf('cut off'));
      const opened = await again();
      assert.deepEqual(await opened.crons.takeOver('one', NOW + 1, NOW + 10_000, false), []);
      const mine = await opened.crons.takeOver('one', NOW + 1, NOW + 10_000, true);
      assert.deepEqual(
        mine.map(({ invocationId }) => invocationId),
        ['cut off'],
      );
    });

    test('pauses, goes on, and says when there is no such cron', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      await store.crons.setPaused('f/0', true, null);
      assert.equal(await store.crons.claim('f/0', NOW, null, runOf('x')), false);
      await store.crons.setPaused('f/0', false, NOW + 5);
      const [cron] = await store.crons.list();
      assert.equal(cron?.paused, false);
      assert.equal(cron?.nextAt, NOW + 5);
      assert.equal(await store.crons.setPaused('unknown', true, null), false);
    });
  });
}
