import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fewestColdStarts } from './bound.ts';
import { Heap } from './heap.ts';
import { Random } from './random.ts';
import { type Policy, simulate } from './simulate.ts';
import { type FunctionLoad, HOUR_MS, makeWorkload, type Span, type Workload } from './workload.ts';

const MINUTE = 60_000;
const FIXED: Policy = { kind: 'fixed', keepMs: 10 * MINUTE };
const HEARTH: Policy = { kind: 'hearth', capMb: Number.POSITIVE_INFINITY };

/** Functions of 100 MB, each used for a second at these minutes; all of it is measured. */
function days(hours: number, uses: number[][], over: Partial<FunctionLoad> = {}): Workload {
  const spans: Span[] = uses.flatMap((minutes, index) =>
    minutes.map((minute) => ({
      function: index,
      level: 1,
      startMs: minute * MINUTE,
      endMs: minute * MINUTE + 1_000,
      calls: 1,
    })),
  );
  return {
    functions: uses.map((minutes) => ({
      trigger: 'http' as const,
      perDay: 1,
      memoryMb: 100,
      coldMs: 10,
      cron: false,
      invocations: minutes.length,
      shortGaps: 0,
      shortGapMs: 0,
      ...over,
    })),
    spans: spans.sort((a, b) => a.startMs - b.startMs),
    measureFromMs: 0,
    endMs: hours * HOUR_MS,
  };
}

const each = (everyMinutes: number, count: number) => Array.from({ length: count }, (_, n) => n * everyMinutes);

test('without keep-alive each use is cold and nothing is idle', () => {
  const outcome = simulate(days(2, [[0, 5, 60]]), { kind: 'none' });
  assert.equal(outcome.coldStarts, 3);
  assert.equal(outcome.idleMbHours, 0);
  assert.deepEqual(outcome.shares, [1]);
});

test('a fixed time saves what comes within it, and pays for it in memory', () => {
  const outcome = simulate(days(2, [[0, 5, 60]]), FIXED);
  assert.equal(outcome.coldStarts, 2);
  const idleMs = 5 * MINUTE - 1_000 + 2 * 10 * MINUTE;
  assert.ok(Math.abs(outcome.idleMbHours - (100 * idleMs) / HOUR_MS) < 1e-6);
  assert.ok(Math.abs(outcome.totalMbHours - outcome.idleMbHours - (100 * 3_000) / HOUR_MS) < 1e-6);
  assert.equal(outcome.coldSeconds, 0.02);
});

test('LRU keeps all until memory is short, then the one used longest ago goes', () => {
  const workload = days(3, [[0, 100], [10, 101], [20]]);
  assert.equal(simulate(workload, { kind: 'lru', capMb: 300 }).coldStarts, 3);
  const short = simulate(workload, { kind: 'lru', capMb: 200 });
  assert.equal(short.coldStarts, 5);
  assert.equal(short.evicted, 3);
});

test('the policy learns a rhythm: cold while it learns, warm from then on, for less memory than a fixed time', () => {
  const workload = days(20, [each(30, 40)]);
  const learned = simulate(workload, HEARTH);
  const fixed = simulate(workload, FIXED);
  assert.equal(fixed.coldStarts, 40);
  assert.ok(learned.coldStarts < 10, `${learned.coldStarts} cold starts`);
  assert.ok(learned.idleMbHours < fixed.idleMbHours);
});

test('a cron is cold once, and costs its minute and the seconds before its tick', () => {
  const outcome = simulate(days(20, [each(60, 20)], { cron: true }), HEARTH);
  assert.equal(outcome.coldStarts, 1);
  // After the first run nothing is known yet: it is kept until the next.
  assert.equal(outcome.prewarmed, 18);
  assert.ok(outcome.idleMbHours < (100 * (60 + 20 * 0.4) * MINUTE) / HOUR_MS);
});

test('a cap is held by evicting idle ones, and what is busy is never taken', () => {
  const workload = days(1, [[0], [1], [2]]);
  for (const span of workload.spans) span.endMs = span.startMs + 30 * MINUTE;
  const outcome = simulate(workload, { kind: 'hearth', capMb: 150 });
  assert.equal(outcome.coldStarts, 3);
  assert.ok(Math.abs(outcome.totalMbHours - outcome.idleMbHours - 3 * 50) < 1e-6);
  assert.ok(outcome.evicted >= 2);
});

test('an instance beyond the first that is given back too soon is kept longer the next time', () => {
  const workload = days(2, [[0]]);
  workload.spans = [
    { function: 0, level: 1, startMs: 0, endMs: HOUR_MS, calls: 1 },
    ...each(1, 20).map((minute) => ({
      function: 0,
      level: 2,
      startMs: minute * MINUTE,
      endMs: minute * MINUTE + 1_000,
      calls: 0,
    })),
  ];
  const outcome = simulate(workload, HEARTH);
  assert.equal(outcome.scaleOuts, 2);
  assert.equal(outcome.coldStarts, 3);
});

test('the same seed makes the same day, another seed another', () => {
  const make = (seed: number) => makeWorkload({ seed, functions: 200, daysBefore: 0, concurrency: 64 });
  assert.deepEqual(make(3), make(3));
  assert.notDeepEqual(make(3).functions, make(4).functions);
});

test('the day has the published mix: triggers, rates, their share of all invocations, memory', () => {
  const { functions, spans } = makeWorkload({ seed: 1, functions: 5_000, daysBefore: 0, concurrency: 64 });
  const share = (fits: (load: FunctionLoad) => boolean) => functions.filter(fits).length / functions.length;
  const near = (value: number, wanted: number, by: number) =>
    assert.ok(Math.abs(value - wanted) < by, `${value}, not ${wanted}`);
  near(
    share(({ trigger }) => trigger === 'http'),
    0.55,
    0.03,
  );
  near(
    share(({ trigger }) => trigger === 'queue'),
    0.15,
    0.02,
  );
  near(
    share(({ trigger }) => trigger === 'timer'),
    0.16,
    0.02,
  );
  near(
    share(({ perDay }) => perDay <= 24),
    0.45,
    0.03,
  );
  near(
    share(({ perDay }) => perDay <= 1440),
    0.81,
    0.03,
  );
  const all = functions.reduce((sum, { invocations }) => sum + invocations, 0);
  const top = functions.map(({ invocations }) => invocations).sort((a, b) => b - a);
  const ofTop = top.slice(0, Math.round(0.186 * top.length)).reduce((sum, count) => sum + count, 0);
  near(ofTop / all, 0.996, 0.003);
  const memory = functions.map(({ memoryMb }) => memoryMb).sort((a, b) => a - b);
  near(memory[2_500] ?? 0, 107.083 * (2 ** (1 / 0.221) - 1) ** (1 / 11.652), 8);
  for (const span of spans) assert.ok(span.startMs <= span.endMs);
});

test('the random numbers have the moments of their distributions', () => {
  const random = new Random(7);
  const mean = (draw: () => number) => Array.from({ length: 20_000 }, draw).reduce((a, b) => a + b) / 20_000;
  const near = (value: number, wanted: number) => assert.ok(Math.abs(value / wanted - 1) < 0.04, `${value}`);
  near(
    mean(() => random.next()),
    0.5,
  );
  near(
    mean(() => random.exponential(3)),
    3,
  );
  near(
    mean(() => random.poisson(4)),
    4,
  );
  near(
    mean(() => random.poisson(400)),
    400,
  );
  near(
    mean(() => random.normal() ** 2),
    1,
  );
});

test('a heap gives the lowest first', () => {
  const random = new Random(1);
  const heap = new Heap<number>((value) => value);
  const values = Array.from({ length: 500 }, () => random.next());
  for (const value of values) heap.push(value);
  assert.equal(heap.peek(), Math.min(...values));
  assert.deepEqual(
    values.map(() => heap.pop()),
    values.toSorted((a, b) => a - b),
  );
  assert.equal(heap.pop(), undefined);
});

test('the bound bridges the cheapest idle times that the memory-time allows, and crons for nothing', () => {
  const workload = days(24, [
    [0, 30, 90],
    [0, 600],
  ]);
  const idleMbHours = (minutes: number) => (100 * (minutes * MINUTE - 1_000)) / HOUR_MS;
  assert.equal(fewestColdStarts(workload, 0), 5);
  assert.equal(fewestColdStarts(workload, idleMbHours(30) + 0.1), 4);
  assert.equal(fewestColdStarts(workload, idleMbHours(30) + idleMbHours(60) + 0.1), 3);
  assert.equal(fewestColdStarts(workload, 1e9), 2);
  assert.equal(fewestColdStarts(days(24, [[0, 30, 90]], { cron: true }), 0), 1);
});

test('an instance beyond the first is loaded ahead once it was missed while the one before it was in use', () => {
  const workload = days(3, [[0]]);
  const span = (level: number, minute: number, minutes: number) => ({
    function: 0,
    level,
    startMs: minute * MINUTE,
    endMs: (minute + minutes) * MINUTE,
    calls: 1,
  });
  // Level 1 works for ten minutes of each half hour, level 2 for the last of these.
  workload.spans = each(30, 6)
    .flatMap((minute) => [span(1, minute, 10), span(2, minute + 9, 1)])
    .sort((a, b) => a.startMs - b.startMs);
  const outcome = simulate(workload, HEARTH);
  assert.equal(outcome.coldStarts, 3);
  assert.equal(outcome.scaleOuts, 2);
  assert.ok(outcome.prewarmed >= 3);
});
