/** KV, as Workers has it. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { Store } from '../store.ts';
import { DAY, NOW, type StoreTest, withCode } from './harness.ts';

export function kvContract(test: StoreTest): void {
  describe('kv', () => {
    const entry = (text: string, more: { metadata?: unknown; expiration?: number } = {}) => ({
      value: Buffer.from(text),
      metadata: more.metadata ?? null,
      expiration: more.expiration ?? null,
    });
    const textOf = (found: { value: Uint8Array } | null) =>
      found === null ? null : Buffer.from(found.value).toString();

    test('gets what was put, with metadata, per namespace, over a restart', async (store, again) => {
      await store.kv.put('ns', 'k', entry('one', { metadata: { a: [1, null, 'ü'] } }));
      await store.kv.put('other', 'k', entry('two'));
      const opened = await again();
      const found = await opened.kv.get('ns', 'k', NOW);
      assert.equal(textOf(found), 'one');
      assert.deepEqual(found?.metadata, { a: [1, null, 'ü'] });
      assert.equal(found?.expiration, null);
      assert.equal(textOf(await opened.kv.get('other', 'k', NOW)), 'two');
      assert.equal(await opened.kv.get('ns', 'K', NOW), null);
    });

    test('replaces value, metadata and expiration, and deletes', async (store) => {
      await store.kv.put('ns', 'k', entry('one', { metadata: 1, expiration: NOW / 1000 + 60 }));
      await store.kv.put('ns', 'k', entry(''));
      assert.deepEqual(await store.kv.get('ns', 'k', NOW + DAY), {
        value: new Uint8Array(0),
        metadata: null,
        expiration: null,
      });
      await store.kv.delete('ns', 'k');
      await store.kv.delete('ns', 'k');
      assert.equal(await store.kv.get('ns', 'k', NOW), null);
    });

    test('replaces a large value by a small one and the other way round, whole at every look', async (store) => {
      const large = (byte: number) => ({ ...entry(''), value: new Uint8Array(3 * 1024 * 1024 + 7).fill(byte) });
      await store.kv.put('ns', 'k', large(1));
      let done = false;
      const write = async () => {
        for (const byte of [2, 3, 4, 5]) {
          await store.kv.put('ns', 'k', large(byte));
          await store.kv.put('ns', 'k', entry(`small ${byte}`, { metadata: { byte } }));
        }
        await store.kv.put('ns', 'k', large(6));
        done = true;
      };
      const look = async () => {
        for (let last = false; !last; ) {
          last = done;
          const found = await store.kv.get('ns', 'k', NOW);
          const [first] = found?.value ?? [];
          assert.ok(found !== null && first !== undefined);
          if (found.value.length < 100) assert.match(textOf(found) ?? '', /^small \d$/);
          else assert.ok(Buffer.from(found.value).equals(large(first).value));
        }
      };
      await Promise.all([write(), look()]);
      assert.deepEqual(await store.kv.get('ns', 'k', NOW), large(6));
      const { keys } = await store.kv.list('ns', { prefix: '', limit: 9, cursor: null, nowMs: NOW });
      assert.deepEqual(keys, [{ name: 'k', expiration: null, metadata: null }]);
      await store.kv.delete('ns', 'k');
      assert.equal(await store.kv.get('ns', 'k', NOW), null);
    });

    test('no longer shows an entry from its expiration on, and sweeps it', async (store) => {
      const at = NOW / 1000 + 60;
      await store.kv.put('ns', 'a', entry('x', { expiration: at }));
      await store.kv.put('ns', 'b', entry('x', { expiration: at }));
      await store.kv.put('ns', 'c', entry('x', { expiration: at + 1 }));
      await store.kv.put('ns', 'd', entry('x'));
      const list = async (nowMs: number) =>
        (await store.kv.list('ns', { prefix: '', limit: 10, cursor: null, nowMs })).keys.map(({ name }) => name);
      assert.notEqual(await store.kv.get('ns', 'a', at * 1000 - 1), null);
      assert.equal(await store.kv.get('ns', 'a', at * 1000), null);
      assert.deepEqual(await list(at * 1000 - 1), ['a', 'b', 'c', 'd']);
      assert.deepEqual(await list(at * 1000), ['c', 'd']);
      assert.equal(await store.kv.sweep(at * 1000 - 1, 10), 0);
      assert.equal(await store.kv.sweep(at * 1000, 1), 1);
      assert.equal(await store.kv.sweep(at * 1000, 10), 1);
      assert.deepEqual(await list(at * 1000 - 1), ['c', 'd']);
    });

    test("lists in the order of the keys' UTF-8 bytes, page by page", async (store) => {
      // By UTF-16 units the emoji (D83D…) would come before U+FF5E; by bytes (F0… against EF…) it comes after.
      const names = ['a', 'a/1', 'a/2', 'a/z', 'aa', 'a/～', 'a/😀', 'B', 'a/ü'];
      await Promise.all(names.map((name) => store.kv.put('ns', name, entry(name, { metadata: { name } }))));
      const all = await store.kv.list('ns', { prefix: '', limit: 100, cursor: null, nowMs: NOW });
      assert.deepEqual(
        all.keys.map(({ name }) => name),
        ['B', 'a', 'a/1', 'a/2', 'a/z', 'a/ü', 'a/～', 'a/😀', 'aa'],
      );
      assert.equal(all.cursor, null);
      assert.deepEqual(all.keys[0], { name: 'B', expiration: null, metadata: { name: 'B' } });

      const paged: string[] = [];
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<Store['kv']['list']>> = await store.kv.list('ns', {
          prefix: 'a/',
          limit: 2,
          cursor,
          nowMs: NOW,
        });
        assert.equal(page.keys.length, 2);
        paged.push(...page.keys.map(({ name }) => name));
        cursor = page.cursor;
        // What was already listed may go: the cursor still holds.
        if (cursor !== null) await store.kv.delete('ns', paged.at(-1) ?? '');
      } while (cursor !== null);
      assert.deepEqual(paged, ['a/1', 'a/2', 'a/z', 'a/ü', 'a/～', 'a/😀']);
    });

    test('takes a prefix literally, and lists nothing for one that no key has', async (store) => {
      for (const name of ['a%b', 'a_b', 'axb', 'a*b']) await store.kv.put('ns', name, entry(''));
      for (const prefix of ['a%', 'a_', 'a*']) {
        const { keys } = await store.kv.list('ns', { prefix, limit: 10, cursor: null, nowMs: NOW });
        assert.deepEqual(
          keys.map(({ name }) => name),
          [`${prefix}b`],
        );
      }
      const none = await store.kv.list('ns', { prefix: 'zzz', limit: 10, cursor: null, nowMs: NOW });
      assert.deepEqual(none, { keys: [], cursor: null });
    });

    test('refuses a cursor that is none', async (store) => {
      const list = store.kv.list('ns', { prefix: 'a', limit: 1, cursor: 'not a cursor', nowMs: NOW });
      await assert.rejects(list, withCode('BAD_REQUEST'));
    });
  });
}
