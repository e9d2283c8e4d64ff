import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdleHistory, type KeepAlivePlan } from './keep-alive.ts';
import {
  busyToDrain,
  giverOf,
  handicap,
  idleToRetire,
  mayGrow,
  mayGrowByLoop,
  mayTake,
  needed,
  reservedBases,
  SLOW_START_MS,
} from './scaling.ts';

const PLAN: KeepAlivePlan = new IdleHistory().plan(128);
const AUTO = { keepAlive: 'auto' as const, minInstances: 0, concurrency: 64 };

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

test('under auto idle instances go down to those worth keeping, the last one by its plan', () => {
  const view = { limits: AUTO, plan: PLAN, live: 3, worthwhile: 1, functionIdleMs: 25_000, held: false };
  assert.equal(idleToRetire({ ...view, idleMs: [25_000, 25_000, 25_000] }), 2);
  assert.equal(idleToRetire({ ...view, worthwhile: 2, idleMs: [25_000, 25_000, 25_000] }), 1);
  assert.equal(idleToRetire({ ...view, worthwhile: 3, idleMs: [25_000, 25_000, 25_000] }), 0);
  const last = { ...view, live: 1, idleMs: [PLAN.retireAfterMs] };
  assert.equal(idleToRetire({ ...last, functionIdleMs: PLAN.retireAfterMs }), 1);
  assert.equal(idleToRetire({ ...last, functionIdleMs: PLAN.retireAfterMs - 1 }), 0);
  assert.equal(idleToRetire({ ...last, functionIdleMs: PLAN.retireAfterMs, held: true }), 0);
});

test('the seconds of keepAlive hold for each instance, and minInstances stay', () => {
  const view = { plan: PLAN, live: 3, worthwhile: 1, functionIdleMs: 9_000, held: false };
  const limits = { ...AUTO, keepAlive: 5 };
  assert.equal(idleToRetire({ ...view, limits, idleMs: [9_000, 5_000, 4_999] }), 2);
  assert.equal(idleToRetire({ ...view, limits: { ...limits, minInstances: 2 }, idleMs: [9_000, 9_000, 9_000] }), 1);
  assert.equal(idleToRetire({ ...view, limits: { ...AUTO, minInstances: 3 }, idleMs: [9e9, 9e9, 9e9] }), 0);
});

test('what runs takes as many instances as give it twice its slots, and what waits takes all there are', () => {
  const view = { limits: AUTO, ready: 10, loading: 0, inFlight: 3, waiting: 0, unused: 0, loopBusy: false };
  assert.equal(needed(view), 1);
  assert.equal(needed({ ...view, inFlight: 100 }), 4);
  assert.equal(needed({ ...view, inFlight: 640 }), 10);
  assert.equal(needed({ ...view, inFlight: 640, unused: 3 }), 7);
  assert.equal(needed({ ...view, loopBusy: true, unused: 2 }), 8);
  assert.equal(needed({ ...view, waiting: 1, unused: 9 }), 10);
  assert.equal(needed({ ...view, loading: 2, unused: 10 }), 12);
  assert.equal(needed({ ...view, limits: { concurrency: 1 }, inFlight: 4, unused: 6 }), 4);
  assert.equal(needed({ ...view, inFlight: 0, unused: 10 }), 0);
});

test("instances in which little runs are given back too, but not under a time of one's own or with one call each", () => {
  const view = { limits: AUTO, plan: PLAN, live: 10, worthwhile: 4, idleMs: [], functionIdleMs: null, held: false };
  assert.equal(busyToDrain(view, 0), 6);
  assert.equal(busyToDrain(view, 2), 4);
  assert.equal(busyToDrain({ ...view, worthwhile: 1, limits: { ...AUTO, minInstances: 6 } }, 0), 4);
  assert.equal(busyToDrain({ ...view, limits: { ...AUTO, concurrency: 1 } }, 0), 0);
  assert.equal(busyToDrain({ ...view, limits: { ...AUTO, keepAlive: 600 } }, 0), 0);
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
