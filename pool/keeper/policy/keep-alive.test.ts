import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BIN_MS, IdleHistogram } from './histogram.ts';
import { HOLD_MS, IdleHistory, KEEP_ALIVE, planOf, wantsLoaded } from './keep-alive.ts';

const learned = (...minutes: number[]) => {
  const history = new IdleHistory();
  for (const minute of minutes) history.record(minute * BIN_MS, false);
  return history.plan();
};

test('a function of which nothing is known is kept ten minutes and not loaded ahead', () => {
  const plan = new IdleHistory().plan();
  assert.deepEqual(plan, { by: 'fixed', retireAfterMs: 600_000, prewarmAfterMs: null, keepUntilMs: 600_000 });
  assert.equal(wantsLoaded(plan, 599_999), true);
  assert.equal(wantsLoaded(plan, 600_000), false);
});

test('one called each half hour goes after a minute, is back at 0.9 of it and stays to 1.1 of its end', () => {
  const plan = learned(30, 30, 30, 30, 30, 30);
  assert.equal(plan.by, 'histogram');
  assert.equal(plan.retireAfterMs, HOLD_MS);
  assert.equal(plan.prewarmAfterMs, 27 * BIN_MS);
  assert.ok(Math.abs(plan.keepUntilMs - 34.1 * BIN_MS) < 1e-6);
  const at = (minutes: number) => wantsLoaded(plan, minutes * BIN_MS);
  assert.deepEqual([0, 0.5, 1, 20, 26.9, 27, 31, 34, 34.2].map(at), [
    true,
    true,
    false,
    false,
    false,
    true,
    true,
    true,
    false,
  ]);
});

test('one that may be called again at once is kept without a gap up to its 99th percentile', () => {
  const plan = learned(1, 1, 2, 3, 5, 40);
  assert.equal(plan.by, 'histogram');
  assert.equal(plan.prewarmAfterMs, null);
  assert.ok(Math.abs(plan.retireAfterMs - 41 * 1.1 * BIN_MS) < 1e-6);
});

test('the fixed time holds while samples are too few', () => {
  const few = Array.from({ length: KEEP_ALIVE.leastSamples - 1 }, () => 30);
  assert.equal(learned(...few).by, 'fixed');
  assert.equal(learned(...few, 30).by, 'histogram');
});

test('the fixed time holds when most idle times are out of range', () => {
  assert.equal(learned(30, 30, 30, 30, 30, 300, 300, 300, 300, 300).by, 'histogram');
  assert.equal(learned(30, 30, 30, 30, 30, 300, 300, 300, 300, 300, 300).by, 'fixed');
});

test('the fixed time holds when counts vary little', () => {
  const flat = new IdleHistogram();
  for (let minute = 0; minute < 240; minute++) flat.record(minute * BIN_MS);
  assert.equal(planOf(flat, 0, KEEP_ALIVE).by, 'fixed');
});

test('idle times below a minute teach nothing: each instance is kept so long anyway', () => {
  const history = new IdleHistory();
  for (let count = 0; count < 1_000; count++) history.record(HOLD_MS - 1, false);
  assert.equal(history.plan().by, 'fixed');
  for (let count = 0; count < 6; count++) history.record(30 * BIN_MS, false);
  assert.equal(history.plan().prewarmAfterMs, 27 * BIN_MS);
});

test('what only its cron calls is kept a minute: the next tick is known and loaded ahead', () => {
  const history = new IdleHistory();
  history.record(60 * BIN_MS, true);
  assert.deepEqual(history.plan(), {
    by: 'schedule',
    retireAfterMs: HOLD_MS,
    prewarmAfterMs: null,
    keepUntilMs: HOLD_MS,
  });
  history.record(5 * BIN_MS, false);
  assert.equal(history.plan().by, 'fixed');
});
