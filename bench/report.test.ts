import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, percentile, ratio, table } from './report.ts';

test('the median of an even number of rounds lies between the middle two', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([9, 1, 5]), 5);
});

test('percentiles are values that were measured', () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.equal(percentile(values, 50), 50);
  assert.equal(percentile(values, 99), 99);
  assert.equal(percentile(values, 100), 100);
  assert.equal(percentile([7], 1), 7);
});

test('a ratio to nothing is not a number in the table', () => {
  assert.equal(ratio(3, 2), '1.50×');
  assert.equal(ratio(3, 0), '–');
  assert.equal(ratio(Number.NaN, 2), '–');
});

test('columns are as wide as their longest cell', () => {
  assert.deepEqual(table(['peer', 'n'], [['a', '100']]).split('\n'), ['peer    n', '────  ───', 'a     100']);
});
