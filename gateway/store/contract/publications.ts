/** Publications, and what was taken back. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { PublicationRecord } from '../api/publications.ts';
import { functionOf, NOW, type StoreTest } from './harness.ts';

export function publicationsContract(test: StoreTest): void {
  describe('publications', () => {
    test('keeps them over a restart, in the order of their names', async (store, again) => {
      const shop = publicationOf('shop-web', 'shop');
      const full: PublicationRecord = {
        ...publicationOf('cart', 'shop'),
        routes: ['*/cart/*'],
        crons: [],
        queues: ['orders'],
        rpc: false,
        tag: 'beta',
        splits: [{ name: 'big', when: { header: { 'x-from': 'batch' } }, maxInstances: 2, concurrency: 1 }],
      };
      await store.publications.put(shop);
      await store.publications.put(full);
      const opened = await again();
      assert.deepEqual(await opened.publications.load(), { publications: [full, shop], withdrawn: [] });
    });

    test('replaces and deletes by name', async (store) => {
      await store.publications.put(publicationOf('web', 'shop'));
      const other = { ...publicationOf('web', 'cart'), updatedAt: NOW + 1 };
      await store.publications.put(other);
      assert.deepEqual((await store.publications.load()).publications, [other]);
      assert.equal(await store.publications.delete('web'), true);
      assert.equal(await store.publications.delete('web'), false);
      assert.deepEqual(await store.publications.load(), { publications: [], withdrawn: [] });
    });

    test('keeps what was taken back until it is published again', async (store, again) => {
      await store.publications.put(publicationOf('shop', 'shop'));
      await store.publications.withdraw('shop');
      const opened = await again();
      assert.deepEqual(await opened.publications.load(), { publications: [], withdrawn: ['shop'] });
      assert.equal(await opened.publications.delete('shop'), false);
      assert.deepEqual((await opened.publications.load()).withdrawn, ['shop']);
      await opened.publications.put(publicationOf('shop', 'shop'));
      assert.deepEqual(await opened.publications.load(), {
        publications: [publicationOf('shop', 'shop')],
        withdrawn: [],
      });
    });

    test('go with their function, whatever their names, and leave those of others', async (store) => {
      for (const name of ['cart', 'news', 'shop']) await store.registry.putFunction(functionOf(name, 'v1'));
      await store.publications.put(publicationOf('web', 'shop'));
      await store.publications.put(publicationOf('web-cart', 'cart'));
      await store.publications.withdraw('shop');
      await store.publications.withdraw('news');
      await store.registry.deleteFunction('shop');
      assert.deepEqual(await store.publications.load(), {
        publications: [publicationOf('web-cart', 'cart')],
        withdrawn: ['news'],
      });
    });
  });
}

function publicationOf(name: string, functionName: string): PublicationRecord {
  return {
    name,
    function: functionName,
    routes: null,
    crons: null,
    queues: null,
    rpc: true,
    tag: null,
    splits: [],
    createdAt: NOW,
    updatedAt: NOW,
  };
}
