import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModuleLimits } from '../api.ts';
import { IdleHistory } from '../policy/keep-alive.ts';
import { SURPLUS_HOLD_MS } from '../policy/spell.ts';
import { LIMITS } from '../testing/limits.ts';
import { Warmth, type WarmthView } from './warmth.ts';

const MINUTE = 60_000;

function open(over: Partial<ModuleLimits> = {}) {
  const history = new IdleHistory();
  const warmth = new Warmth({ limits: { ...LIMITS, ...over }, history });
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
      memoryMb: 20,
      room: true,
      ...view,
    });
  const call = (now: number) => {
    warmth.called(now, false, () => true);
    warmth.released(now);
  };
  return { warmth, history, look, call };
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
  assert.equal(history.plan(20).by, 'worth');
});

test('a minimum is kept for what takes traffic only, and not against an eviction before the next call', () => {
  const { warmth, look, call } = open({ minInstances: 2 });
  assert.equal(look(0).load, 0);
  warmth.activate();
  assert.equal(look(1).load, 2);
  assert.equal(look(2, { loading: 2 }).load, 0);
  assert.equal(look(9 * MINUTE * 60, { ready: 2, idleSince: [0, 0] }).retire, 0);
  warmth.silence();
  assert.equal(look(3).load, 0);
  call(4);
  assert.equal(look(5, { ready: 1 }).load, 1);
});

test('what lost its traffic keeps one instance for ten minutes, is not loaded ahead, and is the first to go', () => {
  const { warmth, look, call } = open({ minInstances: 2 });
  warmth.activate();
  for (let n = 0; n < 8; n++) call(n * 30 * MINUTE);
  const last = 7 * 30 * MINUTE;
  assert.ok(warmth.idle(last + 28 * MINUTE, 1, 20).gainPerHour > 0);
  const rested = last + 20 * MINUTE;
  warmth.rest(rested);
  assert.equal(look(rested, { ready: 2, idleSince: [last, last] }).retire, 1);
  assert.equal(look(rested + 10 * MINUTE - 1, { ready: 1, idleSince: [last] }).retire, 0);
  assert.equal(warmth.idle(last + 28 * MINUTE, 1, 20).gainPerHour, 0);
  assert.equal(look(rested + 10 * MINUTE, { ready: 1, idleSince: [last] }).retire, 1);
  assert.equal(look(rested + 11 * MINUTE).load, 0, 'its rhythm or its minimum would have it');
  warmth.activate();
  assert.equal(look(rested + 12 * MINUTE).load, 2, 'its traffic came back');
});

test('seconds that a manifest names hold for what lost its traffic too', () => {
  const { warmth, look } = open({ keepAlive: 5 });
  warmth.rest(0);
  assert.equal(look(4_999, { ready: 1, idleSince: [0] }).retire, 0);
  assert.equal(look(5_000, { ready: 1, idleSince: [0] }).retire, 1);
});

test('what fails to load is tried again with growing pauses', () => {
  const { warmth, look } = open({ minInstances: 1 });
  warmth.activate();
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
  assert.equal(look(1_250, { ready: 2, inFlight: 5, busy: 1, busyLoops: 1 }).drain, 0);
  assert.equal(look(1_250 + SURPLUS_HOLD_MS - 1, { ready: 2, inFlight: 5 }).drain, 0);
  assert.equal(look(1_250 + SURPLUS_HOLD_MS, { ready: 2, inFlight: 5 }).drain, 1);
});

test('instances beyond the first go twenty seconds after they were needed, whichever of them was idle', () => {
  const { look } = open({ concurrency: 1 });
  const at = (now: number, idleSince: number[]) => look(now, { ready: 3, inFlight: 3 - idleSince.length, idleSince });
  assert.equal(at(0, []).retire, 0);
  assert.equal(at(10_000, [9_000]).retire, 0, 'all three were needed since the last look');
  assert.equal(at(10_000 + SURPLUS_HOLD_MS - 1, [9_000, 9_000]).retire, 0);
  assert.equal(at(10_000 + SURPLUS_HOLD_MS, [9_000, 9_000]).retire, 2);
});

test('an instance that was missed soon is kept longer the next time', () => {
  const { look } = open({ concurrency: 1 });
  const at = (now: number, idle: boolean) =>
    look(now, { ready: 2, inFlight: idle ? 1 : 2, idleSince: idle ? [0] : [] }).retire;
  at(0, false);
  assert.equal(at(SURPLUS_HOLD_MS, true), 1);
  const again = 5 * MINUTE;
  at(again, false);
  assert.equal(at(again + SURPLUS_HOLD_MS, true), 0);
  assert.equal(at(again + 24 * 60 * MINUTE, true), 1);
});

test('the measured memory decides how long it is kept: a small one longer', () => {
  const { look, call } = open();
  for (let n = 0; n < 12; n++) call(n * n * MINUTE);
  const last = 121 * MINUTE;
  const goneAfter = (memoryMb: number) => {
    for (let minutes = 1; ; minutes++) {
      const now = last + minutes * MINUTE;
      if (look(now, { ready: 1, idleSince: [last], memoryMb }).retire === 1) return minutes;
    }
  };
  assert.ok(goneAfter(400) > goneAfter(800));
});

test('what was loaded for something to come is worth the most, and one beyond the first is worth what it was missed', () => {
  const { warmth, look, call } = open({ concurrency: 1 });
  call(0);
  const idle = warmth.idle(5 * MINUTE, 1, 64);
  assert.equal(idle.memoryMb, 64);
  warmth.hold(6 * MINUTE);
  assert.ok(warmth.idle(5 * MINUTE, 1, 64).gainPerHour > idle.gainPerHour);
  const both = (now: number) => look(now, { ready: 2, inFlight: 2 });
  const one = (now: number) => look(now, { ready: 2, inFlight: 1, idleSince: [0] });
  both(0);
  one(MINUTE);
  assert.equal(warmth.idle(MINUTE, 2, 64).gainPerHour, 0);
  both(2 * MINUTE);
  one(3 * MINUTE);
  assert.ok(warmth.idle(3 * MINUTE, 2, 64).gainPerHour > 0);
});

test('the instance after those in use is loaded before it is missed again, once', () => {
  const { look } = open({ concurrency: 1, maxInstances: 2 });
  const one = (now: number, room = true) => look(now, { ready: 1, inFlight: 1, room }).load;
  look(0, { ready: 2, inFlight: 2 });
  assert.equal(one(MINUTE), 0, 'none was missed so far');
  look(2 * MINUTE, { ready: 2, inFlight: 2 });
  assert.equal(one(3 * MINUTE, false), 0);
  assert.equal(one(3 * MINUTE), 1);
  assert.equal(one(3 * MINUTE + 250), 0, 'evicted since: not loaded over and over');
  look(4 * MINUTE, { ready: 1, idleSince: [3 * MINUTE] });
  assert.equal(look(5 * MINUTE, { ready: 1, idleSince: [3 * MINUTE] }).load, 0, 'nothing is in use');
  assert.equal(one(6 * MINUTE), 1);
});
