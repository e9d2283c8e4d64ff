/** `hearth bench`: a function under load, as those who call it see it. */
import type { AddCommand, Cli } from '../cli.ts';
import { segment } from '../client.ts';
import { Failure, UsageError } from '../failure.ts';
import { collect, headersOf, positive, textOf } from '../input.ts';
import { type LoadReport, load } from '../load.ts';
import { facts, ms } from '../output.ts';

interface Options {
  connections: number;
  duration: number;
  rate?: number;
  method?: string;
  header?: string[];
  data?: string;
}

export const bench: AddCommand = (program, cli) => {
  program
    .command('bench')
    .description('call a function over and over: p50, p95, p99 and cold starts')
    .argument('<function|url>')
    .argument('[path]', 'path with query, of a function', '/')
    .option('-c, --connections <count>', 'calls in flight at most', positive, 10)
    .option('--duration <seconds>', 'for so long', positive, 10)
    .option('--rate <count>', 'calls a second (default: as many as are answered)', positive)
    .option('-X, --method <method>', 'default: GET, with --data POST')
    .option('-H, --header <header>', '"name: value"; may be given several times', collect)
    .option('-d, --data <text>', 'the body; @file reads it from a file, @- from stdin')
    .action(async (target: string, path: string, options: Options) => {
      const url = await urlOf(target, path, cli);
      const body = options.data === undefined ? undefined : await textOf(options.data, cli);
      const stopped = new AbortController();
      process.once('SIGINT', () => stopped.abort());
      cli.note(`${url}: ${options.duration} s, ${options.connections} connections`);
      const report = await load({
        url,
        method: options.method ?? (body === undefined ? 'GET' : 'POST'),
        headers: headersOf(options.header ?? []),
        body,
        connections: options.connections,
        seconds: options.duration,
        rate: options.rate ?? null,
        signal: stopped.signal,
      });
      if (report.latencyMs === null && !stopped.signal.aborted) {
        const reasons = Object.keys(report.errors).join(', ') || 'nothing came in time';
        throw new Failure(`Not one call of ${url} was answered (${reasons}).`, 'Look whether it answers at all.');
      }
      cli.show(report, () => told(report));
    });
};

async function urlOf(target: string, path: string, cli: Cli): Promise<URL> {
  if (/^https?:\/\//.test(target)) {
    const url = URL.parse(target);
    if (url === null) throw new UsageError(`${JSON.stringify(target)} is no URL.`);
    return url;
  }
  if (!path.startsWith('/')) throw new UsageError(`${JSON.stringify(path)} is no path; it begins with "/".`);
  const { url } = await cli.client().call<{ url: string }>('GET', `/v1/functions/${segment(target)}`);
  return new URL(`${url}${path}`);
}

function told({ requests, perSecond, latencyMs, coldStarts, statuses, errors }: LoadReport): string {
  const counts = (record: Record<string, number>) =>
    Object.entries(record).map(([what, count]) => `${count} × ${what}`);
  return facts([
    ['answers', `${requests}, ${Math.round(perSecond)} a second`],
    ...(latencyMs === null
      ? []
      : (['p50', 'p95', 'p99', 'max'] as const).map((name) => [name, ms(latencyMs[name])] as const)),
    ['cold starts', coldStarts],
    ['status', counts(statuses)],
    ['no answer', counts(errors)],
  ]);
}
