/**
 * Cold starts of code nobody has called before: N functions, each deployed and called once, beside workerd's dynamic
 * worker loader with as many unique workers. Client side, one call at a time on one connection, with Hearth's cache pool
 * refilled: what it costs to find the pool empty is another question, which a burst asks.
 */
import { createRequire } from 'node:module';
import { scheduler } from 'node:timers/promises';
import { build } from 'esbuild';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import { Connection } from '../load/connection.ts';
import { startHearth, WARM_BASES } from '../peers/hearth.ts';
import type { Peer } from '../peers/peer.ts';
import { startWorkerdLoader } from '../peers/workerd.ts';
import { percentile, ratio, table } from '../report.ts';

export interface ColdOptions {
  /** Functions per source. */
  functions: number;
  rounds: number;
  /** Between two calls, at least. */
  gapMs: number;
}

interface Call {
  clientMs: number;
  cold: boolean;
  /** Server-timing of Hearth, ms. */
  phases: Record<string, number>;
}

const SOURCES: Record<string, string> = {
  tiny: `const id = 'UNIQUE'; export default { fetch: () => new Response(id) };`,
  hono: `import { Hono } from 'hono';
const app = new Hono();
app.get('*', (c) => c.text('UNIQUE'));
export default app;`,
};
const PHASES = ['wait', 'acquire', 'transfer', 'compile', 'evaluate', 'run'];

export async function cold(options: ColdOptions): Promise<{ text: string; data: unknown }> {
  const parts: string[] = [];
  const data: Record<string, unknown> = { options };
  for (const [name, source] of Object.entries(SOURCES)) {
    const measured = await measure(source, options);
    data[name] = measured;
    parts.push(report(name, measured));
  }
  parts.push(
    'Client side, one call at a time, the cache pool full before each. Hearth has compiled each version once before, when it was deployed.',
  );
  return { text: parts.join('\n\n'), data };
}

async function measure(source: string, options: ColdOptions): Promise<{ hearth: Call[]; workerd: Call[] }> {
  await using stack = new AsyncDisposableStack();
  const hearth = stack.use(await startHearth('export default { fetch: () => new Response("hello") }'));
  const workerd = stack.use(await startWorkerdLoader(await bundle(source)));
  await deployAll(hearth.gateway, source, options.functions);

  const calls = { hearth: [] as Call[], workerd: [] as Call[] };
  const perRound = Math.ceil(options.functions / options.rounds);
  for (let first = 0; first < options.functions; first += perRound) {
    const ids = Array.from({ length: Math.min(perRound, options.functions - first) }, (_, i) => `cold-${first + i}`);
    calls.hearth.push(...(await callAll(hearth, ids, () => poolIsWarm(hearth.gateway, options.gapMs))));
    calls.workerd.push(...(await callAll(workerd, ids, () => scheduler.wait(options.gapMs))));
  }
  return calls;
}

/** `keepAlive: 0`: the base that proved a version is given back, so that the first call finds none. */
async function deployAll(gateway: TestGateway, source: string, functions: number): Promise<void> {
  const manifest = { hearth: { keepAlive: 0 } };
  for (let index = 0; index < functions; index++) {
    const name = `cold-${index}`;
    await gateway.deploy(name, { 'index.js': source.replaceAll('UNIQUE', name) }, { manifest });
  }
}

/** Resolves when the refill has nothing left to do: its work would else stand beside the call that is measured. */
async function poolIsWarm(gateway: TestGateway, gapMs: number): Promise<void> {
  for (;;) {
    await scheduler.wait(gapMs);
    const { body } = await gateway.api<{ bases: Record<string, number> }>('GET', '/v1/pool');
    if ((body.bases.warm ?? 0) >= WARM_BASES) return;
  }
}

async function callAll(peer: Peer, ids: string[], ready: () => Promise<void>): Promise<Call[]> {
  const connection = new Connection(peer.port);
  const calls: Call[] = [];
  try {
    for (const id of ids) {
      await ready();
      const begun = performance.now();
      const answer = await connection.get(`/${id}`);
      const clientMs = performance.now() - begun;
      if (answer.status !== 200) throw new Error(`${peer.name} answered ${answer.status} for ${id}`);
      const timing = answer.headers.get('server-timing') ?? '';
      const phases = [...timing.matchAll(/([a-z]+);dur=([\d.]+)/g)].map(([, phase, ms]) => [phase, Number(ms)]);
      const cold = answer.headers.get('hearth-start') !== 'warm';
      calls.push({ clientMs, cold, phases: Object.fromEntries(phases) });
    }
  } finally {
    connection.close();
  }
  return calls;
}

/** workerd gets one module, as its users send it: everything bundled. */
async function bundle(source: string): Promise<string> {
  const resolveDir = createRequire(import.meta.url)
    .resolve('hono')
    .replace(/node_modules.*$/, '');
  const result = await build({
    stdin: { contents: source, resolveDir, loader: 'js' },
    bundle: true,
    format: 'esm',
    minify: true,
    write: false,
  });
  return result.outputFiles[0]?.text ?? '';
}

function report(name: string, { hearth, workerd }: { hearth: Call[]; workerd: Call[] }): string {
  const ms = (calls: Call[], percent: number) =>
    percentile(
      calls.map(({ clientMs }) => clientMs),
      percent,
    );
  const row = (peer: string, calls: Call[]) => [
    peer,
    ratio(ms(hearth, 50), ms(calls, 50)),
    ratio(ms(hearth, 99), ms(calls, 99)),
    ms(calls, 50).toFixed(2),
    ms(calls, 90).toFixed(2),
    ms(calls, 99).toFixed(2),
    Math.max(...calls.map(({ clientMs }) => clientMs)).toFixed(2),
    calls.length.toString(),
  ];
  const header = [`cold, ${name}`, 'hearth ÷ p50', '÷ p99', 'p50 ms', 'p90 ms', 'p99 ms', 'max ms', 'calls'];
  const phases = PHASES.map((phase) => {
    const values = hearth.map((call) => call.phases[phase] ?? 0);
    return `${phase} ${percentile(values, 50).toFixed(2)}`;
  });
  const unaccounted = hearth.map(
    ({ clientMs, phases }) => clientMs - PHASES.reduce((sum, phase) => sum + (phases[phase] ?? 0), 0),
  );
  const warmOnes = hearth.filter(({ cold }) => !cold).length;
  return [
    table(header, [row('hearth', hearth), row('workerd dynamic worker', workerd)]),
    `phases of hearth, p50 in ms: ${phases.join(', ')}; outside of Hearth ${percentile(unaccounted, 50).toFixed(2)}`,
    ...(warmOnes === 0 ? [] : [`${warmOnes} of ${hearth.length} calls to hearth were not cold.`]),
  ].join('\n');
}
