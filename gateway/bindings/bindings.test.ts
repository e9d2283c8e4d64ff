import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { HttpResponseHead, ResultHead } from '../../functions/contract/invocation.ts';
import type { CallContext } from '../triggers/dispatcher.ts';
import { deploy, type Invoked, START_MS, settle } from '../triggers/testing/harness.ts';

import { type BindingRig, ignore, openBindings } from './testing/rig.ts';

const put = (key: string, changes: object = {}) => ({
  op: 'kv.put',
  key,
  expiration: null,
  metadata: null,
  ...changes,
});
const list = (changes: object = {}) => ({ op: 'kv.list', prefix: '', limit: 1000, cursor: null, ...changes });
const fetchOf = (changes: object = {}) => ({
  op: 'service.fetch',
  method: 'GET',
  url: 'http://other/path?q=1',
  headers: [],
  hasBody: false,
  upgrade: false,
  ...changes,
});

function response(status = 200): HttpResponseHead {
  return { kind: 'response', status, statusText: '', headers: [], calledAt: 0, waiting: false, webSocket: false };
}

/* ── KV ── */

test('what is put into KV is got back with its metadata and expiration', async (t) => {
  const { ask } = await openBindings(t);
  const value = Buffer.alloc(400_000, 'abc');
  const expiration = START_MS / 1000 + 100;
  const stored = await ask('KV', put('k', { metadata: { tag: 'x' }, expiration }), value);
  assert.deepEqual([stored.headValue, stored.error], [{}, null]);
  const got = await ask('KV', { op: 'kv.get', key: 'k' });
  assert.deepEqual(got.headValue, { found: true, metadata: { tag: 'x' }, expiration });
  assert.deepEqual(got.body, value);
  await ask('KV', { op: 'kv.delete', key: 'k' });
  const gone = await ask('KV', { op: 'kv.get', key: 'k' });
  assert.deepEqual(gone.headValue, { found: false, metadata: null, expiration: null });
  assert.equal(gone.body.length, 0);
});

test('an empty value is not the same as none', async (t) => {
  const { ask } = await openBindings(t);
  await ask('KV', put('empty'));
  const got = await ask('KV', { op: 'kv.get', key: 'empty' });
  assert.deepEqual(got.headValue, { found: true, metadata: null, expiration: null });
});

test('KV lists in pages, by prefix', async (t) => {
  const { ask } = await openBindings(t);
  for (const key of ['a1', 'a2', 'a3', 'b1']) await ask('KV', put(key, key === 'a1' ? { metadata: 1 } : {}));
  const first = (await ask('KV', list({ prefix: 'a', limit: 2 }))).headValue as { cursor: string };
  assert.deepEqual(first, {
    keys: [{ name: 'a1', metadata: 1 }, { name: 'a2' }],
    list_complete: false,
    cursor: first.cursor,
  });
  const second = await ask('KV', list({ prefix: 'a', limit: 2, cursor: first.cursor }));
  assert.deepEqual(second.headValue, { keys: [{ name: 'a3' }], list_complete: true });
});

test('a list that does not fit one answer is cut shorter and goes on at its cursor', async (t) => {
  const { ask, store } = await openBindings(t);
  const metadata = 'm'.repeat(1000);
  const names = Array.from({ length: 600 }, (_, i) => String(i).padStart(5, '0'));
  await Promise.all(
    names.map((name) => store.kv.put('default/n1', name, { value: Buffer.from(''), metadata, expiration: null })),
  );
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const page = (await ask('KV', list({ cursor }))).headValue as { keys: { name: string }[]; cursor?: string };
    assert.ok(page.keys.length > 0 && page.keys.length < 600);
    seen.push(...page.keys.map(({ name }) => name));
    cursor = page.cursor ?? null;
  } while (cursor !== null);
  assert.deepEqual(seen, names);
});

test('KV calls of a wrong shape or size are refused', async (t) => {
  const { ask, open } = await openBindings(t);
  const bad: [string, unknown][] = [
    ['BAD_REQUEST', { op: 'kv.get' }],
    ['BAD_REQUEST', { op: 'kv.get', key: '' }],
    ['BAD_REQUEST', { op: 'kv.get', key: '..' }],
    ['BAD_REQUEST', { op: 'kv.get', key: 7 }],
    ['BAD_REQUEST', { op: 'kv.get', key: 'ä'.repeat(257) }],
    ['BAD_REQUEST', { op: 'kv.explode', key: 'k' }],
    ['BAD_REQUEST', put('k', { expiration: START_MS / 1000 })],
    ['BAD_REQUEST', put('k', { expiration: 1.5 })],
    ['BAD_REQUEST', put('k', { expiration: 'soon' })],
    ['PAYLOAD_TOO_LARGE', put('k', { metadata: 'm'.repeat(1023) })],
    ['BAD_REQUEST', list({ limit: 0 })],
    ['BAD_REQUEST', list({ limit: 1001 })],
    ['BAD_REQUEST', list({ prefix: 'x'.repeat(513) })],
    ['BAD_REQUEST', list({ cursor: 7 })],
    ['BAD_REQUEST', { op: 'queue.send', messages: [] }],
    ['BAD_REQUEST', { op: 'toString' }],
    ['BAD_REQUEST', { op: null }],
  ];
  for (const [code, call] of bad) {
    const answer = await ask('KV', call);
    assert.equal(answer.error?.code, code, JSON.stringify(call));
  }
  const large = open('KV', put('k'), Buffer.alloc(25 * 1024 * 1024), false);
  large.exchange?.write(Buffer.from('x'));
  await large.done.promise;
  assert.equal(large.error?.code, 'PAYLOAD_TOO_LARGE');
  assert.equal(((await ask('KV', list())).headValue as { keys: [] }).keys.length, 0);
});

test('bodies in memory are bounded, and their room comes back, also when a base goes away', async (t) => {
  const { open, ask, base } = await openBindings(t);
  const piece = Buffer.alloc(16 * 1024 * 1024);
  const held = Array.from({ length: 5 }, () => open('KV', put('k'), piece, false));
  const refused = await Promise.race(held.map(async (answer) => answer.done.promise.then(() => answer)));
  assert.equal(refused.error?.code, 'NO_CAPACITY');
  for (const answer of held) answer.exchange?.cancel({ code: 'GONE', message: 'changed my mind' });
  const after = await ask('KV', put('k'), piece);
  assert.equal(after.error, null);
  base.destroy('died');
});

/* ── which binding, whose invocation ── */

test('a binding that is not in the manifest is refused, whatever its name', async (t) => {
  const { ask } = await openBindings(t);
  for (const name of ['SECRET', 'constructor', '__proto__', '']) {
    const answer = await ask(name, { op: 'kv.get', key: 'k' });
    assert.equal(answer.error?.code, 'FORBIDDEN');
    assert.match(answer.error?.message ?? '', /"caller" has no binding/);
  }
});

test("another function's invocation id is refused", async (t) => {
  const { ask, registry, dispatcher, keeper } = await openBindings(t);
  const other = registry.function('other');
  assert.ok(other?.active);
  const cron = { trigger: 'cron', cron: '* * * * *', scheduledTime: 0 } as const;
  const call = dispatcher.call(other, other.active, cron, { traceparent: null, hops: 0 }, null);
  const invoked = await keeper.invoked.next();
  const answer = await ask('KV', { op: 'kv.get', key: 'k' }, null, invoked.call.invocationId);
  assert.equal(answer.error?.code, 'FORBIDDEN');
  invoked.answer({ kind: 'cron-result', noRetry: false, waiting: false, calledAt: 0 });
  await call;
});

/** An invocation of `caller` that goes on until the test ends it. */
async function running(rig: BindingRig, context: CallContext): Promise<Invoked> {
  const { dispatcher, entry, keeper } = rig;
  assert.ok(entry.active);
  const cron = { trigger: 'cron', cron: '* * * * *', scheduledTime: 0 } as const;
  dispatcher.call(entry, entry.active, cron, context, null).catch(ignore);
  return await keeper.invoked.next();
}

/* ── queues ── */

test('messages are stored as sent, one hop on, in the trace of the invocation that sent them', async (t) => {
  const rig = await openBindings(t);
  const { ask, store, clock } = rig;
  const caller = await running(rig, { traceparent: null, hops: 3 });
  const messages = [
    { contentType: 'json', bytes: 2, delayS: 0 },
    { contentType: 'bytes', bytes: 0, delayS: 0 },
    { contentType: 'text', bytes: 3, delayS: null },
  ];
  const sent = await ask('Q', { op: 'queue.send', messages }, Buffer.from('{}abc'), caller.call.invocationId);
  const { ids } = sent.headValue as { ids: string[] };
  assert.equal(ids.length, 3);
  const claim = { most: 10, nowMs: clock.nowMs, leaseUntil: clock.nowMs + 1, owner: 'test' };
  const now = await store.queues.claim('orders', claim);
  assert.deepEqual(
    now.map(({ id, body, contentType, hops, traceparent }) => [
      id,
      Buffer.from(body).toString(),
      contentType,
      hops,
      traceparent,
    ]),
    [
      [ids[0], '{}', 'json', 4, caller.call.traceparent],
      [ids[1], '', 'bytes', 4, caller.call.traceparent],
    ],
  );
  // The producer's own delay, from the manifest.
  const later = await store.queues.claim('orders', { ...claim, nowMs: clock.nowMs + 7_000 });
  assert.ok(later.some(({ id }) => id === ids[2]));
});

test('background work counts as the first hop', async (t) => {
  const { ask, store, clock } = await openBindings(t);
  await ask('Q', { op: 'queue.send', messages: [{ contentType: 'text', bytes: 1, delayS: 0 }] }, Buffer.from('x'));
  const claim = { most: 1, nowMs: clock.nowMs, leaseUntil: clock.nowMs + 1, owner: 'test' };
  const [message] = await store.queues.claim('orders', claim);
  assert.deepEqual([message?.hops, message?.traceparent], [1, null]);
});

test('a send at the seventeenth hop is LOOP_DETECTED', async (t) => {
  const rig = await openBindings(t);
  const caller = await running(rig, { traceparent: null, hops: 16 });
  const messages = [{ contentType: 'text', bytes: 1, delayS: 0 }];
  const { error } = await rig.ask('Q', { op: 'queue.send', messages }, Buffer.from('x'), caller.call.invocationId);
  assert.equal(error?.code, 'LOOP_DETECTED');
});

test('sends of a wrong shape or size are refused, and nothing of them is stored', async (t) => {
  const { ask, queues } = await openBindings(t);
  await queues.put('orders', {});
  const one = { contentType: 'text', bytes: 1, delayS: null };
  const bad: [string, unknown, string][] = [
    ['BAD_REQUEST', [], ''],
    ['BAD_REQUEST', 'x', ''],
    ['BAD_REQUEST', [null], ''],
    ['BAD_REQUEST', Array.from({ length: 101 }, () => one), 'x'.repeat(101)],
    ['BAD_REQUEST', [{ ...one, contentType: 'xml' }], 'x'],
    [
      'BAD_REQUEST',
      [
        { ...one, bytes: -1 },
        { ...one, bytes: 2 },
      ],
      'x',
    ],
    ['BAD_REQUEST', [{ ...one, bytes: 0.5 }], 'x'],
    ['BAD_REQUEST', [{ ...one, delayS: 86_401 }], 'x'],
    ['BAD_REQUEST', [{ ...one, delayS: 'soon' }], 'x'],
    ['BAD_REQUEST', [{ ...one, bytes: 2 }], 'x'],
    ['PAYLOAD_TOO_LARGE', [one], 'xx'],
    ['PAYLOAD_TOO_LARGE', [{ ...one, bytes: 128 * 1024 + 1 }], ''],
    ['PAYLOAD_TOO_LARGE', [1, 2, 3].map(() => ({ ...one, bytes: 100_000 })), ''],
  ];
  for (const [code, messages, body] of bad) {
    const { error } = await ask('Q', { op: 'queue.send', messages }, Buffer.from(body));
    assert.equal(error?.code, code, JSON.stringify(messages).slice(0, 80));
  }
  assert.equal((await queues.stats('orders')).depth, 0);
});

/* ── services ── */

test('a service call reaches the other function one hop on, in the same trace, and its answer comes back', async (t) => {
  const rig = await openBindings(t);
  const caller = await running(rig, { traceparent: null, hops: 5 });
  const call = fetchOf({
    method: 'post',
    headers: [
      ['X-Own', '1'],
      ['Connection', 'close'],
      ['hearth-version', 'forged'],
      ['x-own', '2'],
    ],
    hasBody: true,
  });
  const answer = rig.open('OTHER', call, Buffer.from('in'), true, caller.call.invocationId);
  const invoked = await rig.keeper.invoked.next();
  assert.equal(invoked.spec.functionName, 'other');
  const { call: head } = invoked;
  assert.equal(head.trigger, 'http');
  if (head.trigger !== 'http') return;
  assert.deepEqual(
    [head.method, head.url, head.headers, head.hasBody, head.entrypoint, head.props],
    [
      'POST',
      'http://other/path?q=1',
      [
        ['X-Own', '1'],
        ['x-own', '2'],
      ],
      true,
      'Admin',
      { tier: 1 },
    ],
  );
  assert.equal(head.hops, 6);
  assert.equal(head.traceparent.slice(3, 35), caller.call.traceparent.slice(3, 35));
  await settle(rig.store);
  assert.equal(invoked.body().toString(), 'in');
  assert.equal(invoked.bodyEnded(), true);
  invoked.answer(response(201), Buffer.from('out'));
  await answer.done.promise;
  assert.deepEqual(answer.headValue, response(201));
  assert.equal(answer.body.toString(), 'out');
  assert.equal(answer.error, null);
});

test("a caller that does not read holds the answer's credit back, and gives it when it does", async (t) => {
  const { open, keeper, store } = await openBindings(t);
  const answer = open('OTHER', fetchOf());
  answer.takes = false;
  const invoked = await keeper.invoked.next();
  invoked.sink.head(response(), invoked.facts);
  const chunk = Buffer.alloc(64 * 1024);
  for (let i = 0; i < 8; i++) invoked.sink.data(chunk);
  await settle(store);
  assert.ok(invoked.consumed() <= 4 * chunk.length);
  assert.equal(answer.body.length, 4 * chunk.length);
  answer.takes = true;
  answer.exchange?.consumed(answer.body.length);
  await settle(store);
  assert.equal(answer.body.length, 8 * chunk.length);
  assert.equal(invoked.consumed(), 8 * chunk.length);
  invoked.sink.end();
  await answer.done.promise;
});

test('a callee that does not read holds the request back', async (t) => {
  const { open, keeper, store } = await openBindings(t);
  keeper.takes = false;
  const body = Buffer.alloc(1024 * 1024);
  const answer = open('OTHER', fetchOf({ method: 'POST', hasBody: true }), null, false);
  assert.equal(answer.exchange?.write(body), false);
  const invoked = await keeper.invoked.next();
  await settle(store);
  assert.equal(invoked.body().length, 256 * 1024);
  keeper.takes = true;
  invoked.sink.drain();
  await answer.drained.promise;
  answer.exchange?.end();
  await settle(store);
  assert.equal(invoked.body().length, body.length);
  assert.equal(invoked.bodyEnded(), true);
  invoked.answer(response());
  await answer.done.promise;
});

test('an answer before the request was read does not leave the caller waiting', async (t) => {
  const { open, keeper, store } = await openBindings(t);
  keeper.takes = false;
  const answer = open('OTHER', fetchOf({ method: 'POST', hasBody: true }), null, false);
  assert.equal(answer.exchange?.write(Buffer.alloc(1024 * 1024)), false);
  const invoked = await keeper.invoked.next();
  await settle(store);
  keeper.takes = true;
  invoked.answer(response(413));
  await answer.done.promise;
  await answer.drained.promise;
  assert.equal((answer.headValue as HttpResponseHead).status, 413);
});

test('a caller that goes away aborts the call; a callee that fails is told with its code', async (t) => {
  const { open, keeper, store } = await openBindings(t);
  const left = open('OTHER', fetchOf());
  const abandoned = await keeper.invoked.next();
  left.exchange?.cancel({ code: 'ABORTED', message: 'enough' });
  await settle(store);
  assert.equal(abandoned.aborted(), 'enough');

  const failing = open('OTHER', fetchOf());
  (await keeper.invoked.next()).fail(new HearthError('FUNCTION_TIMEOUT', 'too slow'));
  await failing.done.promise;
  assert.equal(failing.error?.code, 'FUNCTION_TIMEOUT');

  const breaking = open('OTHER', fetchOf());
  const broken = await keeper.invoked.next();
  broken.sink.head(response(), broken.facts);
  await breaking.headSeen.promise;
  broken.fail(new HearthError('FUNCTION_CRASHED', 'gone'));
  await breaking.done.promise;
  assert.equal(breaking.error?.code, 'FUNCTION_CRASHED');
});

test('an answer whose head does not fit is an error of the callee, not of the gateway', async (t) => {
  const { open, keeper } = await openBindings(t);
  const answer = open('OTHER', fetchOf());
  const invoked = await keeper.invoked.next();
  const head: ResultHead = { ...response(), headers: [['x', 'ÿ'.repeat(600_000)]] };
  invoked.sink.head(head, invoked.facts);
  await answer.done.promise;
  assert.equal(answer.error?.code, 'FUNCTION_EXCEPTION');
  assert.notEqual(invoked.aborted(), null);
});

/** `other` in two versions, all calls going to the first but those that a rule gives to the second. */
async function twoVersions({ registry }: BindingRig): Promise<{ first: string; second: string }> {
  const first = registry.function('other')?.active?.version ?? '';
  await deploy(registry, 'other');
  const second = registry.function('other')?.active?.version ?? '';
  const rules = [
    { when: { header: { 'x-beta': 'yes' } }, version: second },
    { when: { query: { beta: '1' } }, version: second },
    { when: { json: { '/beta': true } }, version: second },
  ];
  const traffic = { split: [{ version: first, percent: 100 }], rules };
  await registry.setTraffic([{ name: 'other', traffic }]);
  return { first, second };
}

test('a service call goes by the rules of whom it calls, and its body goes on whole', async (t) => {
  const rig = await openBindings(t);
  const { first, second } = await twoVersions(rig);
  const document = (fill: number) => Buffer.from(JSON.stringify({ beta: true, fill: 'x'.repeat(fill) }));
  const post = { method: 'POST', hasBody: true };
  const cases: [object, Buffer | null, string][] = [
    [{}, null, first],
    [{ headers: [['X-Beta', 'yes']] }, null, second],
    [{ url: 'http://other/?beta=1' }, null, second],
    [post, document(100_000), second],
    [post, document(2_000_000), first],
    [post, Buffer.from('no document'), first],
  ];
  for (const [call, body, version] of cases) {
    rig.open('OTHER', fetchOf(call), body);
    const invoked = await rig.keeper.invoked.next();
    assert.equal(invoked.spec.version, version, JSON.stringify(call));
    await settle(rig.store);
    assert.equal(invoked.bodyEnded(), true);
    assert.equal(invoked.body().equals(body ?? Buffer.alloc(0)), true);
    invoked.answer(response());
  }
});

test('nobody is called for a caller that goes away while its body is awaited', async (t) => {
  const rig = await openBindings(t);
  const { first } = await twoVersions(rig);
  const gone = rig.open('OTHER', fetchOf({ method: 'POST', hasBody: true }), Buffer.from('{"beta":'), false);
  await settle(rig.store);
  gone.exchange?.cancel({ code: 'ABORTED', message: 'gone' });
  await settle(rig.store);
  rig.open('OTHER', fetchOf());
  assert.equal((await rig.keeper.invoked.next()).spec.version, first);
});

test('service calls that cannot be made are refused', async (t) => {
  const rig = await openBindings(t);
  const deep = await running(rig, { traceparent: null, hops: 16 });
  const id = deep.call.invocationId;
  const bad: [string, string, unknown, string | null][] = [
    ['NOT_FOUND', 'NOBODY', fetchOf(), null],
    ['LOOP_DETECTED', 'OTHER', fetchOf(), id],
    ['BAD_REQUEST', 'OTHER', { op: 'service.rpc', method: 'x'.repeat(2000) }, null],
    ['BAD_REQUEST', 'OTHER', { op: 'service.rpc' }, null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ method: 'CONNECT' }), null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ method: 'GET X' }), null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ url: '/path' }), null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ url: 'file:///etc/passwd' }), null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ url: `http://x/${'y'.repeat(20_000)}` }), null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ headers: [['a b', 'c']] }), null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ headers: [['a', 'b\r\nc: d']] }), null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ headers: [['a']] }), null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ headers: [['a', 'x'.repeat(50_000)]] }), null],
    ['BAD_REQUEST', 'OTHER', fetchOf({ hasBody: 'yes' }), null],
    ['BAD_REQUEST', 'OTHER', { op: 'kv.get', key: 'k' }, null],
  ];
  for (const [code, binding, call, invocationId] of bad) {
    const { error } = await rig.ask(binding, call, null, invocationId);
    assert.equal(error?.code, code, JSON.stringify(call).slice(0, 80));
  }
  assert.equal(rig.keeper.invoked.left, 0);
});

test('a body that was not announced ends the call', async (t) => {
  const { ask, keeper } = await openBindings(t);
  const { error } = await ask('OTHER', fetchOf(), Buffer.from('surprise'));
  assert.equal(error?.code, 'BAD_REQUEST');
  assert.notEqual((await keeper.invoked.next()).aborted(), null);
});
