import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tomlPlaces } from './toml-places.ts';

const FILE = `name = "shop" # the [name]
vars = { A = "[", B = 1 }
long = """
name = "not this one"
"""
crons = [
  "* * * * *",
  "a = b",
]

[limits]
  cpu_ms = 10

[[queues.consumers]]
queue = "a"

[[queues.consumers]]
queue = "b"
"max.retries" = 3

[queues.consumers.more]
deep.er = 1
`;

test('keys of a TOML file are found by line and column', () => {
  const at = tomlPlaces(FILE);
  for (const [path, key, value] of [
    [['name'], [1, 1], [1, 8]],
    [['vars'], [2, 1], [2, 8]],
    [['crons'], [6, 1], [6, 9]],
    [['limits'], [11, 2], [11, 2]],
    [
      ['limits', 'cpu_ms'],
      [12, 3],
      [12, 12],
    ],
    [
      ['queues', 'consumers'],
      [14, 3],
      [14, 3],
    ],
    [
      ['queues', 'consumers', 0, 'queue'],
      [15, 1],
      [15, 9],
    ],
    [
      ['queues', 'consumers', 1],
      [17, 3],
      [17, 3],
    ],
    [
      ['queues', 'consumers', 1, 'max.retries'],
      [19, 1],
      [19, 17],
    ],
    [
      ['queues', 'consumers', 1, 'more', 'deep', 'er'],
      [22, 1],
      [22, 11],
    ],
  ] as const) {
    assert.deepEqual(at(path, true), { line: key[0], column: key[1] }, path.join('.'));
    assert.deepEqual(at(path, false), { line: value[0], column: value[1] }, path.join('.'));
  }
});

test('what has no line of its own has the place of what holds it', () => {
  const at = tomlPlaces(FILE);
  assert.deepEqual(at(['vars', 'A'], true), { line: 2, column: 8 });
  assert.deepEqual(at(['crons', 1], false), { line: 6, column: 9 });
  assert.deepEqual(at(['limits', 'absent'], false), { line: 11, column: 2 });
  assert.deepEqual(at(['absent'], true), { line: 1, column: 1 });
  assert.deepEqual(at([], false), { line: 1, column: 1 });
});
