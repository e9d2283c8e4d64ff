import assert from 'node:assert/strict';
import { test } from 'node:test';
import { styleText } from 'node:util';
import { bytes, coloured, facts, plain, plainJson, table, time } from './output.ts';
import { eventsOf } from './server-events.ts';

test('columns are as wide as their widest cell, and nothing trails', () => {
  assert.equal(
    table(
      ['NAME', 'N', 'LIST'],
      [
        ['a', 1, ['x', 'y']],
        ['longer', null, []],
      ],
    ),
    ['NAME    N  LIST', 'a       1  x, y', 'longer  -  -'].join('\n'),
  );
  assert.equal(table(['NAME'], [], 'nothing'), 'nothing');
  assert.equal(
    facts([
      ['a', true],
      ['long', false],
    ]),
    'a     yes\nlong  no',
  );
});

test('what others write cannot steer the terminal', () => {
  assert.equal(plain('\u001b]52;c;aGk=\u0007a\tb\nc\u009b2J\r'), '\\x1b]52;c;aGk=\\x07a\tb\nc\\x9b2J\\x0d');
  assert.equal(table(['NAME'], [['a\nb\u001b[2J']]), 'NAME\na\\nb\\x1b[2J');
});

test('colours stay where text is painted, and nothing else that steers', () => {
  const painted = styleText(['bold', 'red'], 'no', { validateStream: false });
  assert.equal(coloured(`${painted}\u001b]0;x\u0007\u001b[8m\u001b[2J`), `${painted}\\x1b]0;x\\x07\\x1b[8m\\x1b[2J`);
  const value = { name: '\u009b2J\u001b[2J\u007f' };
  assert.equal(plainJson(value), '{"name":"\\u009b2J\\u001b[2J\\u007f"}');
  assert.deepEqual(JSON.parse(plainJson(value, 2)), value);
});

test('sizes and times as people read them', () => {
  assert.deepEqual([999, 1000, 2_500_000].map(bytes), ['999 B', '1.0 kB', '2.5 MB']);
  assert.equal(time('2026-11-20T10:00:00.123Z'), '2026-11-20 10:00:00Z');
  assert.equal(time(null), null);
});

test('events come whole, wherever the chunks are cut', async () => {
  const text = 'event: line\r\ndata: {"a":"ü"}\r\n\r\n: keep alive\n\ndata: one\ndata: two\n\ndata: never ended';
  const chunks = [...new TextEncoder().encode(text)].map((byte) => Uint8Array.of(byte));
  const events = await Array.fromAsync(eventsOf(ReadableStream.from(chunks)));
  assert.deepEqual(events, [
    { event: 'line', data: '{"a":"ü"}' },
    { event: 'message', data: 'one\ntwo' },
  ]);
});
