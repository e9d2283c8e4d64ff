/** What the state takes up: grows with what is stored, and shrinks again. */
import assert from 'node:assert/strict';
import { NOW, type StoreTest } from './harness.ts';

const MB = 2 ** 20;

export function diskContract(test: StoreTest): void {
  test('what is in use is known as it grows, and is less again once that is removed', async (store) => {
    const before = await store.disk.used();
    assert.ok(before > 0);
    const entry = { value: Buffer.alloc(8 * MB, 'x'), metadata: null, expiration: null };
    await store.kv.put('space', 'large', entry);
    const full = await store.disk.used();
    assert.ok(full - before > 7 * MB, `${full - before} bytes`);
    await store.kv.delete('space', 'large');
    assert.equal(await store.kv.get('space', 'large', NOW), null);
    assert.ok(full - (await store.disk.used()) > 7 * MB);
  });
}
