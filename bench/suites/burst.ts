/** A burst: many functions nobody has called before, all within a tenth of a second, on a pool that has a base for each. */
import type { Result } from '../load/generator.ts';
import { runLoad } from '../load/run.ts';
import { startHearth, untilWarm } from '../peers/hearth.ts';
import { startWorkerdLoader } from '../peers/workerd.ts';
import { figure, median, percentile, ratio, table } from '../report.ts';

export interface BurstOptions {
  rounds: number;
  /** Functions of one burst. */
  functions: number;
}

const WITHIN_MS = 100;
const SOURCE = `const id = 'UNIQUE'; export default { fetch: () => new Response(id) };`;

export async function burst(options: BurstOptions): Promise<{ text: string; data: unknown }> {
  await using stack = new AsyncDisposableStack();
  const { functions, rounds } = options;
  const hearth = stack.use(
    await startHearth({
      env: { HEARTH_WARM_BASES: String(functions), HEARTH_MAX_BASES: String(functions * 2 + 16) },
    }),
  );
  const workerd = stack.use(await startWorkerdLoader(SOURCE));
  const results: { hearth: Result[]; workerd: Result[] } = { hearth: [], workerd: [] };
  for (let round = 0; round < rounds; round++) {
    const names = Array.from({ length: functions }, (_, index) => `burst-${round}-${index}`);
    for (const name of names) {
      const files = { 'index.ts': SOURCE.replaceAll('UNIQUE', name) };
      await hearth.gateway.deploy(name, files, { manifest: { hearth: { keepAlive: 0 } } });
    }
    await untilWarm(hearth.gateway, functions, { pollMs: 100 });
    const paths = names.map((name) => `/${name}`);
    results.hearth.push(await fire(hearth.port, paths));
    results.workerd.push(await fire(workerd.port, paths));
  }
  return { text: report(results, options), data: { options, results } };
}

/** Evenly over a tenth of a second, each on a connection of its own that stands already. */
function fire(port: number, paths: string[]): Promise<Result> {
  const rate = (paths.length * 1000) / WITHIN_MS;
  return runLoad({
    port,
    paths,
    connections: paths.length,
    warmupMs: 0,
    durationMs: WITHIN_MS,
    rate,
    keepSamples: true,
  });
}

function report({ hearth, workerd }: { hearth: Result[]; workerd: Result[] }, { functions, rounds }: BurstOptions) {
  const of = (results: Result[], percent: number) =>
    median(results.map(({ samplesUs = [] }) => percentile(samplesUs, percent))) / 1000;
  const row = (name: string, results: Result[]) => [
    name,
    ratio(of(hearth, 50), of(results, 50)),
    ratio(of(hearth, 99), of(results, 99)),
    figure(of(results, 50)),
    figure(of(results, 99)),
    figure(Math.max(...results.map(({ latency }) => latency.max)) / 1000),
    figure(Math.max(...results.map(({ lag }) => lag?.max ?? 0)) / 1000),
    `${results.reduce((sum, { requests }) => sum + requests, 0)} of ${functions * rounds}`,
    JSON.stringify(Object.assign({}, ...results.map(({ errorsBy }) => errorsBy))),
  ];
  return [
    table(
      ['burst', '÷ p50', '÷ p99', 'p50 ms', 'p99 ms', 'max ms', 'gen lag max', 'answered', 'errors'],
      [row('hearth', hearth), row('workerd dynamic worker', workerd)],
    ),
    `${functions} never-called functions within ${WITHIN_MS} ms, ${rounds} bursts, from the scheduled time. p50 and p99 are the ranks within one burst, and the median of the bursts: what a burst's slowest callers see, no quantile of a larger population. Hearth's pool held ${functions} warm bases.`,
  ].join('\n');
}
