import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pools, poolSizes } from './pools.ts';
import type { NamedPool } from './settings.ts';

const TOTALS = { maxBases: 100, memoryMb: 10_000, basesPerHost: 8 };

const bases = (named: Record<string, NamedPool>) =>
  Object.fromEntries([...poolSizes(named, TOTALS)].map(([name, { maxBases }]) => [name, maxBases]));
const madeOf = (pools: Record<string, NamedPool>) => new Pools({ ...TOTALS, pools });

test('without any names the default pool has everything', () => {
  assert.deepEqual(
    [...poolSizes({}, TOTALS)],
    [['default', { maxBases: 100, memoryMb: 10_000, warm: null, basesPerHost: 8, placement: 'pack' }]],
  );
});

test('what named sizes leave is shared by the pools that name none', () => {
  assert.deepEqual(bases({ batch: { maxBases: 20 } }), { default: 80, batch: 20 });
  assert.deepEqual(bases({ batch: {}, buffer: { maxBases: 10 } }), { default: 45, batch: 45, buffer: 10 });
  assert.deepEqual(bases({ default: { maxBases: 1 }, batch: { maxBases: 2 } }), { default: 1, batch: 2 });
  const memory = poolSizes({ batch: { maxBases: 20, memoryMb: 1_000 } }, TOTALS);
  assert.equal(memory.get('default')?.memoryMb, 9_000);
});

test('more than there is, or nothing left for one of them, is refused with the setting', () => {
  assert.throws(() => poolSizes({ batch: { maxBases: 101 } }, TOTALS), {
    name: 'RangeError',
    message: 'together they have 101 bases, and HEARTH_MAX_BASES allows 100',
  });
  assert.throws(() => poolSizes({ batch: { maxBases: 100 } }, TOTALS), /too little is left for "default"/);
  assert.throws(() => poolSizes({ batch: { memoryMb: 9_990 } }, TOTALS), /HEARTH_MEMORY_MB \(10000\).*10 MB/);
});

test('a host never has more slots than its pool may have bases', () => {
  const pools = madeOf({ small: { maxBases: 3 }, apart: { maxBases: 20, basesPerHost: 2 } });
  assert.deepEqual(
    ['small', 'apart', 'default'].map((name) => pools.slotsOf(name)),
    [3, 2, 8],
  );
  assert.deepEqual(
    ['small', 'apart', 'default'].map((name) => pools.hostsOf(name)),
    [1, 10, 10],
  );
});

test('a size changes up to what the other pools leave, and what is not named stays', () => {
  const pools = madeOf({ batch: { maxBases: 20, warm: 3 } });
  assert.throws(() => pools.change('batch', { maxBases: 21 }), {
    code: 'CONFLICT',
    message: '"batch" can have 20 bases at most: HEARTH_MAX_BASES less the other pools.',
  });
  pools.change('default', { maxBases: 50 });
  pools.change('batch', { maxBases: 50, placement: 'spread' });
  assert.deepEqual(pools.size('batch'), {
    maxBases: 50,
    memoryMb: 5_000,
    warm: 3,
    basesPerHost: 8,
    placement: 'spread',
  });
  assert.throws(() => pools.change('nope', {}), { code: 'NOT_FOUND', message: /"nope".*default, batch/ });
});

test('a change of which one part is refused changes nothing', () => {
  const pools = madeOf({ batch: { maxBases: 20 } });
  assert.throws(() => pools.change('batch', { maxBases: 5, memoryMb: 1_000_000 }), { code: 'CONFLICT' });
  assert.equal(pools.size('batch').maxBases, 20);
});

test('bases go over with their part of the memory, and at least one stays', () => {
  const pools = madeOf({ batch: { maxBases: 20, memoryMb: 2_000 } });
  pools.transfer('batch', 'default', 5);
  assert.deepEqual([pools.size('batch').maxBases, pools.size('batch').memoryMb], [15, 1_500]);
  assert.deepEqual([pools.size('default').maxBases, pools.size('default').memoryMb], [85, 8_500]);
  assert.throws(() => pools.transfer('batch', 'default', 15), { code: 'CONFLICT', message: /nothing would be left/ });
  assert.equal(pools.size('default').maxBases, 85);
});
