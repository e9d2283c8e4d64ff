/**
 * Several real gateways on one real Redis, and nothing left behind.
 *
 *     await using cluster = await startCluster(2);
 *     const [a, b] = cluster.gateways;
 *     await a.deploy('hi', …);
 *     await until(async () => (await fetch(`${b.url}/hi`)).status === 200);
 */
import { setTimeout as wait } from 'node:timers/promises';
import { type RedisServer, startRedis } from '../../store/redis/testing/server.ts';
import { startGateway, type TestGateway } from '../../testing/gateway.ts';

export interface Cluster extends AsyncDisposable {
  readonly redis: RedisServer;
  readonly gateways: readonly TestGateway[];
  /** One more. */
  join(env?: Record<string, string>): Promise<TestGateway>;
}

export interface ClusterOptions {
  env?: Record<string, string>;
  /** Lines of redis-server's configuration. */
  redis?: Record<string, string>;
}

const ADMIN_TOKEN = 'the-admin-token-of-all-gateways';

export async function startCluster(
  count: number,
  { env = {}, redis: config = {} }: ClusterOptions = {},
): Promise<Cluster> {
  const redis = await startRedis({ config });
  const gateways: TestGateway[] = [];
  const shared = {
    HEARTH_STORE: 'redis',
    REDIS_URL: redis.url,
    HEARTH_SECRET_KEY: 'a key that gateways on one Redis share',
    HEARTH_ADMIN_TOKEN: ADMIN_TOKEN,
    HEARTH_WARM_BASES: '1',
    ...env,
  };
  async function dispose(): Promise<void> {
    // One that is stopped sees no SIGTERM, and one whose Redis is stopped waits for it.
    redis.resume();
    await Promise.all(
      gateways.map(async (gateway) => {
        wake(gateway);
        await gateway[Symbol.asyncDispose]();
      }),
    );
    await redis[Symbol.asyncDispose]();
  }
  async function join(more: Record<string, string> = {}): Promise<TestGateway> {
    const gateway = await startGateway({ env: { ...shared, ...more } });
    gateways.push(gateway);
    return gateway;
  }
  try {
    const all = await Promise.allSettled(Array.from({ length: count }, () => join()));
    const failed = all.find(({ status }) => status === 'rejected');
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
  } catch (error) {
    await dispose();
    throw error;
  }
  return { redis, gateways, join, [Symbol.asyncDispose]: dispose };
}

/** SIGCONT; nothing where it is gone. */
export function wake({ pid }: TestGateway): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Between two looks: the cores are for what is looked at. */
const PACE_MS = 20;

/** Looks again and again; what never comes is ended by the test's own limit. */
export async function until(look: () => Promise<boolean>): Promise<void> {
  while (!(await look())) await wait(PACE_MS);
}

/** The same, of the text that this URL answers with. */
export function answers(url: string, text: string, init: RequestInit = {}): Promise<void> {
  return until(async () => (await (await fetch(url, init)).text()) === text);
}
