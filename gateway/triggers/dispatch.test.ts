import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { HttpResponseHead, ResultHead } from '../../functions/contract/invocation.ts';
import type { InvokeFacts } from '../../pool/keeper/api.ts';
import type { FunctionEntry, VersionEntry } from '../registry/registry.ts';
import { createDispatcher } from './dispatch.ts';
import type { DispatchSink, TriggerHead } from './dispatcher.ts';
import { deploy, fakeTelemetry, openRig, type Rig, rejection, ScriptedKeeper, SILENT } from './testing/harness.ts';

const ROOT = { traceparent: null, hops: 0 };
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

const GET: TriggerHead = {
  trigger: 'http',
  method: 'GET',
  url: 'http://hi.localhost:8080/a/b?c=d',
  headers: [],
  hasBody: false,
  upgrade: false,
  remoteAddress: '127.0.0.1',
};
const CRON: TriggerHead = { trigger: 'cron', cron: '* * * * *', scheduledTime: 1 };
const BATCH: TriggerHead = {
  trigger: 'queue',
  queue: 'orders',
  messages: [
    { id: 'm1', timestamp: 1, attempts: 1, contentType: 'json', bytes: 2 },
    { id: 'm2', timestamp: 1, attempts: 3, contentType: 'json', bytes: 2 },
  ],
};

function response(status = 200): HttpResponseHead {
  return { kind: 'response', status, statusText: '', headers: [], calledAt: 0, waiting: false, webSocket: false };
}

class RecordingSink implements DispatchSink {
  readonly heard: string[] = [];
  error: HearthError | null = null;
  readonly done = Promise.withResolvers<void>();
  head(head: ResultHead, facts: InvokeFacts): void {
    this.heard.push(`head ${head.kind === 'response' ? head.status : head.kind} ${facts.start}`);
  }
  data(chunk: Uint8Array): void {
    this.heard.push(`data ${Buffer.from(chunk).toString()}`);
  }
  end(): void {
    this.heard.push('end');
    this.done.resolve();
  }
  failed(error: HearthError): void {
    this.error = error;
    this.heard.push(`failed ${error.code}`);
    this.done.resolve();
  }
  drain(): void {
    this.heard.push('drain');
  }
}

async function rigWithHi(t: TestContext): Promise<Rig & { entry: FunctionEntry; version: VersionEntry }> {
  const rig = await openRig(t);
  await deploy(rig.registry, 'hi');
  const entry = rig.registry.function('hi');
  assert.ok(entry?.active);
  return { ...rig, entry, version: entry.active };
}

test('an invocation reaches the keeper with id, hops and traceparent, and its answer reaches the sink', async (t) => {
  const { dispatcher, keeper, entry, version } = await rigWithHi(t);
  const sink = new RecordingSink();
  const dispatched = dispatcher.dispatch(entry, version, GET, { traceparent: TRACEPARENT, hops: 3 }, sink);
  const invoked = await keeper.invoked.next();
  assert.equal(invoked.spec, version.spec);
  assert.equal(invoked.call.kind, 'invoke');
  assert.equal(invoked.call.invocationId, dispatched.invocationId);
  assert.equal(invoked.call.hops, 3);
  assert.match(invoked.call.traceparent, /^00-0af7651916cd43dd8448eb211c80319c-b{16}-01$/);
  assert.equal(dispatcher.invocation(dispatched.invocationId)?.state, 'running');

  assert.equal(dispatched.write(Buffer.from('x')), true);
  dispatched.end();
  assert.equal(invoked.body().toString(), 'x');
  assert.equal(invoked.bodyEnded(), true);
  invoked.answer(response(201), Buffer.from('hello'));
  dispatched.consumed(5);
  assert.equal(invoked.consumed(), 5);
  invoked.sink.drain();
  assert.deepEqual(sink.heard, ['head 201 cold', 'data hello', 'end', 'drain']);
  const record = dispatcher.invocation(dispatched.invocationId);
  assert.equal(record?.state, 'ok');
  assert.equal(record?.status, 201);
  assert.equal(record?.traceId, '0af7651916cd43dd8448eb211c80319c');
});

test('telemetry hears of an invocation once, when its slot is free', async (t) => {
  const { dispatcher, keeper, telemetry, clock, entry, version } = await rigWithHi(t);
  const sink = new RecordingSink();
  const dispatched = dispatcher.dispatch(entry, version, GET, ROOT, sink);
  const invoked = await keeper.invoked.next();
  invoked.sink.head(response(), invoked.facts);
  invoked.sink.end();
  assert.equal(telemetry.done.length, 0);
  clock.jump(500);
  invoked.sink.released();
  invoked.sink.released();
  assert.equal(telemetry.done.length, 1);
  const [finished] = telemetry.done;
  assert.equal(finished?.invocationId, dispatched.invocationId);
  assert.equal(finished?.endedAtMs, clock.nowMs);
  assert.equal(finished?.startedAtMs, clock.nowMs - 500);
  assert.equal(finished?.headAtMs, 1003);
  assert.deepEqual(finished?.http, { method: 'GET', host: 'hi.localhost:8080', path: '/a/b', status: 200 });
  assert.equal(finished?.error, null);
  assert.equal(finished?.facts, invoked.facts);
});

test('a URL without a path is reported as the root', async (t) => {
  const { dispatcher, keeper, telemetry, entry, version } = await rigWithHi(t);
  for (const url of ['http://hi', 'http://hi?q=1', 'http://hi/?q=/x']) {
    dispatcher.dispatch(entry, version, { ...GET, url } as TriggerHead, ROOT, new RecordingSink());
    (await keeper.invoked.next()).answer(response());
  }
  assert.deepEqual(
    telemetry.done.map(({ http }) => `${http?.host} ${http?.path}`),
    ['hi /', 'hi /', 'hi /'],
  );
});

test('the seventeenth hop is LOOP_DETECTED, told after dispatch has returned, and never reaches the keeper', async (t) => {
  const { dispatcher, keeper, telemetry, entry, version } = await rigWithHi(t);
  const allowed = new RecordingSink();
  dispatcher.dispatch(entry, version, GET, { traceparent: null, hops: 16 }, allowed);
  (await keeper.invoked.next()).answer(response());
  assert.deepEqual(allowed.heard, ['head 200 cold', 'end']);

  const refused = new RecordingSink();
  const dispatched = dispatcher.dispatch(entry, version, GET, { traceparent: null, hops: 17 }, refused);
  assert.deepEqual(refused.heard, []);
  assert.equal(dispatched.write(Buffer.from('x')), true);
  dispatched.end();
  await refused.done.promise;
  assert.deepEqual(refused.heard, ['failed LOOP_DETECTED']);
  assert.equal(keeper.invoked.left, 0);
  assert.equal(telemetry.done.at(-1)?.error?.code, 'LOOP_DETECTED');
  assert.equal(dispatcher.invocation(dispatched.invocationId)?.error?.code, 'LOOP_DETECTED');
});

test('a keeper that fails at once, or throws, is heard after dispatch has returned', async (t) => {
  const { entry, version, newId, clock } = await rigWithHi(t);
  const telemetry = fakeTelemetry();
  const parts = { telemetry, now: clock.now, newId, log: SILENT, functionFailed: () => undefined };
  const failing = createDispatcher({
    ...parts,
    keeper: {
      invoke: (_spec, _call, sink) => {
        sink.failed(new HearthError('NO_CAPACITY', 'full'), null);
        sink.released();
        return new ScriptedKeeper().invoke(version.spec, _call, sink);
      },
    },
  });
  const throwing = createDispatcher({
    ...parts,
    keeper: {
      invoke: () => {
        throw new Error('a defect');
      },
    },
  });
  for (const [dispatcher, code] of [[failing, 'NO_CAPACITY'] as const, [throwing, 'INTERNAL'] as const]) {
    const sink = new RecordingSink();
    dispatcher.dispatch(entry, version, GET, ROOT, sink);
    assert.deepEqual(sink.heard, []);
    await sink.done.promise;
    assert.deepEqual(sink.heard, [`failed ${code}`]);
  }
  assert.deepEqual(
    telemetry.done.map(({ error }) => error?.code),
    ['NO_CAPACITY', 'INTERNAL'],
  );
});

test('an aborted invocation is recorded as such', async (t) => {
  const { dispatcher, keeper, entry, version } = await rigWithHi(t);
  const sink = new RecordingSink();
  const dispatched = dispatcher.dispatch(entry, version, GET, ROOT, sink);
  const invoked = await keeper.invoked.next();
  dispatched.abort('the client went away');
  assert.equal(invoked.aborted(), 'the client went away');
  assert.deepEqual(sink.heard, []);
  const record = dispatcher.invocation(dispatched.invocationId);
  assert.deepEqual(record?.error, { code: 'ABORTED', message: 'the client went away' });
});

test('five thousand ended invocations are remembered, and running ones however many come after', async (t) => {
  const { dispatcher, keeper, entry, version } = await rigWithHi(t);
  const running = dispatcher.dispatch(entry, version, GET, ROOT, new RecordingSink());
  await keeper.invoked.next();
  const ids: string[] = [];
  for (let i = 0; i < 5001; i++) {
    ids.push(dispatcher.dispatch(entry, version, GET, ROOT, new RecordingSink()).invocationId);
    (await keeper.invoked.next()).fail(new HearthError('FUNCTION_EXCEPTION', 'it threw'));
  }
  assert.equal(dispatcher.invocation(ids[0] as string), undefined);
  assert.equal(dispatcher.invocation(ids[1] as string)?.state, 'error');
  assert.equal(dispatcher.invocation(running.invocationId)?.state, 'running');
  const newest = dispatcher.recent('hi', 3).map(({ id }) => id);
  assert.deepEqual(newest, [running.invocationId, ids[5000], ids[4999]]);
  assert.deepEqual(dispatcher.recent('other', 3), []);
});

test("the context of a module's own invocation is known, another function's is refused", async (t) => {
  const { dispatcher, keeper, registry, entry, version } = await rigWithHi(t);
  await deploy(registry, 'other');
  const other = registry.function('other')?.active;
  assert.ok(other);
  const { invocationId } = dispatcher.dispatch(
    entry,
    version,
    GET,
    { traceparent: null, hops: 4 },
    new RecordingSink(),
  );
  const { call } = await keeper.invoked.next();
  const own = dispatcher.context(invocationId, version.spec);
  assert.equal(own?.hops, 4);
  assert.equal(own?.traceparent, call.traceparent);
  assert.equal(dispatcher.context(invocationId, other.spec), null);
  for (const id of [null, 'no-such-invocation']) {
    const background = dispatcher.context(id, version.spec);
    assert.deepEqual({ ...background }, { traceparent: null, hops: 0 });
  }
});

test('call sends the body in pieces as the keeper takes them and collects the answer', async (t) => {
  const { dispatcher, keeper, entry, version } = await rigWithHi(t);
  const body = Buffer.alloc(200_000, 'abc');
  keeper.takes = false;
  const called = dispatcher.call(entry, version, CRON, ROOT, body);
  const invoked = await keeper.invoked.next();
  assert.equal(invoked.body().length, 65_536);
  assert.equal(invoked.bodyEnded(), false);
  for (let drains = 0; drains < 3; drains++) invoked.sink.drain();
  assert.deepEqual(invoked.body(), body);
  assert.equal(invoked.bodyEnded(), true);
  invoked.sink.drain();
  invoked.sink.head({ kind: 'cron-result', noRetry: false, waiting: false, calledAt: 0 }, invoked.facts);
  invoked.sink.data(Buffer.from('one '));
  invoked.sink.data(Buffer.from('two'));
  invoked.sink.end();
  const result = await called;
  assert.equal(Buffer.from(result.body).toString(), 'one two');
  assert.equal(result.head.kind, 'cron-result');
  assert.equal(result.invocationId, invoked.call.invocationId);
  assert.equal(invoked.consumed(), 7);
});

test('call rejects with the failure, also when the answer breaks off', async (t) => {
  const { dispatcher, keeper, entry, version } = await rigWithHi(t);
  const called = dispatcher.call(entry, version, CRON, ROOT, null);
  const invoked = await keeper.invoked.next();
  invoked.sink.head({ kind: 'cron-result', noRetry: false, waiting: false, calledAt: 0 }, invoked.facts);
  invoked.fail(new HearthError('FUNCTION_CRASHED', 'gone'));
  assert.equal((await rejection(called)).code, 'FUNCTION_CRASHED');
});

test('call refuses an answer over 32 MB and aborts the invocation', async (t) => {
  const { dispatcher, keeper, entry, version } = await rigWithHi(t);
  const called = dispatcher.call(entry, version, CRON, ROOT, null);
  const invoked = await keeper.invoked.next();
  invoked.sink.head({ kind: 'cron-result', noRetry: false, waiting: false, calledAt: 0 }, invoked.facts);
  const megabyte = Buffer.alloc(1024 * 1024);
  for (let i = 0; i < 32; i++) invoked.sink.data(megabyte);
  assert.equal(invoked.aborted(), null);
  invoked.sink.data(Buffer.from('x'));
  assert.equal(invoked.aborted(), 'answer too large');
  assert.equal((await rejection(called)).code, 'PAYLOAD_TOO_LARGE');
});

test('a signal aborts a call; one that is aborted already lets nothing begin', async (t) => {
  const { dispatcher, keeper, entry, version } = await rigWithHi(t);
  const gone = new Error('the caller went away');
  const controller = new AbortController();
  const called = dispatcher.call(entry, version, CRON, ROOT, null, { signal: controller.signal });
  const invoked = await keeper.invoked.next();
  controller.abort(gone);
  await assert.rejects(called, gone);
  assert.equal(invoked.aborted(), 'the caller went away');
  await assert.rejects(dispatcher.call(entry, version, CRON, ROOT, null, { signal: AbortSignal.abort(gone) }), gone);
  assert.equal(keeper.invoked.left, 0);
});

test('a settled call resolves when waitUntil has ended, under the id it was given', async (t) => {
  const { dispatcher, keeper, entry, version } = await rigWithHi(t);
  const heard: string[] = [];
  const called = dispatcher
    .call(entry, version, CRON, ROOT, null, { settled: true, invocationId: 'given' })
    .then((result) => heard.push(result.invocationId));
  const invoked = await keeper.invoked.next();
  invoked.sink.head({ kind: 'cron-result', noRetry: false, waiting: true, calledAt: 0 }, invoked.facts);
  invoked.sink.end();
  await new Promise(setImmediate);
  assert.deepEqual(heard, []);
  invoked.sink.released();
  await called;
  assert.deepEqual(heard, ['given']);
});

test('a batch is reported with a producer for each message, and as an error when its handler threw', async (t) => {
  const { dispatcher, keeper, telemetry, entry, version } = await rigWithHi(t);
  const called = dispatcher.call(entry, version, BATCH, ROOT, null, { producers: [TRACEPARENT, null] });
  const error = { name: 'TypeError', message: 'no order' };
  const verdicts = [{ id: 'm1', verdict: 'ack' as const }];
  (await keeper.invoked.next()).answer({ kind: 'queue-result', verdicts, error, waiting: false, calledAt: 0 });
  const { invocationId } = await called;
  const finished = telemetry.done.at(-1);
  assert.deepEqual(finished?.queue, {
    name: 'orders',
    messages: [
      { id: 'm1', traceparent: TRACEPARENT, attempts: 1 },
      { id: 'm2', traceparent: null, attempts: 3 },
    ],
  });
  assert.deepEqual(finished?.error, { code: 'FUNCTION_EXCEPTION', message: 'TypeError: no order' });
  assert.equal(dispatcher.invocation(invocationId)?.state, 'error');
});
