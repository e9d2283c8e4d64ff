import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyGarbage } from './body-garbage.ts';

test('collects once for each sixteen megabytes of bodies, however they are cut', () => {
  let collected = 0;
  const garbage = new BodyGarbage(() => {
    collected++;
  });
  for (let n = 0; n < 255; n++) garbage.passed(64 * 1024);
  assert.equal(collected, 0);
  garbage.passed(64 * 1024);
  assert.equal(collected, 1);
  garbage.passed(16 * 1024 * 1024);
  assert.equal(collected, 2);
});
