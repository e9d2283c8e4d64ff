import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rank, victim } from './evict.ts';

const idle = (name: string, gainPerHour: number, memoryMb: number) => ({ name, gainPerHour, memoryMb });

test('what is used soon and small stays; what is used rarely goes, and so does what is large', () => {
  const base = idle('base', 2, 100);
  for (const worse of [idle('rare', 1, 100), idle('large', 2, 1_000)]) {
    assert.equal(victim([base, worse], 'memory')?.name, worse.name);
    assert.equal(victim([worse, base], 'memory')?.name, worse.name);
  }
});

test('where bases are scarce their size counts for nothing', () => {
  const [small, large] = [idle('small', 1, 10), idle('large', 2, 1_000)];
  assert.equal(victim([small, large], 'memory'), large);
  assert.equal(victim([small, large], 'bases'), small);
});

test('of equals the first goes, of none nobody, and what is worth nothing goes too', () => {
  assert.equal(victim([idle('a', 1, 10), idle('b', 1, 10)], 'memory')?.name, 'a');
  assert.equal(victim([], 'bases'), null);
  assert.equal(victim([idle('a', Number.POSITIVE_INFINITY, 10)], 'memory')?.name, 'a');
});

test('memory of nothing divides nothing', () => {
  assert.ok(Number.isFinite(rank(idle('a', 1, 0), 'memory')));
});
