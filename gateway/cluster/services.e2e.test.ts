/** What functions expect to be there is the same at every gateway of one Redis. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REDIS_MISSING } from '../store/redis/testing/server.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { answers, startCluster, until } from './testing/cluster.ts';

const SOURCE = `export default {
  async fetch(request: Request, env: any) {
    const { pathname, searchParams } = new URL(request.url);
    const name = searchParams.get('name') ?? 'a';
    switch (pathname) {
      case '/theme': return new Response(env.CONFIG.get('theme') ?? 'none');
      case '/hold': {
        const lock = await env.LOCKS.acquire(name, { ttlMs: Number(searchParams.get('ttl')), waitMs: Number(searchParams.get('wait') ?? 0) });
        return new Response(lock === null ? 'held' : String(lock.fencing));
      }
      case '/next': return new Response(String(await env.COUNT.next(name)));
      case '/put': return new Response(String((await env.FILES.put(name, 'x'.repeat(600_000))).size));
      case '/get': return new Response(String((await (await env.FILES.get(name))?.text())?.length));
      case '/publish': await env.NEWS.publish(name); return new Response('published');
      default: return new Response('?', { status: 404 });
    }
  },
}`;
const SUBSCRIBER = `const got: unknown[] = [];
export default {
  fetch: () => Response.json(got),
  queue(batch: any) { for (const { body } of batch.messages) got.push(body) },
}`;
const MANIFEST = {
  r2_buckets: [{ binding: 'FILES', bucket_name: 'shared' }],
  hearth: {
    locks: [{ binding: 'LOCKS', namespace: 'shared' }],
    counters: [{ binding: 'COUNT', namespace: 'shared' }],
    config: [{ binding: 'CONFIG', namespace: 'shop' }],
    topics: { publishers: [{ binding: 'NEWS', topic: 'news' }] },
  },
};

describe('services of two gateways on one Redis', { skip: REDIS_MISSING }, () => {
  it('are shared: configuration, locks, sequences, files and topics, also when a gateway is killed', async () => {
    await using cluster = await startCluster(2);
    const [a, b] = cluster.gateways as [TestGateway, TestGateway];
    const get = async (gateway: TestGateway, path: string) => (await fetch(`${gateway.url}/svc${path}`)).text();
    await a.deploy('svc', SOURCE, { manifest: MANIFEST });
    await a.deploy('reader', SUBSCRIBER, {
      manifest: { hearth: { maxInstances: 1, topics: { subscriptions: [{ topic: 'news', max_batch_timeout: 0 }] } } },
    });
    await answers(`${b.url}/svc/theme`, 'none');
    await answers(`${a.url}/svc/theme`, 'none');

    await a.api('PUT', '/v1/config/shop', { values: { theme: 'dark' } });
    await answers(`${b.url}/svc/theme`, 'dark');
    await b.api('PUT', '/v1/config/shop', { values: { theme: 'light' } });
    await answers(`${a.url}/svc/theme`, 'light');

    const first = Number(await get(a, '/hold?ttl=3600000'));
    assert.equal(await get(b, '/hold?ttl=1000'), 'held');
    // Its base goes, and with it the lock: the other gateway finds it free.
    await a.api('POST', '/v1/functions/svc/evict');
    const second = Number(await get(b, '/hold?ttl=3600000&wait=60000'));
    assert.ok(second > first, `${second} after ${first}`);

    const numbers = await Promise.all(Array.from({ length: 20 }, (_, i) => get(i % 2 === 0 ? a : b, '/next')));
    assert.equal(new Set(numbers).size, 20);
    assert.equal(await get(a, '/put?name=f'), '600000');
    assert.equal(await get(b, '/get?name=f'), '600000');

    await until(async () => {
      const seen = await b.api<{ subscribers: object[] }>('GET', '/v1/topics/news');
      return seen.body.subscribers.length === 1;
    });
    await get(a, '/publish?name=from-a');
    await get(b, '/publish?name=from-b');
    await until(async () => {
      const read = await Promise.all([a, b].map(async ({ url }) => (await fetch(`${url}/reader`)).json()));
      return JSON.stringify((read as string[][]).flat().sort()) === '["from-a","from-b"]';
    });

    // What a dead gateway held ends with its time; fences go on.
    const third = Number(await get(a, '/hold?name=k&ttl=1000'));
    await a.kill9();
    const fourth = Number(await get(b, '/hold?name=k&ttl=1000&wait=60000'));
    assert.ok(fourth > third && third > first, `${fourth} after ${third}`);
  });
});
