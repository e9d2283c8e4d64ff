import assert from 'node:assert/strict';
import { test } from 'node:test';
import { priority, victim } from './evict.ts';

const use = (name: string, over: Partial<Parameters<typeof priority>[0]>) => ({
  name,
  clockAtUse: 0,
  frequency: 1,
  coldMs: 10,
  memoryMb: 100,
  ...over,
});

test('often used, dear to load and small stays; rare, cheap and large goes', () => {
  const base = use('base', {});
  for (const worse of [{ frequency: 0 }, { coldMs: 1 }, { memoryMb: 1000 }]) {
    assert.equal(victim([base, use('worse', worse)], 0)?.candidate.name, 'worse');
  }
});

test('of equals the first goes, and of none nobody', () => {
  assert.equal(victim([use('a', {}), use('b', {})], 0)?.candidate.name, 'a');
  assert.equal(victim([], 5), null);
});

test('the clock rises with each eviction, so that what was precious long ago is outlived', () => {
  const old = use('old', { frequency: 50, coldMs: 100 });
  let clock = 0;
  let evictions = 0;
  for (; evictions < 1_000; evictions++) {
    const found = victim([old, use('new', { clockAtUse: clock, coldMs: 100 })], clock);
    assert.ok(found !== null && found.clock >= clock);
    clock = found.clock;
    if (found.candidate.name === 'old') break;
  }
  assert.equal(evictions, 49);
});

test('the clock never goes back, and memory of nothing divides nothing', () => {
  assert.equal(victim([use('a', { clockAtUse: 1 })], 7)?.clock, 7);
  assert.ok(Number.isFinite(priority(use('a', { memoryMb: 0 }))));
});
