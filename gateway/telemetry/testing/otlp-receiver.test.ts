import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startOtlpReceiver } from './otlp-receiver.ts';

const post = (url: string, body: string) =>
  fetch(`${url}/v1/traces`, { method: 'POST', headers: { 'content-type': 'application/x-protobuf' }, body });

test('what is no OTLP is refused, and nothing is kept of it', async () => {
  await using receiver = await startOtlpReceiver();
  assert.equal((await post(receiver.url, 'this is not protobuf')).status, 400);
  assert.deepEqual(receiver.spans(), []);
});

test('an empty request is taken', async () => {
  await using receiver = await startOtlpReceiver();
  assert.equal((await post(receiver.url, '')).status, 200);
});

test('waiting ends with its signal', async () => {
  await using receiver = await startOtlpReceiver();
  const waiting = receiver.waitForSpans((spans) => spans.length > 0, AbortSignal.abort(new Error('enough')));
  await assert.rejects(waiting, /enough/);
});
