import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundMemories } from './meter-wasm.ts';

const HEADER = '0061736d01000000';
/** An export section with a name, so that something follows the memory. */
const EXPORT = '070501016d0200';
const bytes = (...parts: string[]) => Buffer.from(HEADER + parts.join(''), 'hex');

test('a memory without a maximum gets one, and one with a higher maximum a lower one', () => {
  // (memory 1), (memory 1 1000), (memory 1 10)
  for (const [given, bounded] of [
    ['0503010001', '050401010164'],
    ['05050101' + '01e807', '050401010164'],
    ['0504010101' + '0a', '050401010' + '10a'],
  ]) {
    const result = boundMemories(bytes(given as string, EXPORT), 100);
    assert.equal(Buffer.from(result.bytes).toString('hex'), HEADER + bounded + EXPORT);
    assert.equal(result.initialPages, 1);
  }
});

test('what it begins with is left alone: the engine or the count refuses that', () => {
  const result = boundMemories(bytes('05050101' + 'c801' + '64'), 100);
  assert.equal(result.initialPages, 200);
});

test('flags of shared and 64-bit memories stay as they are', () => {
  const result = boundMemories(bytes('0505010301' + 'e807'), 100);
  assert.equal(Buffer.from(result.bytes).toString('hex'), `${HEADER}050401030164`);
});

test('what has no memory or is not well formed comes back as it was', () => {
  for (const source of [bytes(EXPORT), bytes('05ff01'), bytes('050301'), Buffer.from('nothing of the kind')]) {
    const result = boundMemories(source, 100);
    assert.deepEqual(result.bytes, source);
    assert.equal(result.initialPages, 0);
  }
});
