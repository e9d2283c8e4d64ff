import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdleHistory, type KeepAlivePlan } from './policy/keep-alive.ts';
import {
  giverOf,
  handicap,
  idleToRetire,
  mayGrow,
  mayGrowByLoop,
  mayTake,
  nextRegrets,
  reservedBases,
  SLOW_START_MS,
  SURPLUS_IDLE_MS,
  surplus,
  surplusKeepMs,
} from './scaling.ts';

const PLAN: KeepAlivePlan = new IdleHistory().plan();
const AUTO = { keepAlive: 'auto' as const, minInstances: 0 };

test('single flight: while the first instance is on its way five hundred callers start no other', () => {
  const view = { ready: 0, loading: 0, waiting: 1, concurrency: 64, maxInstances: 16 };
  assert.equal(mayGrow(view), true);
  assert.equal(mayGrow({ ...view, loading: 1, waiting: 500 }), false);
});

test('later as many may be on their way as the callers fill, and at most half as many as there are', () => {
  const view = { ready: 4, concurrency: 1, maxInstances: 16 };
  assert.equal(mayGrow({ ...view, loading: 1, waiting: 36 }), true);
  assert.equal(mayGrow({ ...view, loading: 2, waiting: 36 }), false);
  assert.equal(mayGrow({ ...view, loading: 1, waiting: 1 }), false);
  assert.equal(mayGrow({ ...view, ready: 12, loading: 4, waiting: 36 }), false);
});

test('growth from one to forty times the load takes eight rounds of loading', () => {
  let ready = 1;
  let rounds = 0;
  for (; ready < 40; rounds++) {
    let loading = 0;
    while (mayGrow({ ready, loading, waiting: 40 - ready, concurrency: 1, maxInstances: 40 })) loading++;
    assert.ok(loading > 0);
    ready += loading;
  }
  assert.equal(rounds, 8);
});

test('a busy loop grows the function while a core is idle; one that waits for others does not', () => {
  const view = { ready: 1, loading: 0, maxInstances: 16, busy: 1, busyLoops: 1, cores: 2 };
  assert.equal(mayGrowByLoop(view), true);
  assert.equal(mayGrowByLoop({ ...view, busy: 0, busyLoops: 0 }), false);
  assert.equal(mayGrowByLoop({ ...view, busyLoops: 2 }), false);
  assert.equal(mayGrowByLoop({ ...view, ready: 2 }), false);
  assert.equal(mayGrowByLoop({ ...view, loading: 1 }), false);
  assert.equal(mayGrowByLoop({ ...view, maxInstances: 1 }), false);
  assert.equal(mayGrowByLoop({ ...view, ready: 0, busy: 0 }), false);
});

test('a new instance gets little at first, its full share after some seconds, and more when others are full', () => {
  assert.equal(handicap(0, 10), 8);
  assert.equal(handicap(SLOW_START_MS / 2, 10), 4);
  assert.equal(handicap(SLOW_START_MS, 10), 0);
  assert.equal(handicap(0, 0), 0);
});

test('under auto all but the last idle instance go after twenty seconds, the last one by its plan', () => {
  const view = {
    limits: AUTO,
    plan: PLAN,
    live: 3,
    functionIdleMs: 25_000,
    held: false,
    surplusKeepMs: SURPLUS_IDLE_MS,
  };
  assert.equal(idleToRetire({ ...view, idleMs: [25_000, 25_000, 25_000] }), 2);
  assert.equal(idleToRetire({ ...view, idleMs: [25_000, 5_000, 5_000] }), 1);
  assert.equal(idleToRetire({ ...view, live: 1, idleMs: [PLAN.retireAfterMs], functionIdleMs: PLAN.retireAfterMs }), 1);
  assert.equal(idleToRetire({ ...view, live: 1, idleMs: [PLAN.retireAfterMs], functionIdleMs: 599_999 }), 0);
  assert.equal(idleToRetire({ ...view, live: 1, idleMs: [900_000], functionIdleMs: 900_000, held: true }), 0);
});

test('the seconds of keepAlive hold for each instance, and minInstances stay', () => {
  const view = { plan: PLAN, live: 3, functionIdleMs: 9_000, held: false, surplusKeepMs: SURPLUS_IDLE_MS };
  const limits = { keepAlive: 5, minInstances: 0 };
  assert.equal(idleToRetire({ ...view, limits, idleMs: [9_000, 5_000, 4_999] }), 2);
  assert.equal(idleToRetire({ ...view, limits: { ...limits, minInstances: 2 }, idleMs: [9_000, 9_000, 9_000] }), 1);
  assert.equal(idleToRetire({ ...view, limits: { ...AUTO, minInstances: 3 }, idleMs: [9e9, 9e9, 9e9] }), 0);
});

test('instances in which little runs are given back down to twice what the last peak took', () => {
  const limits = { keepAlive: 'auto' as const, minInstances: 0, concurrency: 64 };
  const view = { limits, live: 10, peakInFlight: 3, loopWasBusy: false, regrets: 0 };
  assert.equal(surplus(view), 9);
  assert.equal(surplus({ ...view, peakInFlight: 100 }), 6);
  assert.equal(surplus({ ...view, peakInFlight: 640 }), 0);
  assert.equal(surplus({ ...view, loopWasBusy: true }), 0);
  assert.equal(surplus({ ...view, regrets: 1 }), 0);
  assert.equal(surplus({ ...view, limits: { ...limits, minInstances: 4 } }), 6);
  assert.equal(surplus({ ...view, limits: { ...limits, concurrency: 1 } }), 0);
  assert.equal(surplus({ ...view, limits: { ...limits, keepAlive: 600 } }), 0);
});

test('what was given back too soon is kept longer the next time, ten minutes at most, until it was not too soon', () => {
  assert.deepEqual([0, 1, 2, 20].map(surplusKeepMs), [20_000, 100_000, 500_000, 600_000]);
  assert.equal(nextRegrets(0, 30_000), 1);
  assert.equal(nextRegrets(3, 30_000), 3);
  assert.equal(nextRegrets(2, 600_000), 1);
  assert.equal(nextRegrets(0, Number.POSITIVE_INFINITY), 0);
});

test('a reserve is counted in bases', () => {
  assert.equal(reservedBases({ reserved: 0, concurrency: 64 }), 0);
  assert.equal(reservedBases({ reserved: 1, concurrency: 64 }), 1);
  assert.equal(reservedBases({ reserved: 65, concurrency: 64 }), 2);
  assert.equal(reservedBases({ reserved: 3, concurrency: 1 }), 3);
});

test('nobody takes what another has in reserve; its owner does, also when nothing else is left', () => {
  const nothing = { live: 0, reserved: 0 };
  assert.equal(mayTake({ free: 2, own: nothing, unused: 2 }), false);
  assert.equal(mayTake({ free: 3, own: nothing, unused: 2 }), true);
  assert.equal(mayTake({ free: 1, own: { live: 0, reserved: 1 }, unused: 0 }), true);
  assert.equal(mayTake({ free: 2, own: { live: 1, reserved: 1 }, unused: 2 }), false);
});

test('who holds the most gives a base to who waits, if it is not left with fewer', () => {
  const holder = (functionName: string, held: number, least = 0) => ({ functionName, held, least });
  const giver = (...holders: ReturnType<typeof holder>[]) => giverOf(holders, 'waits')?.functionName ?? null;
  assert.equal(giver(holder('a', 2), holder('b', 5), holder('waits', 0)), 'b');
  assert.equal(giver(holder('b', 5), holder('waits', 4)), null);
  assert.equal(giver(holder('b', 5, 5), holder('a', 2), holder('waits', 0)), 'a');
  assert.equal(giver(holder('a', 1)), null);
  assert.equal(giver(holder('waits', 5)), null);
});
