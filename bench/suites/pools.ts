/**
 * Pools: what callers of a function in the pool `default` see while the pool `batch` is asked for far more than it has,
 * beside what they see without it. In rounds that alternate, so that the machine's moods meet all alike.
 */
import { scheduler } from 'node:timers/promises';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import type { Result } from '../load/generator.ts';
import { runLoad } from '../load/run.ts';
import { startHearth, untilWarm } from '../peers/hearth.ts';
import { figure, median, percentile, quoted, ratio, table } from '../report.ts';

export interface PoolsOptions {
  rounds: number;
  secondsPerRun: number;
  /** Calls of the function in `default`, a second. */
  rate: number;
}

const BATCH_BASES = 4;
/** A fourth of them runs and a fourth waits; the others are refused, and come again after this. */
const CALLERS = 4 * BATCH_BASES;
const AGAIN_MS = 100;
const WORK_MS = 40;

/** What the pool is filled with: time, or the cores, which pools share. */
const FILLS = {
  'batch full, of calls that wait': `await new Promise((resolve) => setTimeout(resolve, ${WORK_MS}))`,
  'batch full, of calls that compute': `for (const until = performance.now() + ${WORK_MS}; performance.now() < until; );`,
};
const ALONE = 'batch idle';
const PHASES = [ALONE, ...Object.keys(FILLS)];

interface Phase {
  results: Result[];
  /** Of each round: what the full pool answered a second, by status. */
  filled: Record<string, number>[];
}

export async function pools(options: PoolsOptions): Promise<{ text: string; data: unknown }> {
  const { rounds, secondsPerRun, rate } = options;
  await using hearth = await startHearth({
    pools: { default: { maxBases: 32 }, batch: { maxBases: BATCH_BASES, warm: 1 } },
    env: { HEARTH_MAX_BASES: '64' },
  });
  const { gateway } = hearth;
  const names = new Map(Object.keys(FILLS).map((phase, index) => [phase, `fill-${index}`]));
  for (const [phase, work] of Object.entries(FILLS)) {
    const source = `export default { async fetch() { ${work}; return new Response('done'); } };`;
    const limits = { pool: 'batch', concurrency: 1, maxInstances: BATCH_BASES };
    await gateway.deploy(names.get(phase) ?? '', { 'index.ts': source }, { manifest: { hearth: limits } });
  }
  const found = new Map<string, Phase>(PHASES.map((phase) => [phase, { results: [], filled: [] }]));
  for (let round = 0; round < rounds; round++) {
    // Each is the first of a round as often as the others.
    for (let turn = 0; turn < PHASES.length; turn++) {
      const phase = PHASES[(round + turn) % PHASES.length] ?? ALONE;
      const { results, filled } = found.get(phase) as Phase;
      await untilWarm(gateway, 1);
      const name = names.get(phase);
      const fill = name === undefined ? null : fillPool(gateway, name);
      try {
        // Its instances first: their boots are not what is measured.
        if (fill !== null) await scheduler.wait(1_000);
        results.push(
          await runLoad({
            port: hearth.port,
            paths: [hearth.path],
            connections: 16,
            warmupMs: 300,
            durationMs: secondsPerRun * 1000,
            rate,
            coarse: true,
            keepSamples: true,
          }),
        );
      } finally {
        const answers = await fill?.stop();
        if (answers !== undefined) filled.push(answers);
      }
    }
  }
  const summaries = Object.fromEntries([...found].map(([name, phase]) => [name, summary(phase)]));
  return { text: report(options, summaries), data: { options, phases: summaries } };
}

/** Asks for the function all the time; `stop` resolves with the answers a second, by status. */
function fillPool(gateway: TestGateway, name: string): { stop(): Promise<Record<string, number>> } {
  let stopped = false;
  const counts: Record<string, number> = {};
  const from = performance.now();
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!stopped) {
      const response = await fetch(`${gateway.url}/${name}`);
      await response.arrayBuffer();
      counts[response.status] = (counts[response.status] ?? 0) + 1;
      // What is refused costs the gateway as well: it is to be a part of the load, and not the load.
      if (response.status !== 200) await scheduler.wait(AGAIN_MS);
    }
  });
  return {
    async stop() {
      stopped = true;
      await Promise.all(callers);
      const seconds = (performance.now() - from) / 1000;
      return Object.fromEntries(Object.entries(counts).map(([status, count]) => [status, count / seconds]));
    },
  };
}

interface Summary {
  requests: number;
  errors: number;
  /** All rounds together: one alone is too few to quote a 99th percentile of. Null where they are too few as well. */
  p50Us: number | null;
  p99Us: number | null;
  maxUs: number;
  generatorLagP99Us: number;
  filled: Record<string, number>[];
  rounds: Omit<Result, 'samplesUs'>[];
}

function summary({ results, filled }: Phase): Summary {
  const samples = results.flatMap(({ samplesUs = [] }) => samplesUs);
  const at = (percent: number) => quoted(percentile(samples, percent), percent, samples.length);
  return {
    requests: samples.length,
    errors: results.reduce((sum, { errors }) => sum + errors, 0),
    p50Us: at(50),
    p99Us: at(99),
    maxUs: Math.max(...results.map(({ latency }) => latency.max)),
    generatorLagP99Us: median(results.map(({ lag }) => lag?.p99 ?? 0)),
    filled,
    rounds: results.map(({ samplesUs: _, ...rest }) => rest),
  };
}

function report({ rate, rounds }: PoolsOptions, phases: Record<string, Summary>): string {
  const ms = (us: number | null) => figure(us === null ? null : us / 1000);
  const alone = phases[ALONE];
  const rows = Object.entries(phases).map(([name, phase]) => [
    name,
    ratio(phase.p50Us, alone?.p50Us ?? null),
    ratio(phase.p99Us, alone?.p99Us ?? null),
    ms(phase.p50Us),
    ms(phase.p99Us),
    ms(phase.maxUs),
    ms(phase.generatorLagP99Us),
    String(phase.errors),
    String(phase.requests),
  ]);
  const told = Object.entries(phases)
    .filter(([name]) => name !== ALONE)
    .map(([name, { filled }]) => {
      const statuses = [...new Set(filled.flatMap((one) => Object.keys(one)))].sort();
      const each = statuses.map((status) => `${figure(median(filled.map((one) => one[status] ?? 0)), 0)} × ${status}`);
      return `${name}: ${each.join(', ')} a second`;
    });
  return [
    table(['pool default', 'p50 ÷', 'p99 ÷', 'p50 ms', 'p99 ms', 'max ms', 'gen lag p99', 'errors', 'requests'], rows),
    `÷: beside ${ALONE}. ${rounds} rounds of each in turn, all samples together; open loop at ${rate}/s, from the scheduled time, by timers. ${CALLERS} callers ask for a function of ${BATCH_BASES} instances, one call each, ${WORK_MS} ms a call. ${told.join('; ')}.`,
  ].join('\n');
}
