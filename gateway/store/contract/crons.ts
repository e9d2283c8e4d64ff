/** Crons: due once, whoever asks. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { CronClaim, CronClaimed, CronEnd } from '../api/crons.ts';
import type { Store } from '../store.ts';
import { cronOf, NOW, type StoreTest } from './harness.ts';

const LEASE_MS = 10_000;

function claimOf(invocationId: string, more: Partial<CronClaim> = {}): CronClaim {
  const dueAt = more.dueAt ?? NOW;
  const next = { nextAt: dueAt + 1, startedAt: dueAt };
  return { id: 'f/0', dueAt, ...next, invocationId, skipped: null, alone: false, ...more };
}

async function claim(store: Store, claim: CronClaim, owner = 'one'): Promise<CronClaimed['state'] | undefined> {
  const [answer] = await store.crons.claim([claim], owner, claim.startedAt + LEASE_MS);
  return answer?.state;
}

function endOf(invocationId: string, more: Partial<CronEnd> = {}): CronEnd {
  return { id: 'f/0', invocationId, endedAt: NOW + 9, outcome: 'ok', error: null, ...more };
}

export function cronsContract(test: StoreTest): void {
  describe('crons', () => {
    test('sets the crons of one function and keeps what was known of those that stay', async (store, again) => {
      await store.crons.replace('f', [cronOf('f', 0), cronOf('f', 1), cronOf('f', 3)]);
      await store.crons.replace('g', [cronOf('g', 0)]);
      const begun = claimOf('inv-1', { startedAt: NOW + 3, nextAt: NOW + 60_000 });
      assert.equal(await claim(store, begun), 'claimed');
      assert.equal(await store.crons.setPaused('f/1', true, null), true);
      // Said by one who has not seen the claim: the due time that was claimed does not come back.
      const replaced = await store.crons.replace('f', [
        { ...cronOf('f', 0), nextAt: NOW, overlap: 'queue' },
        { ...cronOf('f', 1), nextAt: NOW + 120_000 },
        cronOf('f', 2),
        { ...cronOf('f', 3), timezone: 'Asia/Tokyo', nextAt: NOW + 5 },
      ]);
      const opened = await again();
      assert.deepEqual(await opened.crons.list('f'), replaced);
      const byId = new Map((await opened.crons.list()).map((cron) => [cron.id, cron]));
      assert.deepEqual([...byId.keys()], ['f/0', 'f/1', 'f/2', 'f/3', 'g/0']);
      assert.deepEqual(byId.get('f/0'), {
        ...cronOf('f', 0),
        overlap: 'queue',
        nextAt: NOW + 60_000,
        paused: false,
        running: 1,
        firedUntil: NOW + 3,
        last: {
          dueAt: NOW,
          startedAt: NOW + 3,
          endedAt: null,
          outcome: 'running',
          attempts: 1,
          invocationId: 'inv-1',
          error: null,
        },
      });
      assert.equal(byId.get('f/1')?.paused, true);
      assert.equal(byId.get('f/1')?.nextAt, null, 'a paused one is not due');
      assert.equal(byId.get('f/3')?.nextAt, NOW + 5, 'in another time zone it is due at another time');
      assert.deepEqual(await opened.crons.replace('f', []), []);
      assert.deepEqual(
        (await opened.crons.list()).map(({ id }) => id),
        ['g/0'],
      );
    });

    test('lets exactly one of many claim a due time, and tells the others how it stands', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      const next = NOW + 60_000;
      const claims = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          store.crons.claim([claimOf(`inv-${i}`, { nextAt: next })], `owner ${i}`, NOW + LEASE_MS),
        ),
      );
      const states = claims.flat().map(({ state }) => state);
      assert.equal(states.filter((state) => state === 'claimed').length, 1);
      assert.deepEqual(
        claims.flat().find(({ state }) => state !== 'claimed'),
        { state: 'passed', nextAt: next, paused: false },
      );
      assert.equal(await claim(store, claimOf('next', { dueAt: next, nextAt: null })), 'claimed');
      assert.equal(await claim(store, claimOf('x', { id: 'unknown' })), 'gone');
      assert.deepEqual(await store.crons.claim([claimOf('late')], 'one', NOW), [
        { state: 'passed', nextAt: null, paused: false },
      ]);
      assert.equal((await store.crons.list())[0]?.nextAt, null);
    });

    test('claims many at once, each for itself, answered in their order', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0), cronOf('f', 1)]);
      const answers = await store.crons.claim(
        [claimOf('a', { id: 'f/1' }), claimOf('b', { id: 'none' }), claimOf('c', { id: 'f/1' }), claimOf('d')],
        'one',
        NOW + LEASE_MS,
      );
      assert.deepEqual(
        answers.map(({ state }) => state),
        ['claimed', 'gone', 'passed', 'claimed'],
      );
      assert.deepEqual(await store.crons.claim([], 'one', NOW), []);
      assert.deepEqual((await store.crons.extend('one', NOW + 1)).sort(), ['a', 'd']);
    });

    test('what is to run alone does not while another run is under way', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      await claim(store, claimOf('first', { alone: true }));
      const second = claimOf('second', { dueAt: NOW + 1, alone: true });
      assert.equal(await claim(store, second, 'two'), 'busy');
      assert.equal((await store.crons.list())[0]?.nextAt, NOW + 1, 'nothing has changed');
      await store.crons.finish([endOf('first')], 'one');
      assert.equal(await claim(store, second, 'two'), 'claimed');
      assert.equal(await claim(store, claimOf('beside', { dueAt: NOW + 2 })), 'claimed');
      assert.equal((await store.crons.list())[0]?.running, 2);
    });

    test('a due time that is skipped is recorded with why, and is no run', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      await claim(store, claimOf('runs'));
      assert.equal(await claim(store, claimOf('left', { dueAt: NOW + 1, skipped: 'it "runs"\nstill' })), 'claimed');
      const [skipped] = await store.crons.list();
      assert.equal(skipped?.running, 1);
      assert.equal(skipped?.firedUntil, NOW + 1);
      assert.equal(skipped?.nextAt, NOW + 2);
      assert.deepEqual(skipped?.last, {
        dueAt: NOW + 1,
        startedAt: NOW + 1,
        endedAt: NOW + 1,
        outcome: 'skipped',
        attempts: 1,
        invocationId: 'left',
        error: 'it "runs"\nstill',
      });
      assert.deepEqual(await store.crons.extend('one', NOW + LEASE_MS), ['runs']);
      // The end of the run is news again.
      assert.deepEqual(await store.crons.finish([endOf('runs')], 'one'), []);
      const [ended] = await store.crons.list();
      assert.equal(ended?.running, 0);
      assert.equal(ended?.firedUntil, NOW + 1, 'its turn has been, whatever is told last');
      assert.deepEqual([ended?.last?.invocationId, ended?.last?.outcome, ended?.last?.dueAt], ['runs', 'ok', NOW]);
    });

    test('records how the last run ended, and nothing of one before it', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      await claim(store, claimOf('one'));
      await claim(store, claimOf('two', { dueAt: NOW + 1 }));
      const late = endOf('one', { outcome: 'error', error: 'late news' });
      assert.deepEqual(await store.crons.finish([late, endOf('unknown')], 'one'), ['unknown']);
      assert.equal((await store.crons.list())[0]?.last?.outcome, 'running');
      await store.crons.finish([endOf('two', { outcome: 'error', error: 'it threw:\n\tno data' })], 'one');
      assert.deepEqual((await store.crons.list())[0]?.last, {
        dueAt: NOW + 1,
        startedAt: NOW + 1,
        endedAt: NOW + 9,
        outcome: 'error',
        attempts: 1,
        invocationId: 'two',
        error: 'it threw:\n\tno data',
      });
    });

    test('a run whose owner was not heard from is taken over once, with its id; one that has ended is not', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0), cronOf('f', 1)]);
      await claim(store, claimOf('first'));
      await claim(store, claimOf('beside', { dueAt: NOW + 1 }));
      await claim(store, claimOf('over', { id: 'f/1', nextAt: null }));
      await store.crons.finish([endOf('over', { id: 'f/1' })], 'one');
      assert.deepEqual(await store.crons.takeOver('two', NOW + 9_999, NOW + 20_000, false), []);
      assert.deepEqual((await store.crons.extend('one', NOW + 12_000)).sort(), ['beside', 'first']);
      assert.deepEqual(await store.crons.takeOver('two', NOW + 11_000, NOW + 20_000, false), []);
      const takers = await Promise.all(
        ['two', 'three'].map((owner) => store.crons.takeOver(owner, NOW + 12_000, NOW + 22_000, false)),
      );
      assert.deepEqual(takers.flat(), [
        { id: 'f/0', dueAt: NOW, startedAt: NOW, invocationId: 'first', attempt: 2 },
        { id: 'f/0', dueAt: NOW + 1, startedAt: NOW + 1, invocationId: 'beside', attempt: 2 },
      ]);
      assert.deepEqual(await store.crons.extend('one', NOW + 30_000), [], 'they are no longer its own');
      const [taken] = await store.crons.list();
      assert.deepEqual([taken?.last?.invocationId, taken?.last?.attempts, taken?.running], ['beside', 2, 2]);

      // The one who was not heard from is back.
      const late = [endOf('beside', { outcome: 'error', error: 'from the past' })];
      assert.deepEqual(await store.crons.finish(late, 'one'), ['beside']);
      assert.equal((await store.crons.list())[0]?.last?.outcome, 'running');
      const owner = (takers[0]?.length ?? 0) > 0 ? 'two' : 'three';
      assert.deepEqual(await store.crons.finish([endOf('beside')], owner), []);
      const [ended] = await store.crons.list();
      assert.deepEqual([ended?.last?.outcome, ended?.last?.attempts, ended?.running], ['ok', 2, 1]);

      await store.crons.replace('f', [cronOf('f', 1)]);
      assert.deepEqual(await store.crons.takeOver('four', NOW + 99_000, NOW + 99_000, false), []);
      assert.deepEqual(await store.crons.finish([endOf('first')], owner), ['first'], 'its cron is gone');
    });

    test('who starts again takes its own runs back at once', async (store, again) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      await claim(store, claimOf('cut off', { nextAt: null }));
      const opened = await again();
      assert.deepEqual(await opened.crons.takeOver('one', NOW + 1, NOW + 10_000, false), []);
      const mine = await opened.crons.takeOver('one', NOW + 1, NOW + 10_000, true);
      assert.deepEqual(
        mine.map(({ invocationId, attempt }) => [invocationId, attempt]),
        [['cut off', 2]],
      );
    });

    test('pauses, goes on, and says when there is no such cron', async (store) => {
      await store.crons.replace('f', [cronOf('f', 0)]);
      await store.crons.setPaused('f/0', true, null);
      assert.deepEqual(await store.crons.claim([claimOf('x')], 'one', NOW), [
        { state: 'passed', nextAt: null, paused: true },
      ]);
      await store.crons.setPaused('f/0', false, NOW + 5);
      const [cron] = await store.crons.list();
      assert.equal(cron?.paused, false);
      assert.equal(cron?.nextAt, NOW + 5);
      assert.equal(await store.crons.setPaused('unknown', true, null), false);
    });
  });
}
