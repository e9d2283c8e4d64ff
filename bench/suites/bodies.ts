/** Bodies: requests a second with 64 KB and 1 MB each way, beside the same Hono application on plain Node; and streams. */
import type { Result } from '../load/generator.ts';
import { runLoad } from '../load/run.ts';
import { ECHO_SOURCE } from '../peers/apps.ts';
import { startHearth } from '../peers/hearth.ts';
import { startHono } from '../peers/hono.ts';
import type { Peer } from '../peers/peer.ts';
import { figure, median, ratio, table } from '../report.ts';
import { type Streamed, streams } from './streams.ts';

export interface BodiesOptions {
  rounds: number;
  secondsPerRun: number;
  streamMb: number;
}

const SIZES = [
  { name: '64 KB', bytes: 64 * 1024, connections: 32 },
  { name: '1 MB', bytes: 1024 * 1024, connections: 8 },
];

export async function bodies(options: BodiesOptions): Promise<{ text: string; data: unknown }> {
  const results: Record<string, Record<string, Result[]>> = {};
  {
    await using stack = new AsyncDisposableStack();
    const peers: Peer[] = [stack.use(await startHearth({ source: ECHO_SOURCE })), stack.use(await startHono('echo'))];
    for (const { name } of SIZES) results[name] = Object.fromEntries(peers.map((peer) => [peer.name, []]));
    for (let round = 0; round < options.rounds; round++) {
      for (const size of SIZES) {
        for (const peer of peers) {
          results[size.name]?.[peer.name]?.push(await measure(peer, size, options));
        }
      }
    }
  }
  const streamed = await streams(options.streamMb);
  return { text: report(results, streamed, options), data: { options, results, streamed } };
}

function measure(peer: Peer, size: (typeof SIZES)[number], { secondsPerRun }: BodiesOptions): Promise<Result> {
  return runLoad({
    port: peer.port,
    paths: [peer.path],
    method: 'POST',
    bodyBytes: size.bytes,
    connections: size.connections,
    warmupMs: 500,
    durationMs: secondsPerRun * 1000,
  });
}

function report(
  results: Record<string, Record<string, Result[]>>,
  streamed: Streamed[],
  { streamMb }: BodiesOptions,
): string {
  const rows = Object.entries(results).flatMap(([size, peers]) => {
    const perSecond = (list: Result[] = []) => median(list.map((result) => result.perSecond));
    return Object.entries(peers).map(([peer, list]) => [
      `${size}, ${peer}`,
      peer === 'hearth' ? ratio(perSecond(list), perSecond(peers['hono on node'])) : '',
      figure(perSecond(list), 0),
      String(list.reduce((sum, { errors }) => sum + errors, 0)),
      figure(Math.max(...list.map(({ generatorCpu }) => generatorCpu))),
    ]);
  });
  const mb = (bytes: number) => figure(bytes / 1024 ** 2, 0);
  const streamRows = streamed.map(({ kind, seconds, gateway, hosts }) => [
    kind,
    mb(gateway.most - gateway.before),
    mb(hosts.most - hosts.before),
    mb(gateway.before),
    mb(hosts.before),
    figure(seconds, 1),
  ]);
  return [
    table(['bodies, each way', 'hearth ÷', 'req/s', 'errors', 'gen cpu'], rows),
    'Closed loop. The same Hono application on both, which reads the whole body and gives it back. Medians of the rounds.',
    table([`${streamMb} MB streamed`, 'gateway +MB', 'hosts +MB', 'gateway MB', 'hosts MB', 'seconds'], streamRows),
    '+MB: the most memory (RSS) during the stream above what there was right before it, after one quick stream of the same kind.',
  ].join('\n');
}
