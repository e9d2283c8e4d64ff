/** The triggers and bindings with nothing in their place: real bases, real store, the real clock. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { BindingCallHead } from '../../functions/contract/invocation.ts';
import type { ManifestInput } from '../../functions/contract/manifest.ts';
import { startKeeper } from '../../pool/keeper/testing/harness.ts';
import { createBindings } from '../bindings/bindings.ts';
import { createConfigs } from '../bindings/configs.ts';
import { createAssetContents } from '../ingress/assets/contents.ts';
import { createAssetLibrary } from '../ingress/assets/library.ts';
import { createRates } from '../rates.ts';
import { createCrons } from './cron/crons.ts';
import { createDispatcher } from './dispatch.ts';
import type { TriggerHead } from './dispatcher.ts';
import { createIdMaker } from './ids.ts';
import { createQueues } from './queue/queues.ts';
import { deploy, fakeTelemetry, openRegistry, openStore, SILENT } from './testing/harness.ts';
import { realTimers } from './timers.ts';
import { createTopics } from './topics.ts';

const ROOT = { traceparent: null, hops: 0 };

async function openAll(t: TestContext) {
  const harness = await startKeeper(t);
  const store = await openStore(t);
  const registry = await openRegistry(store);
  const telemetry = fakeTelemetry();
  const now = Date.now;
  const newId = createIdMaker(now);
  const dispatcher = createDispatcher({
    keeper: harness.keeper,
    telemetry,
    now,
    newId,
    log: SILENT,
    functionFailed: () => undefined,
  });
  const parts = { registry, dispatcher, now, timers: realTimers, newId, log: SILENT, functionFailed: () => undefined };
  const queueTelemetry = { queueDepth: () => undefined };
  const queues = createQueues({ ...parts, store: store.queues, telemetry: queueTelemetry, random: Math.random });
  const crons = createCrons({
    ...parts,
    store: store.crons,
    changes: store.changes,
    owner: 'gateway',
    keeper: harness.keeper,
  });
  const bindings = createBindings({
    ...parts,
    store,
    assets: createAssetLibrary(createAssetContents(store.kv, now)),
    queues,
    configs: createConfigs(store.configs, now),
    topics: createTopics({ registry, queues }),
    rates: createRates(now),
    maxFileBytes: 1024 * 1024,
  });
  harness.onBinding = (spec, call: BindingCallHead, exchange) => bindings(spec, call, exchange);
  await queues.start();
  await crons.start();
  t.after(() => Promise.all([queues.drain(), crons.drain()]));

  /** A GET of the function, with its answer as text. */
  const get = async (name: string, path = '/', body: Uint8Array | null = null) => {
    const entry = registry.function(name);
    assert.ok(entry?.active);
    const head: TriggerHead = {
      trigger: 'http',
      method: body === null ? 'GET' : 'POST',
      url: `http://${name}.localhost${path}`,
      headers: [],
      hasBody: body !== null,
      upgrade: false,
      remoteAddress: '127.0.0.1',
    };
    const answer = await dispatcher.call(entry, entry.active, head, ROOT, body);
    return Buffer.from(answer.body).toString();
  };
  return { ...harness, store, registry, dispatcher, queues, crons, get };
}

test('a function queues orders, its consumer keeps them in KV, and a third one reads them through a service', async (t) => {
  const { registry, get, dispatcher, logged } = await openAll(t);
  const kv: ManifestInput['kv_namespaces'] = [{ binding: 'KV', id: 'orders' }];
  await deploy(
    registry,
    'intake',
    { queues: { producers: [{ binding: 'Q', queue: 'orders' }] } },
    `exports.default = { async fetch(request, env) {
      await env.Q.sendBatch([{ body: { id: 1 } }, { body: { id: 2 } }]);
      return new Response('taken');
    } };`,
  );
  await deploy(
    registry,
    'worker',
    { kv_namespaces: kv, queues: { consumers: [{ queue: 'orders', max_batch_timeout: 0 }] } },
    `exports.default = {
      async queue(batch, env) {
        for (const message of batch.messages) {
          await env.KV.put('order-' + message.body.id, JSON.stringify(message.body), { metadata: message.attempts });
          console.log('kept ' + message.body.id);
        }
      },
      async fetch(request, env) {
        const { keys } = await env.KV.list({ prefix: 'order-' });
        return Response.json(keys);
      },
    };`,
  );
  await deploy(
    registry,
    'front',
    { services: [{ binding: 'WORKER', service: 'worker' }] },
    `exports.default = { fetch: (request, env) => env.WORKER.fetch(request) };`,
  );
  assert.equal(await get('intake'), 'taken');
  await Promise.all([logged('kept 1'), logged('kept 2')]);
  assert.deepEqual(JSON.parse(await get('front')), [
    { name: 'order-1', metadata: 1 },
    { name: 'order-2', metadata: 1 },
  ]);
  const [front] = dispatcher.recent('front', 1);
  const [worker] = dispatcher.recent('worker', 1);
  assert.equal(worker?.trigger, 'http');
  assert.equal(worker?.traceId, front?.traceId);
});

test('a message whose handler throws ends among the dead letters', async (t) => {
  const { registry, queues, logged } = await openAll(t);
  await deploy(
    registry,
    'worker',
    { queues: { consumers: [{ queue: 'orders', max_batch_timeout: 0, max_retries: 2 }] } },
    `exports.default = { queue(batch) {
      for (const message of batch.messages) {
        if (message.body === 'good') message.ack();
        else console.log('attempt ' + message.attempts);
      }
      throw new TypeError('no such order');
    } };`,
  );
  const body = (text: string) => ({ body: Buffer.from(text), contentType: 'text' as const, delayS: null });
  const { ids } = await queues.enqueue('orders', [body('good'), body('bad')], ROOT);
  await logged('attempt 3');
  await queues.drain();
  const { messages } = await queues.dead('orders', { most: 10, cursor: null });
  assert.deepEqual(
    messages.map(({ id, attempts, reason }) => [id, attempts, reason]),
    [[ids[1], 3, 'TypeError: no such order']],
  );
  assert.equal((await queues.stats('orders')).depth, 0);
});

test('a cron calls its scheduled handler with the expression and the time it was due', async (t) => {
  const { registry, crons, logged } = await openAll(t);
  await deploy(
    registry,
    'report',
    { triggers: { crons: ['* * * * * *'] } },
    `exports.default = { scheduled(controller, env, ctx) {
      console.log('due ' + controller.cron + ' ' + (controller.scheduledTime % 1000));
    } };`,
  );
  await logged('due * * * * * * 0');
  await crons.drain();
  assert.equal((await crons.list())[0]?.last?.outcome, 'ok');
});

test('a body beyond the credit of the link reaches a function that is started for it', async (t) => {
  const { registry, get } = await openAll(t);
  const echo = 'exports.default = { fetch: async (request) => new Response(String((await request.bytes()).length)) };';
  await deploy(registry, 'echo', {}, echo);
  const body = Buffer.alloc(3 * 1024 * 1024, 'x');
  assert.equal(await get('echo', '/', body), String(body.length));
  assert.equal(await get('echo', '/', body), String(body.length));
});

test('functions that call each other in a circle are stopped', async (t) => {
  const { registry, get } = await openAll(t);
  const circle = (other: string) => ({ services: [{ binding: 'NEXT', service: other }] });
  const source = `exports.default = { async fetch(request, env) {
    try { return await env.NEXT.fetch(request); } catch (error) { return new Response(error.code); }
  } };`;
  await deploy(registry, 'a', circle('b'), source);
  await deploy(registry, 'b', circle('a'), source);
  assert.equal(await get('a'), 'LOOP_DETECTED');
});

test('a cron finds a warm base: its function was loaded before the tick', async (t) => {
  const { registry, dispatcher, crons, logged } = await openAll(t);
  // The third second from now: far enough for the load before it.
  const second = (new Date().getSeconds() + 3) % 60;
  await deploy(
    registry,
    'punctual',
    { triggers: { crons: [`${second} * * * * *`] } },
    `exports.default = { scheduled() { console.log('ticked'); } };`,
  );
  await logged('ticked');
  await crons.drain();
  assert.equal(dispatcher.recent('punctual', 1)[0]?.facts?.start, 'warm');
});
