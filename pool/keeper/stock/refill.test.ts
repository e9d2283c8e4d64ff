import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HostView, nextBoot, nextEnd, type RefillInput } from './refill.ts';

const host = (id: string, more: Partial<HostView> = {}): HostView => ({
  id,
  bound: null,
  freeSlots: 8,
  leased: 0,
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

test('where leases are spread the stock stands beside the fewest of them', () => {
  const full = host('full', { bound: 'a/all', freeSlots: 4, leased: 3, leasedAt: 9 });
  const less = host('less', { bound: 'a/all', freeSlots: 4, leased: 1, leasedAt: 2 });
  const hosts = [full, less, host('fresh', { warm: 4, freeSlots: 4 })];
  assert.deepEqual(next({ hosts: [...hosts], spread: true }), { kind: 'boot', host: 'less' });
  assert.deepEqual(next({ hosts: [...hosts] }), { kind: 'boot', host: 'full' });
  const waits = { pending: ['a/all'], hosts: [full, less] };
  assert.deepEqual(next({ ...waits, spread: true }), { kind: 'boot', host: 'less' });
});

test('what is more than the target goes: beside leases first, where none was for longest', () => {
  const taken = host('taken', { bound: 'a/all', warm: 4, leasedAt: 9 });
  const older = host('older', { bound: 'b/all', warm: 3, leasedAt: 2 });
  const fresh = host('fresh', { warm: 4 });
  assert.equal(nextEnd({ target: 8, hosts: [taken, older, fresh] }), 'older');
  assert.equal(nextEnd({ target: 8, hosts: [taken, fresh] }), null);
});

test('of unbound hosts the one with the fewest bases becomes empty first', () => {
  const hosts = [host('full', { warm: 8, freeSlots: 0 }), host('half', { warm: 3, freeSlots: 5 })];
  assert.equal(nextEnd({ target: 8, hosts }), 'half');
  assert.equal(nextEnd({ target: 11, hosts }), null);
});

test('a base that boots is not ended, and counts', () => {
  assert.equal(nextEnd({ target: 1, hosts: [host('a', { booting: 3 })] }), null);
  assert.equal(nextEnd({ target: 2, hosts: [host('a', { warm: 1, booting: 2 })] }), 'a');
});

test('what boots and what ends come to rest for every target and every spread over hosts', () => {
  for (let target = 0; target <= 9; target++) {
    for (let warm = 0; warm <= 12; warm++) {
      for (let bound = 0; bound <= warm; bound++) {
        const hosts = [
          host('bound', { bound: 'a/all', warm: bound, freeSlots: 30 }),
          host('unbound', { warm: warm - bound, freeSlots: 30 }),
        ];
        let steps = 0;
        for (; steps < 40; steps++) {
          const step = next({ target, hosts });
          const ends = step === null ? nextEnd({ target, hosts }) : null;
          const boots = step?.kind === 'boot' ? step.host : null;
          const changed = hosts.find(({ id }) => id === (boots ?? ends));
          if (changed === undefined) break;
          changed.warm += boots === null ? -1 : 1;
        }
        assert.ok(steps < 40, `target ${target}, ${bound} bound of ${warm}`);
        const left = hosts.reduce((sum, host) => sum + host.warm, 0);
        assert.ok(left >= target && left <= Math.max(target, 1), `${left} of ${target}`);
      }
    }
  }
});
