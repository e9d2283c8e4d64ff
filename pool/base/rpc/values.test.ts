import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deserialize, serialize } from 'capnweb';
import fc from 'fast-check';
import { decode } from './decode.ts';
import { encode } from './encode.ts';
import { MARK, type References } from './values.ts';

/** Nothing stands elsewhere. */
const NONE: References = {
  passed: () => null,
  target: () => assert.fail('a target'),
  callback: () => assert.fail('a callback'),
  received: () => assert.fail('a stub'),
};

/** As it arrives: over Cap'n Web, as text. */
function sent(value: unknown): unknown {
  return decode(deserialize(serialize(encode(value, NONE, false))), NONE, false);
}

test('whatever structured clone takes arrives as it takes it', () => {
  const key = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'toString', 'toJSON', MARK));
  const leaf = fc.oneof(
    fc.string(),
    fc.double().filter((value) => !Object.is(value, -0)),
    fc.bigInt(),
    fc.boolean(),
    fc.constantFrom(null, undefined),
    fc.date(),
    fc.uint8Array(),
    fc.float32Array(),
    fc.bigInt64Array(),
    fc.constantFrom(/a.b/giu, /(?<x>y)/s),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      leaf,
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.array(fc.tuple(key, tie('tree')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
      fc.array(fc.tuple(tie('tree'), tie('tree')), { maxLength: 3 }).map((entries) => new Map(entries)),
      fc.array(tie('tree'), { maxLength: 3 }).map((items) => new Set(items)),
    ),
  }));
  fc.assert(
    fc.property(tree, (value) => {
      assert.deepStrictEqual(sent(value), structuredClone(value));
    }),
    { numRuns: 2000 },
  );
});

test('what holds itself, or one object twice, arrives in that shape, however deep', () => {
  const cycle: Record<string, unknown> = { name: 'a' };
  cycle.self = cycle;
  cycle.map = new Map([[cycle, new Set([cycle])]]);
  cycle.error = new Error('within', { cause: cycle });
  const got = sent(cycle) as typeof cycle & { map: Map<unknown, Set<unknown>>; error: Error };
  assert.equal(got.self, got);
  assert.equal(got.error.cause, got);
  assert.deepEqual([[...got.map.keys()][0] === got, [...got.map.values()][0]?.has(got)], [true, true]);
  const date = new Date(7);
  const shared = sent([date, date, { date }]) as [Date, Date, { date: Date }];
  assert.equal(shared[0], shared[1]);
  assert.equal(shared[0], shared[2].date);
  assert.equal(shared[0].getTime(), 7);
  let deep: { next: unknown } | null = null;
  for (let i = 0; i < 20_000; i++) deep = { next: deep };
  let levels = 0;
  for (let at = sent(deep) as typeof deep; at !== null; at = at.next as typeof deep) levels++;
  assert.equal(levels, 20_000);
});

test('errors keep class, name, message, cause and what was put on them; never where they were thrown', () => {
  class Refused extends TypeError {
    override name = 'Refused';
    code = 42;
  }
  const got = sent(new Refused('no', { cause: new AggregateError([new RangeError('one')], 'several') })) as Refused;
  assert.ok(got instanceof Error);
  assert.deepEqual([got.name, got.message, got.code, got.stack], ['Refused', 'no', 42, 'Refused: no']);
  const cause = got.cause as AggregateError;
  assert.ok(cause instanceof AggregateError);
  assert.ok(cause.errors[0] instanceof RangeError);
  assert.ok((sent(new TypeError('t')) as Error) instanceof TypeError);
  // What cannot travel does not hide the rest of it.
  assert.equal((sent(Object.assign(new Error('kept'), { symbol: Symbol('s') })) as Error).message, 'kept');
});

test('what is sent is left as it was', () => {
  const value = { list: [new Map([['a', 1]])], constructor: 'own' };
  encode(value, NONE, false);
  assert.deepEqual(value, { list: [new Map([['a', 1]])], constructor: 'own' });
});

test('what cannot be sent is named', () => {
  class Money {}
  for (const [value, said] of [
    [Symbol('x'), /symbol/],
    [{ deep: [Symbol('x')] }, /symbol/],
    [new Money(), /Money/],
    [Promise.resolve(), /Promise/],
    [new WeakMap(), /WeakMap/],
    [new AbortController().signal, /AbortSignal/],
    [new FormData(), /FormData/],
  ] as const) {
    assert.throws(() => encode(value, NONE, false), { name: 'DataCloneError', message: said });
  }
  const cycle: unknown[] = [];
  cycle.push(cycle);
  for (const value of [new Map(), new Set(), /a/, new Float16Array(1), cycle]) {
    assert.throws(() => encode(value, NONE, true), { name: 'DataCloneError' });
  }
});

test('what no encoder makes is refused', () => {
  const bad = [
    { [MARK]: 'what', v: 1 },
    { [MARK]: 'map', v: 1 },
    { [MARK]: 'map', v: [1] },
    { [MARK]: 'set' },
    { [MARK]: 'at', v: 0 },
    { [MARK]: 'graph', v: [{ [MARK]: 'at', v: 0 }] },
    { [MARK]: 'graph', v: [[{ [MARK]: 'at', v: 7 }]] },
    { [MARK]: 'graph', v: [[{ [MARK]: 'at', v: '__proto__' }]] },
    { [MARK]: 'graph', v: [[{ [MARK]: 'graph', v: [1] }]] },
    { [MARK]: 'regexp', v: ['(', ''] },
    { [MARK]: 'regexp', v: ['a', 'zz'] },
    { [MARK]: 'float16', v: new Uint8Array(3) },
    { [MARK]: 'error', v: 'x' },
    { [MARK]: 1, v: 1 },
  ];
  for (const value of bad) assert.throws(() => decode(value, NONE, false), Error, JSON.stringify(value));
  let deep: unknown = 1;
  for (let i = 0; i < 5000; i++) deep = [deep];
  assert.throws(() => decode(deep, NONE, false), TypeError);
  assert.equal(decode({ [MARK]: 'graph', v: [] }, NONE, false), undefined);
});

test('of others than bases of Hearth nothing is taken for what it is dressed up as', () => {
  const twice = (place: number) => [
    { [MARK]: 'at', v: place },
    { [MARK]: 'at', v: place },
  ];
  for (const value of [
    { [MARK]: 'regexp', v: ['(a+)+$', ''] },
    { [MARK]: 'map', v: [[1, { [MARK]: 'set', v: [] }]] },
    { [MARK]: 'graph', v: [twice(1), twice(2), [1]] },
    { [MARK]: 'what', v: 1 },
  ]) {
    assert.deepStrictEqual(decode(structuredClone(value), NONE, true), value);
  }
});

test('a key that names the prototype is a key like any other', () => {
  const got = sent(JSON.parse('{"__proto__":{"admin":true},"a":1}')) as Record<string, unknown>;
  assert.equal(Object.getPrototypeOf(got), Object.prototype);
  assert.equal(got.admin, undefined);
  assert.deepEqual(Object.keys(got), ['__proto__', 'a']);
});
