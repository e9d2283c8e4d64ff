/** Redis is away for a while: calls go on, nothing is said to be kept that is not, and everything resumes by itself. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REDIS_MISSING } from '../store/redis/testing/server.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { constantLoad } from '../testing/load.ts';
import { answers, type Cluster, startCluster, until } from './testing/cluster.ts';

const says = (text: string) => `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;
/** Keeps the id of each message that it was given. */
const CONSUMER = `export default {
  fetch: () => new Response('here'),
  async queue(batch, env) {
    for (const { id } of batch.messages) await env.GOT.put(id, 'yes');
  },
};`;
/** Answers with the keys of the namespace. */
const READER = `export default {
  async fetch(request, env) {
    const names = [];
    for (let cursor; ; ) {
      const page = await env.GOT.list({ cursor });
      names.push(...page.keys.map(({ name }) => name));
      if (page.list_complete) return Response.json(names);
      cursor = page.cursor;
    }
  },
};`;
const KV = { kv_namespaces: [{ binding: 'GOT', id: 'got' }] };
const CONSUMES = { ...KV, queues: { consumers: [{ queue: 'orders', max_batch_timeout: 0 }] } };

/** Sends messages one after another and keeps the ids of those that were taken. */
function producer(gateways: readonly TestGateway[]) {
  const taken: string[] = [];
  let ended = false;
  let sent = 0;
  const refused = new Set<string>();
  const run = (async () => {
    while (!ended) {
      const gateway = gateways[sent % gateways.length];
      const id = `m${sent++}`;
      const answer = await gateway?.api<{ code?: string }>('POST', '/v1/queues/orders/messages', {
        messages: [{ id, body: 1 }],
      });
      if (answer?.status === 202) taken.push(id);
      else refused.add(`${answer?.status} ${answer?.body.code} ${answer?.headers.has('retry-after')}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  return {
    taken,
    refused,
    async end() {
      ended = true;
      await run;
    },
  };
}

/** What has to be stored, at each gateway. */
async function refusesToStore(gateways: readonly TestGateway[], version: string): Promise<void> {
  const calls: [string, string, unknown, Record<string, string>?][] = [
    ['PUT', '/v1/functions/other', says('other'), { 'content-type': 'text/typescript' }],
    ['POST', '/v1/queues/orders/messages', { messages: [{ body: 1 }] }],
    ['PUT', '/v1/functions/warm/secrets/KEY', { value: 'x' }],
    ['POST', '/v1/tokens', { scopes: ['read'] }],
    ['POST', '/v1/functions/warm/invoke', { trigger: 'http', mode: 'async', path: '/' }],
    ['PUT', '/v1/publications/door', { function: 'warm', routes: ['/door/*'] }],
    ['POST', '/v1/rollouts', { functions: [{ name: 'warm', version }], steps: [{ percent: 10 }, { percent: 100 }] }],
    ['PUT', '/v1/queues/orders', { paused: true }],
  ];
  await Promise.all(
    gateways.map(async (gateway) => {
      for (const [method, path, body, headers] of calls) {
        const answer = await gateway.api<{ code: string }>(method, path, body, headers);
        const told = `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`;
        assert.equal(answer.status, 503, told);
        assert.equal(answer.body.code, 'NO_CAPACITY', told);
        assert.ok(answer.headers.has('retry-after'), told);
      }
    }),
  );
}

/** What one stores is soon known at the other, both ways, and what was taken is delivered. */
async function worksAgain({ gateways }: Cluster, round: string): Promise<void> {
  const [a, b] = gateways as [TestGateway, TestGateway];
  for (const [here, there] of [
    [a, b],
    [b, a],
  ] as const) {
    const name = `again-${round}-${gateways.indexOf(here)}`;
    await until(async () => {
      const headers = { 'content-type': 'text/typescript' };
      return (await here.api('PUT', `/v1/functions/${name}`, says(name), headers)).status === 201;
    });
    await answers(`${there.url}/${name}`, name);
  }
}

describe('two gateways whose Redis goes away', { skip: REDIS_MISSING }, () => {
  it('serve on, refuse what they cannot keep, and lose nothing that they took', async () => {
    await using cluster = await startCluster(2);
    const { redis, gateways } = cluster;
    const [a, b] = gateways as [TestGateway, TestGateway];
    await a.deploy('consumer', CONSUMER, { manifest: CONSUMES });
    await a.deploy('reader', READER, { manifest: KV });
    const { version } = await a.deploy('warm', says('old'));
    await a.deploy('warm', says('warm'));
    for (const { url } of gateways) await answers(`${url}/warm`, 'warm');
    await using one = constantLoad(`${a.url}/warm`, { callers: 2 });
    await using two = constantLoad(`${b.url}/warm`, { callers: 2 });
    const produced = producer(gateways);
    const away = async () => {
      for (const gateway of gateways) {
        await until(async () => (await gateway.api('PUT', '/v1/queues/probe', {})).status === 503);
      }
      await refusesToStore(gateways, version);
      await one.more();
      await two.more();
    };
    try {
      await until(async () => produced.taken.length > 20);
      // Stopped: connections stay open, and nothing is answered.
      redis.pause();
      await away();
      redis.resume();
      await worksAgain(cluster, 'stopped');
      // Killed, and started anew from its append-only file.
      await redis.kill();
      await away();
      await redis.restart();
      await worksAgain(cluster, 'killed');
      const count = produced.taken.length;
      await until(async () => produced.taken.length > count + 20);
    } finally {
      await produced.end();
    }
    assert.deepEqual([...produced.refused], ['503 NO_CAPACITY true']);
    await until(async () => {
      const got = new Set((await (await fetch(`${b.url}/reader`)).json()) as string[]);
      return produced.taken.every((id) => got.has(id));
    });
    await one.stop();
    await two.stop();
  });
});
