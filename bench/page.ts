/** The docs page of what was measured, from bench/results; `node bench/tables.ts` writes it. */
import { figure, median, percentile, ratio } from './report.ts';

interface Run {
  closed: { perSecond: number };
  open: { latency: { p50: number; p99: number } };
}
interface Measured<Data> {
  date: string;
  commit: string;
  machine: { cpu: string; cores: number; memoryGb: number; system: string };
  versions: Record<string, string>;
  data: Data;
}
export interface PageResults {
  warm: Measured<{ rounds: Record<string, Run[]> }> | null;
  cold: Measured<{
    variants: Record<
      string,
      { bundleBytes: number; hearth: { clientMs: number }[][]; workerd: { clientMs: number }[][] }
    >;
  }> | null;
  deploy: Measured<{ times: Record<string, number[][]> }> | null;
  queue: Measured<{
    found: Record<string, { enqueued: number[]; consumed: number[]; startUs: { p50: number; p99: number } }>;
  }> | null;
  release: Measured<{ acts: Record<string, { seen: number[] }> }> | null;
}

/** Markdown. What was not measured is not there. */
export function performancePage(results: PageResults): string {
  const { warm, cold, deploy, queue, release } = results;
  return [
    '# Performance',
    `Made from what \`npm run bench\` measured; every round, with machine, versions and commit, stands in \`bench/results\` of the
repository. Peers run in the same run, in turns. Figures of somebody else's machine say little: run it on yours.`,
    warm &&
      block(
        'Warm calls',
        warm,
        warmTable(warm.data),
        'Closed loop for calls a second; open loop, from when each was due, for the time.',
      ),
    cold &&
      block(
        'Cold starts',
        cold,
        coldTable(cold.data),
        'Functions that nobody has called before, once each, seen by the client.',
      ),
    deploy &&
      block(
        'Deploys',
        deploy,
        deployTable(deploy.data),
        'From the upload until the new version serves, build and proof included.',
      ),
    queue &&
      block(
        'Queues',
        queue,
        queueTable(queue.data),
        'Durable messages in, acknowledged messages out; from acceptance to the handler.',
      ),
    release &&
      block(
        'Releases',
        release,
        releaseTable(release.data),
        'From the call that changes something until callers see it.',
      ),
  ]
    .filter((part) => part !== null)
    .join('\n\n')
    .concat('\n');
}

function block(title: string, measured: Measured<unknown>, table: string, what: string): string {
  const { machine, date, commit, versions } = measured;
  const where = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.system}; Node ${versions.node}`;
  return `## ${title}\n\n${what}\n\n${table}\n\n_${where}; ${date.slice(0, 10)}, commit ${commit}._`;
}

function warmTable({ rounds }: { rounds: Record<string, Run[]> }): string {
  const rate = (runs: Run[]) => median(runs.map(({ closed }) => closed.perSecond));
  const own = rate(rounds.hearth ?? []);
  return table(
    ['', 'calls a second', 'Hearth ÷ it', 'p50', 'p99'],
    Object.entries(rounds).map(([name, runs]) => [
      name,
      figure(rate(runs), 0),
      ratio(own, rate(runs)),
      `${figure(median(runs.map(({ open }) => open.latency.p50)) / 1000)} ms`,
      `${figure(median(runs.map(({ open }) => open.latency.p99)) / 1000)} ms`,
    ]),
  );
}

function coldTable({ variants }: NonNullable<PageResults['cold']>['data']): string {
  return table(
    ['module', 'size', 'Hearth p50', 'p99', 'workerd p50', 'p99'],
    Object.entries(variants).map(([name, { bundleBytes, hearth, workerd }]) => {
      const times = [hearth, workerd].map((rounds) => rounds.flat().map(({ clientMs }) => clientMs));
      const cells = times.flatMap((all) => [50, 99].map((percent) => ms(percentile(all, percent))));
      return [name, `${figure(bundleBytes / 1024, 1)} KB`, ...cells];
    }),
  );
}

function deployTable({ times }: { times: Record<string, number[][]> }): string {
  return table(
    ['', 'p50', 'p99'],
    Object.entries(times).map(([name, rounds]) => [
      name,
      ms(percentile(rounds.flat(), 50)),
      rounds.flat().length < 100 ? 'n/a' : ms(percentile(rounds.flat(), 99)),
    ]),
  );
}

function queueTable({ found }: NonNullable<PageResults['queue']>['data']): string {
  return table(
    ['store', 'in, a second', 'out, a second', 'until the handler p50', 'p99'],
    Object.entries(found).map(([name, { enqueued, consumed, startUs }]) => [
      name,
      figure(median(enqueued), 0),
      figure(median(consumed), 0),
      ms(startUs.p50 / 1000),
      ms(startUs.p99 / 1000),
    ]),
  );
}

function releaseTable({ acts }: { acts: Record<string, { seen: number[] }> }): string {
  return table(
    ['', 'p50', 'longest'],
    Object.entries(acts).map(([name, { seen }]) => [name, ms(median(seen)), ms(Math.max(...seen))]),
  );
}

function ms(value: number): string {
  return `${figure(value, value < 100 ? 1 : 0)} ms`;
}

function table(header: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}
