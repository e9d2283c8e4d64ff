import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { packBytes } from './bytes.ts';

describe('packBytes', () => {
  it('passes on what holds no bytes as it is', () => {
    const value = { a: [1, 'x', null, { b: undefined }] };
    const packed = packBytes(value, false);
    assert.equal(packed.value, value);
    assert.deepEqual(packed.transfer, []);
  });

  it('puts all bytes into one buffer of just their size, and changes nothing it was given', () => {
    const pooled = Buffer.from('abc');
    const large = new Uint8Array(100_000).fill(1);
    const value = { list: [{ body: pooled }, { body: large }, { body: pooled }], other: { n: 1 } };
    const { value: copy, transfer, bytes } = packBytes(value, false);
    assert.equal(transfer.length, 1);
    assert.equal(transfer[0]?.byteLength, 100_003);
    assert.equal(bytes, 100_006);
    assert.equal(value.list[0]?.body, pooled);
    assert.equal(copy.other, value.other);
    const received = structuredClone(copy, { transfer });
    assert.deepEqual(
      received.list.map(({ body }) => Buffer.from(body)),
      [pooled, Buffer.from(large), pooled],
    );
    assert.equal(large.length, 100_000);
  });

  it('gives large arrays away when they are ours, but never a view of something larger', () => {
    const large = new Uint8Array(100_000).fill(1);
    const view = new Uint8Array(200_000).fill(2).subarray(0, 100_000);
    const { value, transfer } = packBytes([large, view, large], true);
    const received = structuredClone(value, { transfer });
    assert.equal(large.length, 0);
    assert.equal(view.length, 100_000);
    assert.deepEqual(
      received.map(({ length, 0: first }) => [length, first]),
      [
        [100_000, 1],
        [100_000, 2],
        [100_000, 1],
      ],
    );
  });

  it('keeps a key named __proto__ a key', () => {
    const value = JSON.parse('{"__proto__": {"x": 1}}') as Record<string, unknown>;
    value.body = new Uint8Array(1);
    const { value: copy } = packBytes(value, false);
    assert.deepEqual(Object.keys(copy), ['__proto__', 'body']);
    assert.equal((copy as { x?: number }).x, undefined);
  });
});
