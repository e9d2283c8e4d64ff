import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figure, leastSquares, median, percentile, quotable, quoted, ratio, table } from './report.ts';

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

test('a quantile is quoted when a hundred samples lie above it, and else is n/a', () => {
  assert.deepEqual([quotable(50, 200), quotable(50, 199)], [true, false]);
  assert.deepEqual([quotable(99, 10_000), quotable(99, 9_999)], [true, false]);
  assert.deepEqual([quotable(99.9, 100_000), quotable(99.9, 90_000)], [true, false]);
  assert.equal(figure(quoted(1.234, 99, 200)), 'n/a');
  assert.equal(figure(quoted(1.234, 50, 200)), '1.23');
  assert.equal(ratio(null, 2), 'n/a');
});

test('the line of least squares goes through points that lie on one', () => {
  const { slope, intercept } = leastSquares([
    [4, 150],
    [8, 200],
    [16, 300],
  ]);
  assert.ok(Math.abs(slope - 12.5) < 1e-9);
  assert.ok(Math.abs(intercept - 100) < 1e-9);
});
