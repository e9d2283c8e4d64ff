import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BIN_MS, IdleHistogram } from './histogram.ts';
import { HOLD_MS, IdleHistory, rhythmOf, SCHEDULE_HOLD_MS, SURPLUS_HOLD_MS, wantsLoaded } from './keep-alive.ts';

const HOUR_MS = 60 * BIN_MS;
const MB = 100;

/** Called and found cold or not after each of these idle times, minutes. */
function history(minutes: number[], cold = false): IdleHistory {
  const past = new IdleHistory();
  for (const minute of minutes) {
    past.record(minute * BIN_MS, false);
    past.called();
    if (cold) past.foundCold();
  }
  return past;
}

/** Idle times with no rhythm in them about a mean of so many minutes. */
const about = (mean: number, count = 12) => Array.from({ length: count }, (_, n) => mean * (0.1 + (n % 6) * 0.36));

test('who is called more often is worth more, and who is small is kept longer for it than who is large', () => {
  assert.ok(history(about(20)).gainPerHour(0) > history(about(200)).gainPerHour(0));
  const kept = (memoryMb: number) => {
    const plan = history(about(60)).plan(memoryMb, 0.02);
    assert.equal(plan.by, 'worth');
    return plan.retireAfterMs;
  };
  assert.ok(kept(200) > kept(300));
});

test('none is kept longer than six hours', () => {
  assert.equal(history(about(20)).plan(1).retireAfterMs, 6 * HOUR_MS);
});

test('each is kept a minute, be it worth nothing, and a higher price shortens the rest', () => {
  const past = history(about(600));
  assert.equal(past.plan(4_096).retireAfterMs, HOLD_MS);
  assert.ok(history(about(60)).plan(16, 0.2).retireAfterMs > history(about(60)).plan(16, 0.21).retireAfterMs);
});

test('what is kept by worth goes when an eviction at that price would take it', () => {
  const past = history(about(30));
  const { retireAfterMs } = past.plan(MB, 0.03);
  assert.ok(retireAfterMs > HOLD_MS);
  assert.ok(Math.abs(past.gainPerHour(retireAfterMs) / MB - 0.03) < 1e-9);
});

test('of two with as many uses the one found cold is kept longer', () => {
  const [warm, cold] = [history(about(100)), history(about(100), true)];
  assert.ok(cold.plan(MB, 0.03).retireAfterMs > warm.plan(MB, 0.03).retireAfterMs);
});

test('one called each half hour goes after a minute, is back at 0.9 of it and stays to 1.1 of its end', () => {
  const plan = history([30, 30, 30, 30, 30, 30]).plan(MB);
  assert.equal(plan.by, 'rhythm');
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

test('with a rhythm it is worth nothing before its time and much in it', () => {
  const past = history([30, 30, 30, 30, 30, 30]);
  assert.equal(past.gainPerHour(5 * BIN_MS), 0);
  assert.ok(past.gainPerHour(30 * BIN_MS) > 60 / 7.1 - 1);
  assert.equal(past.gainPerHour(40 * BIN_MS), 0);
});

test('few samples, wide ones, and ones out of range are no rhythm', () => {
  const of = (...minutes: number[]) => {
    const histogram = new IdleHistogram();
    for (const minute of minutes) histogram.record(minute * BIN_MS);
    return rhythmOf(histogram);
  };
  assert.equal(of(30, 30, 30, 30), null);
  assert.notEqual(of(30, 30, 30, 30, 30), null);
  assert.equal(of(30, 30, 30, 30, 30, 70), null);
  assert.equal(of(30, 30, 30, 30, 30, 300), null);
  assert.equal(of(1, 1, 1, 1, 1, 1), null);
});

test('idle times below a minute teach nothing: each instance is kept so long anyway', () => {
  const past = new IdleHistory();
  const before = past.plan(MB);
  for (let count = 0; count < 1_000; count++) past.record(HOLD_MS - 1, false);
  assert.deepEqual(past.plan(MB), before);
});

test('what only its cron wakes goes in seconds and is evicted first: the next tick is known and loaded ahead', () => {
  const past = new IdleHistory();
  past.record(HOUR_MS, true);
  assert.deepEqual(past.plan(MB), {
    by: 'schedule',
    retireAfterMs: SCHEDULE_HOLD_MS,
    prewarmAfterMs: null,
    keepUntilMs: SCHEDULE_HOLD_MS,
  });
  assert.equal(past.gainPerHour(0), 0);
  past.record(5 * BIN_MS, false);
  assert.equal(past.plan(MB).by, 'worth');
});

test('an instance beyond the first goes after twenty seconds until one was missed, each by its own past', () => {
  const past = new IdleHistory();
  assert.equal(past.keepBeyondMs(2, MB), SURPLUS_HOLD_MS);
  past.recordBeyond(2, SURPLUS_HOLD_MS - 1);
  assert.equal(past.keepBeyondMs(2, MB), SURPLUS_HOLD_MS);
  past.recordBeyond(3, 5 * BIN_MS);
  assert.equal(past.keepBeyondMs(2, MB), SURPLUS_HOLD_MS);
  assert.ok(past.keepBeyondMs(3, MB) > 10 * BIN_MS);
  assert.ok(past.gainBeyondPerHour(3, 0) > past.gainBeyondPerHour(3, HOUR_MS));
  for (let count = 0; count < 8; count++) past.recordBeyond(3, 3 * HOUR_MS);
  assert.equal(past.keepBeyondMs(3, MB), SURPLUS_HOLD_MS);
});
