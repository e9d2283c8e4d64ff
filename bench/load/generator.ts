/**
 * The load generator, a process of its own so that its work is not the benchmark's: `node generator.ts '{…Job}'`
 * prints one Result as JSON.
 *
 * closed: each connection asks again as soon as it has its answer; gives throughput.
 * open:   requests fall due by the clock, whatever the server does. Latency counts from when a request was due, so that
 *         a stall is seen by all that it made wait.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import type { Ask } from './connection.ts';
import { Connection } from './connection.ts';
import { dueTimes, type Stage } from './schedule.ts';

export interface Job {
  port: number;
  /** Request n goes to the n-th, and round again. */
  paths: string[];
  /** Default GET. */
  method?: string;
  /** Bytes of each request's body; default none. */
  bodyBytes?: number;
  /** The body itself, and what is sent with it. */
  body?: string;
  headers?: Record<string, string>;
  /** Status of an answer that counts; default 200. */
  status?: number;
  connections: number;
  warmupMs: number;
  durationMs: number;
  /** Open loop at this many requests a second. */
  rate?: number;
  /** Open loop along these, for as long as they last: `durationMs` and `rate` count for nothing. */
  stages?: Stage[];
  /**
   * Open loop by timers alone: up to 2 ms late, which counts as latency, and next to no CPU. For loads that run beside
   * others for long.
   */
  coarse?: boolean;
  /** Give each latency as well, in order of their ends. */
  keepSamples?: boolean;
}

/** µs, from a histogram of three figures that keeps the tail as it was. */
export interface Latency {
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

export interface Result {
  /** Answered as they should be: those that the latencies are of. */
  requests: number;
  errors: number;
  /** By status, `connection` for those without an answer. */
  errorsBy: Record<string, number>;
  seconds: number;
  perSecond: number;
  /** From the scheduled time in an open loop. */
  latency: Latency;
  /** How late the generator itself noticed that a request was due, µs; null in a closed loop. */
  lag: Latency | null;
  /** CPU of the generator itself, 1 = one core. Near 1 the generator was the limit, not the server. */
  generatorCpu: number;
  /** Epoch ms of the first due time. */
  startedAt: number;
  samplesUs?: number[];
}

const MICROSECONDS_OF_A_MINUTE = 60_000_000;
/** A server that is gone would be asked for ever. */
const MOST_LOST_CONNECTIONS = 10_000;

class Meter {
  readonly #latency = histogram();
  readonly #lag = histogram();
  readonly #cpu = process.cpuUsage();
  readonly #samples: number[] | null;
  readonly #errors = new Map<string, number>();
  readonly #epoch = Date.now();
  readonly startedAt = performance.now();

  constructor(keepSamples: boolean) {
    this.#samples = keepSamples ? [] : null;
  }

  record(sinceMs: number): void {
    const us = microsecondsSince(sinceMs);
    this.#latency.record(us);
    this.#samples?.push(us);
  }

  late(dueAtMs: number): void {
    this.#lag.record(microsecondsSince(dueAtMs));
  }

  failed(what: string): void {
    const count = (this.#errors.get(what) ?? 0) + 1;
    if (what === 'connection' && count > MOST_LOST_CONNECTIONS) throw new Error('the server is gone');
    this.#errors.set(what, count);
  }

  result(): Result {
    const seconds = (performance.now() - this.startedAt) / 1000;
    const used = process.cpuUsage(this.#cpu);
    return {
      requests: this.#latency.count,
      errors: [...this.#errors.values()].reduce((sum, count) => sum + count, 0),
      errorsBy: Object.fromEntries(this.#errors),
      seconds,
      perSecond: this.#latency.count / seconds,
      latency: quantiles(this.#latency),
      lag: this.#lag.count === 0 ? null : quantiles(this.#lag),
      generatorCpu: (used.user + used.system) / 1e6 / seconds,
      startedAt: this.#epoch,
      ...(this.#samples === null ? {} : { samplesUs: this.#samples }),
    };
  }
}

function histogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: MICROSECONDS_OF_A_MINUTE, figures: 3 });
}

function quantiles(from: RecordableHistogram): Latency {
  const p = (percent: number) => from.percentile(percent);
  return { p50: p(50), p90: p(90), p99: p(99), p999: p(99.9), max: from.max };
}

function microsecondsSince(ms: number): number {
  return Math.max(1, Math.round((performance.now() - ms) * 1000));
}

/** Node's servers close what was idle for 5 s. Clients that know of it do not send their next request just then. */
const STALE_MS = 4000;

/** A place for one request at a time; a connection that breaks is replaced, and counted. */
class Lane {
  readonly #job: Job;
  #connection: Connection;
  #idleSince = performance.now();

  constructor(job: Job) {
    this.#job = job;
    this.#connection = new Connection(job.port);
  }

  async opened(): Promise<void> {
    await this.#connection.opened();
  }

  async ask(ask: Ask, meter: Meter, sinceMs: number): Promise<void> {
    if (performance.now() - this.#idleSince > STALE_MS) this.#replace();
    try {
      const { status } = await this.#connection.request(ask);
      if (status === (this.#job.status ?? 200)) meter.record(sinceMs);
      else meter.failed(String(status));
    } catch {
      this.#replace();
      meter.failed('connection');
    }
    this.#idleSince = performance.now();
  }

  #replace(): void {
    this.#connection.close();
    this.#connection = new Connection(this.#job.port);
  }

  close(): void {
    this.#connection.close();
  }
}

/** Gives the n-th request. */
type Asks = (number: number) => Ask;

function asksOf({ paths, method = 'GET', bodyBytes, body: text, headers = {} }: Job): Asks {
  const body = bodyBytes === undefined ? text : Buffer.alloc(bodyBytes, 'x');
  return (number) => ({
    method,
    path: paths[number % paths.length] ?? '/',
    headers,
    ...(body === undefined ? {} : { body }),
  });
}

async function closedLoop(lanes: Lane[], asks: Asks, meter: Meter, durationMs: number): Promise<Result> {
  const until = meter.startedAt + durationMs;
  let number = 0;
  await Promise.all(
    lanes.map(async (lane) => {
      while (performance.now() < until) await lane.ask(asks(number++), meter, performance.now());
    }),
  );
  return meter.result();
}

/** Above this, a timer is exact enough; below it the loop turns. */
const TURN_MS = 2;

async function openLoop(
  lanes: Lane[],
  asks: Asks,
  meter: Meter,
  { stages, coarse }: { stages: readonly Stage[]; coarse: boolean },
): Promise<Result> {
  const idle = [...lanes];
  const waiting: [number: number, dueAt: number][] = [];
  const running = new Set<Promise<void>>();

  const begin = (lane: Lane, number: number, dueAt: number) => {
    const asked = lane.ask(asks(number), meter, dueAt).then(() => {
      running.delete(asked);
      const next = waiting.shift();
      if (next === undefined) idle.push(lane);
      else begin(lane, ...next);
    });
    running.add(asked);
  };

  for (const [number, due] of dueTimes(stages).entries()) {
    const dueAt = meter.startedAt + due;
    for (let left = dueAt - performance.now(); left > 0; left = dueAt - performance.now()) {
      // With an answer to come the loop has to turn; with none it sleeps to the point, so that the generator does not
      // take the core that its peer needs.
      if (coarse) await wait(Math.ceil(left));
      else if (running.size === 0) sleep(left);
      else if (left > TURN_MS) await wait(left - TURN_MS);
      else await turn();
    }
    meter.late(dueAt);
    const lane = idle.pop();
    if (lane === undefined) waiting.push([number, dueAt]);
    else begin(lane, number, dueAt);
  }
  while (running.size > 0) await Promise.all(running);
  return meter.result();
}

const NEVER = new Int32Array(new SharedArrayBuffer(4));

function sleep(ms: number): void {
  Atomics.wait(NEVER, 0, 0, ms);
}

export async function generate(job: Job): Promise<Result> {
  const asks = asksOf(job);
  const lanes = Array.from({ length: job.connections }, () => new Lane(job));
  const { rate } = job;
  const loop = (durationMs: number, stages: Stage[] | null) => {
    const meter = new Meter(job.keepSamples === true);
    return stages === null
      ? closedLoop(lanes, asks, meter, durationMs)
      : openLoop(lanes, asks, meter, { stages, coarse: job.coarse === true });
  };
  const steady = (ms: number): Stage[] | null => (rate === undefined ? null : [{ from: rate, to: rate, ms }]);
  try {
    await Promise.all(lanes.map((lane) => lane.opened()));
    if (job.warmupMs > 0) await loop(job.warmupMs, steady(job.warmupMs));
    return await loop(job.durationMs, job.stages ?? steady(job.durationMs));
  } finally {
    for (const lane of lanes) lane.close();
  }
}

if (import.meta.main) console.log(JSON.stringify(await generate(JSON.parse(process.argv[2] ?? '{}') as Job)));
