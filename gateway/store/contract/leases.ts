/** Leases of what only one gateway may do at a time. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { NOW, type StoreTest } from './harness.ts';

export function leasesContract(test: StoreTest): void {
  describe('leases', () => {
    test('gives one to exactly one of many, who may lengthen it with the same fence', async (store) => {
      const owners = Array.from({ length: 20 }, (_, i) => `o${i}`);
      const taken = await Promise.all(owners.map((owner) => store.leases.take('sweep', owner, NOW, NOW + 1000)));
      const [holder] = owners.filter((_, i) => taken[i] !== null);
      assert.ok(holder !== undefined);
      assert.equal(taken.filter((lease) => lease !== null).length, 1);
      const first = taken.find((lease) => lease !== null);
      assert.deepEqual(await store.leases.take('sweep', holder, NOW + 500, NOW + 2000), first);
      assert.equal(await store.leases.take('sweep', 'other', NOW + 1999, NOW + 3000), null, 'it was lengthened');
    });

    test('passes to another once it has ended, with a higher fence', async (store, again) => {
      const first = await store.leases.take('sweep', 'one', NOW, NOW + 1000);
      const opened = await again();
      assert.equal(await opened.leases.take('sweep', 'two', NOW + 999, NOW + 5000), null);
      const second = await opened.leases.take('sweep', 'two', NOW + 1000, NOW + 5000);
      assert.ok(first !== null && second !== null && second.fence > first.fence);
      assert.equal(await opened.leases.take('sweep', 'one', NOW + 1001, NOW + 9000), null);
    });

    test('is given back by its owner and by nobody else, and its fence goes on rising', async (store) => {
      const first = await store.leases.take('sweep', 'one', NOW, NOW + 1000);
      await store.leases.release('sweep', 'two');
      assert.equal(await store.leases.take('sweep', 'two', NOW, NOW + 1000), null);
      await store.leases.release('sweep', 'one');
      const second = await store.leases.take('sweep', 'two', NOW, NOW + 1000);
      assert.ok(first !== null && second !== null && second.fence > first.fence);
      await store.leases.release('sweep', 'one');
      assert.equal(await store.leases.take('sweep', 'three', NOW, NOW + 1000), null);
      await store.leases.release('never taken', 'one');
    });

    test('keeps apart what has different names', async (store) => {
      assert.notEqual(await store.leases.take('rollouts', 'one', NOW, NOW + 1000), null);
      assert.notEqual(await store.leases.take('base:a b', 'two', NOW, NOW + 1000), null);
      assert.notEqual(await store.leases.take('base:a', 'b three', NOW, NOW + 1000), null);
      assert.equal(await store.leases.take('base:a b', 'one', NOW, NOW + 1000), null);
    });
  });
}
