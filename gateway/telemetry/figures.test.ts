import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Timers } from '../triggers/timers.ts';
import { createTelemetry } from './create-telemetry.ts';
import { createFigures, STEP_MS } from './figures.ts';
import { createMetrics } from './metrics.ts';
import { quantile } from './quantile.ts';
import { COLD, finished, poolSnapshot, silentLog, WARM } from './testing/finished.ts';

/** A clock that stands until it is moved; what is due on the way is called. */
function createTime(startMs: number) {
  let nowMs = startMs;
  let due: { at: number; call: () => void }[] = [];
  const timers: Timers = {
    after(ms, call) {
      const timer = { at: nowMs + ms, call };
      due.push(timer);
      return () => {
        due = due.filter((other) => other !== timer);
      };
    },
  };
  return {
    now: () => nowMs,
    timers,
    pending: () => due.length,
    pass(ms: number) {
      const until = nowMs + ms;
      for (;;) {
        const next = due.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        due = due.filter((other) => other !== next);
        nowMs = next.at;
        next.call();
      }
      nowMs = until;
    },
  };
}

const BEGUN = 1_800_000_000_000;

function create() {
  const time = createTime(BEGUN);
  const metrics = createMetrics({ pool: () => poolSnapshot() });
  const telemetry = createTelemetry({
    env: {},
    sources: { pool: () => poolSnapshot() },
    now: time.now,
    log: silentLog(),
  });
  const figures = createFigures({ source: metrics, now: time.now, timers: time.timers });
  const call = (changes: Parameters<typeof finished>[1] = {}) => metrics.finished(finished(telemetry, changes));
  return { time, metrics, figures, call };
}

test('calls, errors, timeouts and cold starts of the last minutes are told, over versions and triggers', () => {
  const { time, figures, call } = create();
  call({ facts: COLD });
  call({ version: 'v2' });
  call({ trigger: 'cron', error: { code: 'FUNCTION_TIMEOUT', message: 'no' } });
  call({ facts: null, error: { code: 'OVERLOADED', message: 'no' } });
  call({ probe: true });
  call({ functionName: 'other' });
  time.pass(4_000);
  const { calls, errors, timeouts, coldStarts, spanMs, steps } = figures.of('hello');
  assert.deepEqual(
    { calls, errors, timeouts, coldStarts, spanMs },
    {
      calls: 4,
      errors: 2,
      timeouts: 1,
      coldStarts: 1,
      spanMs: 4_000,
    },
  );
  assert.deepEqual(
    steps.map((step) => [step.at, step.calls, step.errors, step.coldStarts]),
    [[BEGUN, 4, 2, 1]],
  );
});

test('each call stands in the step it was made in, and goes when the window has passed', () => {
  const { time, figures, call } = create();
  call();
  time.pass(STEP_MS);
  call();
  call();
  assert.deepEqual(
    figures.of('hello').steps.map(({ calls }) => calls),
    [1, 2],
  );
  // Asked twice, nothing is counted twice.
  call();
  assert.deepEqual(
    figures.of('hello').steps.map(({ calls }) => calls),
    [1, 3],
  );
  time.pass(28 * STEP_MS);
  assert.equal(figures.of('hello').steps.length, 30);
  assert.equal(figures.of('hello').calls, 4);
  time.pass(STEP_MS);
  assert.equal(figures.of('hello').calls, 3);
  time.pass(STEP_MS);
  const { calls, p95Ms, spanMs, steps } = figures.of('hello');
  assert.deepEqual([calls, p95Ms, spanMs, steps.length], [0, null, 29 * STEP_MS, 30]);
});

test('quantiles lie in the bucket of the durations', () => {
  const { figures, call } = create();
  // endedAtMs less what came before the call: 1 ms for nine of ten, 400 ms for the tenth.
  const endsAfter = (ms: number) => ({ facts: WARM, endedAtMs: WARM.arrivedAtMs + WARM.phases.wait + ms });
  for (let n = 0; n < 90; n++) call(endsAfter(0.8));
  for (let n = 0; n < 10; n++) call(endsAfter(400));
  const { p50Ms, p95Ms, p99Ms } = figures.of('hello');
  assert.ok(p50Ms !== null && p50Ms > 0.5 && p50Ms <= 1, String(p50Ms));
  assert.ok(p95Ms !== null && p95Ms > 250 && p95Ms <= 500, String(p95Ms));
  assert.ok(p99Ms !== null && p99Ms > p95Ms && p99Ms <= 500, String(p99Ms));
});

test('a function without calls has none, and only those that were called are listed', async () => {
  const { time, figures, call, metrics } = create();
  assert.equal(figures.of('nobody').calls, 0);
  for (let n = 0; n < 1200; n++) call({ functionName: `f${n}` });
  assert.equal((await figures.all()).size, 1200);
  for (let n = 1; n < 1200; n++) metrics.forgetFunction(`f${n}`);
  assert.equal((await figures.all()).get('f0')?.calls, 1);
  time.pass(31 * STEP_MS);
  assert.equal((await figures.all()).size, 0);
});

test('counters that were forgotten take nothing from what was counted, and new ones begin at nothing', () => {
  const { figures, call, metrics } = create();
  call();
  call();
  assert.equal(figures.of('hello').calls, 2);
  metrics.forgetVersions('hello', () => false);
  call();
  assert.equal(figures.of('hello').calls, 3);
});

test('nothing is looked at once it has ended', () => {
  const { time, figures } = create();
  assert.equal(time.pending(), 1);
  figures.end();
  assert.equal(time.pending(), 0);
});

test('a quantile of nothing is none, and beyond the last bound it is that bound', () => {
  assert.equal(quantile([], 0.5), null);
  assert.equal(quantile([{ lower: 30, upper: 30, count: 3 }], 0.99), 30);
  assert.equal(quantile([{ lower: 1, upper: 3, count: 4 }], 0.5), 2);
});
