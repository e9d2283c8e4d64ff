/** Files of buckets. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { FILE_PART_BYTES, type FileHead, UNNAMED_FILE_MS } from '../api/files.ts';
import type { Store } from '../store.ts';
import { DAY, NOW, type StoreTest, withCode } from './harness.ts';

export function filesContract(test: StoreTest): void {
  describe('files', () => {
    const headOf = (key: string, upload: string, size: number): FileHead => {
      return { key, upload, size, etag: 'e', uploadedAt: NOW, meta: { custom: { a: 'ü' } } };
    };
    const put = async (store: Store, key: string, upload: string, text: string, before?: string | null) => {
      if (text !== '') await store.files.writePart(upload, 0, Buffer.from(text), NOW);
      return store.files.put('b', headOf(key, upload, text.length), before, NOW);
    };
    const textOf = async (store: Store, upload: string) => {
      const part = await store.files.readPart(upload, 0);
      return part === null ? null : Buffer.from(part).toString();
    };
    const keysOf = (heads: FileHead[]) => heads.map(({ key }) => key);

    test('keeps what was written in parts, with what is said of it, over a restart', async (store, again) => {
      const parts = [Buffer.alloc(FILE_PART_BYTES, 'a'), Buffer.alloc(FILE_PART_BYTES, 'b'), Buffer.from('c')];
      for (const [i, part] of parts.entries()) await store.files.writePart('u1', i, part, NOW);
      const head = headOf('dir/ü.bin', 'u1', 2 * FILE_PART_BYTES + 1);
      assert.equal(await store.files.put('b', head, undefined, NOW), true);
      const opened = await again();
      assert.deepEqual(await opened.files.head('b', 'dir/ü.bin'), head);
      for (const [i, part] of parts.entries()) {
        assert.ok(part.equals((await opened.files.readPart('u1', i)) ?? Buffer.alloc(0)));
      }
      assert.equal(await opened.files.readPart('u1', 3), null);
      assert.equal(await opened.files.head('other', 'dir/ü.bin'), null);
      assert.equal(await put(opened, 'empty', 'u2', ''), true);
      assert.equal((await opened.files.head('b', 'empty'))?.size, 0);
    });

    test('names an upload only over what is expected, and only when all of it is there', async (store) => {
      assert.equal(await put(store, 'k', 'u1', 'one', 'u0'), false);
      assert.equal(await store.files.head('b', 'k'), null);
      assert.equal(await put(store, 'k', 'u2', 'two', null), true);
      assert.equal(await put(store, 'k', 'u3', 'three', null), false);
      assert.equal(await put(store, 'k', 'u4', 'four', 'u2'), true);
      assert.equal((await store.files.head('b', 'k'))?.upload, 'u4');
      await store.files.writePart('u5', 0, Buffer.alloc(FILE_PART_BYTES), NOW);
      const short = store.files.put('b', headOf('k', 'u5', FILE_PART_BYTES + 1), undefined, NOW);
      await assert.rejects(short, withCode('NO_CAPACITY'));
      assert.equal((await store.files.head('b', 'k'))?.upload, 'u4');
    });

    test('lets who reads a file that is replaced or deleted read on for a while, and then removes it', async (store) => {
      await put(store, 'k', 'u1', 'one');
      await put(store, 'k', 'u2', 'two');
      await put(store, 'gone', 'u3', 'three');
      await store.files.delete('b', ['gone', 'never'], NOW);
      await store.files.writePart('u4', 0, Buffer.from('never named'), NOW);
      await store.files.writePart('u5', 0, Buffer.from('given up'), NOW);
      for (const upload of ['u5', 'u2', 'never']) await store.files.drop(upload, NOW);
      const read = async () => Promise.all(['u1', 'u2', 'u3', 'u4', 'u5'].map((upload) => textOf(store, upload)));
      await store.files.sweep(NOW + UNNAMED_FILE_MS - 1, 100);
      assert.deepEqual(await read(), ['one', 'two', 'three', 'never named', null]);
      let swept = 0;
      for (let now = 1; now > 0; swept += now) now = await store.files.sweep(NOW + DAY, 2);
      assert.ok(swept >= 3);
      assert.deepEqual(await read(), [null, 'two', null, null, null]);
      assert.equal(await store.files.head('b', 'gone'), null);
      const late = store.files.put('b', headOf('late', 'u4', 11), undefined, NOW);
      await assert.rejects(late, withCode('NO_CAPACITY'));
    });

    test("lists in the order of the keys' bytes, from a prefix and behind a place", async (store) => {
      for (const key of ['b', 'a/2', 'a/1', 'a', 'a/～', 'a/😀', 'a%']) await put(store, key, `u-${key}`, 'x');
      const list = async (prefix: string, after: string | null, limit = 10) =>
        keysOf(await store.files.list('b', { prefix, after: after === null ? null : Buffer.from(after), limit }));
      assert.deepEqual(await list('', null), ['a', 'a%', 'a/1', 'a/2', 'a/～', 'a/😀', 'b']);
      assert.deepEqual(await list('a/', null, 2), ['a/1', 'a/2']);
      assert.deepEqual(await list('a/', 'a/2'), ['a/～', 'a/😀']);
      assert.deepEqual(await list('a/', 'a'), ['a/1', 'a/2', 'a/～', 'a/😀'], 'behind a place before the prefix');
      assert.deepEqual(await list('', 'a/'), ['a/1', 'a/2', 'a/～', 'a/😀', 'b'], 'a place need be no key');
      const beyond = await store.files.list('b', { prefix: '', after: Buffer.from('a/\xff', 'latin1'), limit: 9 });
      assert.deepEqual(keysOf(beyond), ['b']);
      assert.deepEqual(await list('a/', 'b'), []);
      assert.deepEqual(await store.files.list('none', { prefix: '', after: null, limit: 9 }), []);
    });
  });
}
