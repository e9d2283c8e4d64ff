/** The soak in words: a page of Markdown, and whether what it has to show was shown. */
import { type Environment, figure, median, quoted } from '../report.ts';
import type { Sample, SoakResult } from './run.ts';

export interface Verdict {
  text: string;
  met: boolean;
}

const MOST_LOOP_LAG_MS = 50;

export function verdict(result: SoakResult): Verdict[] {
  const p99 = quoted(result.loop.latency.p99 / 1000, 99, result.loop.requests);
  const errors = Object.values(result.unexplained).reduce((sum, count) => sum + count, 0);
  return [
    { text: `unexplained errors: ${errors} (allowed: 0)`, met: errors === 0 },
    {
      text: `loop lag p99: ${figure(p99, 1)} ms (allowed: ${MOST_LOOP_LAG_MS})${p99 === null ? ', too few samples to say' : ''}`,
      met: p99 !== null && p99 <= MOST_LOOP_LAG_MS,
    },
    { text: `processes left behind: ${result.left} (allowed: 0)`, met: result.left === 0 },
    { text: `the gateway ended with ${result.exitCode} (expected: 0)`, met: result.exitCode === 0 },
  ];
}

export function page(result: SoakResult, where: Environment): string {
  const { loop, samples, minutes } = result;
  const mb = (bytes: number) => figure(bytes / 1024 ** 2, 0);
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  const memory = (name: string, pick: (sample: Sample) => number) => {
    const middle = (part: Sample[]) => mb(median(part.map(pick)));
    const most = mb(Math.max(...samples.map(pick)));
    return `| ${name} | ${middle(samples.slice(0, quarter))} | ${middle(samples.slice(-quarter))} | ${most} |`;
  };
  const version = Object.entries(where.versions).map(([name, text]) => `${name} ${text}`);
  return `# Soak, ${minutes} minutes

${where.date}, ${where.machine.cpu}, ${where.machine.cores} cores, ${where.machine.memoryGb} GB, ${where.machine.system}; ${version.join(', ')}; commit ${where.commit}.

${verdict(result)
  .map(({ text, met }) => `- ${met ? 'met' : '**not met**'}: ${text}`)
  .join('\n')}

## Memory (RSS, MB)
| | first quarter, median | last quarter, median | most |
| --- | --- | --- | --- |
${memory('gateway', ({ gatewayBytes }) => gatewayBytes)}
${memory('hosts together', ({ hostsBytes }) => hostsBytes)}

Hosts: ${Math.min(...samples.map(({ hosts }) => hosts))} to ${Math.max(...samples.map(({ hosts }) => hosts))}.

## Loop lag
${loop.requests} calls of \`/healthz\`, which waits for the gateway's loop and does nothing else, from the scheduled time, the generator's own lag included (p99 ${figure((loop.lag?.p99 ?? 0) / 1000, 1)} ms): p50 ${figure(loop.latency.p50 / 1000, 1)} ms, p99 ${figure(quoted(loop.latency.p99 / 1000, 99, loop.requests), 1)} ms, max ${figure(loop.latency.max / 1000, 1)} ms.

## Load
| function | calls | p50 ms | p99 ms | max ms | explained errors | unexplained |
| --- | --- | --- | --- | --- | --- | --- |
${result.loads
  .map(({ name, result: { requests, latency }, explained, unexplained }) => {
    const ms = (us: number, percent: number) => figure(quoted(us / 1000, percent, requests), 1);
    return `| ${name} | ${requests} | ${ms(latency.p50, 50)} | ${ms(latency.p99, 99)} | ${figure(latency.max / 1000, 1)} | ${explained} | ${JSON.stringify(unexplained)} |`;
  })
  .join('\n')}

Explained: \`FUNCTION_CRASHED\` of the neighbour that shares the bombs' trust group. ${result.deploys} deploys of \`changing\` under load; each new version answered as soon as its deploy had.

## Bombs
| bomb | calls | its callers were told |
| --- | --- | --- |
${Object.entries(result.bombs)
  .map(
    ([name, { calls, told }]) =>
      `| ${name} | ${calls} | ${Object.entries(told)
        .map(([code, count]) => `${code} ${count}`)
        .join(', ')} |`,
  )
  .join('\n')}

## Unexplained errors
${
  Object.entries(result.unexplained)
    .map(([what, count]) => `- ${count} × ${what}`)
    .join('\n') || 'None.'
}
`;
}
