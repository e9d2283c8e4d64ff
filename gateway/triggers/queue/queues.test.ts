import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HearthError } from '../../../functions/contract/errors.ts';
import type { MessageVerdict, QueueInvokeHead, ResultHead } from '../../../functions/contract/invocation.ts';
import type { QueueStore } from '../../store/api/queues.ts';
import { deploy, type Invoked, ManualClock, openRig, type Rig, rejection, SILENT, settle } from '../testing/harness.ts';
import type { EnqueueMessage } from './messages.ts';
import { createQueues, type Queues } from './queues.ts';

const ROOT = { traceparent: null, hops: 0 };
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

interface QueueRig extends Rig {
  queues: Queues;
  depths: [string, number, number][];
  /** Other queues over the same store, as another process has them. */
  again(parts: { store?: QueueStore; clock?: ManualClock }): Queues;
}

async function openQueues(t: TestContext): Promise<QueueRig> {
  const rig = await openRig(t);
  const depths: [string, number, number][] = [];
  const make: QueueRig['again'] = ({ store = rig.store.queues, clock = rig.clock }) =>
    createQueues({
      store,
      registry: rig.registry,
      dispatcher: rig.dispatcher,
      telemetry: { queueDepth: (...told) => depths.push(told) },
      now: clock.now,
      timers: clock,
      random: () => 0.5,
      newId: rig.newId,
      log: SILENT,
    });
  return { ...rig, depths, queues: make({}), again: make };
}

const consumes = (settings: Record<string, unknown> = {}, queue = 'orders') => ({
  queues: { consumers: [{ queue, ...settings }] },
});
/** Delivers whatever is there at once. */
const EAGER = { max_batch_timeout: 0 };

function text(body: string, changes: Partial<EnqueueMessage> = {}): EnqueueMessage {
  return { body: Buffer.from(body), contentType: 'text', delayS: null, ...changes };
}

function batchOf(invoked: Invoked): QueueInvokeHead {
  assert.equal(invoked.call.trigger, 'queue');
  return invoked.call as QueueInvokeHead;
}

/** Bodies and attempts of a batch, in order. */
function contents(invoked: Invoked): string[] {
  const body = invoked.body();
  let start = 0;
  return batchOf(invoked).messages.map(({ bytes, attempts }) => {
    const one = body.subarray(start, start + bytes).toString();
    start += bytes;
    return `${one} ${attempts}`;
  });
}

function answered(invoked: Invoked, decide: (id: string, index: number) => MessageVerdict): ResultHead {
  const verdicts = batchOf(invoked).messages.map(({ id }, i) => decide(id, i));
  return { kind: 'queue-result', verdicts, error: null, waiting: false, calledAt: 0 };
}

const ack = (id: string): MessageVerdict => ({ id, verdict: 'ack' });
const retry = (id: string): MessageVerdict => ({ id, verdict: 'retry', delayS: null });

function ackAll(invoked: Invoked): void {
  invoked.answer(answered(invoked, ack));
}

test('messages reach the consumer with id, time and attempt, and are gone once acked', async (t) => {
  const { queues, registry, keeper, telemetry, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes(EAGER));
  await queues.start();
  const context = { traceparent: TRACEPARENT, hops: 2 };
  const { ids, duplicates } = await queues.enqueue('orders', [text('one'), text('two')], context);
  assert.deepEqual(duplicates, []);
  const invoked = await keeper.invoked.next();
  assert.deepEqual(contents(invoked), ['one 1', 'two 1']);
  const { queue, messages, hops } = batchOf(invoked);
  assert.equal(queue, 'orders');
  assert.equal(hops, 2);
  assert.deepEqual(
    messages.map(({ id, timestamp, contentType }) => [id, timestamp, contentType]),
    ids.map((id) => [id, clock.nowMs, 'text']),
  );
  assert.equal((await queues.stats('orders')).inFlight, 2);
  ackAll(invoked);
  await settle(store);
  assert.equal((await queues.stats('orders')).depth, 0);
  assert.deepEqual(
    telemetry.done[0]?.queue?.messages.map(({ traceparent }) => traceparent),
    [TRACEPARENT, TRACEPARENT],
  );
  await queues.drain();
});

test('a full batch goes out at once, the rest when it has waited long enough', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ max_batch_size: 3, max_batch_timeout: 5 }));
  await queues.start();
  await queues.enqueue(
    'orders',
    ['1', '2', '3', '4'].map((body) => text(body)),
    ROOT,
  );
  const full = await keeper.invoked.next();
  assert.deepEqual(contents(full), ['1 1', '2 1', '3 1']);
  await settle(store);
  clock.advance(4_999);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  clock.advance(1);
  const rest = await keeper.invoked.next();
  assert.deepEqual(contents(rest), ['4 1']);
  ackAll(full);
  ackAll(rest);
  await queues.drain();
});

test('a message that comes while others wait fills their batch', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ max_batch_size: 2, max_batch_timeout: 60 }));
  await queues.start();
  await queues.enqueue('orders', [text('1')], ROOT);
  await settle(store);
  clock.advance(2_000);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  await queues.enqueue('orders', [text('2')], ROOT);
  const invoked = await keeper.invoked.next();
  assert.deepEqual(contents(invoked), ['1 1', '2 1']);
  ackAll(invoked);
  await queues.drain();
});

test('what the handler retries comes again with the next attempt, then dies; its ack holds for the others', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ ...EAGER, max_retries: 2 }));
  await queues.start();
  const { ids } = await queues.enqueue('orders', [text('bad'), text('good')], ROOT);
  const first = await keeper.invoked.next();
  first.answer(answered(first, (id, i) => (i === 0 ? retry(id) : ack(id))));
  for (const attempt of [2, 3]) {
    await settle(store);
    clock.advance(1_000);
    const again = await keeper.invoked.next();
    assert.deepEqual(contents(again), [`bad ${attempt}`]);
    again.answer(answered(again, retry));
  }
  await settle(store);
  clock.advance(60_000);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  const { messages } = await queues.dead('orders', { most: 10, cursor: null });
  assert.deepEqual(
    messages.map(({ id, attempts, source, reason }) => [id, attempts, source, reason]),
    [[ids[0], 3, 'orders', 'the handler asked for a retry']],
  );
  const stats = await queues.stats('orders');
  assert.deepEqual([stats.depth, stats.dead], [0, 1]);
  await queues.drain();
});

test('dead letters that are put back are delivered with no attempts used', async (t) => {
  const { queues, registry, keeper, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ ...EAGER, max_retries: 0 }));
  await queues.start();
  await queues.enqueue('orders', [text('a')], ROOT);
  (await keeper.invoked.next()).fail(new HearthError('FUNCTION_TIMEOUT', 'too slow'));
  await settle(store);
  assert.equal(
    (await queues.dead('orders', { most: 1, cursor: null })).messages[0]?.reason,
    'FUNCTION_TIMEOUT: too slow',
  );
  assert.deepEqual(
    queues.list().map(({ name, consumer }) => [name, consumer]),
    [
      ['orders', 'shop'],
      ['orders.dead', null],
    ],
  );
  assert.equal(await queues.redrive('orders', 'all'), 1);
  const invoked = await keeper.invoked.next();
  assert.deepEqual(contents(invoked), ['a 1']);
  ackAll(invoked);
  await queues.drain();
});

test('a dead-letter queue can have a consumer of its own', async (t) => {
  const { queues, registry, keeper } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ ...EAGER, max_retries: 0, dead_letter_queue: 'lost' }));
  await deploy(registry, 'undertaker', consumes(EAGER, 'lost'));
  await queues.start();
  await queues.enqueue('orders', [text('a')], ROOT);
  (await keeper.invoked.next()).fail(new HearthError('FUNCTION_EXCEPTION', 'no'));
  const buried = await keeper.invoked.next();
  assert.equal(buried.spec.functionName, 'undertaker');
  assert.deepEqual(contents(buried), ['a 1']);
  ackAll(buried);
  await queues.drain();
});

test('when there is no room the consumer rests, and no attempt is used', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ ...EAGER, max_retries: 0 }));
  await queues.start();
  await queues.enqueue('orders', [text('a')], ROOT);
  for (const code of ['OVERLOADED', 'NO_CAPACITY', 'OVERLOADED'] as const) {
    const invoked = await keeper.invoked.next();
    assert.deepEqual(contents(invoked), ['a 1']);
    invoked.fail(new HearthError(code, 'busy'));
    await settle(store);
    await queues.enqueue('orders', [text('later', { delayS: 3600 })], ROOT);
    await settle(store);
    assert.equal(keeper.invoked.left, 0);
    clock.advance(1_000);
  }
  const last = await keeper.invoked.next();
  ackAll(last);
  await queues.drain();
});

test('a delayed message is delivered when it is due', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes(EAGER));
  await queues.start();
  await queues.enqueue('orders', [text('later', { delayS: 90 })], ROOT);
  await settle(store);
  assert.equal((await queues.stats('orders')).delayed, 1);
  for (let s = 0; s < 89; s++) {
    clock.advance(1_000);
    await settle(store);
  }
  assert.equal(keeper.invoked.left, 0);
  clock.advance(1_000);
  const invoked = await keeper.invoked.next();
  assert.deepEqual(contents(invoked), ['later 1']);
  ackAll(invoked);
  await queues.drain();
});

test("the queue's own delay holds for messages that name none", async (t) => {
  const { queues } = await openQueues(t);
  await queues.put('orders', { deliveryDelayS: 60 });
  await queues.enqueue('orders', [text('a'), text('b', { delayS: 0 })], ROOT);
  const stats = await queues.stats('orders');
  assert.deepEqual([stats.depth, stats.delayed], [2, 1]);
});

test('batches in flight stay within max_concurrency, and the next goes out when one has ended', async (t) => {
  const { queues, registry, keeper, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ ...EAGER, max_batch_size: 1, max_concurrency: 2 }));
  await queues.start();
  await queues.enqueue(
    'orders',
    ['1', '2', '3', '4', '5'].map((body) => text(body)),
    ROOT,
  );
  const first = await keeper.invoked.next();
  const second = await keeper.invoked.next();
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  ackAll(first);
  const third = await keeper.invoked.next();
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  ackAll(second);
  ackAll(third);
  ackAll(await keeper.invoked.next());
  ackAll(await keeper.invoked.next());
  await queues.drain();
  assert.equal((await queues.stats('orders')).depth, 0);
});

test('what is handled and not yet settled is bounded: a store that stalls holds back the next batches', async (t) => {
  const { again, registry, keeper, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ ...EAGER, max_batch_size: 1, max_concurrency: 2 }));
  const stalled = Promise.withResolvers<void>();
  const slow: QueueStore = {
    ...store.queues,
    settle: async (...args) => {
      await stalled.promise;
      return store.queues.settle(...args);
    },
  };
  const queues = again({ store: slow });
  let handled = 0;
  keeper.auto = (invoked) => {
    handled += 1;
    ackAll(invoked);
  };
  await queues.start();
  await queues.enqueue(
    'orders',
    Array.from({ length: 20 }, (_, n) => text(String(n))),
    ROOT,
  );
  await settle(store);
  assert.equal(handled, 4);
  stalled.resolve();
  while (handled < 20) await settle(store);
  await queues.drain();
  assert.equal((await queues.stats('orders')).depth, 0);
});

test('a thousand messages are each delivered once and none is left', async (t) => {
  const { queues, registry, keeper } = await openQueues(t);
  await deploy(registry, 'shop', consumes(EAGER));
  const seen: string[] = [];
  const all = Promise.withResolvers<void>();
  keeper.auto = (invoked) => {
    for (const { id } of batchOf(invoked).messages) seen.push(id);
    ackAll(invoked);
    if (seen.length >= 1000) all.resolve();
  };
  await queues.start();
  const sent: string[] = [];
  for (let call = 0; call < 10; call++) {
    const batch = Array.from({ length: 100 }, (_, i) => text(`${call} ${i}`));
    sent.push(...(await queues.enqueue('orders', batch, ROOT)).ids);
  }
  await all.promise;
  await queues.drain();
  assert.equal(seen.length, 1000);
  assert.deepEqual(seen.toSorted(), sent.toSorted());
  assert.equal((await queues.stats('orders')).depth, 0);
});

const crashed = () => new HearthError('FUNCTION_CRASHED', 'The base died.');

test('a message that kills its base three times is a dead letter; its neighbours lose no attempt', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ ...EAGER, max_batch_size: 3 }));
  await queues.start();
  const { ids } = await queues.enqueue('orders', [text('a'), text('poison'), text('b')], ROOT);
  const batch = await keeper.invoked.next();
  assert.deepEqual(contents(batch), ['a 1', 'poison 1', 'b 1']);
  await queues.enqueue('orders', [text('later')], ROOT);
  const beside = await keeper.invoked.next();
  batch.fail(crashed());
  await settle(store);
  // One after another, beside nothing else: not even a batch that has gone out.
  assert.equal(keeper.invoked.left, 0);
  beside.fail(crashed());
  const delivered: string[] = [];
  for (let n = 0; n < 5; n++) {
    const one = await keeper.invoked.next();
    await settle(store);
    assert.equal(keeper.invoked.left, 0);
    const [content = ''] = contents(one);
    delivered.push(content);
    if (content.startsWith('poison')) one.fail(crashed());
    else ackAll(one);
    await settle(store);
    if (delivered.length === 4) clock.advance(1_000);
  }
  assert.deepEqual(delivered, ['a 1', 'poison 1', 'b 1', 'later 1', 'poison 2']);
  await settle(store);
  const { messages } = await queues.dead('orders', { most: 10, cursor: null });
  const died = 'FUNCTION_CRASHED: The base died.';
  assert.deepEqual(
    messages.map(({ id, failures }) => [id, failures.map(({ reason }) => reason)]),
    [[ids[1], [died, died, `it took down its base 3 times; ${died}`]]],
  );
  assert.equal((await queues.stats('orders')).depth, 0);
  await queues.enqueue('orders', [text('c'), text('d')], ROOT);
  const together = await keeper.invoked.next();
  assert.deepEqual(contents(together), ['c 1', 'd 1']);
  ackAll(together);
  await queues.drain();
});

test('a suspect that is throttled, or whose gateway is restarted, stays one', async (t) => {
  const { again, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes(EAGER));
  const first = again({});
  await first.start();
  await first.enqueue('orders', [text('a'), text('b')], ROOT);
  (await keeper.invoked.next()).fail(crashed());
  const apart = await keeper.invoked.next();
  assert.deepEqual(contents(apart), ['a 1']);
  apart.fail(new HearthError('OVERLOADED', 'quarantined'));
  await settle(store);
  await first.drain();
  const second = again({});
  await second.start();
  await second.enqueue('orders', [text('c'), text('d')], ROOT);
  // What was claimed is delivered before its lease could end, and what rests is due.
  await settle(store);
  clock.advance(1_000);
  const seen: string[][] = [];
  for (let n = 0; n < 3; n++) {
    const invoked = await keeper.invoked.next();
    seen.push(contents(invoked));
    ackAll(invoked);
    await settle(store);
  }
  assert.deepEqual(seen.toSorted(), [['a 1'], ['b 1'], ['c 1', 'd 1']]);
  await second.drain();
});

test('of a batch that timed out each message is delivered by itself, beside others, and has its attempt back', async (t) => {
  const { queues, registry, keeper, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ ...EAGER, max_retries: 0 }));
  await queues.start();
  await queues.enqueue('orders', [text('slow'), text('fine')], ROOT);
  (await keeper.invoked.next()).fail(new HearthError('FUNCTION_TIMEOUT', '30 s'));
  const slow = await keeper.invoked.next();
  const fine = await keeper.invoked.next();
  assert.deepEqual([contents(slow), contents(fine)], [['slow 1'], ['fine 1']]);
  ackAll(fine);
  slow.fail(new HearthError('FUNCTION_TIMEOUT', '30 s'));
  await settle(store);
  const { depth, dead } = await queues.stats('orders');
  assert.deepEqual([depth, dead], [0, 1]);
  await queues.drain();
});

test('leases are lengthened while a batch runs, so nobody else gets its messages', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes(EAGER));
  await queues.start();
  await queues.enqueue('orders', [text('slow')], ROOT);
  const invoked = await keeper.invoked.next();
  for (let s = 0; s < 60; s++) {
    clock.advance(1_000);
    await settle(store);
  }
  assert.equal(keeper.invoked.left, 0);
  ackAll(invoked);
  await queues.drain();
  assert.equal((await queues.stats('orders')).depth, 0);
});

test('what a killed gateway held is delivered again once its leases have ended', async (t) => {
  const { again, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ max_batch_size: 2, max_batch_timeout: 5 }));
  // Its clock stands still, as that of a killed process.
  const killed = again({ clock: new ManualClock(clock.nowMs) });
  await killed.start();
  const { ids } = await killed.enqueue('orders', [text('in flight 1'), text('in flight 2'), text('waiting')], ROOT);
  const lost = await keeper.invoked.next();
  await settle(store);

  const restarted = again({});
  await restarted.start();
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  clock.advance(10_000);
  const redelivered = await keeper.invoked.next();
  assert.deepEqual(contents(redelivered), ['in flight 1 2', 'in flight 2 2']);
  assert.deepEqual(
    batchOf(redelivered).messages.map(({ id }) => id),
    ids.slice(0, 2),
  );
  // A late answer must not take away what is being delivered again.
  ackAll(lost);
  await settle(store);
  assert.equal((await restarted.stats('orders')).depth, 3);
  ackAll(redelivered);
  await settle(store);
  clock.advance(5_000);
  const rest = await keeper.invoked.next();
  assert.deepEqual(contents(rest), ['waiting 2']);
  ackAll(rest);
  await restarted.drain();
  assert.equal((await restarted.stats('orders')).depth, 0);
  await killed.drain();
});

test('after the machine slept past the leases, what is held is not delivered twice', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ max_batch_size: 2, max_batch_timeout: 60 }));
  await queues.start();
  await queues.enqueue('orders', [text('a'), text('b'), text('c')], ROOT);
  const running = await keeper.invoked.next();
  await settle(store);
  clock.jump(30_000);
  await queues.enqueue('orders', [text('d')], ROOT);
  const next = await keeper.invoked.next();
  assert.deepEqual(contents(next), ['c 2', 'd 1']);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  ackAll(running);
  ackAll(next);
  await queues.drain();
  assert.equal((await queues.stats('orders')).depth, 0);
});

test('a paused queue delivers nothing, gives back what waited unused, and goes on when resumed', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ max_batch_timeout: 5 }));
  await queues.start();
  await queues.enqueue('orders', [text('a')], ROOT);
  await settle(store);
  assert.equal((await queues.put('orders', { paused: true })).settings.paused, true);
  await settle(store);
  assert.equal((await queues.stats('orders')).inFlight, 0);
  clock.advance(60_000);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  await queues.put('orders', { paused: false });
  const invoked = await keeper.invoked.next();
  assert.deepEqual(contents(invoked), ['a 1']);
  ackAll(invoked);
  await queues.drain();
});

test('messages wait for their consumer to be deployed, and for another one after it is gone', async (t) => {
  const { queues, registry, keeper, store } = await openQueues(t);
  await queues.start();
  await queues.enqueue('orders', [text('early')], ROOT);
  await settle(store);
  await deploy(registry, 'shop', consumes(EAGER));
  const early = await keeper.invoked.next();
  ackAll(early);
  await settle(store);
  await registry.deleteFunction('shop');
  await settle(store);
  await queues.enqueue('orders', [text('late')], ROOT);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  assert.equal((await queues.get('orders')).consumer, null);
  await deploy(registry, 'market', consumes(EAGER));
  const late = await keeper.invoked.next();
  assert.equal(late.spec.functionName, 'market');
  assert.deepEqual(contents(late), ['late 1']);
  ackAll(late);
  await queues.drain();
});

test('a new version gets the next batch', async (t) => {
  const { queues, registry, keeper, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes(EAGER));
  await queues.start();
  await queues.enqueue('orders', [text('a')], ROOT);
  const before = await keeper.invoked.next();
  ackAll(before);
  await deploy(registry, 'shop', consumes({ ...EAGER, max_retries: 7 }));
  await settle(store);
  await queues.enqueue('orders', [text('b')], ROOT);
  const after = await keeper.invoked.next();
  ackAll(after);
  assert.notEqual(after.spec.version, before.spec.version);
  assert.equal((await queues.get('orders')).settings.maxRetries, 7);
  await queues.drain();
});

test('an id is taken once', async (t) => {
  const { queues } = await openQueues(t);
  const first = await queues.enqueue('orders', [text('a', { id: 'order-1' })], ROOT);
  assert.deepEqual(first, { ids: ['order-1'], duplicates: [] });
  const second = await queues.enqueue('orders', [text('a', { id: 'order-1' }), text('b', { id: 'order-2' })], ROOT);
  assert.deepEqual(second.duplicates, ['order-1']);
  assert.equal((await queues.stats('orders')).depth, 2);
});

test('a message at its seventeenth hop is refused, and one that got in is a dead letter', async (t) => {
  const { queues, registry, keeper, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes(EAGER));
  const looped = await rejection(queues.enqueue('orders', [text('a')], { traceparent: null, hops: 17 }));
  assert.equal(looped.code, 'LOOP_DETECTED');
  const stray = { id: 'stray', body: Buffer.from(''), contentType: 'text', delayS: 0, traceparent: null } as const;
  await store.queues.enqueue(
    'orders',
    [
      { ...stray, hops: 17 },
      { ...stray, id: 'fine', hops: 16 },
    ],
    0,
  );
  await queues.start();
  const invoked = await keeper.invoked.next();
  assert.deepEqual(
    batchOf(invoked).messages.map(({ id }) => id),
    ['fine'],
  );
  ackAll(invoked);
  await queues.drain();
  const { messages } = await queues.dead('orders', { most: 10, cursor: null });
  assert.match(messages[0]?.reason ?? '', /^LOOP_DETECTED/);
});

test('what cannot be a message is refused, and nothing of its call is stored', async (t) => {
  const { queues } = await openQueues(t);
  await queues.put('orders', {});
  const good = text('good');
  const bad: [string, EnqueueMessage[]][] = [
    ['BAD_REQUEST', []],
    ['BAD_REQUEST', Array.from({ length: 101 }, () => good)],
    ['PAYLOAD_TOO_LARGE', [good, text('x'.repeat(128 * 1024 + 1))]],
    ['BAD_REQUEST', [good, text('x', { delayS: -1 })]],
    ['BAD_REQUEST', [good, text('x', { delayS: 86_401 })]],
    ['BAD_REQUEST', [good, text('x', { delayS: Number.NaN })]],
    ['BAD_REQUEST', [good, text('x', { id: '' })]],
    ['BAD_REQUEST', [good, text('x', { id: 'a b' })]],
    ['BAD_REQUEST', [good, text('x', { id: 'x'.repeat(129) })]],
    ['BAD_REQUEST', [good, text('x', { contentType: 'xml' as 'json' })]],
  ];
  for (const [code, messages] of bad) {
    const error = await rejection(queues.enqueue('orders', messages, ROOT));
    assert.equal(error.code, code, error.message);
  }
  assert.equal((await queues.stats('orders')).depth, 0);
  await queues.enqueue('orders', [text('x'.repeat(128 * 1024), { delayS: 86_400 })], ROOT);
  assert.equal((await queues.stats('orders')).depth, 1);
});

test('names that no queue has are refused by every call', async (t) => {
  const { queues } = await openQueues(t);
  for (const name of ['Orders', '', '9', 'a/b', 'x'.repeat(64), 'orders.live']) {
    assert.equal((await rejection(queues.enqueue(name, [text('a')], ROOT))).code, 'BAD_REQUEST');
    assert.equal((await rejection(queues.put(name, {}))).code, 'BAD_REQUEST');
    assert.equal((await rejection(queues.stats(name))).code, 'BAD_REQUEST');
  }
  const missing = [
    queues.get('none'),
    queues.stats('none'),
    queues.dead('none', { most: 1, cursor: null }),
    queues.redrive('none', 'all'),
    queues.purge('none'),
    queues.delete('none'),
  ];
  for (const call of missing) assert.equal((await rejection(call)).code, 'NOT_FOUND');
});

test("what the consumer's manifest decides cannot be changed over the API, nor its queue deleted", async (t) => {
  const { queues, registry } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ max_retries: 1 }));
  await queues.start();
  const conflict = await rejection(queues.put('orders', { maxRetries: 9 }));
  assert.equal(conflict.code, 'CONFLICT');
  assert.match(conflict.message, /maxRetries is decided by the manifest of "shop"/);
  const { settings } = await queues.put('orders', { maxRetries: 1, deliveryDelayS: 3 });
  assert.deepEqual([settings.maxRetries, settings.deliveryDelayS], [1, 3]);
  assert.equal((await rejection(queues.delete('orders'))).code, 'CONFLICT');
  await queues.drain();
});

test('a purge removes what waits; a deleted queue is gone', async (t) => {
  const { queues } = await openQueues(t);
  await queues.enqueue('orders', [text('a'), text('b')], ROOT);
  assert.equal(await queues.purge('orders'), 2);
  assert.equal((await queues.stats('orders')).depth, 0);
  await queues.delete('orders');
  assert.deepEqual(queues.list(), []);
  assert.equal((await rejection(queues.get('orders'))).code, 'NOT_FOUND');
});

test('a drain gives back what waited, lets the batch in flight end, and still takes messages', async (t) => {
  const { queues, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes({ max_batch_size: 2, max_batch_timeout: 60 }));
  await queues.start();
  await queues.enqueue('orders', [text('a'), text('b'), text('c')], ROOT);
  const invoked = await keeper.invoked.next();
  await settle(store);
  const drained = queues.drain();
  await queues.enqueue('orders', [text('d')], ROOT);
  await settle(store);
  clock.advance(9_000);
  await settle(store);
  ackAll(invoked);
  await drained;
  assert.equal(keeper.invoked.left, 0);
  assert.equal(clock.timers, 0);
  const stats = await queues.stats('orders');
  assert.deepEqual([stats.depth, stats.inFlight], [2, 0]);
});

test('when the store fails delivery goes on once it is back', async (t) => {
  const { again, registry, keeper, clock, store } = await openQueues(t);
  await deploy(registry, 'shop', consumes(EAGER));
  let failures = 1;
  const failing: QueueStore = {
    ...store.queues,
    claim: (...args) => {
      failures -= 1;
      if (failures >= 0) return Promise.reject(new HearthError('NO_CAPACITY', 'The disk is full.'));
      return store.queues.claim(...args);
    },
  };
  const queues = again({ store: failing });
  await queues.start();
  await queues.enqueue('orders', [text('a')], ROOT);
  await settle(store);
  clock.advance(1_000);
  const invoked = await keeper.invoked.next();
  ackAll(invoked);
  await queues.drain();
});

test('depth and age of each queue are told to telemetry', async (t) => {
  const { queues, depths, clock, store } = await openQueues(t);
  await queues.start();
  await queues.enqueue('orders', [text('a')], ROOT);
  for (let s = 0; s < 20; s++) {
    clock.advance(1_000);
    await settle(store);
  }
  const [queue, depth, ageMs] = depths.at(-1) ?? [];
  assert.deepEqual([queue, depth], ['orders', 1]);
  assert.ok(typeof ageMs === 'number' && ageMs >= 10_000 && ageMs <= 20_000);
  await queues.drain();
});
