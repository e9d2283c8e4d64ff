import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOf } from '../triggers/outcome.ts';
import { decodeBody } from './message-body.ts';

const DEEP = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;

test('a body that a base called JSON is shown as its text where it is none, or would be too much to write again', () => {
  assert.deepEqual(decodeBody(Buffer.from('{"a":1}'), 'json'), { a: 1 });
  for (const text of ['{', '', DEEP]) assert.equal(decodeBody(Buffer.from(text), 'json'), text);
});

test('so is the result of a method', () => {
  const head = { kind: 'rpc-result', calledAt: 0, waiting: false } as const;
  assert.deepEqual(outcomeOf(head, Buffer.from('[1]')), { result: [1] });
  for (const text of ['{', DEEP]) assert.deepEqual(outcomeOf(head, Buffer.from(text)), { result: text });
});
