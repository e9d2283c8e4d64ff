import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseStore } from './store/api/leases.ts';
import { createSweeps } from './sweeps.ts';
import { ManualClock, openStore, SILENT, settle } from './triggers/testing/harness.ts';

const NOW = 1_800_000_000_000;
const EVERY_MS = 60_000;

/** So many expired things, which one round is to remove. */
function pile(count: number) {
  const steps: number[] = [];
  let left = count;
  return {
    steps,
    left: () => left,
    sweep: (_nowMs: number, most: number) => {
      const removed = Math.min(most, left);
      left -= removed;
      steps.push(removed);
      return Promise.resolve(removed);
    },
  };
}

test('what has expired is removed in steps, each minute', async (t) => {
  const store = await openStore(t);
  const clock = new ManualClock(NOW);
  const [many, none] = [pile(450), pile(0)];
  const parts = { leases: store.leases, owner: 'a', now: clock.now, timers: clock, log: SILENT };
  const sweeps = createSweeps({ ...parts, sweeps: [many.sweep, none.sweep] });
  sweeps.start();
  await settle(store);
  assert.deepEqual(many.steps, [], 'not at the start, when there is other work');
  clock.advance(EVERY_MS);
  await settle(store);
  assert.deepEqual([many.steps, none.steps], [[200, 200, 50], [0]]);
  clock.advance(EVERY_MS);
  await settle(store);
  assert.equal(many.steps.length, 4);
  await sweeps.drain();
  assert.equal(clock.timers, 0);
});

test('one gateway at a time sweeps, and another goes on when it is gone', async (t) => {
  const store = await openStore(t);
  const clock = new ManualClock(NOW);
  const [first, second] = [pile(10), pile(10)];
  const parts = { leases: store.leases, now: clock.now, timers: clock, log: SILENT };
  const one = createSweeps({ ...parts, owner: 'a', sweeps: [first.sweep] });
  const other = createSweeps({ ...parts, owner: 'b', sweeps: [second.sweep] });
  one.start();
  clock.advance(1);
  other.start();
  clock.advance(EVERY_MS);
  await settle(store);
  assert.deepEqual([first.left(), second.left()], [0, 10]);
  await one.drain();
  for (let minute = 0; minute < 4; minute++) {
    clock.advance(EVERY_MS);
    await settle(store);
  }
  assert.equal(second.left(), 0);
  await other.drain();
});

test('a store that fails is tried again, and a drain ends it in the middle', async (t) => {
  const store = await openStore(t);
  const clock = new ManualClock(NOW);
  let failures = 1;
  const leases: LeaseStore = {
    ...store.leases,
    take: (...args) => {
      failures -= 1;
      return failures >= 0 ? Promise.reject(new Error('away')) : store.leases.take(...args);
    },
  };
  const endless = pile(Number.POSITIVE_INFINITY);
  const sweeps = createSweeps({
    sweeps: [
      async (nowMs, most) => {
        const removed = await endless.sweep(nowMs, most);
        if (endless.steps.length === 3) void sweeps.drain();
        return removed;
      },
    ],
    leases,
    owner: 'a',
    now: clock.now,
    timers: clock,
    log: SILENT,
  });
  sweeps.start();
  clock.advance(EVERY_MS);
  await settle(store);
  assert.equal(endless.steps.length, 0);
  clock.advance(EVERY_MS);
  await settle(store);
  await sweeps.drain();
  assert.equal(endless.steps.length, 3);
  assert.equal(clock.timers, 0);
});
