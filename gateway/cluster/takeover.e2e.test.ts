/** A gateway stands still past its leases: another one does its work, and what it says when it wakes is too late. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REDIS_MISSING } from '../store/redis/testing/server.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { answers, startCluster, until, wake } from './testing/cluster.ts';
import { storeOn } from './testing/ticks.ts';

/** The first one that works on something waits for `go`; the next one does it at once. */
const WORK = `const me = crypto.randomUUID();
async function work(env, what) {
  await env.KV.put(what + '/began/' + me, '');
  const { keys } = await env.KV.list({ prefix: what + '/began/' });
  if (keys.length > 1) { await env.KV.put(what + '/heir', ''); return 'heir'; }
  while ((await env.KV.get('go')) === null) await new Promise((resolve) => setTimeout(resolve, 20));
  await env.KV.put(what + '/late', '');
  return 'late';
}
export default {
  async fetch(request, env) {
    return new Response(request.method === 'POST' ? await work(env, 'async') : 'ready');
  },
  async queue(batch, env) { await work(env, 'queue'); },
};`;
/** As the store has the namespace of the manifest. */
const KV = 'default/job';
const MANIFEST = {
  kv_namespaces: [{ binding: 'KV', id: 'job' }],
  queues: { consumers: [{ queue: 'jobs', max_batch_timeout: 0, max_retries: 5 }] },
  hearth: { timeoutMs: 110_000 },
};

describe('two gateways on one Redis, of which one stands still', { skip: REDIS_MISSING }, () => {
  it('finish its messages and asynchronous invocations once, and refuse what it says late', async () => {
    await using cluster = await startCluster(1);
    const [stalled] = cluster.gateways as [TestGateway];
    await using store = await storeOn(cluster.redis);
    const has = async (key: string) => {
      const { keys } = await store.kv.list(KV, { prefix: key, limit: 1, cursor: null, nowMs: Date.now() });
      return keys.length > 0;
    };
    await stalled.deploy('job', WORK, { manifest: MANIFEST });
    const sent = await stalled.api('POST', '/v1/queues/jobs/messages', { messages: [{ id: 'job', body: 1 }] });
    assert.equal(sent.status, 202, JSON.stringify(sent.body));
    const call = { trigger: 'http', mode: 'async', method: 'POST', path: '/' };
    const begun = await stalled.api<{ invocationId: string }>('POST', '/v1/functions/job/invoke', call);
    assert.equal(begun.status, 202, JSON.stringify(begun.body));
    await until(async () => (await has('queue/began/')) && (await has('async/began/')));

    const heir = await cluster.join();
    await answers(`${heir.url}/job`, 'ready');
    process.kill(stalled.pid, 'SIGSTOP');
    await until(async () => (await has('queue/heir')) && (await has('async/heir')));
    const invocation = async (gateway: TestGateway) => {
      const path = `/v1/invocations/${begun.body.invocationId}`;
      const { body } = await gateway.api<{ state: string; attempts: number; result: { body: string } }>('GET', path);
      return { state: body.state, attempts: body.attempts, text: body.result?.body };
    };
    await until(async () => (await invocation(heir)).state === 'ok');
    const done = { state: 'ok', attempts: 2, text: 'heir' };
    assert.deepEqual(await invocation(heir), done);
    const depth = async () => (await heir.api<{ depth: number }>('GET', '/v1/queues/jobs')).body.depth;
    await until(async () => (await depth()) === 0);

    await store.kv.put(KV, 'go', { value: new Uint8Array(), metadata: null, expiration: null });
    wake(stalled);
    await until(async () => (await has('queue/late')) && (await has('async/late')));
    await stalled.said(/Messages were settled too late.*"job"/);
    await stalled.said(/Messages were settled too late.*"async\.job"/);
    for (const gateway of [heir, stalled]) assert.deepEqual(await invocation(gateway), done);
    for (const queue of ['jobs', 'async.job', 'jobs.dead']) {
      const { body } = await heir.api<{ depth: number }>('GET', `/v1/queues/${queue}`);
      assert.equal(body.depth ?? 0, 0, queue);
    }
    // It is a gateway like any other again.
    await stalled.deploy('back', 'export default { fetch: () => new Response("back") };');
    await answers(`${heir.url}/back`, 'back');
  });
});
