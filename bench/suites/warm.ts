/** Warm calls: Hearth beside workerd and plain Hono, in rounds that alternate so that the machine's moods meet all alike. */
import { treeCpuMs } from '../load/cpu.ts';
import type { Result } from '../load/generator.ts';
import { runLoad } from '../load/run.ts';
import { startHearth } from '../peers/hearth.ts';
import { startHono } from '../peers/hono.ts';
import type { Peer } from '../peers/peer.ts';
import { startWorkerd } from '../peers/workerd.ts';
import { median, ratio, table } from '../report.ts';

export interface WarmOptions {
  rounds: number;
  secondsPerRun: number;
  /** Requests a second of the open loop. */
  rate: number;
}

interface Round {
  closed: Result;
  open: Result;
  /** CPU of the peer's processes per request in the closed loop, µs; null without /proc. */
  cpuUsPerRequest: number | null;
}

const CONNECTIONS = 32;

export async function warm(options: WarmOptions): Promise<{ text: string; data: unknown }> {
  await using stack = new AsyncDisposableStack();
  const peers: Peer[] = [
    stack.use(await startHearth("export default { fetch: () => new Response('hello') }")),
    stack.use(await startWorkerd()),
    stack.use(await startHono()),
  ];
  const rounds = new Map<string, Round[]>(peers.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const peer of peers) rounds.get(peer.name)?.push(await measure(peer, options));
  }
  return { text: report(rounds, options), data: { options, rounds: Object.fromEntries(rounds) } };
}

async function measure(peer: Peer, { secondsPerRun, rate }: WarmOptions): Promise<Round> {
  const job = { port: peer.port, path: peer.path, connections: CONNECTIONS, durationMs: secondsPerRun * 1000 };
  // Warmed up by itself, so that CPU time and requests count over the same span.
  await runLoad({ ...job, warmupMs: 0, durationMs: 500 });
  const before = treeCpuMs(peer.pid);
  const closed = await runLoad({ ...job, warmupMs: 0 });
  const after = treeCpuMs(peer.pid);
  const open = await runLoad({ ...job, warmupMs: 200, rate });
  const answered = closed.requests + closed.errors;
  const cpuUsPerRequest = before === null || after === null ? null : ((after - before) * 1000) / answered;
  return { closed, open, cpuUsPerRequest };
}

function report(rounds: Map<string, Round[]>, { rate }: WarmOptions): string {
  const figures = [...rounds].map(([name, list]) => ({
    name,
    perSecond: median(list.map(({ closed }) => closed.perSecond)),
    cpu: median(list.map(({ cpuUsPerRequest }) => cpuUsPerRequest ?? Number.NaN)),
    p50: median(list.map(({ open }) => open.latency.p50)) / 1000,
    p99: median(list.map(({ open }) => open.latency.p99)) / 1000,
    errors: list.reduce((sum, { closed, open }) => sum + closed.errors + open.errors, 0),
    generatorCpu: Math.max(...list.map(({ closed }) => closed.generatorCpu)),
  }));
  const hearth = figures[0];
  if (hearth === undefined) return '';
  const rows = figures.map((peer) => [
    peer.name,
    ratio(hearth.perSecond, peer.perSecond),
    ratio(hearth.p50, peer.p50),
    ratio(hearth.p99, peer.p99),
    ratio(hearth.cpu, peer.cpu),
    Math.round(peer.perSecond).toString(),
    peer.p50.toFixed(2),
    peer.p99.toFixed(2),
    Number.isNaN(peer.cpu) ? '–' : peer.cpu.toFixed(0),
    peer.errors.toString(),
    peer.generatorCpu.toFixed(2),
  ]);
  const header = [
    'warm',
    'hearth ÷ req/s',
    '÷ p50',
    '÷ p99',
    '÷ cpu',
    'req/s',
    'p50 ms',
    'p99 ms',
    'cpu µs',
    'errors',
    'gen cpu',
  ];
  const saturated = figures.filter(({ generatorCpu }) => generatorCpu > 0.9).map(({ name }) => name);
  return [
    table(header, rows),
    `req/s and cpu: closed loop, ${CONNECTIONS} connections, no pipelining. p50, p99: open loop at ${rate}/s, from the scheduled time. Medians of the rounds.`,
    saturated.length === 0
      ? 'The generator had CPU to spare in each run.'
      : `The generator used a whole core against ${saturated.join(', ')}: their req/s is at least what stands here.`,
  ].join('\n');
}
