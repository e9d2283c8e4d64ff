import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModuleLimits } from './api.ts';
import { IdleHistory } from './policy/keep-alive.ts';
import { SURPLUS_IDLE_MS, surplusKeepMs } from './scaling.ts';
import { Warmth, type WarmthView } from './warmth.ts';

const MINUTE = 60_000;
const LIMITS: ModuleLimits = {
  timeoutMs: 30_000,
  memoryMb: 128,
  cpuMs: 0,
  concurrency: 64,
  minInstances: 0,
  maxInstances: 16,
  reserved: 0,
  keepAlive: 'auto',
};

function open(over: Partial<ModuleLimits> = {}) {
  const history = new IdleHistory();
  const evictionClock = { value: 0 };
  const warmth = new Warmth({ limits: { ...LIMITS, ...over }, history, evictionClock });
  const look = (now: number, view: Partial<WarmthView> = {}) =>
    warmth.decide({
      now,
      ready: 0,
      loading: 0,
      inFlight: 0,
      waiting: 0,
      idleSince: [],
      busy: 0,
      busyLoops: 0,
      cores: 2,
      room: true,
      ...view,
    });
  const call = (now: number) => {
    warmth.called(now, false, () => true);
    warmth.released(now);
  };
  return { warmth, history, evictionClock, look, call };
}

test('a function called each half hour is let go, loaded ahead once, and let go again', () => {
  const { look, call } = open();
  for (let n = 0; n < 8; n++) call(n * 30 * MINUTE);
  const last = 7 * 30 * MINUTE;
  assert.equal(look(last + MINUTE - 1, { ready: 1, idleSince: [last] }).retire, 0);
  assert.equal(look(last + MINUTE, { ready: 1, idleSince: [last] }).retire, 1);
  assert.equal(look(last + 26 * MINUTE).load, 0);
  assert.equal(look(last + 27 * MINUTE, { room: false }).load, 0);
  assert.equal(look(last + 27 * MINUTE).load, 1);
  assert.equal(look(last + 27 * MINUTE + 250).load, 0, 'evicted since: not loaded over and over');
  assert.equal(look(last + 30 * MINUTE, { ready: 1, idleSince: [last + 27 * MINUTE] }).retire, 0);
  assert.equal(look(last + 35 * MINUTE, { ready: 1, idleSince: [last + 27 * MINUTE] }).retire, 1);
});

test('a gap in which something else ran is no idle time', () => {
  const { warmth, history } = open();
  warmth.called(0, false, () => true);
  for (let n = 1; n < 10; n++) warmth.called(n * 30 * MINUTE, false, () => false);
  assert.equal(history.plan().by, 'fixed');
});

test('a minimum is kept for what takes traffic only, and not against an eviction before the next call', () => {
  const { warmth, look, call } = open({ minInstances: 2 });
  assert.equal(look(0).load, 0);
  warmth.active = true;
  assert.equal(look(1).load, 2);
  assert.equal(look(2, { loading: 2 }).load, 0);
  assert.equal(look(9 * MINUTE * 60, { ready: 2, idleSince: [0, 0] }).retire, 0);
  warmth.silence();
  assert.equal(look(3).load, 0);
  call(4);
  assert.equal(look(5, { ready: 1 }).load, 1);
});

test('what fails to load is tried again with growing pauses', () => {
  const { warmth, look } = open({ minInstances: 1 });
  warmth.active = true;
  warmth.failed(0);
  assert.equal(look(4_999).load, 0);
  assert.equal(look(5_000).load, 1);
  warmth.failed(5_000);
  assert.equal(look(14_999).load, 0);
  assert.equal(look(15_000).load, 1);
});

test('what was asked for ahead stays until then', () => {
  const { warmth, look } = open({ keepAlive: 1 });
  warmth.hold(12_000);
  assert.equal(look(0).load, 1);
  assert.equal(look(11_999, { ready: 1, idleSince: [0] }).retire, 0);
  assert.equal(look(12_000, { ready: 1, idleSince: [0] }).retire, 1);
});

test('one instance more while each loop is busy and a core is idle; it stays as long as they are', () => {
  const { look, call } = open();
  call(0);
  assert.equal(look(1_000, { ready: 1, inFlight: 5, busy: 1, busyLoops: 1 }).load, 1);
  assert.equal(look(1_250, { ready: 2, inFlight: 5, busy: 0, busyLoops: 0 }).drain, 0);
  assert.equal(look(1_000 + SURPLUS_IDLE_MS, { ready: 2, inFlight: 5 }).drain, 1);
});

test('a shrink that is undone soon lets idle instances stay longer the next time', () => {
  const { warmth, look, call } = open();
  call(0);
  const idle = (now: number, since: number) => look(now, { ready: 2, inFlight: 1, idleSince: [since] }).retire;
  assert.equal(idle(SURPLUS_IDLE_MS, 0), 1);
  warmth.loaded(SURPLUS_IDLE_MS + 1_000, 2, true);
  const again = SURPLUS_IDLE_MS + 2_000;
  assert.equal(idle(again + surplusKeepMs(1) - 1, again), 0);
  assert.equal(idle(again + surplusKeepMs(1), again), 1);
});

test('its worth to the pool grows with each use after a pause, and begins anew when a call found it cold', () => {
  const { warmth, evictionClock, call } = open();
  warmth.loaded(0, 20, false);
  for (let n = 0; n < 100; n++) call(n);
  assert.equal(warmth.use(64, false).frequency, 1, 'a burst is one use');
  for (let n = 1; n < 5; n++) call(n * 2 * MINUTE);
  evictionClock.value = 7;
  call(20 * MINUTE);
  assert.deepEqual(warmth.use(64, false), { clockAtUse: 7, frequency: 6, coldMs: 20, memoryMb: 64 });
  assert.equal(warmth.use(64, true).frequency, 1);
  warmth.cold();
  warmth.loaded(21 * MINUTE, 20, false);
  assert.equal(warmth.use(64, false).frequency, 1);
});
