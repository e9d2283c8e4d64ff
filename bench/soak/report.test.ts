import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Result } from '../load/generator.ts';
import { environment } from '../report.ts';
import { page, verdict } from './report.ts';
import type { SoakResult } from './run.ts';

const load = (requests: number, p99: number): Result => ({
  requests,
  errors: 0,
  errorsBy: {},
  seconds: 60,
  perSecond: requests / 60,
  latency: { p50: 1000, p90: 2000, p99, p999: p99, max: p99 },
  lag: null,
  generatorCpu: 0.1,
  startedAt: 0,
});

const RESULT: SoakResult = {
  minutes: 30,
  loads: [{ name: 'neighbour', result: load(20_000, 9000), explained: 7, unexplained: {} }],
  loop: load(90_000, 12_300),
  deploys: 900,
  bombs: { exits: { calls: 100, told: { FUNCTION_CRASHED: 100 } } },
  samples: [100, 110, 120, 130].map((mb, index) => ({
    atMs: index,
    gatewayBytes: mb * 1024 ** 2,
    hostsBytes: mb * 2 * 1024 ** 2,
    hosts: index + 1,
  })),
  unexplained: {},
  left: 0,
  exitCode: 0,
};

test('a soak in which nothing went wrong is met in each point, and its page says what was measured', () => {
  assert.ok(verdict(RESULT).every(({ met }) => met));
  const text = page(RESULT, environment());
  assert.match(text, /\| gateway \| 100 \| 130 \| 130 \|/);
  assert.match(text, /Hosts: 1 to 4\./);
  assert.match(text, /p99 12\.3 ms/);
  assert.match(text, /\| exits \| 100 \| FUNCTION_CRASHED 100 \|/);
  assert.match(text, /None\./);
});

test('an unexplained error, a slow loop, a process left and a bad end are each not met', () => {
  const bad: SoakResult = {
    ...RESULT,
    unexplained: { 'a call of steady was answered with 503': 3 },
    loop: load(90_000, 51_000),
    left: 1,
    exitCode: 1,
  };
  assert.deepEqual(
    verdict(bad).map(({ met }) => met),
    [false, false, false, false],
  );
  assert.match(page(bad, environment()), /- 3 × a call of steady was answered with 503/);
});

test('a soak too short to quote its p99 does not claim it', () => {
  const short = verdict({ ...RESULT, loop: load(500, 1000) });
  assert.equal(short[1]?.met, false);
  assert.match(short[1]?.text ?? '', /n\/a ms .* too few samples/);
});
