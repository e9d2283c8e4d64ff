/**
 * A neighbour at its limits: what a well-behaved function's callers see while a function of another trust group burns
 * all the CPU it may have, beside what they see without it; and how soon a function that went over a limit has its slot
 * back. In rounds that alternate, so that the machine's moods meet both alike.
 */
import { scheduler } from 'node:timers/promises';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import type { Result } from '../load/generator.ts';
import { runLoad } from '../load/run.ts';
import { startHearth, untilWarm } from '../peers/hearth.ts';
import { figure, median, percentile, quoted, ratio, table } from '../report.ts';

export interface NeighbourOptions {
  rounds: number;
  secondsPerRun: number;
  /** Calls of the well-behaved function, a second. */
  rate: number;
}

const CPU_MS = 50;
/** Each turn as long as it may be and a little less: never ended for it, and never idle. */
const TURN_MS = CPU_MS * 0.8;
const BURNER = `const used = () => { const { user, system } = process.threadCpuUsage(); return user + system; };
export default {
  fetch() {
    const from = used();
    while (used() - from < ${TURN_MS * 1000});
    return new Response('burnt');
  },
};`;
/** So many calls of it are under way at any time: its instances always have the next one. */
const BURNING_CALLS = 8;

/** Ways over a limit, by what has to go: nothing, the thread, the host. */
const OFFENDERS = {
  'wall clock': { code: 'await new Promise(() => {})', hearth: { timeoutMs: 500 }, limits: {} },
  'endless loop': { code: 'for (;;);', hearth: { timeoutMs: 500 }, limits: {} },
  'limits.cpu_ms': { code: 'for (;;);', hearth: {}, limits: { cpu_ms: CPU_MS } },
  'memory, interrupted': {
    code: 'const a = []; for (;;) a.push(Buffer.alloc(2 ** 20, 1))',
    hearth: { memoryMb: 64 },
    limits: {},
  },
  'memory, not to be interrupted': {
    code: 'const a = []; for (;;) a.push({ x: new Array(100).fill(1) })',
    hearth: { memoryMb: 64 },
    limits: {},
  },
} as const;

export async function neighbour(options: NeighbourOptions): Promise<{ text: string; data: unknown }> {
  await using hearth = await startHearth({ manifest: { hearth: { trustGroup: 'well' } } });
  const { gateway } = hearth;
  await gateway.deploy(
    'burner',
    { 'index.ts': BURNER },
    {
      manifest: {
        name: 'burner',
        main: 'index.ts',
        limits: { cpu_ms: CPU_MS },
        hearth: { trustGroup: 'burning', concurrency: 1 },
      },
    },
  );
  const alone: Result[] = [];
  const beside: Result[] = [];
  const burnt: number[] = [];
  const run = () =>
    runLoad({
      port: hearth.port,
      paths: [hearth.path],
      connections: 16,
      warmupMs: 300,
      durationMs: options.secondsPerRun * 1000,
      rate: options.rate,
      coarse: true,
      keepSamples: true,
    });
  for (let round = 0; round < options.rounds; round++) {
    await untilWarm(gateway, 1);
    alone.push(await run());
    const burner = burn(gateway);
    // Its instances first: their boots are not what is measured.
    await scheduler.wait(1_000);
    beside.push(await run());
    burnt.push(await burner.stop());
  }
  const slots = await slotsBack(gateway, options.rounds);
  const text = report(options, alone, beside, burnt, slots);
  return { text, data: { options, alone: alone.map(summary), beside: beside.map(summary), burnt, slots } };
}

/** Calls the burner all the time; `stop` resolves with the calls it answered a second. */
function burn(gateway: TestGateway): { stop(): Promise<number> } {
  let stopped = false;
  let answered = 0;
  const from = performance.now();
  const callers = Array.from({ length: BURNING_CALLS }, async () => {
    while (!stopped) {
      const response = await fetch(`${gateway.url}/burner`);
      await response.arrayBuffer();
      if (response.status === 200) answered++;
      else await scheduler.wait(20);
    }
  });
  return {
    async stop() {
      stopped = true;
      await Promise.all(callers);
      return answered / ((performance.now() - from) / 1000);
    },
  };
}

/** Ms from the answer of a call that went over a limit to the answer of the next, which has but that one slot. */
async function slotsBack(gateway: TestGateway, rounds: number): Promise<Record<string, number[]>> {
  const found: Record<string, number[]> = {};
  for (const [name, { code, hearth, limits }] of Object.entries(OFFENDERS)) {
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      // A new one each time: one that takes down host after host is put in quarantine.
      const offender = `${name.replaceAll(/[^a-z]+/g, '-')}-${round}`;
      const source = `export default { async fetch(request) { if (request.method === 'PUT') return new Response('next'); ${code} } }`;
      const manifest = {
        name: offender,
        main: 'index.ts',
        limits,
        hearth: { trustGroup: 'offending', concurrency: 1, maxInstances: 1, ...hearth },
      };
      await gateway.deploy(offender, { 'index.ts': source }, { manifest });
      await untilWarm(gateway, 1);
      await (await fetch(`${gateway.url}/${offender}`)).text();
      const from = performance.now();
      const next = await fetch(`${gateway.url}/${offender}`, { method: 'PUT' });
      await next.text();
      times.push(next.status === 200 ? performance.now() - from : Number.POSITIVE_INFINITY);
    }
    found[name] = times;
  }
  return found;
}

function report(
  { rate, rounds }: NeighbourOptions,
  alone: Result[],
  beside: Result[],
  burnt: number[],
  slots: Record<string, number[]>,
): string {
  // All rounds together: one alone is too few to quote a 99th percentile of.
  const pooled = (results: Result[]) => results.flatMap(({ samplesUs = [] }) => samplesUs);
  const of = (results: Result[], percent: number) => {
    const samples = pooled(results);
    return quoted(percentile(samples, percent) / 1000, percent, samples.length);
  };
  const row = (name: string, results: Result[]) => [
    name,
    ...[50, 90, 99].map((percent) => figure(of(results, percent))),
    figure(Math.max(...results.map(({ latency }) => latency.max)) / 1000),
    figure(median(results.map(({ lag }) => lag?.p99 ?? 0)) / 1000),
    String(results.reduce((sum, { errors }) => sum + errors, 0)),
    String(pooled(results).length),
  ];
  const times = (percent: number) => ratio(of(beside, percent), of(alone, percent));
  return [
    table(
      ['neighbour', 'p50 ms', 'p90 ms', 'p99 ms', 'max ms', 'gen lag p99', 'errors', 'requests'],
      [row('alone', alone), row('beside a CPU-bound one at its limit', beside)],
    ),
    `Beside ÷ alone: p50 ${times(50)}, p90 ${times(90)}, p99 ${times(99)}; ${rounds} rounds of each, all samples together. Open loop at ${rate}/s, from the scheduled time, by timers. The other function, of another trust group, burns ${TURN_MS} ms in each turn, of the ${CPU_MS} ms that limits.cpu_ms gives it, with ${BURNING_CALLS} calls under way: ${figure(median(burnt), 1)} answered a second.`,
    table(
      ['slot back after', 'median ms', 'worst ms'],
      Object.entries(slots).map(([name, all]) => [name, figure(median(all), 0), figure(Math.max(...all), 0)]),
    ),
    'From the answer of the call that went over the limit to the answer of the next one, with one slot in all.',
  ].join('\n');
}

/** Ten thousand samples say no more than their quantiles. */
function summary({ samplesUs: _, ...rest }: Result): Omit<Result, 'samplesUs'> {
  return rest;
}
