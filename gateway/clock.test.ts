import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClock } from './clock.ts';

test('durations are those of the monotonic clock, though the wall clock counts whole milliseconds', () => {
  let elapsed = 0;
  const clock = createClock(
    () => Math.floor(1_800_000_000_000.4 + elapsed),
    () => 5000 + elapsed,
  );
  const start = clock();
  for (const ms of [0.25, 0.75, 1.5, 999.125]) {
    elapsed = ms;
    assert.equal(clock() - start, ms);
  }
});

test('a wall clock that was set is followed', () => {
  let wall = 1_800_000_000_000;
  const clock = createClock(
    () => wall,
    () => 7000,
  );
  wall += 3_600_000;
  assert.equal(clock(), 1_800_003_600_000);
  wall -= 7_200_000;
  assert.equal(clock(), 1_799_996_400_000);
});
