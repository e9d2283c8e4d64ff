import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dueTimes, rateAt } from './schedule.ts';

test('a steady rate is due in equal steps from the start', () => {
  assert.deepEqual(dueTimes([{ from: 4, to: 4, ms: 1000 }]), [0, 250, 500, 750]);
});

test('a ramp holds as many requests as the area under it, ever closer together', () => {
  const due = dueTimes([{ from: 0, to: 100, ms: 2000 }]);
  assert.equal(due.length, 100);
  const gaps = due.slice(1).map((at, index) => at - (due[index] as number));
  for (const [index, gap] of gaps.slice(1).entries()) assert.ok(gap < (gaps[index] as number));
  assert.ok((due.at(-1) as number) < 2000);
});

test('stages follow each other without a gap or a jump in the count', () => {
  const due = dueTimes([
    { from: 10, to: 10, ms: 1000 },
    { from: 10, to: 400, ms: 1000 },
    { from: 400, to: 10, ms: 1000 },
    { from: 10, to: 10, ms: 1000 },
  ]);
  assert.equal(due.length, 10 + 205 + 205 + 10);
  assert.deepEqual(
    due,
    due.toSorted((a, b) => a - b),
  );
  assert.equal(due.filter((at) => at < 1000).length, 10);
  assert.equal(due.filter((at) => at >= 3000).length, 10);
});

test('nothing is due at a rate of none', () => {
  assert.deepEqual(dueTimes([{ from: 0, to: 0, ms: 1000 }]), []);
  assert.deepEqual(dueTimes([]), []);
});

test('the rate at a time is that of its stage', () => {
  const stages = [
    { from: 1, to: 1, ms: 1000 },
    { from: 1, to: 3, ms: 1000 },
  ];
  assert.deepEqual([rateAt(stages, 0), rateAt(stages, 1500), rateAt(stages, 5000)], [1, 2, 0]);
});
