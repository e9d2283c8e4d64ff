import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BIN_MS, IdleHistogram } from './histogram.ts';
import { HOLD_MS, IdleHistory, rhythmOf, SCHEDULE_HOLD_MS, wantsLoaded } from './keep-alive.ts';
import { Spell, SURPLUS_HOLD_MS } from './spell.ts';

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

test('it is kept until it is worth no more than the price: then an eviction would take it too', () => {
  const past = history(about(30));
  const price = past.gainPerHour(2 * HOUR_MS) / MB;
  assert.ok(Math.abs(past.plan(MB, price).retireAfterMs - 2 * HOUR_MS) < 1);
  assert.ok(past.plan(MB, price * 1.1).retireAfterMs < 1.9 * HOUR_MS);
});

test('each is kept a minute, be it worth nothing', () => {
  assert.equal(history(about(600)).plan(1_000_000).retireAfterMs, HOLD_MS);
});

test('of two with as many uses the one found cold is kept longer', () => {
  const [warm, cold] = [history(about(10)), history(about(10), true)];
  const price = warm.gainPerHour(HOUR_MS) / MB;
  assert.ok(cold.plan(MB, price).retireAfterMs > warm.plan(MB, price).retireAfterMs + BIN_MS);
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

/** Its nth instance was not needed for so long, while the one before it was, or was not. */
function missed(past: IdleHistory, n: number, ms: number, near: boolean): void {
  const spell = new Spell(0, near);
  spell.look(SURPLUS_HOLD_MS + ms, near);
  past.recordBeyond(n, spell);
}

test('an instance beyond the first is worth keeping only once one was missed, each by its own past', () => {
  const past = new IdleHistory();
  const near = new Spell(0, true);
  assert.equal(past.worthBeyondMs(2, near, MB), 0);
  missed(past, 2, 0, true);
  assert.equal(past.worthBeyondMs(2, near, MB), 0);
  missed(past, 3, 5 * BIN_MS, true);
  assert.ok(past.worthBeyondMs(3, near, MB) > 10 * BIN_MS);
  assert.ok(past.worthBeyondMs(3, near, MB) > past.worthBeyondMs(3, near, 2 * MB));
  for (let count = 0; count < 8; count++) missed(past, 3, 30 * HOUR_MS, true);
  assert.equal(past.worthBeyondMs(3, near, MB), 0);
});

test('it is worth more while the one before it is needed, if that is when it was missed, and less with time', () => {
  const past = new IdleHistory();
  for (let count = 0; count < 4; count++) missed(past, 2, 3 * BIN_MS, true);
  const [near, far] = [new Spell(0, true), new Spell(0, false)];
  assert.ok(past.gainBeyondPerHour(2, near) > past.gainBeyondPerHour(2, far));
  const before = past.gainBeyondPerHour(2, near);
  near.look(HOUR_MS, true);
  assert.ok(past.gainBeyondPerHour(2, near) < before);
});

test('a spell counts what is beyond the hold, by whether the one before was needed', () => {
  const spell = new Spell(1_000, true);
  spell.look(1_000 + SURPLUS_HOLD_MS - 1, true);
  assert.deepEqual([spell.nearMs, spell.farMs, spell.heldMs(1_000)], [0, 0, SURPLUS_HOLD_MS]);
  spell.look(1_000 + SURPLUS_HOLD_MS + 10, false);
  spell.look(1_000 + SURPLUS_HOLD_MS + 15, true);
  assert.deepEqual([spell.nearMs, spell.farMs, spell.near], [10, 5, true]);
  assert.equal(spell.heldMs(1_000 + SURPLUS_HOLD_MS + 15), 0);
});
