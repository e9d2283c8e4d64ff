/** The docs page of what was measured, from bench/results; `node bench/tables.ts` writes it. */
import { figure, leastSquares, median, percentile, ratio } from './report.ts';
import type { GroupDensity } from './suites/group-density.ts';

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
  density: Measured<{
    found: Record<string, { bases: number; pssBytes: number }[]>;
    /** Not there in what was measured before there were groups. */
    groups?: Record<'small' | 'large', GroupDensity>;
  }> | null;
  rpc: Measured<{ kinds: Record<string, { p50Ns: number; p99Ns: number | null }> }> | null;
  pools: Measured<{
    phases: Record<string, { p50Us: number | null; p99Us: number | null; errors: number; requests: number }>;
  }> | null;
}

const RUN = `\`\`\`text
npm run bench -- warm cold    # beside workerd and plain Hono, interleaved; writes bench/results
npm run bench:k6              # open-loop load with thresholds, when k6 is on PATH
npm run bench:soak            # half an hour of load, deploys and bombs
\`\`\`

| suite        | what it measures                                                                                                        |
| ------------ | ----------------------------------------------------------------------------------------------------------------------- |
| \`warm\`       | throughput in a closed loop; latency in an open one, from the time each request was due                                 |
| \`cold\`       | functions that nobody has called before, once each, beside workerd's dynamic worker loader                              |
| \`deploy\`     | from the upload until the new version serves                                                                            |
| \`edit\`       | from a save under \`hearth dev\` to the first answer of the new code                                                    |
| \`density\`    | memory of bases, and of modules in the base of a group                                                                  |
| \`queue\`      | messages a second in and out, and how soon a handler has one, on each store                                             |
| \`cron\`       | how late ticks are                                                                                                      |
| \`rpc\`        | what calls within a base and between bases cost                                                                         |
| \`release\`    | how soon callers see a rollback, a publication, its end, and the guard's return                                         |
| \`pools\`      | what one pool notices of another that is full                                                                           |
| \`neighbour\`  | what others notice of a function at its limits                                                                          |
| \`dashboard\`  | how soon its list is shown                                                                                              |
| \`policy\`     | keep-alive and eviction against days like those of a published trace: see [bench/policy](../../../bench/policy)         |
| \`bodies\`, \`burst\`, \`elasticity\` | large bodies; many new functions at once; load that comes and goes                               |

Of queues there are also \`node bench/soak/queue-kills.ts\` (200 times \`kill -9\`, amid 10,000 messages each, reconciled id by
id) and \`node bench/soak/queue-model.ts\` (any order of calls against a model); with \`--redis\`, each on a redis-server of its
own. Tables give ratios first.`;

/** Markdown. What was not measured is not there. */
export function performancePage(results: PageResults): string {
  const { warm, cold, deploy, queue, release, density, rpc, pools } = results;
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
    density?.data.groups &&
      block(
        'Memory',
        density,
        memoryTable(density.data.found, density.data.groups),
        'As PSS of the hosts, ten seconds after the last of them was called.',
      ),
    rpc &&
      block(
        'What a call costs',
        rpc,
        callsTable(rpc.data),
        'Of functions the mean of a thousand, of handlers each by itself, awaited, with its answer read. A plain call is what the\nothers are to be compared with.',
      ),
    pools &&
      block(
        'A full pool',
        pools,
        poolsTable(pools.data),
        'What callers of a function in the pool `default` see while `batch` is asked for four times what it has; 300 calls a second,\nand pools share the cores.',
      ),
    `## Run it\n\n${RUN}`,
  ]
    .filter((part) => typeof part === 'string')
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

function memoryTable(
  found: NonNullable<PageResults['density']>['data']['found'],
  groups: Record<'small' | 'large', GroupDensity>,
): string {
  const bases = found['bases of one host'];
  const rows = bases && [
    ['a base of its own, idle', mb(slopeOf(bases, 'bases'), 1), 'slope over the bases of one host'],
  ];
  const modules = Object.entries(groups).map(([size, { sourceBytes, points }]) => {
    const most = points.at(-1);
    return [
      `a ${size} module in its group's base, ${figure(sourceBytes / 1024, 1)} KB of source`,
      mb(slopeOf(points, 'modules'), 2),
      `slope; the host of ${most?.modules} takes ${mb(most?.pssBytes, 0)}`,
    ];
  });
  const replaced = Object.entries(groups).map(
    ([
      size,
      {
        replacements: { count, before, after },
      },
    ]) => [
      `that host after ${count} replacements of a ${size} one`,
      `${mb(before.pssBytes, 0)} → ${mb(after.pssBytes, 0)}`,
      `RSS ${mb(before.rssBytes, 0)} → ${mb(after.rssBytes, 0)}`,
    ],
  );
  return table(['what', 'PSS', ''], [...(rows ?? []), ...modules, ...replaced]);
}

function callsTable({ kinds }: NonNullable<PageResults['rpc']>['data']): string {
  const rows = Object.entries(kinds).map(([name, { p50Ns, p99Ns }]) => [name, time(p50Ns), time(p99Ns)]);
  return table(['a call', 'p50', 'p99'], rows);
}

function poolsTable({ phases }: NonNullable<PageResults['pools']>['data']): string {
  const cell = (us: number | null) => (us === null ? 'n/a' : `${figure(us / 1000)} ms`);
  return table(
    ['pool `batch`', 'p50 in `default`', 'p99', 'errors'],
    Object.entries(phases).map(([name, { p50Us, p99Us, errors, requests }]) => [
      name,
      cell(p50Us),
      cell(p99Us),
      `${errors} of ${requests}`,
    ]),
  );
}

/** What each further one takes. */
export function slopeOf<Key extends string>(points: (Record<Key, number> & { pssBytes: number })[], key: Key): number {
  return leastSquares(points.map((point) => [point[key], point.pssBytes])).slope;
}

export function mb(bytes: number | undefined, digits: number): string {
  return bytes === undefined ? 'n/a' : `${figure(bytes / 1024 ** 2, digits)} MB`;
}

function time(ns: number | null): string {
  if (ns === null) return 'n/a';
  return ns < 1000 ? `${figure(ns, 1)} ns` : `${figure(ns / 1000, 1)} µs`;
}

export function ms(value: number): string {
  return `${figure(value, value < 100 ? 1 : 0)} ms`;
}

export function table(header: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}
