import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createIdMaker } from './ids.ts';

test('ids are 32 hex digits that sort by the time they were made', () => {
  let nowMs = Date.UTC(2026, 0, 1);
  const newId = createIdMaker(() => nowMs);
  const first = newId();
  nowMs += 1;
  const second = newId();
  nowMs = Date.UTC(2126, 0, 1);
  const third = newId();
  for (const id of [first, second, third]) assert.match(id, /^[0-9a-f]{32}$/);
  assert.deepEqual([third, first, second].sort(), [first, second, third]);
});

test('ids of one millisecond differ, also beyond one draw of random bytes', () => {
  const newId = createIdMaker(() => 0);
  const ids = Array.from({ length: 2000 }, newId);
  assert.equal(new Set(ids).size, 2000);
});
