/**
 * Elasticity: load that rises to forty times what it was and falls back. Instances follow it; how far behind, and what
 * the callers notice.
 */
import { scheduler } from 'node:timers/promises';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import type { Result } from '../load/generator.ts';
import { runLoad } from '../load/run.ts';
import { rateAt, type Stage } from '../load/schedule.ts';
import { poolOf, startHearth } from '../peers/hearth.ts';
import { figure, quoted, table } from '../report.ts';
import { type Instances, lags } from './lag.ts';

export interface ElasticityOptions {
  /** Of all durations: 1 is a minute and a half. */
  scale: number;
}

const SERVICE_MS = 100;
const CONCURRENCY = 4;
const LEAST_RATE = 10;
const MOST_RATE = 40 * LEAST_RATE;
const POLL_MS = 100;

const SOURCE = `export default {
  async fetch() {
    await new Promise((resolve) => setTimeout(resolve, ${SERVICE_MS}));
    return new Response('done');
  },
};`;

/** Instances that a rate takes when each is full: Little's law. */
const needed = (rate: number) => Math.ceil((rate * SERVICE_MS) / 1000 / CONCURRENCY);

export async function elasticity({ scale }: ElasticityOptions): Promise<{ text: string; data: unknown }> {
  const ms = (seconds: number) => seconds * 1000 * scale;
  const stages: Stage[] = [
    { from: LEAST_RATE, to: LEAST_RATE, ms: ms(5) },
    { from: LEAST_RATE, to: MOST_RATE, ms: ms(10) },
    { from: MOST_RATE, to: MOST_RATE, ms: ms(15) },
    { from: MOST_RATE, to: LEAST_RATE, ms: ms(10) },
    { from: LEAST_RATE, to: LEAST_RATE, ms: ms(50) },
  ];
  await using hearth = await startHearth({
    source: SOURCE,
    manifest: { hearth: { concurrency: CONCURRENCY, maxInstances: 32 } },
  });
  const seen: Instances[] = [];
  const watching = new AbortController();
  const watcher = watch(hearth.gateway, seen, watching.signal);
  let result: Result;
  try {
    result = await runLoad({
      port: hearth.port,
      paths: [hearth.path],
      connections: 256,
      warmupMs: 0,
      durationMs: 0,
      stages,
      coarse: true,
    });
  } finally {
    watching.abort();
    await watcher;
  }
  const series = seen
    .map(({ atMs, count }) => ({ atMs: atMs - result.startedAt, count }))
    .filter(({ atMs }) => atMs >= 0);
  const rate = (atMs: number) => rateAt(stages, atMs);
  const lag = lags(
    series,
    (atMs) => needed(rate(atMs)),
    stages.reduce((sum, stage) => sum + stage.ms, 0),
  );
  return { text: report(result, lag, series, rate), data: { scale, stages, result, lag, series } };
}

/** Epoch ms and instances that hold the function, until aborted. */
async function watch(gateway: TestGateway, seen: Instances[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { hosts } = await poolOf(gateway);
    const count = hosts.reduce((sum, host) => sum + host.bases.filter((base) => base.function === 'bench').length, 0);
    seen.push({ atMs: Date.now(), count });
    await scheduler.wait(POLL_MS);
  }
}

function report(
  { requests, errors, errorsBy, latency, lag: generatorLag }: Result,
  lag: ReturnType<typeof lags>,
  series: Instances[],
  rate: (atMs: number) => number,
): string {
  const seconds = (ms: number | null) => (ms === null ? 'never' : `${figure(ms / 1000, 1)} s`);
  const ms = (us: number, percent: number) => figure(quoted(us / 1000, percent, requests), 1);
  const every = Math.max(1, Math.floor(series.length / 15));
  const shown = series.filter((_, index) => index % every === 0);
  return [
    table(
      [
        'elasticity',
        'lag up',
        'lag down',
        'errors',
        'requests',
        'p50 ms',
        'p99 ms',
        'p99.9 ms',
        'max ms',
        'gen lag p99',
      ],
      [
        [
          `hearth, ${LEAST_RATE}/s → ${MOST_RATE}/s → ${LEAST_RATE}/s`,
          seconds(lag.upMs),
          seconds(lag.downMs),
          errors === 0 ? '0' : JSON.stringify(errorsBy),
          String(requests),
          ms(latency.p50, 50),
          ms(latency.p99, 99),
          ms(latency.p999, 99.9),
          figure(latency.max / 1000, 1),
          figure((generatorLag?.p99 ?? 0) / 1000, 1),
        ],
      ],
    ),
    `A function of ${SERVICE_MS} ms with concurrency ${CONCURRENCY}, keep-alive as it is by default. Open loop, from the scheduled time. lag up: the longest from when the rate takes so many instances, each full, to when there are so many; lag down: from the moment the rate is back until instances are as few as it takes, twice over.`,
    `seconds → rate needs instances: ${shown.map(({ atMs, count }) => `${figure(atMs / 1000, 0)} → ${figure(rate(atMs), 0)}/s ${needed(rate(atMs))} ${count}`).join(', ')}`,
  ].join('\n');
}
