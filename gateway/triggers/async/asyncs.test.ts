import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type AsyncSettings, asyncPlan } from '../../../functions/contract/async.ts';
import { HearthError } from '../../../functions/contract/errors.ts';
import type {
  HeaderList,
  HttpInvokeHead,
  QueueInvokeHead,
  ResultHead,
} from '../../../functions/contract/invocation.ts';
import type { ManifestInput } from '../../../functions/contract/manifest.ts';
import type { AsyncRecord, AsyncStore } from '../../store/api/asyncs.ts';
import type { QueueStore } from '../../store/api/queues.ts';
import type { CallContext, TriggerHead } from '../dispatcher.ts';
import { createQueues, type Queues } from '../queue/queues.ts';
import {
  deploy,
  type Invoked,
  ManualClock,
  openRig,
  type Rig,
  rejection,
  SILENT,
  START_MS,
  settle,
} from '../testing/harness.ts';
import { type Asyncs, createAsyncs } from './asyncs.ts';
import type { Callback } from './callback.ts';
import type { DestinationPayload } from './payload.ts';

const ROOT: CallContext = { traceparent: null, hops: 0 };
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

interface Gateway {
  queues: Queues;
  asyncs: Asyncs;
}

interface AsyncRig extends Rig, Gateway {
  /** What was called back, and how it is to end: an error fails it. */
  calledBack: { url: string; headers: Record<string, string>; payload: DestinationPayload }[];
  callbackEnds: (Error | null)[];
  /** Another gateway over the same store. */
  again(parts?: { asyncs?: AsyncStore; queues?: QueueStore; clock?: ManualClock }): Gateway;
  invoke(name: string, more?: Partial<Call>): Promise<string>;
  record(id: string): Promise<AsyncRecord>;
  /** Lets everything come to rest. */
  rest(): Promise<void>;
}

interface Call {
  head: TriggerHead;
  body: Uint8Array | null;
  version: string | null;
  settings: AsyncSettings;
  context: CallContext;
  manifest: AsyncSettings;
}

async function openAsyncs(t: TestContext): Promise<AsyncRig> {
  const rig = await openRig(t);
  const calledBack: AsyncRig['calledBack'] = [];
  const callbackEnds: AsyncRig['callbackEnds'] = [];
  const callback: Callback = (url, headers, body) => {
    calledBack.push({ url, headers, payload: JSON.parse(Buffer.from(body).toString()) as DestinationPayload });
    const error = callbackEnds.shift() ?? null;
    return error === null ? Promise.resolve() : Promise.reject(error);
  };
  const again: AsyncRig['again'] = ({
    asyncs: store = rig.store.asyncs,
    queues: queueStore = rig.store.queues,
    clock = rig.clock,
  } = {}) => {
    const common = {
      registry: rig.registry,
      dispatcher: rig.dispatcher,
      now: clock.now,
      newId: rig.newId,
      log: SILENT,
    };
    const queues: Queues = createQueues({
      ...common,
      store: queueStore,
      telemetry: { queueDepth: () => undefined },
      timers: clock,
      random: () => 0.5,
      own: (queue) => asyncs.receiver(queue),
    });
    const asyncs: Asyncs = createAsyncs({ ...common, store, queues, callback, keepMs: 24 * HOUR });
    return { queues, asyncs };
  };
  const gateway = again();
  return {
    ...rig,
    ...gateway,
    calledBack,
    callbackEnds,
    again,
    invoke: (
      functionName,
      { head = get(functionName), body = null, version = null, settings, manifest, context } = {},
    ) =>
      gateway.asyncs.accept(
        { functionName, head, body, version, plan: asyncPlan(settings, manifest), trustGroup: 'default' },
        context ?? ROOT,
      ),
    record: async (id) => {
      const found = await gateway.asyncs.get(id);
      assert.ok(found !== null, 'there is a record');
      return found.record;
    },
    rest: async () => {
      for (let round = 0; round < 4; round++) await settle(rig.store);
    },
  };
}

function get(name: string, headers: HeaderList = []): TriggerHead {
  const url = `http://${name}.localhost/job?x=1`;
  return { trigger: 'http', method: 'GET', url, headers, hasBody: false, upgrade: false, remoteAddress: '127.0.0.1' };
}

function post(name: string): TriggerHead {
  return { ...(get(name) as HttpInvokeHead), method: 'POST', hasBody: true };
}

function response(status: number, headers: HeaderList = []): ResultHead {
  return { kind: 'response', status, statusText: '', headers, waiting: false, webSocket: false, calledAt: 0 };
}

const THROWN = new HearthError('FUNCTION_EXCEPTION', 'Error: no');

function attemptOf({ call }: Invoked): string | undefined {
  return (call as HttpInvokeHead).headers.find(([name]) => name === 'hearth-attempt')?.[1];
}

test('an invocation is durable before it is accepted, runs at once, and its answer is kept for a day', async (t) => {
  const { queues, keeper, registry, invoke, record, asyncs, clock, rest, store } = await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  const body = Buffer.from('hello');
  const id = await invoke('job', { head: post('job'), body, context: { traceparent: TRACEPARENT, hops: 3 } });
  const accepted = await record(id);
  assert.deepEqual(
    [accepted.functionName, accepted.trigger, accepted.acceptedAt, accepted.error],
    ['job', 'http', START_MS, null],
  );
  const invoked = await keeper.invoked.next();
  assert.equal(invoked.call.invocationId, id);
  assert.equal(invoked.call.hops, 3);
  assert.equal(invoked.call.traceparent.slice(3, 35), TRACEPARENT.slice(3, 35));
  assert.equal(invoked.body().toString(), 'hello');
  assert.equal(attemptOf(invoked), '1');
  await rest();
  const running = await record(id);
  assert.deepEqual([running.state, running.attempts, running.last?.startedAt], ['running', 1, START_MS]);

  clock.advance(5);
  invoked.answer(response(201, [['x-a', 'b']]), Buffer.from('done'));
  await rest();
  const found = await asyncs.get(id);
  assert.equal(Buffer.from(found?.body ?? []).toString(), 'done');
  const ended = await record(id);
  assert.deepEqual([ended.state, ended.endedAt, ended.attempts, ended.error], ['ok', START_MS + 5, 1, null]);
  assert.deepEqual(ended.last?.phases, { wait: 1, run: 2 });
  assert.equal((ended.result as { status: number }).status, 201);
  assert.equal((await queues.stats('async.job')).depth, 0);
  clock.jump(24 * HOUR);
  assert.equal(await asyncs.get(id), null);
  assert.equal(await store.asyncs.sweep(clock.now(), 10), 1);
  await queues.drain();
});

test('what fails is tried again after 60 s and 120 s under the same id, then stands among the dead letters', async (t) => {
  const { queues, keeper, registry, invoke, record, clock, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  const id = await invoke('job', { head: get('job', [['hearth-attempt', '9']]) });
  (await keeper.invoked.next()).fail(THROWN);
  for (const [attempt, delayMs] of [
    ['2', MINUTE],
    ['3', 2 * MINUTE],
  ] as const) {
    await rest();
    const { state, dueAt, error } = await record(id);
    assert.deepEqual([state, dueAt, error?.code], ['queued', clock.nowMs + delayMs, 'FUNCTION_EXCEPTION']);
    clock.advance(delayMs - 1);
    await rest();
    assert.equal(keeper.invoked.left, 0);
    clock.advance(1);
    const again = await keeper.invoked.next();
    assert.deepEqual([again.call.invocationId, attemptOf(again)], [id, attempt]);
    again.fail(THROWN);
  }
  await rest();
  const ended = await record(id);
  assert.deepEqual([ended.state, ended.attempts, ended.failures, ended.dueAt], ['error', 3, 3, null]);
  const { messages } = await queues.dead('async.job', { most: 10, cursor: null });
  assert.deepEqual(
    messages.map(({ id: dead, attempts, reason }) => [dead, attempts, reason]),
    [[id, 3, 'RetriesExhausted: FUNCTION_EXCEPTION: Error: no']],
  );
  clock.advance(HOUR);
  await rest();
  assert.equal(keeper.invoked.left, 0);
  await queues.drain();
});

test('a dead letter that is put back begins anew: its attempts, its age and its record', async (t) => {
  const { queues, keeper, registry, invoke, record, clock, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  const id = await invoke('job', { settings: { retries: 0, maxAgeSeconds: 10 } });
  (await keeper.invoked.next()).fail(THROWN);
  await rest();
  clock.advance(HOUR);
  assert.equal((await record(id)).state, 'error');
  assert.equal(await queues.redrive('async.job', 'all'), 1);
  const again = await keeper.invoked.next();
  assert.deepEqual([again.call.invocationId, attemptOf(again)], [id, '1']);
  again.answer(response(200));
  await rest();
  const { state, acceptedAt, since, failures } = await record(id);
  assert.deepEqual([state, acceptedAt, since, failures], ['ok', START_MS, START_MS + HOUR, 0]);
  assert.equal((await queues.stats('async.job')).dead, 0);
  await queues.drain();
});

test('500 and more is a failure, and its answer is kept; 404 is an answer like any other', async (t) => {
  const { queues, keeper, registry, invoke, record, asyncs, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  const settings = { retries: 0 };
  const failed = await invoke('job', { settings });
  (await keeper.invoked.next()).answer(response(503), Buffer.from('not today'));
  const refused = await invoke('job', { settings });
  (await keeper.invoked.next()).answer(response(404), Buffer.from('no such thing'));
  await rest();
  const error = await record(failed);
  assert.deepEqual([error.state, error.error?.message], ['error', 'It answered with the status 503.']);
  assert.equal(Buffer.from((await asyncs.get(failed))?.body ?? []).toString(), 'not today');
  assert.equal((await record(refused)).state, 'ok');
  await queues.drain();
});

test('want of room uses up no attempt', async (t) => {
  const { queues, keeper, registry, invoke, record, clock, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  const id = await invoke('job', { settings: { retries: 0 } });
  for (const code of ['OVERLOADED', 'NO_CAPACITY', 'OVERLOADED'] as const) {
    (await keeper.invoked.next()).fail(new HearthError(code, 'full'));
    await rest();
    const { state, error } = await record(id);
    assert.deepEqual([state, error?.code], ['queued', code]);
    clock.advance(1_000);
  }
  const invoked = await keeper.invoked.next();
  assert.equal(attemptOf(invoked), '1');
  invoked.answer(response(200));
  await rest();
  const { state, attempts, failures } = await record(id);
  assert.deepEqual([state, attempts, failures], ['ok', 1, 0]);
  await queues.drain();
});

test('what is too old is not begun, and not put off beyond its age', async (t) => {
  const { queues, keeper, registry, invoke, record, clock, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  const old = await invoke('job', { settings: { maxAgeSeconds: 60 } });
  clock.jump(MINUTE + 1);
  await queues.start();
  await rest();
  assert.equal(keeper.invoked.left, 0);
  assert.equal((await record(old)).state, 'error');

  const short = await invoke('job', { settings: { maxAgeSeconds: 59 } });
  (await keeper.invoked.next()).fail(THROWN);
  await rest();
  const { state, failures } = await record(short);
  assert.deepEqual([state, failures], ['error', 1]);
  const { messages } = await queues.dead('async.job', { most: 10, cursor: null });
  assert.deepEqual(
    messages.map(({ id, reason }) => [id, reason]),
    [
      [old, 'MaxAgeExceeded'],
      [short, 'MaxAgeExceeded: FUNCTION_EXCEPTION: Error: no'],
    ],
  );
  await queues.drain();
});

test('each attempt is served by what the traffic says then, one that names a version by that one', async (t) => {
  const { queues, keeper, registry, invoke, record, clock, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  const first = registry.function('job')?.active?.version ?? '';
  const moving = await invoke('job');
  const pinned = await invoke('job', { version: first });
  for (let i = 0; i < 2; i++) (await keeper.invoked.next()).fail(THROWN);
  await rest();
  await deploy(registry, 'job');
  const second = registry.function('job')?.active?.version ?? '';
  assert.notEqual(second, first);
  clock.advance(MINUTE);
  const served = new Map<string, string>();
  for (let i = 0; i < 2; i++) {
    const invoked = await keeper.invoked.next();
    served.set(invoked.call.invocationId, invoked.spec.version);
    invoked.answer(response(200));
  }
  assert.deepEqual([served.get(moving), served.get(pinned)], [second, first]);
  await rest();
  assert.equal((await record(moving)).last?.version, second);
  await queues.drain();
});

test('a function that is gone is waited for, until the invocation is too old', async (t) => {
  const { queues, keeper, registry, invoke, record, clock, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  const waits = await invoke('job');
  const short = await invoke('job', { settings: { maxAgeSeconds: 40 } });
  const pinned = await invoke('job', { version: 'no such version', settings: { maxAgeSeconds: 40 } });
  await registry.deleteFunction('job');
  await queues.start();
  await rest();
  assert.deepEqual([(await record(waits)).state, (await record(waits)).error?.code], ['queued', 'NOT_FOUND']);
  clock.advance(MINUTE / 2);
  await rest();
  assert.equal((await record(short)).state, 'error');
  await deploy(registry, 'job');
  clock.advance(MINUTE / 2);
  const invoked = await keeper.invoked.next();
  assert.deepEqual([invoked.call.invocationId, attemptOf(invoked)], [waits, '1']);
  invoked.answer(response(200));
  await rest();
  assert.equal((await record(pinned)).state, 'error');
  assert.equal(keeper.invoked.left, 0);
  await queues.drain();
});

test('a cron tick and a batch are invoked likewise: the batch counts its attempts on, and fails where its handler threw', async (t) => {
  const { queues, keeper, registry, invoke, record, clock, rest } = await openAsyncs(t);
  await deploy(registry, 'job', { triggers: { crons: ['* * * * *'] } });
  await queues.start();
  const tick = await invoke('job', { head: { trigger: 'cron', cron: '* * * * *', scheduledTime: 5 } });
  const ticked = await keeper.invoked.next();
  assert.equal(ticked.call.trigger, 'cron');
  ticked.answer({ kind: 'cron-result', noRetry: false, waiting: false, calledAt: 0 });

  const message = { id: 'm', timestamp: START_MS, attempts: 4, contentType: 'text', bytes: 2 } as const;
  const batch = await invoke('job', {
    head: { trigger: 'queue', queue: 'orders', messages: [message] },
    body: Buffer.from('hi'),
  });
  const attempts = (invoked: Invoked) => (invoked.call as QueueInvokeHead).messages.map((each) => each.attempts);
  const verdicts = [{ id: 'm', verdict: 'retry', delayS: 3 } as const];
  const first = await keeper.invoked.next();
  assert.deepEqual(attempts(first), [4]);
  first.answer({
    kind: 'queue-result',
    verdicts,
    error: { name: 'TypeError', message: 'no' },
    waiting: false,
    calledAt: 0,
  });
  await rest();
  assert.equal((await record(tick)).state, 'ok');
  assert.deepEqual((await record(batch)).error, { code: 'FUNCTION_EXCEPTION', message: 'TypeError: no' });
  clock.advance(MINUTE);
  const second = await keeper.invoked.next();
  assert.deepEqual(attempts(second), [5]);
  second.answer({ kind: 'queue-result', verdicts, error: null, waiting: false, calledAt: 0 });
  await rest();
  assert.equal((await record(batch)).state, 'ok', 'a verdict is its answer');
  await queues.drain();
});

test('what a gateway ran when it died is run by another once its lease has ended, and it is no failure of the function', async (t) => {
  const { keeper, registry, invoke, record, again, clock, store, rest, ...dead } = await openAsyncs(t);
  await deploy(registry, 'job');
  // Its timers do not run any more, and what it was answered comes to nobody.
  const stopped = new ManualClock(START_MS);
  const first = again({ clock: stopped });
  await first.queues.start();
  const id = await first.asyncs.accept(
    {
      functionName: 'job',
      head: get('job'),
      body: null,
      version: null,
      plan: asyncPlan({ retries: 0 }, undefined),
      trustGroup: 'default',
    },
    ROOT,
  );
  await keeper.invoked.next();
  await rest();
  clock.jump(9_999);
  await dead.queues.start();
  await rest();
  assert.equal(keeper.invoked.left, 0, 'its lease has not ended');
  clock.advance(1);
  const invoked = await keeper.invoked.next();
  assert.deepEqual([invoked.call.invocationId, attemptOf(invoked)], [id, '2']);
  invoked.answer(response(200));
  await rest();
  const { state, attempts, failures } = await record(id);
  assert.deepEqual([state, attempts, failures], ['ok', 2, 0]);
  assert.equal((await store.queues.stats('async.job', clock.now())).depth, 0);
  await dead.queues.drain();
});

test('one whose end was kept but not its message is not run again', async (t) => {
  const { keeper, registry, record, again, clock, store, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  let failures = 2;
  const queues: QueueStore = {
    ...store.queues,
    settle: (...args) => {
      failures -= 1;
      return failures >= 0 ? Promise.reject(new HearthError('NO_CAPACITY', 'away')) : store.queues.settle(...args);
    },
  };
  const gateway = again({ queues });
  await gateway.queues.start();
  const call = (settings: AsyncSettings) => ({
    functionName: 'job',
    head: get('job'),
    body: null,
    version: null,
    plan: asyncPlan({ onSuccess: { queue: 'told' }, onFailure: { queue: 'told' }, ...settings }, undefined),
    trustGroup: 'default',
  });
  const good = await gateway.asyncs.accept(call({}), ROOT);
  (await keeper.invoked.next()).answer(response(200));
  const bad = await gateway.asyncs.accept(call({ retries: 0 }), ROOT);
  (await keeper.invoked.next()).fail(THROWN);
  await rest();
  assert.equal((await store.queues.stats('async.job', clock.now())).depth, 2);
  // Their leases end.
  clock.advance(10_000);
  await rest();
  assert.equal(keeper.invoked.left, 0);
  assert.deepEqual([(await record(good)).state, (await record(bad)).state], ['ok', 'error']);
  const { depth, dead } = await store.queues.stats('async.job', clock.now());
  assert.deepEqual([depth, dead], [0, 1]);
  assert.equal((await store.queues.stats('told', clock.now())).depth, 2, 'each destination was told once');
  await gateway.queues.drain();
});

test('nothing is accepted that is not durable, and nothing is run that was not accepted', async (t) => {
  const { keeper, registry, again, store, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  const away = new HearthError('NO_CAPACITY', 'The store is away.');
  const gateway = again({ queues: { ...store.queues, enqueue: () => Promise.reject(away) } });
  await gateway.queues.start();
  const call = {
    functionName: 'job',
    head: get('job'),
    body: null,
    version: null,
    plan: asyncPlan(undefined, undefined),
    trustGroup: 'default',
  };
  assert.equal((await rejection(gateway.asyncs.accept(call, ROOT))).code, 'NO_CAPACITY');
  assert.equal((await rejection(gateway.asyncs.accept(call, { ...ROOT, hops: 17 }))).code, 'LOOP_DETECTED');
  const large = { ...call, head: post('job'), body: Buffer.alloc(1024 * 1024, 'x') };
  assert.equal((await rejection(gateway.asyncs.accept(large, ROOT))).code, 'PAYLOAD_TOO_LARGE');
  await rest();
  assert.equal(keeper.invoked.left, 0);
  await gateway.queues.drain();
});

test('a delivery without its record is run, and makes one', async (t) => {
  const { queues, keeper, registry, asyncs, invoke, rest, again, store } = await openAsyncs(t);
  await deploy(registry, 'job');
  const lost = again({ asyncs: { ...store.asyncs, put: () => Promise.resolve() } });
  const plan = asyncPlan(undefined, undefined);
  const call = { functionName: 'job', head: get('job'), body: null, version: null, plan, trustGroup: 'default' };
  const id = await lost.asyncs.accept(call, ROOT);
  assert.equal(await asyncs.get(id), null);
  await queues.start();
  (await keeper.invoked.next()).answer(response(200));
  await rest();
  assert.equal((await asyncs.get(id))?.record.state, 'ok');
  await invoke('job');
  (await keeper.invoked.next()).answer(response(200));
  await queues.drain();
});

test('of an answer over a megabyte the head is kept, and how long it was', async (t) => {
  const { queues, keeper, registry, invoke, asyncs, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  const id = await invoke('job');
  (await keeper.invoked.next()).answer(response(200), Buffer.alloc(2 ** 20 + 1));
  await rest();
  const found = await asyncs.get(id);
  assert.deepEqual([found?.record.state, found?.record.omittedBytes, found?.body], ['ok', 2 ** 20 + 1, null]);
  await queues.drain();
});

test('a drain lets what runs come to its end, and leaves the rest to the next start', async (t) => {
  const { queues, keeper, registry, invoke, record, again, rest, clock } = await openAsyncs(t);
  await deploy(registry, 'job', { hearth: { concurrency: 1, maxInstances: 1 } });
  await queues.start();
  const first = await invoke('job');
  const running = await keeper.invoked.next();
  const second = await invoke('job');
  await rest();
  const drained = queues.drain();
  running.answer(response(200));
  await drained;
  assert.equal((await record(first)).state, 'ok');
  assert.equal((await record(second)).state, 'queued');
  assert.equal(keeper.invoked.left, 0);
  const next = again();
  await next.queues.start();
  clock.advance(0);
  (await keeper.invoked.next()).answer(response(200));
  await rest();
  assert.equal((await record(second)).state, 'ok');
  await next.queues.drain();
});

test("Hearth's own queues show who they are for, and take messages of nobody else", async (t) => {
  const { queues, registry, invoke } = await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  await queues.put('async.job', { paused: true });
  await invoke('job');
  const { consumer, settings } = await queues.get('async.job');
  assert.deepEqual([consumer, settings.maxBatchSize, settings.deadLetterQueue], ['job', 1, 'async.job.dead']);
  assert.equal((await queues.stats('async.job')).depth, 1, 'it waits while it is paused');
  const message = { body: Buffer.from('{}'), contentType: 'json', delayS: null } as const;
  for (const name of ['async.job', 'async.job.dead', 'async.job.destinations', 'async.other']) {
    assert.equal((await rejection(queues.enqueue(name, [message], ROOT))).code, 'BAD_REQUEST', name);
  }
  assert.equal((await rejection(queues.put('async.job', { maxRetries: 9 }))).code, 'BAD_REQUEST');
  assert.equal((await rejection(queues.put('orders', { deadLetterQueue: 'async.job' }))).code, 'BAD_REQUEST');
  assert.equal((await rejection(queues.delete('async.job'))).code, 'CONFLICT');
  await registry.deleteFunction('job');
  await queues.delete('async.job');
  await queues.drain();
});

const TOLD: ManifestInput = { queues: { consumers: [{ queue: 'told', max_batch_timeout: 0 }] } };

test('a queue as a destination gets the outcome with the request, one hop on', async (t) => {
  const { queues, keeper, registry, invoke, record, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  await deploy(registry, 'listener', TOLD);
  await queues.start();
  const id = await invoke('job', {
    head: post('job'),
    body: Buffer.from('{"a":1}'),
    settings: { onSuccess: { queue: 'told' }, onFailure: { queue: 'elsewhere' } },
    context: { traceparent: TRACEPARENT, hops: 2 },
  });
  (await keeper.invoked.next()).answer(response(200, [['x-a', 'b']]), Buffer.from('fine'));
  const told = await keeper.invoked.next();
  assert.equal(told.call.trigger, 'queue');
  assert.equal(told.call.hops, 3);
  const payload = JSON.parse(told.body().toString()) as DestinationPayload;
  assert.deepEqual(payload, {
    version: '1',
    timestamp: new Date(START_MS).toISOString(),
    requestContext: {
      invocationId: id,
      function: 'job',
      version: registry.function('job')?.active?.version,
      trigger: 'http',
      condition: 'Success',
      attempts: 1,
    },
    request: {
      trigger: 'http',
      method: 'POST',
      path: '/job?x=1',
      headers: {},
      body: '{"a":1}',
      bodyEncoding: 'text',
    },
    response: { status: 200, headers: { 'x-a': 'b' }, body: 'fine', bodyEncoding: 'text' },
    error: null,
    omitted: [],
  } satisfies Record<keyof DestinationPayload, unknown>);
  await rest();
  assert.deepEqual((await record(id)).destination, { target: 'queue told', outcome: 'delivered', error: null });
  told.fail(THROWN);
  await queues.drain();
});

test('a function as a destination is invoked asynchronously, and a circle of them ends', async (t) => {
  const { queues, keeper, registry, invoke, record, rest, store, clock } = await openAsyncs(t);
  await deploy(registry, 'job', { hearth: { async: { onSuccess: { function: 'job', path: '/again' } } } });
  await queues.start();
  const manifest = registry.function('job')?.active?.manifest.hearth.async;
  let last = await invoke('job', manifest === undefined ? {} : { manifest });
  for (let hop = 0; hop <= 16; hop++) {
    const invoked = await keeper.invoked.next();
    assert.equal(invoked.call.hops, hop);
    if (hop > 0) {
      const { url, method } = invoked.call as HttpInvokeHead;
      assert.deepEqual([method, url], ['POST', 'http://job.localhost/again']);
      assert.equal((JSON.parse(invoked.body().toString()) as DestinationPayload).requestContext.invocationId, last);
    }
    last = invoked.call.invocationId;
    invoked.answer(response(200));
  }
  await rest();
  assert.equal(keeper.invoked.left, 0);
  const { destination } = await record(last);
  assert.deepEqual([destination?.target, destination?.outcome], ['function job', 'failed']);
  assert.match(destination?.error ?? '', /^LOOP_DETECTED: /);
  assert.equal((await store.queues.stats('async.job.destinations', clock.now())).dead, 1);
  await queues.drain();
});

test('a function of another trust group is told only where it is open to everybody', async (t) => {
  const { queues, keeper, registry, invoke, record, rest } = await openAsyncs(t);
  await deploy(registry, 'job');
  await deploy(registry, 'closed', { hearth: { trustGroup: 'bank', publish: false } });
  await queues.start();
  const id = await invoke('job', { settings: { onSuccess: { function: 'closed', path: '/' } } });
  (await keeper.invoked.next()).answer(response(200));
  await rest();
  assert.match((await record(id)).destination?.error ?? '', /^FORBIDDEN: /);
  assert.equal(keeper.invoked.left, 0);
  await queues.drain();
});

test('a callback is tried three times without the function being run again, then stands among the dead letters', async (t) => {
  const { queues, keeper, registry, invoke, record, rest, clock, calledBack, callbackEnds, store } =
    await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  const url = 'https://example.com/hook?secret=1';
  callbackEnds.push(new Error('refused'), new Error('example.com answered 500'), new Error('too slow'));
  const id = await invoke('job', { settings: { retries: 0, onFailure: { url } } });
  (await keeper.invoked.next()).fail(THROWN);
  await rest();
  assert.equal((await record(id)).destination, null, 'not yet');
  for (const delayMs of [10_000, MINUTE]) {
    clock.advance(delayMs - 1);
    await rest();
    const before = calledBack.length;
    clock.advance(1);
    await rest();
    assert.equal(calledBack.length, before + 1);
  }
  assert.deepEqual(
    calledBack.map(({ headers, payload }) => [headers['hearth-attempt'], payload.requestContext.condition]),
    ['1', '2', '3'].map((attempt) => [attempt, 'RetriesExhausted']),
  );
  assert.equal(new Set(calledBack.map(({ headers }) => headers['idempotency-key'])).size, 1);
  assert.deepEqual(calledBack[0]?.payload.error, { code: 'FUNCTION_EXCEPTION', message: 'Error: no' });
  const failed = { target: 'url https://example.com/hook', outcome: 'failed', error: 'too slow' };
  assert.deepEqual((await record(id)).destination, failed);
  assert.equal((await store.queues.stats('async.job.destinations', clock.now())).dead, 1);
  assert.equal(keeper.invoked.left, 0);

  assert.equal(await queues.redrive('async.job.destinations', 'all'), 1);
  await rest();
  assert.equal((await record(id)).destination?.outcome, 'delivered');
  await queues.drain();
});

test('an address that nobody is called back at is not tried again', async (t) => {
  const { queues, keeper, registry, invoke, record, rest, clock, calledBack, callbackEnds } = await openAsyncs(t);
  await deploy(registry, 'job');
  await queues.start();
  callbackEnds.push(new HearthError('FORBIDDEN', 'evil.example is at 127.0.0.1'));
  const id = await invoke('job', { settings: { onSuccess: { url: 'http://evil.example/' } } });
  (await keeper.invoked.next()).answer(response(200));
  await rest();
  clock.advance(HOUR);
  await rest();
  assert.equal(calledBack.length, 1);
  assert.equal((await record(id)).destination?.error, 'FORBIDDEN: evil.example is at 127.0.0.1');
  await queues.drain();
});
