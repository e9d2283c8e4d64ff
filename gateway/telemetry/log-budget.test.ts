import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogLine } from '../../functions/contract/invocation.ts';
import type { ModuleSpec } from '../../pool/keeper/api.ts';
import { createFunctionLogWriter } from './function-log-writer.ts';
import { createFunctionLogs } from './function-logs.ts';
import { createLogger } from './log.ts';
import { createLogBudget } from './log-budget.ts';

test('so much goes at once, then so much a second; others have their own', () => {
  let nowMs = 0;
  const budget = createLogBudget({ now: () => nowMs, burstBytes: 2_000, bytesPerSecond: 500 });
  const takes = (name: string, bytes: number) => budget.take(name, bytes);
  assert.deepEqual([takes('loud', 700), takes('loud', 700), takes('loud', 1)], [true, true, false]);
  assert.deepEqual([takes('quiet', 700), budget.leftOut('loud'), budget.leftOut('loud')], [true, 1, 0]);
  nowMs = 2_000;
  assert.deepEqual([takes('loud', 700), takes('loud', 1)], [true, false]);
  nowMs = 1_000_000;
  assert.deepEqual([takes('loud', 1_700), takes('loud', 1)], [true, false], 'what was not used does not heap up');
  nowMs = 0;
  assert.equal(takes('loud', 1), false, 'a clock that goes back gives nothing');
  budget.forget('loud');
  assert.equal(takes('loud', 1_700), true);
});

test("a function that floods keeps its lines to itself beyond that, and Hearth's log says how many", () => {
  let nowMs = 0;
  const written: { msg: string; function?: string; lines?: number }[] = [];
  const exported: string[] = [];
  const logs = createFunctionLogs();
  const write = createFunctionLogWriter({
    log: createLogger({ level: 'info', pretty: false, write: (line) => void written.push(JSON.parse(line)) }),
    logs,
    telemetry: { logged: ({ message }) => void exported.push(message) },
    budget: createLogBudget({ now: () => nowMs, burstBytes: 2_000, bytesPerSecond: 2_000 }),
    traceOf: () => undefined,
  });
  const spec = { functionName: 'floods', version: 'v1' } as ModuleSpec;
  const lineOf = (n: number): LogLine => ({ time: 1, level: 'info', module: 'm', invocationId: null, message: `${n}` });
  write(
    spec,
    'base-1',
    Array.from({ length: 100 }, (_, n) => lineOf(n)),
    0,
  );
  assert.equal(logs.recent('floods', 1_000).length, 100);
  assert.deepEqual([written.length, exported.length], [6, 6]);
  nowMs = 1_000;
  write(spec, 'base-1', [lineOf(100)], 0);
  const told = written.find(({ lines }) => lines !== undefined);
  assert.deepEqual([told?.function, told?.lines], ['floods', 94]);
});
