/**
 * The load generator, a process of its own so that its work is not the benchmark's: `node generator.ts '{…Job}'`
 * prints one Result as JSON.
 *
 * closed: each connection asks again as soon as it has its answer; gives throughput.
 * open:   requests fall due by the clock, whatever the server does. Latency counts from when a request was due, so that
 *         a stall is seen by all that it made wait.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { Connection } from './connection.ts';

export interface Job {
  port: number;
  path: string;
  connections: number;
  warmupMs: number;
  durationMs: number;
  /** Requests a second; absent: closed loop. */
  rate?: number;
}

export interface Result {
  requests: number;
  errors: number;
  seconds: number;
  perSecond: number;
  /** µs. From the scheduled time in an open loop. */
  latency: { p50: number; p90: number; p99: number; p999: number; max: number };
  /** CPU of the generator itself, 1 = one core. Near 1 the generator was the limit, not the server. */
  generatorCpu: number;
}

class Meter {
  readonly #latency: RecordableHistogram = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });
  errors = 0;

  record(sinceMs: number): void {
    this.#latency.record(Math.max(1, Math.round((performance.now() - sinceMs) * 1000)));
  }

  result(startedAt: number, cpu: NodeJS.CpuUsage): Result {
    const seconds = (performance.now() - startedAt) / 1000;
    const used = process.cpuUsage(cpu);
    const p = (percent: number) => this.#latency.percentile(percent);
    return {
      requests: this.#latency.count,
      errors: this.errors,
      seconds,
      perSecond: this.#latency.count / seconds,
      latency: { p50: p(50), p90: p(90), p99: p(99), p999: p(99.9), max: this.#latency.max },
      generatorCpu: (used.user + used.system) / 1e6 / seconds,
    };
  }
}

async function ask(connection: Connection, path: string, meter: Meter, sinceMs: number): Promise<void> {
  const answer = await connection.get(path);
  if (answer.status === 200) meter.record(sinceMs);
  else meter.errors += 1;
}

async function closedLoop(connections: Connection[], job: Job, durationMs: number): Promise<Result> {
  const meter = new Meter();
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const until = startedAt + durationMs;
  await Promise.all(
    connections.map(async (connection) => {
      while (performance.now() < until) await ask(connection, job.path, meter, performance.now());
    }),
  );
  return meter.result(startedAt, cpu);
}

async function openLoop(connections: Connection[], job: Job, rate: number, durationMs: number): Promise<Result> {
  const meter = new Meter();
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const total = Math.floor((rate * durationMs) / 1000);
  const idle = [...connections];
  const waiting: number[] = [];
  const running = new Set<Promise<void>>();

  const begin = (connection: Connection, dueAt: number) => {
    const asked = ask(connection, job.path, meter, dueAt).then(() => {
      running.delete(asked);
      const next = waiting.shift();
      if (next === undefined) idle.push(connection);
      else begin(connection, next);
    });
    running.add(asked);
  };

  for (let number = 0; number < total; ) {
    const dueAt = startedAt + (number * 1000) / rate;
    if (performance.now() < dueAt) {
      // Timers are a millisecond coarse, which is many requests at these rates. With an answer to come the loop turns;
      // with none it sleeps to the point, so that the generator does not take the core that its peer needs.
      if (running.size === 0) sleep(dueAt - performance.now());
      else await turn();
      continue;
    }
    const connection = idle.pop();
    if (connection === undefined) waiting.push(dueAt);
    else begin(connection, dueAt);
    number += 1;
  }
  while (running.size > 0) await Promise.all(running);
  return meter.result(startedAt, cpu);
}

const NEVER = new Int32Array(new SharedArrayBuffer(4));

function sleep(ms: number): void {
  Atomics.wait(NEVER, 0, 0, ms);
}

async function main(job: Job): Promise<void> {
  const connections = Array.from({ length: job.connections }, () => new Connection(job.port));
  const loop = (durationMs: number) =>
    job.rate === undefined
      ? closedLoop(connections, job, durationMs)
      : openLoop(connections, job, job.rate, durationMs);
  if (job.warmupMs > 0) await loop(job.warmupMs);
  const result = await loop(job.durationMs);
  for (const connection of connections) connection.close();
  console.log(JSON.stringify(result));
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? '{}') as Job);
