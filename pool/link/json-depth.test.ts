import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTooDeep, MAX_JSON_DEPTH } from './json-depth.ts';

const LONG = ' '.repeat(20_000);

function nested(depth: number, open = '[', close = ']'): string {
  return LONG + open.repeat(depth) + close.repeat(depth);
}

test('a text is too deep from one level above the limit on', () => {
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
    ['[{"a":', '}]'],
  ] as const) {
    const levels = (open.match(/[[{]/g) ?? []).length;
    const value = (depth: number) => LONG + open.repeat(depth / levels) + 1 + close.repeat(depth / levels);
    assert.equal(isTooDeep(value(MAX_JSON_DEPTH)), false, open);
    assert.equal(isTooDeep(value(MAX_JSON_DEPTH + 2)), true, open);
  }
});

test('what stands side by side is not deep, and what stands in strings is nothing', () => {
  assert.equal(isTooDeep(`[${'[],{},'.repeat(10_000)}1]`), false);
  const brackets = '['.repeat(20_000);
  assert.equal(isTooDeep(JSON.stringify(brackets)), false);
  assert.equal(isTooDeep(JSON.stringify(`"${brackets}\\"`)), false);
  assert.equal(isTooDeep(JSON.stringify({ [brackets]: `\\${brackets}` })), false);
  assert.equal(isTooDeep(`${JSON.stringify('\\')}${brackets}`), true);
  assert.equal(isTooDeep(`${JSON.stringify('"')}${brackets}`), true);
});

test('what is no JSON comes to an end as well', () => {
  assert.equal(isTooDeep(`${nested(10)}"${'\\'.repeat(20_000)}`), false);
  assert.equal(isTooDeep(']'.repeat(20_000)), false);
  assert.equal(isTooDeep(`"${'[\\"'.repeat(20_000)}`), false);
});

test('what is short is let through, whatever it is', () => {
  assert.equal(isTooDeep('['.repeat(10_000)), false);
});

test('counts as a walk through the value does', () => {
  const depthOf = (value: unknown): number =>
    typeof value !== 'object' || value === null
      ? 0
      : 1 + Object.values(value).reduce((most: number, item) => Math.max(most, depthOf(item)), 0);
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 6 }),
      fc.integer({ min: MAX_JSON_DEPTH - 6, max: MAX_JSON_DEPTH }),
      (value, around) => {
        const text = LONG + '['.repeat(around) + JSON.stringify(value) + ']'.repeat(around);
        assert.equal(isTooDeep(text), around + depthOf(value) > MAX_JSON_DEPTH);
      },
    ),
    { numRuns: 300 },
  );
});
