/**
 * Queues on each store: how many messages a second become durable, how soon a message is in its handler on an idle
 * system, and how many a second are consumed to the end.
 */
import { scheduler } from 'node:timers/promises';
import { REDIS_MISSING, type RedisServer, startRedis } from '../../gateway/store/redis/testing/server.ts';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import { Connection } from '../load/connection.ts';
import { runLoad } from '../load/run.ts';
import { type HearthPeer, startHearth } from '../peers/hearth.ts';
import { figure, median, percentile, quoted, table } from '../report.ts';

export interface QueueOptions {
  rounds: number;
  secondsPerRun: number;
  /** Consumed in a round. */
  messages: number;
  /** Messages sent one by one to an idle system. */
  samples: number;
}

const CLIENTS = 64;
const BATCH = 10;
const BODY = 'x'.repeat(1000);
/** Between two messages to an idle system. */
const IDLE_MS = 5;
const FILL_BATCH = 100;

/** Each body says when it was sent, by the clock that all processes of a machine share. */
const PUNCTUAL = `
const delays = [];
export default {
  queue(batch) {
    const now = process.hrtime.bigint();
    for (const { body } of batch.messages) delays.push(Number(now - BigInt(body)) / 1000);
  },
  fetch: () => Response.json(delays.splice(0)),
};`;
const TRIVIAL = 'export default { queue(batch) {} };';

interface Found {
  /** Messages a second, of each round. */
  enqueued: number[];
  /** CPU of the load generator: near 1 it was the limit. */
  generatorCpu: number;
  /** Messages a second, of each round. */
  consumed: number[];
  startUs: { p50: number; p99: number | null; max: number };
}

interface StoreUnderTest {
  name: string;
  /** What is wanted: enqueued and consumed a second, ms to the start at p99; null: it is only told. */
  wanted: { enqueue: number; consume: number; startMs: number } | null;
  redis: Record<string, string> | null;
}

const STORES: StoreUnderTest[] = [
  { name: 'SQLite', wanted: { enqueue: 10_000, consume: 8_000, startMs: 10 }, redis: null },
  {
    name: 'Redis, appendfsync everysec',
    wanted: { enqueue: 20_000, consume: 8_000, startMs: 10 },
    redis: { appendfsync: 'everysec' },
  },
  { name: 'Redis, appendfsync always', wanted: null, redis: { appendfsync: 'always' } },
];

export async function queue(options: QueueOptions): Promise<{ text: string; data: unknown }> {
  const found: Record<string, Found> = {};
  for (const store of STORES) {
    if (store.redis !== null && REDIS_MISSING !== false) continue;
    await using redis = store.redis === null ? null : await startRedis({ config: store.redis });
    await using hearth = await startHearth({ env: environmentOf(redis) });
    found[store.name] = await measure(hearth, options);
  }
  return { text: report(options, found), data: { ...options, clients: CLIENTS, batch: BATCH, found } };
}

function environmentOf(redis: RedisServer | null): Record<string, string> {
  return redis === null ? {} : { HEARTH_STORE: 'redis', REDIS_URL: redis.url };
}

async function measure({ gateway }: HearthPeer, options: QueueOptions): Promise<Found> {
  const { rounds, secondsPerRun, messages, samples } = options;
  const consumer = (queue: string) => ({
    queues: { consumers: [{ queue, max_batch_size: BATCH, max_batch_timeout: 0 }] },
  });
  await gateway.deploy('trivial', { 'index.js': TRIVIAL }, { manifest: consumer('consumed') });
  // One instance, so that whoever is asked has all samples.
  const manifest = { ...consumer('punctual'), hearth: { maxInstances: 1 } };
  await gateway.deploy('punctual', { 'index.js': PUNCTUAL }, { manifest });
  const enqueued: number[] = [];
  const consumed: number[] = [];
  let generatorCpu = 0;
  for (let round = 0; round < rounds; round++) {
    const load = await enqueue(gateway, secondsPerRun);
    enqueued.push(load.perSecond * BATCH);
    generatorCpu = Math.max(generatorCpu, load.generatorCpu);
    await gateway.api('POST', '/v1/queues/waiting/purge');
    consumed.push(await consume(gateway, messages));
  }
  const delays = await starts(gateway, samples);
  return {
    enqueued,
    generatorCpu,
    consumed,
    startUs: {
      p50: percentile(delays, 50),
      p99: quoted(percentile(delays, 99), 99, delays.length),
      max: Math.max(...delays),
    },
  };
}

/** Into a queue that nobody consumes. */
async function enqueue(gateway: TestGateway, seconds: number) {
  const result = await runLoad({
    port: Number(new URL(gateway.adminUrl).port),
    paths: ['/v1/queues/waiting/messages'],
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.token}`, 'content-type': 'application/json' },
    body: bodyOf(BATCH),
    status: 202,
    connections: CLIENTS,
    warmupMs: 500,
    durationMs: seconds * 1000,
  });
  if (result.errors > 0) throw new Error(`enqueued with errors: ${JSON.stringify(result.errorsBy)}`);
  return result;
}

function bodyOf(count: number): string {
  return JSON.stringify({ messages: Array.from({ length: count }, () => ({ body: BODY })) });
}

/** A queue that was filled while it was paused; messages a second, from its resumption until nothing is left. */
async function consume(gateway: TestGateway, messages: number): Promise<number> {
  const path = '/v1/queues/consumed';
  await gateway.api('POST', `${path}/pause`, { paused: true });
  const body = bodyOf(FILL_BATCH);
  for (let left = messages; left > 0; left -= FILL_BATCH * 8) {
    await Promise.all(
      Array.from({ length: 8 }, () =>
        gateway.api('POST', `${path}/messages`, body, { 'content-type': 'application/json' }),
      ),
    );
  }
  const depth = async () => (await gateway.api<{ depth: number }>('GET', path)).body.depth;
  const before = await depth();
  const begun = performance.now();
  await gateway.api('POST', `${path}/pause`, { paused: false });
  // Looked at now and then: counting is work for the store as well.
  while ((await depth()) > 0) await scheduler.wait(50);
  return before / ((performance.now() - begun) / 1000);
}

/** µs from the moment a message is sent until its handler runs. */
async function starts(gateway: TestGateway, samples: number): Promise<number[]> {
  const connection = await new Connection(Number(new URL(gateway.adminUrl).port)).opened();
  try {
    for (let n = 0; n < samples; n++) {
      const { status } = await connection.request({
        method: 'POST',
        path: '/v1/queues/punctual/messages',
        headers: { authorization: `Bearer ${gateway.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ messages: [{ body: String(process.hrtime.bigint()) }] }),
      });
      if (status !== 202) throw new Error(`a message was answered with ${status}`);
      await scheduler.wait(IDLE_MS);
    }
  } finally {
    connection.close();
  }
  const delays: number[] = [];
  while (delays.length < samples) delays.push(...((await (await fetch(`${gateway.url}/punctual`)).json()) as number[]));
  return delays;
}

function report({ rounds, messages, samples }: QueueOptions, found: Record<string, Found>): string {
  const rows = STORES.map(({ name, wanted }) => {
    const one = found[name];
    if (one === undefined) return [name, 'redis-server is not on PATH'];
    const ms = (us: number | null) => figure(us === null ? null : us / 1000, 1);
    const beside = (text: string, want: number | undefined) => (want === undefined ? text : `${text} (${want})`);
    return [
      name,
      beside(figure(median(one.enqueued), 0), wanted?.enqueue),
      beside(figure(median(one.consumed), 0), wanted?.consume),
      ms(one.startUs.p50),
      beside(ms(one.startUs.p99), wanted?.startMs),
      ms(one.startUs.max),
    ];
  });
  return [
    table(['store', 'enqueued/s', 'consumed/s', 'start p50 ms', 'p99', 'max'], rows),
    `In brackets what is wanted. Bodies of 1 KB in batches of ${BATCH}: enqueued by ${CLIENTS} clients over the control API, the median of ${rounds} rounds; consumed to the last of ${messages}. Start: from sending a message to its handler, ${samples} of them, one by one.`,
  ].join('\n');
}
