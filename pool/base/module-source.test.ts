import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ModuleSource } from './module-source.ts';

/** What became of code and cache that came in chunks of this size. */
function arrived(format: 'cjs' | 'esm', code: Uint8Array, cache: Uint8Array, chunkBytes: number) {
  const source = new ModuleSource({ format, codeBytes: code.length, cacheBytes: cache.length });
  const body = Buffer.concat([code, cache]);
  for (let at = 0; at < body.length; at += chunkBytes) source.push(body.subarray(at, at + chunkBytes));
  return { text: source.text(), cache: source.codeCache };
}

test('code and code cache are told apart wherever the chunks were cut', () => {
  const code = Buffer.from('module.exports = 1');
  const cache = Buffer.from([200, 201, 202, 0, 255]);
  for (let chunkBytes = 1; chunkBytes <= code.length + cache.length; chunkBytes++) {
    assert.deepEqual(arrived('esm', code, cache, chunkBytes), { text: 'module.exports = 1', cache });
  }
  assert.deepEqual(arrived('esm', code, Buffer.alloc(0), 7), { text: 'module.exports = 1', cache: null });
});

test('CommonJS has its frame around it, on one line with the first', () => {
  const { text } = arrived('cjs', Buffer.from('module.exports = 1'), Buffer.alloc(0), 5);
  assert.match(text, /^\(function \(exports, require, module, .*\) \{ module\.exports = 1\n\}\)$/);
});

test('code that is not ASCII is read as UTF-8', () => {
  const text = "export const grüße = '日本 🎈';";
  assert.equal(arrived('esm', Buffer.from(text), Buffer.from([0xe4]), 3).text, text);
});

test('code that was cut short is refused', () => {
  const source = new ModuleSource({ format: 'cjs', codeBytes: 10, cacheBytes: 4 });
  source.push(Buffer.from('0123456789abc'));
  assert.throws(() => source.text(), /cut short/);
});
