/** Base definitions. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { BaseGeneration, BaseRecord } from '../api/bases.ts';
import { NOW, type StoreTest } from './harness.ts';

export function basesContract(test: StoreTest): void {
  describe('base definitions', () => {
    test('keeps each with the generation before it, in the order of names', async (store, again) => {
      await store.bases.put(recordOf('shop', [2, 1]), null);
      await store.bases.put(recordOf('default', [1]), null);
      await store.bases.put(recordOf('shop', [3, 2]), null);
      const opened = await again();
      assert.deepEqual(await opened.bases.list(), [recordOf('default', [1]), recordOf('shop', [3, 2])]);
      assert.equal(await opened.bases.delete('default'), true);
      assert.equal(await opened.bases.delete('default'), false);
      assert.deepEqual(
        (await opened.bases.list()).map(({ name }) => name),
        ['shop'],
      );
    });

    test('keeps the setups that a definition and the one before it name, and no others', async (store, again) => {
      const code = (text: string) => new Uint8Array(Buffer.from(text));
      await store.bases.put(recordOf('shop', [2], 'two'), { id: 'two', code: code('2') });
      await store.bases.put(recordOf('other', [2], 'two'), { id: 'two', code: code('another') });
      await store.bases.put(recordOf('shop', [3, 2], 'three', 'two'), { id: 'three', code: code('3') });
      const opened = await again();
      assert.deepEqual(await opened.bases.getSetup('shop', 'two'), code('2'));
      assert.deepEqual(await opened.bases.getSetup('shop', 'three'), code('3'));
      // Back to two, whose bundle is there already.
      await opened.bases.put(recordOf('shop', [4, 3], 'two', 'three'), null);
      await opened.bases.put(recordOf('shop', [5, 4], undefined, 'two'), null);
      assert.deepEqual(await opened.bases.getSetup('shop', 'two'), code('2'));
      assert.equal(await opened.bases.getSetup('shop', 'three'), null);
      assert.equal(await opened.bases.getSetup('shop', 'never'), null);
      await opened.bases.delete('shop');
      assert.equal(await opened.bases.getSetup('shop', 'two'), null);
      assert.deepEqual(await opened.bases.getSetup('other', 'two'), code('another'));
    });
  });
}

function recordOf(name: string, [current, previous]: number[], ...setups: (string | undefined)[]): BaseRecord {
  return {
    name,
    current: generationOf(current ?? 1, setups[0]),
    previous: previous === undefined ? null : generationOf(previous, setups[1]),
    updatedAt: NOW,
  };
}

function generationOf(generation: number, setup: string | undefined): BaseGeneration {
  return {
    generation,
    shared: [{ as: 'hono', from: 'hono3' }],
    env: ['DATABASE_URL'],
    warm: generation === 1 ? null : 2,
    types: setup === undefined ? null : 'export interface Base {}',
    setup:
      setup === undefined
        ? { kind: 'path', path: './base.ts' }
        : { kind: 'code', id: setup, files: ['setup.ts'], declared: null },
    createdAt: NOW,
    by: 'admin',
  };
}
