/**
 * Warm calls: Hearth beside workerd and plain Hono, in rounds that alternate so that the machine's moods meet all alike.
 * Hearth exports telemetry, traces at 1 %. Throughput and CPU time from a closed loop; what Hearth adds to a call from
 * an open loop at half of what Hearth was found to bear, the same for all.
 */
import type { Result } from '../load/generator.ts';
import { treeCpuMs } from '../load/proc.ts';
import { runLoad } from '../load/run.ts';
import { startHearth } from '../peers/hearth.ts';
import { startHono } from '../peers/hono.ts';
import type { Peer } from '../peers/peer.ts';
import { startSink } from '../peers/sink.ts';
import { startWorkerd } from '../peers/workerd.ts';
import { figure, median, quotable, ratio, table } from '../report.ts';

export interface WarmOptions {
  rounds: number;
  secondsPerRun: number;
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
  const sink = stack.use(await startSink());
  const hearth = stack.use(await startHearth({ env: sink.env }));
  const peers: Peer[] = [hearth, stack.use(await startWorkerd()), stack.use(await startHono())];
  const rounds = new Map<string, Round[]>(peers.map(({ name }) => [name, []]));
  const rates: number[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const throughput = new Map<string, Omit<Round, 'open'>>();
    for (const peer of peers) throughput.set(peer.name, await closed(peer, options));
    const rate = Math.floor((throughput.get(hearth.name)?.closed.perSecond ?? 0) / 2);
    rates.push(rate);
    for (const peer of peers) {
      const open = await runLoad({ ...jobOf(peer, options), warmupMs: 300, rate });
      const measured = throughput.get(peer.name);
      if (measured !== undefined) rounds.get(peer.name)?.push({ ...measured, open });
    }
  }
  return { text: report(rounds, rates), data: { options, rates, rounds: Object.fromEntries(rounds) } };
}

function jobOf(peer: Peer, { secondsPerRun }: WarmOptions) {
  return { port: peer.port, paths: [peer.path], connections: CONNECTIONS, durationMs: secondsPerRun * 1000 };
}

async function closed(peer: Peer, options: WarmOptions): Promise<Omit<Round, 'open'>> {
  const job = { ...jobOf(peer, options), warmupMs: 0 };
  // Warmed up by itself, so that CPU time and requests count over the same span.
  await runLoad({ ...job, durationMs: 500 });
  const before = treeCpuMs(peer.pid);
  const result = await runLoad(job);
  const after = treeCpuMs(peer.pid);
  const answered = result.requests + result.errors;
  return {
    closed: result,
    cpuUsPerRequest: before === null || after === null ? null : ((after - before) * 1000) / answered,
  };
}

interface Figures {
  name: string;
  perSecond: number;
  cpu: number;
  p50: number;
  p99: number;
  p999: number;
  /** Answered in the smallest round of the open loop. */
  openSamples: number;
  lagP99: number;
  errors: number;
  generatorCpu: number;
}

function figuresOf(name: string, list: Round[]): Figures {
  const middle = (pick: (round: Round) => number) => median(list.map(pick));
  return {
    name,
    perSecond: middle(({ closed }) => closed.perSecond),
    cpu: middle(({ cpuUsPerRequest }) => cpuUsPerRequest ?? Number.NaN),
    p50: middle(({ open }) => open.latency.p50 / 1000),
    p99: middle(({ open }) => open.latency.p99 / 1000),
    p999: middle(({ open }) => open.latency.p999 / 1000),
    openSamples: Math.min(...list.map(({ open }) => open.requests)),
    lagP99: Math.max(...list.map(({ open }) => (open.lag?.p99 ?? 0) / 1000)),
    errors: list.reduce((sum, { closed, open }) => sum + closed.errors + open.errors, 0),
    generatorCpu: Math.max(...list.map(({ closed, open }) => Math.max(closed.generatorCpu, open.generatorCpu))),
  };
}

function report(rounds: Map<string, Round[]>, rates: number[]): string {
  const figures = [...rounds].map(([name, list]) => figuresOf(name, list));
  const [hearth, , hono] = figures;
  if (hearth === undefined || hono === undefined) return '';
  const rows = figures.map((peer) => {
    const tail = (value: number, percent: number) => (quotable(percent, peer.openSamples) ? value : null);
    return [
      peer.name,
      ratio(hearth.perSecond, peer.perSecond),
      ratio(hearth.cpu, peer.cpu),
      Math.round(peer.perSecond).toString(),
      figure(peer.cpu, 0),
      figure(tail(peer.p50, 50), 3),
      figure(tail(peer.p99, 99)),
      figure(tail(peer.p999, 99.9)),
      figure(peer.lagP99),
      peer.errors.toString(),
      peer.generatorCpu.toFixed(2),
    ];
  });
  const header = [
    'warm',
    'hearth ÷ req/s',
    '÷ cpu',
    'req/s',
    'cpu µs',
    'p50 ms',
    'p99 ms',
    'p99.9 ms',
    'gen lag p99',
    'errors',
    'gen cpu',
  ];
  const least = Math.min(hearth.openSamples, hono.openSamples);
  const added = (percent: number, ours: number, theirs: number) =>
    quotable(percent, least) ? `${Math.round((ours - theirs) * 1000)} µs` : 'n/a';
  const saturated = figures.filter(({ generatorCpu }) => generatorCpu > 0.9).map(({ name }) => name);
  return [
    table(header, rows),
    `Hearth adds to plain Hono, at half of what Hearth bears (${Math.round(median(rates))}/s): p50 ${added(50, hearth.p50, hono.p50)}, p99 ${added(99, hearth.p99, hono.p99)}.`,
    `req/s and cpu: closed loop, ${CONNECTIONS} connections, no pipelining. p50 to p99.9: open loop, from the scheduled time; gen lag: how late the generator was itself. Medians of the rounds. Hearth exports traces at 1 % and metrics to a process that takes them.`,
    saturated.length === 0
      ? 'The generator had CPU to spare in each run.'
      : `The generator used a whole core against ${saturated.join(', ')}: their req/s is at least what stands here.`,
  ].join('\n');
}
