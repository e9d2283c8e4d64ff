/**
 * Three gateways on one Redis fire crons every second while they are killed, stopped past their leases and woken again;
 * then it is counted, tick by tick, which were not fired and which were fired more than once.
 */
import { openRedisStore } from '../../store/redis/client.ts';
import { readRedisUrl } from '../../store/redis/target.ts';
import type { RedisServer } from '../../store/redis/testing/server.ts';
import type { Store } from '../../store/store.ts';
import type { TestGateway } from '../../testing/gateway.ts';
import { startCluster, until, wake } from './cluster.ts';

export interface TicksOptions {
  /** Goes on with its rounds until so many ticks have been fired; there is one round at least. */
  least: number;
  /** Due every second; 27 at most. */
  crons: number;
  tell?(line: string): void;
}

export interface TicksResult {
  /** How long a route that was published at one gateway was not there at another, ms, shortest first. */
  seenAfterMs: number[];
  /** That were due and looked at. */
  ticks: number;
  rounds: number;
  /** `CRON at TIME`. */
  missing: string[];
  twice: string[];
}

/** Notes each run under its cron, its time and its invocation. */
const FUNCTION = `export default {
  scheduled: ({ cron, scheduledTime }, env, { invocationId }) => env.KV.put([cron, scheduledTime, invocationId].join('|'), ''),
};`;
const NAMESPACE = 'ticks';
const SEEN = 10;

/** Longer than a lease. */
const PAST_LEASE_MS = 11_000;
/** For what was taken over last. */
const PATIENCE_MS = 60_000;

export async function ticks({ least, crons, tell = () => undefined }: TicksOptions): Promise<TicksResult> {
  await using cluster = await startCluster(3);
  await using store = await storeOn(cluster.redis);
  const living = [...cluster.gateways];
  const expressions = everySecond().slice(0, crons);
  const manifest = {
    kv_namespaces: [{ binding: 'KV', id: NAMESPACE }],
    triggers: { crons: expressions },
    hearth: { missed: 'all', overlap: 'allow' },
  };
  await living[0]?.deploy('ticks', FUNCTION, { manifest });

  const reached = (time: number) =>
    until(async () => {
      const fired = await firedOf(store);
      return expressions.every((cron) => Math.max(0, ...(fired.get(cron)?.keys() ?? [])) >= time);
    });
  await reached(1);
  const first = Math.max(...[...(await firedOf(store)).values()].map((times) => Math.min(...times.keys())));
  let rounds = 0;
  let last = first;
  do {
    const stopped = take(living, rounds);
    const killed = take(living, rounds + 1);
    process.kill(stopped.pid, 'SIGSTOP');
    await killed.kill9();
    tell(`round ${rounds + 1}: one gateway stopped, one killed, one left`);
    await reached(Date.now() + PAST_LEASE_MS);
    wake(stopped);
    living.push(stopped, await cluster.join());
    last = Date.now();
    await reached(last + 1_000);
    rounds++;
  } while (((last - first) / 1000) * expressions.length < least);
  const seenAfterMs = await seen(living);
  return { rounds, seenAfterMs, ...(await count(store, expressions, first, last)) };
}

/** Of some routes, published at one and asked for at another until they are there. */
async function seen([here, there]: readonly TestGateway[]): Promise<number[]> {
  if (here === undefined || there === undefined) throw new Error('there are no two gateways left');
  await here.deploy('seen', 'export default { fetch: () => new Response("seen") };');
  const times: number[] = [];
  for (let i = 0; i < SEEN; i++) {
    await here.api('PUT', `/v1/publications/seen-${i}`, { function: 'seen', routes: [`/seen-${i}/*`] });
    const published = performance.now();
    await until(async () => (await fetch(`${there.url}/seen-${i}/`)).status === 200);
    times.push(performance.now() - published);
  }
  return times.sort((a, b) => a - b);
}

/** What is not there yet may be a run that is being taken over. */
async function count(
  store: Store,
  expressions: readonly string[],
  first: number,
  last: number,
): Promise<Pick<TicksResult, 'ticks' | 'missing' | 'twice'>> {
  const patient = performance.now() + PATIENCE_MS;
  for (;;) {
    const fired = await firedOf(store);
    const missing: string[] = [];
    const twice: string[] = [];
    let due = 0;
    for (const cron of expressions) {
      for (let time = first; time <= last; time += 1_000, due++) {
        const runs = fired.get(cron)?.get(time) ?? 0;
        if (runs !== 1) (runs === 0 ? missing : twice).push(`${cron} at ${new Date(time).toISOString()}`);
      }
    }
    if (missing.length === 0 || performance.now() > patient) return { ticks: due, missing, twice };
  }
}

/** By cron and due time, how many invocations there were. */
async function firedOf(store: Store): Promise<Map<string, Map<number, number>>> {
  const fired = new Map<string, Map<number, number>>();
  for (let cursor: string | null = null; ; ) {
    const page: Awaited<ReturnType<Store['kv']['list']>> = await store.kv.list(`default/${NAMESPACE}`, {
      prefix: '',
      limit: 1000,
      cursor,
      nowMs: Date.now(),
    });
    for (const { name } of page.keys) {
      const [cron = '', time] = name.split('|');
      const times = fired.getOrInsertComputed(cron, () => new Map<number, number>());
      times.set(Number(time), (times.get(Number(time)) ?? 0) + 1);
    }
    if (page.cursor === null) return fired;
    cursor = page.cursor;
  }
}

function take(living: TestGateway[], which: number): TestGateway {
  const [gateway] = living.splice(which % living.length, 1);
  if (gateway === undefined) throw new Error('there is no gateway left');
  return gateway;
}

/** As many ways to say it. */
function everySecond(): string[] {
  const [seconds, minutes, hours] = [
    ['*', '*/1', '0-59'],
    ['*', '*/1', '0-59'],
    ['*', '*/1', '0-23'],
  ];
  return (hours ?? []).flatMap((hour) =>
    (minutes ?? []).flatMap((minute) => (seconds ?? []).map((second) => `${second} ${minute} ${hour} * * *`)),
  );
}

/** A client of the test's own. */
export async function storeOn(redis: RedisServer): Promise<Store & AsyncDisposable> {
  const target = readRedisUrl(redis.url);
  if (target === undefined) throw new Error(`not understood: ${redis.url}`);
  const log = { info: () => undefined, warn: console.warn, error: console.error };
  const { store } = await openRedisStore({ target, log });
  return { ...store, [Symbol.asyncDispose]: () => store.close() };
}
