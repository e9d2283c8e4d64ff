import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BootFailures } from './boot-failures.ts';

test('each failure in a row doubles the pause up to its limit, a success ends it', () => {
  const failures = new BootFailures();
  const pauses = Array.from({ length: 8 }, () => {
    failures.failed('no such library', 1_000);
    return failures.pauseMs(1_000);
  });
  assert.deepEqual(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  assert.equal(failures.pauseMs(4_000), 2_000);
  failures.succeeded();
  assert.equal(failures.pauseMs(1_000), 0);
});

test('three failures in a row are a broken definition, with the last reason', () => {
  const failures = new BootFailures();
  failures.failed('first', 0);
  failures.failed('second', 0);
  assert.equal(failures.broken, null);
  failures.failed('third', 0);
  assert.equal(failures.broken, 'third');
  failures.succeeded();
  assert.equal(failures.broken, null);
});
