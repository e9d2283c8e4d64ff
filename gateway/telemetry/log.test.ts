import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import { createLogger, LOG_LEVELS, type Logger, type LogLevel } from './log.ts';

const NOW = Date.UTC(2027, 0, 15, 8, 30, 1, 234);

function collect(level: LogLevel, pretty = false): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ level, pretty, write: (line) => lines.push(line), now: () => NOW }), lines };
}

test('a line is one JSON object with time, level and message first', () => {
  const { log, lines } = collect('info');
  log.info('ready', { port: 8080 });
  assert.deepEqual(lines, ['{"time":"2027-01-15T08:30:01.234Z","level":"info","msg":"ready","port":8080}\n']);
});

for (const [index, level] of LOG_LEVELS.entries()) {
  test(`at ${level} that level and those above it are written`, () => {
    const { log, lines } = collect(level);
    for (const each of ['error', 'warn', 'info', 'debug', 'trace'] as const) log[each](each);
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).level),
      LOG_LEVELS.slice(1, index + 1),
    );
  });
}

test('children carry the fields of their parents, and their own win', () => {
  const { log, lines } = collect('info');
  const child = log.child({ function: 'hello', trace_id: 'a' }).child({ trace_id: 'b' });
  child.info('one', { invocation_id: 'inv-1' });
  log.info('two');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)).map(({ time: _, level: __, ...rest }) => rest),
    [{ msg: 'one', function: 'hello', trace_id: 'b', invocation_id: 'inv-1' }, { msg: 'two' }],
  );
});

test('fields cannot pose as time, level or message', () => {
  const { log, lines } = collect('info');
  log.info('true', { msg: 'false', level: 'error', time: 'never' });
  assert.deepEqual(JSON.parse(lines[0]!), { time: '2027-01-15T08:30:01.234Z', level: 'info', msg: 'true' });
});

test('an error is written with code, stack and cause', () => {
  const { log, lines } = collect('info');
  log.error('failed', { error: new HearthError('NO_CAPACITY', 'Full.', { cause: new TypeError('inner') }) });
  const { error } = JSON.parse(lines[0]!);
  assert.equal(error.code, 'NO_CAPACITY');
  assert.equal(error.message, 'Full.');
  assert.match(error.stack, /log\.test\.ts/);
  assert.equal(error.cause.name, 'TypeError');
});

test('whatever a field holds, a line is written and nothing is thrown', () => {
  const { log, lines } = collect('info');
  const circle: Record<string, unknown> = { name: 'circle' };
  circle.self = circle;
  const trap = {
    get x(): never {
      throw new Error('trap');
    },
  };
  log.info('big', { n: 10n });
  log.info('circle', { circle, function: 'hello' });
  log.info('trap', { trap });
  log.info('odd', { f: () => 1, s: Symbol('s'), u: undefined, d: new Date(Number.NaN) });
  assert.equal(lines.length, 4);
  const parsed = lines.map((line) => JSON.parse(line));
  assert.equal(parsed[0].n, '10');
  assert.equal(parsed[1].msg, 'circle');
  assert.equal(parsed[1].function, 'hello');
  assert.match(parsed[1].unserializable, /circular/i);
  assert.match(parsed[2].unserializable, /trap/);
});

test('line ends in a message stay inside its line', () => {
  const { log, lines } = collect('info');
  log.info('one\n{"level":"error","msg":"forged"}');
  assert.equal(lines[0]?.split('\n').length, 2);
});

test('pretty: time, level, message, then fields; an error below with its stack', () => {
  const { log, lines } = collect('debug', true);
  log.child({ function: 'hello' }).warn('slow', { ms: 12.5, url: 'a b', error: new Error('why') });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
  const plain = lines.join('').replaceAll(/\u001b\[\d+m/g, '');
  assert.match(plain, /^08:30:01\.234 warn {2}slow function=hello ms=12\.5 url="a b"\n {2}Error: why\n {4,}at /);
  assert.ok(plain.endsWith('\n'));
});

test('pretty: control characters of a function do not reach the terminal', () => {
  const { log, lines } = collect('info', true);
  log.info('\u001b[2Jgone\u0007', { note: '\u001b]0;title\u0007' });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
  const plain = lines[0]!.replaceAll(/\u001b\[\d+m/g, '');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
  assert.doesNotMatch(plain, /[\u0000-\u0008\u000b-\u001f\u007f]/);
  assert.match(plain, /gone/);
});
