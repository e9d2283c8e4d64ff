import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestBase } from './testing/harness.ts';

test('a loaded module answers a request', async () => {
  await using base = await TestBase.start();
  const loaded = await base.load(
    'module.exports = { fetch: (request) => new Response("hi " + new URL(request.url).pathname, { headers: { "x-a": "b" } }) }',
  );
  assert.deepEqual(loaded.head.handlers, ['fetch']);
  const { head, text } = await base.http('/there').whole();
  assert.equal(head.status, 200);
  assert.equal(text, 'hi /there');
  assert.deepEqual(head.headers, [
    ['content-type', 'text/plain;charset=UTF-8'],
    ['x-a', 'b'],
  ]);
});
