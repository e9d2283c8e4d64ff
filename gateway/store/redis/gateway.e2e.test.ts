/** The whole gateway on a real Redis. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { spawnGateway, startGateway } from '../../testing/gateway.ts';
import { REDIS_MISSING, type RedisServer, startRedis } from './testing/server.ts';

/** Of no gateway: what stands where is the matter of these tests. */
const KEY = 'a key that gateways on one Redis share';

const on = (redis: RedisServer) => ({ HEARTH_STORE: 'redis', REDIS_URL: redis.url, HEARTH_SECRET_KEY: KEY });

const SHOP = `
  export default {
    async fetch(request, env) {
      const path = new URL(request.url).pathname;
      if (path === '/put') await env.SEEN.put('n', await request.text());
      if (path === '/send') await env.ORDERS.send({ n: await request.text() });
      return Response.json({ seen: await env.SEEN.get('n'), got: await env.SEEN.get('got'), secret: process.env.PASS });
    },
    async queue(batch, env) {
      for (const message of batch.messages) await env.SEEN.put('got', message.body.n);
    },
  };
`;
const MANIFEST = {
  name: 'shop',
  kv_namespaces: [{ binding: 'SEEN', id: 'seen' }],
  queues: {
    producers: [{ binding: 'ORDERS', queue: 'orders' }],
    consumers: [{ queue: 'orders', max_batch_timeout: 0 }],
  },
};

describe('a gateway on Redis', { skip: REDIS_MISSING }, () => {
  it('deploys, calls and enqueues, and has everything again after a restart elsewhere', async () => {
    await using redis = await startRedis();
    {
      await using gateway = await startGateway({ env: on(redis) });
      await gateway.deploy('shop', SHOP, { manifest: MANIFEST });
      const secret = await gateway.api('PUT', '/v1/functions/shop/secrets/PASS', { value: 'open sesame' });
      assert.equal(secret.status, 204, JSON.stringify(secret.body));
      await fetch(`${gateway.url}/shop/put`, { method: 'POST', body: '7' });
      await fetch(`${gateway.url}/shop/send`, { method: 'POST', body: 'eight' });
      await gotIt(gateway.url, 'eight');
      const waiting = await gateway.api('POST', '/v1/queues/idle/messages', { messages: [{ body: 1 }, { body: 2 }] });
      assert.equal(waiting.status, 202);
      assert.equal(await gateway.stop(), 0, gateway.output());
    }
    // Another data directory: nothing of it was there.
    await using gateway = await startGateway({ env: on(redis) });
    const answer = await fetch(`${gateway.url}/shop`);
    assert.deepEqual(await answer.json(), { seen: '7', got: 'eight', secret: 'open sesame' });
    const { body } = await gateway.api<{ depth: number }>('GET', '/v1/queues/idle');
    assert.equal(body.depth, 2);
    const audit = await gateway.api<{ records: { action: string }[] }>('GET', '/v1/audit');
    assert.match(JSON.stringify(audit.body), /deploy/);
  });

  it('goes on calling functions while Redis does not answer, refuses the rest with 503, and goes on by itself', async () => {
    await using redis = await startRedis();
    await using gateway = await startGateway({ env: on(redis) });
    await gateway.deploy('shop', SHOP, { manifest: MANIFEST });
    await gateway.deploy('plain', 'export default { fetch: () => new Response("here") }');
    const enqueue = (queue: string, what: string) =>
      gateway.api<{ code?: string }>('POST', `/v1/queues/${queue}/messages`, { messages: [{ body: { n: what } }] });

    redis.pause();
    const refused = [
      await enqueue('idle', 'lost'),
      await gateway.api<{ code?: string }>(
        'PUT',
        '/v1/functions/late',
        'export default { fetch: () => new Response("") }',
        {
          'content-type': 'text/typescript',
        },
      ),
      await gateway.api<{ code?: string }>('PUT', '/v1/functions/shop/secrets/PASS', { value: 'x' }),
    ];
    for (const { status, headers, body } of refused) {
      assert.equal(status, 503, JSON.stringify(body));
      assert.equal(body.code, 'NO_CAPACITY');
      assert.ok(headers.has('retry-after'));
    }
    const served = await fetch(`${gateway.url}/plain`);
    assert.equal(await served.text(), 'here');

    redis.resume();
    await gateway.said(/Redis at \S+ is back/);
    assert.equal((await enqueue('orders', 'nine')).status, 202);
    await gotIt(gateway.url, 'nine');
  });

  it('deploys the examples into an empty Redis, and only then', async () => {
    await using redis = await startRedis();
    {
      await using gateway = await startGateway({ env: on(redis), examples: true });
      const answer = await fetch(`${gateway.url}/hello`);
      assert.equal(answer.status, 200, await answer.text());
      const { body } = await gateway.api<{ functions: unknown[] }>('GET', '/v1/functions');
      assert.ok(body.functions.length > 5, JSON.stringify(body));
      await gateway.api('DELETE', '/v1/functions/hello');
    }
    await using again = await startGateway({ env: on(redis), examples: true });
    assert.equal((await fetch(`${again.url}/hello`)).status, 404);
  });

  it('is not started with another key than the secrets were sealed with, or without Redis: one line, exit code 1', async () => {
    await using redis = await startRedis();
    await using first = await startGateway({ env: on(redis) });
    const refused = async (env: Record<string, string>, line: RegExp) => {
      const dataDir = `${first.dataDir}-other`;
      const { exited, ready, output } = spawnGateway({ dataDir, cwd: first.dataDir, env });
      try {
        await assert.rejects(ready);
        assert.equal(await exited, 1);
        assert.match(output(), line);
        assert.equal(output().trim().split('\n').length, 1, output());
      } finally {
        await rm(dataDir, { recursive: true, force: true });
      }
    };
    await refused(
      { ...on(redis), HEARTH_SECRET_KEY: 'quite another key' },
      /^hearth: The secrets .* HEARTH_SECRET_KEY/,
    );
    await redis.kill();
    await refused(on(redis), /^hearth: The Redis at 127\.0\.0\.1:\d+ cannot be used \(.*ECONNREFUSED.*REDIS_URL\.$/m);
  });
});

/** The consumer runs when it runs; each look is a whole request, and ends the test when it takes too long. */
async function gotIt(url: string, what: string): Promise<void> {
  for (;;) {
    const { got } = (await (await fetch(`${url}/shop`)).json()) as { got: string | null };
    if (got === what) return;
  }
}
