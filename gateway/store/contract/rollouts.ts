/** Rollouts: kept until they end and long after, each step together with its traffic. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { rolloutRequestSchema, stepsOf } from '../../../functions/contract/rollout.ts';
import type { RolloutRecord } from '../api/rollouts.ts';
import { functionOf, loadAll, NOW, type StoreTest, withCode } from './harness.ts';

function rolloutOf(id: string, more: Partial<RolloutRecord> = {}): RolloutRecord {
  const request = rolloutRequestSchema.parse({
    functions: [{ name: 'shop', version: 'v2' }],
    steps: [{ beta: { header: { 'x-beta': 'ja, ü' } } }, { batches: 3, pauseSeconds: 1.5 }],
  });
  return {
    id,
    revision: 1,
    functions: [{ name: 'shop', version: 'v2', before: { split: [{ version: 'v1', percent: 100 }] }, previous: null }],
    steps: stepsOf(request.steps),
    guard: request.guard,
    state: 'running',
    step: 0,
    elapsedMs: 0,
    since: NOW,
    why: null,
    createdBy: 'admin',
    createdAt: NOW,
    updatedAt: NOW,
    ...more,
  };
}

export function rolloutsContract(test: StoreTest): void {
  describe('rollouts', () => {
    test('keeps all that is known of one over a restart', async (store, again) => {
      const running = rolloutOf('a');
      const ended = rolloutOf('b', {
        revision: 2,
        state: 'stopped',
        step: 2,
        elapsedMs: 250.5,
        why: 'error rate 50 %',
        guard: false,
      });
      await store.rollouts.put(running);
      await store.rollouts.put(rolloutOf('b'));
      await store.rollouts.put(ended);
      const opened = await again();
      assert.deepEqual(await opened.rollouts.get('a'), running);
      assert.deepEqual(await opened.rollouts.get('b'), ended);
      assert.equal(await opened.rollouts.get('c'), null);
    });

    test('tells those that run from those that have ended', async (store) => {
      const states = ['running', 'paused', 'waiting', 'completed', 'stopped', 'aborted'] as const;
      for (const [i, state] of states.entries()) {
        await store.rollouts.put(rolloutOf(state, { state, createdAt: NOW + i }));
      }
      const ids = (records: RolloutRecord[]) => records.map(({ id }) => id);
      assert.deepEqual(ids(await store.rollouts.running()), ['running', 'paused', 'waiting']);
      assert.deepEqual(ids(await store.rollouts.list(4)), ['aborted', 'stopped', 'completed', 'waiting']);
      await store.rollouts.put(rolloutOf('paused', { revision: 2, state: 'aborted', createdAt: NOW + 1 }));
      assert.deepEqual(ids(await store.rollouts.running()), ['running', 'waiting']);
    });

    test('stores a step together with the traffic of all its functions', async (store, again) => {
      const records = ['shop', 'cart'].map((name) => ({ ...functionOf(name, 'v2'), updatedAt: NOW + 5 }));
      const rollout = rolloutOf('a', { step: 1, updatedAt: NOW + 5 });
      await store.registry.putFunctions(records, rollout);
      const opened = await again();
      assert.deepEqual((await loadAll(opened)).functions, records.toReversed());
      assert.deepEqual(await opened.rollouts.running(), [rollout]);
    });

    test('refuses every revision but the next one, and with it the traffic of its step', async (store) => {
      const traffic = functionOf('shop', 'v1');
      await store.registry.putFunctions([traffic], rolloutOf('a'));
      const refused = [0, 1, 3].map((revision) => rolloutOf('a', { revision, step: 1 }));
      for (const record of [...refused, rolloutOf('new', { revision: 2 })]) {
        await assert.rejects(store.rollouts.put(record), withCode('CONFLICT'));
        await assert.rejects(store.registry.putFunctions([functionOf('shop', 'v2')], record), withCode('CONFLICT'));
      }
      assert.deepEqual(await store.rollouts.running(), [rolloutOf('a')]);
      assert.deepEqual((await loadAll(store)).functions, [traffic]);
      const taken = await Promise.allSettled(
        Array.from({ length: 10 }, () => store.rollouts.put(rolloutOf('a', { revision: 2, step: 1 }))),
      );
      assert.equal(taken.filter(({ status }) => status === 'fulfilled').length, 1);
    });

    test('lets go of the oldest that have ended, and of none that runs', async (store) => {
      await store.rollouts.put(rolloutOf('first', { createdAt: NOW - 1 }));
      const id = (i: number) => `r${String(i).padStart(4, '0')}`;
      await Promise.all(
        Array.from({ length: 1005 }, (_, i) =>
          store.rollouts.put(rolloutOf(id(i), { state: 'completed', createdAt: NOW + i })),
        ),
      );
      const kept = await store.rollouts.list(2000);
      assert.equal(kept.length, 1001);
      assert.equal(kept.at(-1)?.id, 'first');
      assert.equal(kept.at(-2)?.id, id(5));
    });
  });
}
