import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HeaderList } from '../../../functions/contract/invocation.ts';
import { MAX_MESSAGE_BYTES } from '../../../functions/contract/limits.ts';
import type { AsyncRecord } from '../../store/api/asyncs.ts';
import type { TriggerHead } from '../dispatcher.ts';
import { payloadOf } from './payload.ts';
import { decodeCall, encodeCall, ownQueue } from './plan.ts';

const RECORD: AsyncRecord = {
  id: 'i',
  functionName: 'work',
  trigger: 'http',
  state: 'ok',
  attempts: 1,
  failures: 0,
  acceptedAt: 0,
  since: 0,
  dueAt: null,
  endedAt: 5,
  last: null,
  result: { kind: 'response', status: 200, statusText: '', headers: [], waiting: false, webSocket: false, calledAt: 0 },
  omittedBytes: null,
  error: null,
  destination: null,
  expiresAt: 10,
};

function head(headers: HeaderList = []): TriggerHead {
  const url = 'http://work.localhost/';
  return { trigger: 'http', method: 'POST', url, headers, hasBody: true, upgrade: false, remoteAddress: '' };
}

const size = (payload: unknown) => Buffer.byteLength(JSON.stringify(payload));

test('a payload fits into a message: of what is too long the answer is left out first, then the request', () => {
  const large = Buffer.alloc(100 * 1024, 'a');
  const one = payloadOf({ head: head(), body: Buffer.from('small') }, RECORD, large, 'Success');
  assert.deepEqual(one.omitted, []);
  const both = payloadOf({ head: head(), body: large }, RECORD, large, 'Success');
  assert.deepEqual(both.omitted, ['response']);
  assert.equal(both.request.body, large.toString());
  assert.deepEqual(both.response, { status: 200, headers: {} });
  const huge = Buffer.alloc(200 * 1024, 'a');
  const neither = payloadOf({ head: head(), body: huge }, RECORD, huge, 'Success');
  assert.deepEqual(neither.omitted, ['request', 'response']);
  // As JSON each of these bytes takes six.
  const control = payloadOf({ head: head(), body: Buffer.alloc(60 * 1024, '\u0001') }, RECORD, null, 'Success');
  assert.deepEqual(control.omitted, ['request', 'response']);
  for (const payload of [one, both, neither, control]) assert.ok(size(payload) < MAX_MESSAGE_BYTES);
});

test('headers that are too long by themselves leave the context alone', () => {
  const headers: HeaderList = [['x-long', 'a'.repeat(200 * 1024)]];
  const error = { code: 'FUNCTION_EXCEPTION', message: 'e'.repeat(200 * 1024) };
  const payload = payloadOf({ head: head(headers), body: null }, { ...RECORD, error }, null, 'RetriesExhausted');
  assert.deepEqual([payload.request, payload.response], [{ trigger: 'http' }, null]);
  assert.equal(payload.requestContext.invocationId, 'i');
  assert.equal(payload.error?.message.length, 2000);
  assert.ok(size(payload) < MAX_MESSAGE_BYTES);
});

test('an answer that was not kept is named as left out', () => {
  const payload = payloadOf({ head: head(), body: null }, { ...RECORD, omittedBytes: 5_000_000 }, null, 'Success');
  assert.deepEqual(payload.omitted, ['response']);
});

test('a call comes out of its message as it went in, bytes that are no text too', () => {
  const plan = { retries: 1, retryDelaysSeconds: [1], maxAgeSeconds: 1, onSuccess: null, onFailure: null };
  for (const body of [null, new Uint8Array(0), Buffer.from('\ufeffä\0"'), Buffer.from([0xff, 0xfe, 0])]) {
    const call = { head: head([['x-ü', 'ä']]), body, version: null, plan, trustGroup: 'default' };
    const decoded = decodeCall(encodeCall(call));
    assert.deepEqual({ ...decoded, body: null }, { ...call, body: null });
    assert.equal(Buffer.compare(decoded.body ?? Buffer.alloc(0), body ?? Buffer.alloc(0)), 0);
    assert.equal(decoded.body === null, body === null);
  }
});

test('whose a queue is stands in its name', () => {
  assert.deepEqual(ownQueue('async.work'), { kind: 'invocations', functionName: 'work' });
  assert.deepEqual(ownQueue('async.destinations'), { kind: 'invocations', functionName: 'destinations' });
  assert.deepEqual(ownQueue('async.work.destinations'), { kind: 'destinations', functionName: 'work' });
  for (const other of [
    'async',
    'work',
    'async.',
    'async.work.dead',
    'async.work.destinations.dead',
    'async.W',
    'x.work',
  ]) {
    assert.equal(ownQueue(other), null, other);
  }
});
