/** Crons and queues follow what is published, not what is deployed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResultHead } from '../../functions/contract/invocation.ts';
import { publicationSchema } from '../../functions/contract/publication.ts';
import type { Registry } from '../registry/registry.ts';
import { createCrons } from './cron/crons.ts';
import { createQueues } from './queue/queues.ts';
import { deploy, type Invoked, openRig, type Rig, SILENT, settle } from './testing/harness.ts';

const MINUTE = 60_000;
const CRON_DONE: ResultHead = { kind: 'cron-result', noRetry: false, waiting: false, calledAt: 0 };

function partsOf(rig: Rig) {
  const { registry, dispatcher, keeper, clock, newId } = rig;
  return { registry, dispatcher, keeper, now: clock.now, timers: clock, newId, log: SILENT };
}

function openQueues(rig: Rig) {
  const telemetry = { queueDepth: () => undefined };
  return createQueues({ ...partsOf(rig), store: rig.store.queues, telemetry, random: () => 0.5 });
}

function publish(registry: Registry, name: string, settings: object) {
  return registry.putPublication(name, publicationSchema.parse(settings));
}

const text = (body: string) => ({ body: Buffer.from(body), contentType: 'text' as const, delayS: null });
const ROOT = { traceparent: null, hops: 0 };

function ackAll(invoked: Invoked): void {
  assert.equal(invoked.call.trigger, 'queue');
  const messages = invoked.call.trigger === 'queue' ? invoked.call.messages : [];
  const verdicts = messages.map(({ id }) => ({ id, verdict: 'ack' as const }));
  invoked.answer({ kind: 'queue-result', verdicts, error: null, waiting: false, calledAt: 0 });
}

const HIDDEN = { hearth: { publish: false } };

test('a batch that is being worked on when its queue is taken back is settled, and what came later waits', async (t) => {
  const rig = await openRig(t);
  const { registry, keeper, store } = rig;
  const queues = openQueues(rig);
  await deploy(registry, 'shop', { ...HIDDEN, queues: { consumers: [{ queue: 'orders', max_batch_timeout: 0 }] } });
  await queues.start();
  await queues.enqueue('orders', [text('early')], ROOT);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  await publish(registry, 'sub', { function: 'shop' });
  const first = await keeper.invoked.next();
  await registry.deletePublication('sub');
  await queues.enqueue('orders', [text('late')], ROOT);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  ackAll(first);
  await settle(store);
  assert.deepEqual([(await queues.stats('orders')).depth, (await queues.stats('orders')).inFlight], [1, 0]);

  await publish(registry, 'sub', { function: 'shop' });
  const second = await keeper.invoked.next();
  assert.equal(second.body().toString(), 'late');
  assert.equal(second.call.trigger === 'queue' && second.call.messages[0]?.attempts, 1);
  ackAll(second);
  await queues.drain();
});

test('what was gathered for a batch is given back when its queue is taken back, with no attempt used', async (t) => {
  const rig = await openRig(t);
  const { registry, keeper, store, clock } = rig;
  const queues = openQueues(rig);
  await deploy(registry, 'shop', { queues: { consumers: [{ queue: 'orders', max_batch_timeout: 30 }] } });
  await queues.start();
  await queues.enqueue('orders', [text('one')], ROOT);
  await settle(store);
  assert.equal((await queues.stats('orders')).inFlight, 1);
  await registry.deletePublication('shop');
  await settle(store);
  assert.equal((await queues.stats('orders')).inFlight, 0);
  clock.advance(10 * MINUTE);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);

  await deploy(registry, 'other', HIDDEN);
  await publish(registry, 'taker', { function: 'other', queues: ['orders'] });
  await settle(store);
  clock.advance(5_000);
  const batch = await keeper.invoked.next();
  assert.equal(batch.spec.functionName, 'other');
  assert.equal(batch.call.trigger === 'queue' && batch.call.messages[0]?.attempts, 1);
  ackAll(batch);
  await queues.drain();
});

test('a cron fires while a publication names it, once for all that do', async (t) => {
  const rig = await openRig(t);
  const { registry, keeper, clock, store } = rig;
  const crons = createCrons({ ...partsOf(rig), store: store.crons, changes: store.changes, owner: 'gateway' });
  await deploy(registry, 'report', { triggers: { crons: ['* * * * *'] }, ...HIDDEN });
  await crons.start();
  assert.deepEqual(await crons.list(), []);
  await publish(registry, 'a', { function: 'report', routes: [] });
  await publish(registry, 'b', { function: 'report', routes: [], crons: ['* * * * *', '0 0 1 1 *'] });
  await settle(store);
  assert.deepEqual(
    (await crons.list()).map(({ expression }) => expression),
    ['* * * * *', '0 0 1 1 *'],
  );
  clock.advance(MINUTE);
  const invoked = await keeper.invoked.next();
  invoked.answer(CRON_DONE);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);

  await registry.deletePublication('a');
  await settle(store);
  assert.equal((await crons.list()).length, 2);
  await registry.deletePublication('b');
  await settle(store);
  assert.deepEqual([await crons.list(), await store.crons.list()], [[], []]);
  clock.advance(5 * MINUTE);
  await settle(store);
  assert.equal(keeper.invoked.left, 0);
  await crons.drain();
});

test('a tick that has to wait while its cron is taken back does not run', async (t) => {
  const rig = await openRig(t);
  const { registry, keeper, clock, store } = rig;
  const crons = createCrons({ ...partsOf(rig), store: store.crons, changes: store.changes, owner: 'gateway' });
  await deploy(registry, 'report', { triggers: { crons: ['* * * * *'] } });
  // Before the crons' own: so the tick stands in line before what takes the cron away.
  const end = registry.onChange(() => clock.advance(MINUTE));
  await crons.start();
  assert.equal((await crons.list()).length, 1);
  await registry.deletePublication('report');
  end();
  await settle(store);
  assert.deepEqual(await crons.list(), []);
  assert.equal(keeper.invoked.left, 0);
  await crons.drain();
});

test('publications stand again at a start, before anything fires', async (t) => {
  const rig = await openRig(t);
  const { registry, keeper, clock, store } = rig;
  await deploy(registry, 'report', { triggers: { crons: ['* * * * *'] }, ...HIDDEN });
  await deploy(registry, 'gone', { triggers: { crons: ['* * * * *'] } });
  await publish(registry, 'a', { function: 'report' });
  await registry.deletePublication('gone');
  const crons = createCrons({ ...partsOf(rig), store: store.crons, changes: store.changes, owner: 'gateway' });
  await crons.start();
  assert.deepEqual(
    (await crons.list()).map((cron) => cron.function),
    ['report'],
  );
  clock.advance(MINUTE);
  const invoked = await keeper.invoked.next();
  assert.equal(invoked.spec.functionName, 'report');
  invoked.answer(CRON_DONE);
  await crons.drain();
});
