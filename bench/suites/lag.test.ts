import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lags } from './lag.ts';

const series = (...counts: number[]) => counts.map((count, index) => ({ atMs: index * 100, count }));
/** 1 needed, from 200 to 500 ms 4, then 1 again. */
const needed = (atMs: number) => (atMs >= 200 && atMs < 500 ? 4 : 1);

test('lag up is the longest that any number of instances was waited for', () => {
  assert.equal(lags(series(1, 1, 2, 3, 4, 4, 1), needed, 700).upMs, 200);
  const ramp = (atMs: number) => Math.min(4, 1 + Math.floor(atMs / 200));
  assert.equal(lags(series(1, 1, 1, 2, 2, 3, 3, 4, 4), ramp, 900).upMs, 100, 'always behind, and never by more');
  assert.equal(lags(series(1, 1, 4, 4, 4, 4, 1), needed, 700).upMs, 0);
});

test('lag down counts from the fall of the load until there are few again', () => {
  assert.equal(lags(series(1, 1, 4, 4, 4, 4, 3, 2, 1), needed, 900).downMs, 300);
  assert.equal(lags(series(1, 1, 4, 4, 4, 1), needed, 600).downMs, 100);
});

test('instances that never follow are said so', () => {
  assert.deepEqual(lags(series(1, 1, 1, 1, 1, 1, 1), needed, 700), { upMs: null, downMs: 100 });
  assert.equal(lags(series(1, 1, 4, 4, 4, 4, 4), needed, 700).downMs, null);
});

test('what is seen after the load has ended does not count', () => {
  assert.equal(lags(series(1, 1, 4, 4, 4, 4, 4, 1), needed, 700).downMs, null);
});
