import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModuleSpec } from '../../pool/keeper/api.ts';
import { createFunctionLogWriter } from './function-log-writer.ts';
import { createFunctionLogs, type FunctionLogLine } from './function-logs.ts';
import { createLogger } from './log.ts';
import { createLogBudget } from './log-budget.ts';

function line(message: string, changes: Partial<FunctionLogLine> = {}): FunctionLogLine {
  return {
    time: 1,
    level: 'info',
    function: 'hello',
    version: 'v1',
    instance: 'base-1',
    invocationId: null,
    arm: null,
    traceId: null,
    spanId: null,
    message,
    ...changes,
  };
}

const messages = (lines: FunctionLogLine[]) => lines.map(({ message }) => message);

test('recent gives the newest lines of one function, oldest first', () => {
  const logs = createFunctionLogs();
  for (const message of ['1', '2', '3']) logs.append(line(message));
  logs.append(line('other', { function: 'other' }));
  assert.deepEqual(messages(logs.recent('hello', 2)), ['2', '3']);
  assert.deepEqual(messages(logs.recent('hello', 100)), ['1', '2', '3']);
  assert.deepEqual(logs.recent('hello', 0), []);
  assert.deepEqual(logs.recent('unknown', 10), []);
  assert.equal(logs.dropped('hello'), 0);
});

test('a function that writes without end keeps its newest lines within the limit, and the rest is counted', () => {
  const logs = createFunctionLogs(100_000);
  for (let i = 0; i < 10_000; i++) logs.append(line(`${i} ${'x'.repeat(300)}`));
  const kept = logs.recent('hello', 10_000);
  assert.ok(kept.length > 100 && kept.length * 500 <= 100_000, String(kept.length));
  assert.match(kept.at(-1)!.message, /^9999 /);
  assert.match(kept[0]!.message, new RegExp(`^${10_000 - kept.length} `));
  assert.equal(logs.dropped('hello'), 10_000 - kept.length);
});

test('one that writes without end takes nothing from those that write little, however many they are', () => {
  const logs = createFunctionLogs(200_000, 300_000);
  const quiet = Array.from({ length: 20 }, (_, n) => `quiet-${n}`);
  for (const name of quiet) for (let n = 0; n < 10; n++) logs.append(line(`${n}`, { function: name }));
  const loud = ['loud-1', 'loud-2'];
  for (let n = 0; n < 5_000; n++) for (const name of loud) logs.append(line('x'.repeat(300), { function: name }));
  for (const name of quiet) assert.equal(logs.recent(name, 100).length, 10, name);
  const bytes = (name: string) => logs.recent(name, 10_000).length * 500;
  const [one, two] = loud.map(bytes) as [number, number];
  assert.ok(one + two <= 300_000 - 20 * 10 * 201, `${one} + ${two}`);
  assert.ok(Math.abs(one - two) <= 1_000, 'and those that write much share alike');
  logs.forget('loud-1');
  for (let n = 0; n < 200; n++) logs.append(line('x'.repeat(300), { function: 'loud-2' }));
  assert.ok(bytes('loud-2') > one, 'what a deleted one had is free again');
});

test('lines go with their age, the dropped count tells so, and what comes later is kept', () => {
  const logs = createFunctionLogs();
  for (const time of [1_000, 2_000, 3_000]) logs.append(line(`at ${time}`, { time }));
  logs.expire(2_500);
  assert.deepEqual(messages(logs.recent('hello', 10)), ['at 3000']);
  assert.equal(logs.dropped('hello'), 2);
  logs.append(line('later', { time: 4_000 }));
  assert.deepEqual(messages(logs.recent('hello', 10)), ['at 3000', 'later']);
});

test('a single line over the limit is not kept', () => {
  const logs = createFunctionLogs(1000);
  logs.append(line('x'.repeat(5000)));
  assert.deepEqual(logs.recent('hello', 10), []);
  assert.equal(logs.dropped('hello'), 1);
  logs.append(line('short'));
  assert.deepEqual(messages(logs.recent('hello', 10)), ['short']);
});

test('a subscriber gets the lines of its function until it leaves', () => {
  const logs = createFunctionLogs();
  const got: string[] = [];
  const listener = ({ message }: FunctionLogLine) => got.push(message);
  const leave = logs.subscribe('hello', listener);
  const leaveToo = logs.subscribe('hello', listener);
  logs.append(line('1'));
  logs.append(line('other', { function: 'other' }));
  leave();
  leave();
  logs.append(line('2'));
  leaveToo();
  logs.append(line('3'));
  assert.deepEqual(got, ['1', '1', '2']);
});

test('a deleted function has no lines, and one of the same name starts anew', () => {
  const logs = createFunctionLogs();
  logs.append(line('old'));
  logs.countDropped('hello', 3);
  logs.forget('hello');
  logs.append(line('new'));
  assert.deepEqual(messages(logs.recent('hello', 10)), ['new']);
  assert.equal(logs.dropped('hello'), 0);
});

test('lines of bases go into the log and the ring with their trace, and what a base dropped is told', () => {
  const written: Record<string, unknown>[] = [];
  const logs = createFunctionLogs();
  const record = createFunctionLogWriter({
    budget: createLogBudget({ now: Date.now }),
    log: createLogger({ level: 'trace', pretty: false, write: (text) => written.push(JSON.parse(text)) }),
    logs,
    traceOf: (id) => (id === 'inv-1' ? { traceId: 'trace', invokeSpanId: 'span', arm: 'rule' } : undefined),
  });
  const spec = { functionName: 'hello', version: 'v1' } as ModuleSpec;
  record(
    spec,
    'base-1',
    [
      { time: 5, level: 'error', module: 'm', invocationId: 'inv-1', message: 'oh' },
      { time: 6, level: 'debug', module: 'm', invocationId: null, message: 'idle' },
      { time: 7, level: 'info', module: 'm', invocationId: 'inv-unknown', message: 'late' },
    ],
    4,
  );
  const [oh, idle, late, dropped] = written.map(({ time: _, ...rest }) => rest);
  const common = { function: 'hello', version: 'v1', instance: 'base-1' };
  assert.deepEqual(oh, {
    level: 'error',
    msg: 'oh',
    ...common,
    invocation_id: 'inv-1',
    trace_id: 'trace',
    span_id: 'span',
    arm: 'rule',
  });
  assert.deepEqual(idle, { level: 'debug', msg: 'idle', ...common });
  assert.deepEqual(late, { level: 'info', msg: 'late', ...common, invocation_id: 'inv-unknown' });
  assert.equal(dropped?.dropped, 4);
  assert.equal(dropped?.level, 'warn');
  assert.deepEqual(
    logs
      .recent('hello', 10)
      .map(({ time, traceId, spanId, invocationId, arm }) => [time, traceId, spanId, invocationId, arm]),
    [
      [5, 'trace', 'span', 'inv-1', 'rule'],
      [6, null, null, null, null],
      [7, null, null, 'inv-unknown', null],
    ],
  );
  assert.equal(logs.dropped('hello'), 4);
});
