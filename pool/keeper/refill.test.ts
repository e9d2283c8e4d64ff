import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HostView, nextBoot, type RefillInput } from './refill.ts';

const host = (id: string, more: Partial<HostView> = {}): HostView => ({
  id,
  bound: null,
  freeSlots: 8,
  warm: 0,
  booting: 0,
  leasedAt: 0,
  ...more,
});
const next = (input: Partial<RefillInput>) =>
  nextBoot({ target: 8, hosts: [], pending: [], apart: new Set(), room: 100, ...input });
const START = { kind: 'start-host', bound: null };

test('an empty pool starts a host and fills it to the target', () => {
  assert.deepEqual(next({}), START);
  assert.deepEqual(next({ hosts: [host('a', { warm: 3, booting: 1, freeSlots: 4 })] }), { kind: 'boot', host: 'a' });
  assert.equal(next({ hosts: [host('a', { warm: 8, freeSlots: 0 })] }), null);
});

test('no room in the pool starts nothing', () => {
  assert.equal(next({ room: 0, pending: ['a/all'] }), null);
});

test('who waits comes first, in a host of its own key where one has a free slot', () => {
  const mine = host('mine', { bound: 'a/all' });
  const other = host('other', { bound: 'b/all' });
  assert.deepEqual(next({ hosts: [other, mine], pending: ['a/all'] }), { kind: 'boot', host: 'mine' });
  assert.deepEqual(next({ hosts: [other], pending: ['a/all'] }), START);
});

test('one unbound base is kept for a trust group that was never seen, then the stock beside the leases', () => {
  const taken = host('taken', { bound: 'a/all', freeSlots: 7, leasedAt: 5 });
  assert.deepEqual(next({ hosts: [taken] }), START);
  const fresh = host('fresh', { warm: 1, freeSlots: 7 });
  assert.deepEqual(next({ hosts: [taken, fresh] }), { kind: 'boot', host: 'taken' });
  const filled = host('taken', { bound: 'a/all', warm: 4, freeSlots: 3, leasedAt: 5 });
  assert.deepEqual(next({ hosts: [filled, fresh] }), { kind: 'boot', host: 'fresh' });
});

test('leases one after another in one trust group do not start a host each', () => {
  const taken = host('taken', { bound: 'a/all', freeSlots: 6, leasedAt: 9 });
  const older = host('older', { bound: 'b/all', freeSlots: 6, leasedAt: 2 });
  const fresh = host('fresh', { booting: 1, freeSlots: 7 });
  assert.deepEqual(next({ target: 2, hosts: [older, taken, fresh] }), { kind: 'boot', host: 'taken' });
});
