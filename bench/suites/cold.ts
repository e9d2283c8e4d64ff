/**
 * Cold starts of code nobody has called before: N functions, each deployed and called once, beside workerd's dynamic
 * worker loader with as many unique workers. Client side, one call at a time on one connection, with Hearth's cache pool
 * full before each call; what it costs to find the pool empty stands in a row of its own.
 */
import { scheduler } from 'node:timers/promises';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import { Connection } from '../load/connection.ts';
import { startBareWorkers } from '../peers/bare-workers.ts';
import { startHearth, untilWarm } from '../peers/hearth.ts';
import { startWorkerdLoader } from '../peers/workerd.ts';
import { figure, median, percentile, quoted, ratio, table } from '../report.ts';
import { type Accounts, accounting } from './accounting.ts';
import { type Call, callOnce, PHASES, phaseSum } from './cold-calls.ts';
import { bundled, VARIANTS, type Variant } from './cold-sources.ts';

export interface ColdOptions {
  /** Bases of the cache pool: enough that a call never meets the last one. */
  warmBases: number;
  /** Functions per source, over all rounds. */
  functions: number;
  rounds: number;
  /** Calls that meet an empty pool, over all rounds. */
  emptyCalls: number;
  /** Functions of each kind whose phases are added up. */
  accountingCalls: number;
}

interface Measured {
  bundleBytes: number;
  hearth: Call[][];
  workerd: Call[][];
}

export async function cold(options: ColdOptions): Promise<{ text: string; data: unknown }> {
  const variants: Record<string, Measured> = {};
  for (const variant of VARIANTS) variants[variant.name] = await measure(variant, options);
  const empty = await emptyPool(options);
  const accounts = await accounting(options.accountingCalls);
  return { text: report(variants, empty, accounts), data: { options, variants, empty, accounting: accounts } };
}

async function measure(variant: Variant, options: ColdOptions): Promise<Measured> {
  await using stack = new AsyncDisposableStack();
  const { source, shared, ownCopies, most } = variant;
  const bundle = await bundled(source);
  const hearth = stack.use(
    await startHearth({ bases: { default: { shared } }, env: { HEARTH_WARM_BASES: String(options.warmBases) } }),
  );
  const workerd = stack.use(await startWorkerdLoader(bundle));
  const names = Array.from({ length: Math.min(options.functions, most) }, (_, index) => `cold-${index}`);
  await deployAll(hearth.gateway, names, ownCopies ? { 'index.js': bundle } : { 'index.ts': source });

  const measured: Measured = { bundleBytes: Buffer.byteLength(bundle), hearth: [], workerd: [] };
  const perRound = Math.ceil(names.length / options.rounds);
  for (let first = 0; first < names.length; first += perRound) {
    const round = names.slice(first, first + perRound);
    measured.hearth.push(await callAll(hearth.port, round, () => untilQuiet(hearth.gateway, options.warmBases)));
    measured.workerd.push(await callAll(workerd.port, round, () => scheduler.wait(WORKERD_PAUSE_MS)));
  }
  return measured;
}

/** The answer about the pool has to be out of the way, too. */
const QUIET_MS = 10;

async function untilQuiet(gateway: TestGateway, bases: number): Promise<void> {
  await untilWarm(gateway, bases);
  await scheduler.wait(QUIET_MS);
}

/** As long as Hearth's pool takes to be full again, about. */
const WORKERD_PAUSE_MS = 60;

/** `keepAlive: 0`: the base that proved a version is given back, so that the first call finds none. */
async function deployAll(gateway: TestGateway, names: string[], files: Record<string, string>): Promise<void> {
  const manifest = { hearth: { keepAlive: 0 } };
  for (const name of names) {
    const unique = Object.entries(files).map(([path, text]) => [path, text.replaceAll('UNIQUE', name)]);
    await gateway.deploy(name, Object.fromEntries(unique), { manifest });
  }
}

async function callAll(port: number, names: string[], ready: () => Promise<void>): Promise<Call[]> {
  const connection = await new Connection(port).opened();
  const calls: Call[] = [];
  try {
    // The client's own code is warm, and so is the way through the server's front door.
    for (let count = 0; count < WARMING_CALLS; count++) await connection.get('/bench');
    for (const name of names) {
      await ready();
      calls.push(await callOnce(connection, `/${name}`));
    }
  } finally {
    connection.close();
  }
  return calls;
}

const WARMING_CALLS = 100;

interface Empty {
  hearth: Call[][];
  bareWorkerMs: number[][];
}

/**
 * A pool that keeps no stock: each first call finds a host and no base. Beside it a worker thread that builds one Response
 * and does nothing else.
 */
async function emptyPool({ emptyCalls, rounds }: ColdOptions): Promise<Empty> {
  await using stack = new AsyncDisposableStack();
  const hearth = stack.use(await startHearth({ env: { HEARTH_WARM_BASES: '0' } }));
  const workers = stack.use(startBareWorkers());
  const names = Array.from({ length: emptyCalls + 1 }, (_, index) => `empty-${index}`);
  await deployAll(hearth.gateway, names, { 'index.ts': VARIANTS[0]?.source ?? '' });
  const connection = await new Connection(hearth.port).opened();
  stack.defer(() => connection.close());
  // Its host, too, has to be started by somebody.
  await callOnce(connection, `/empty-${emptyCalls}`);

  const measured: Empty = { hearth: [], bareWorkerMs: [] };
  const perRound = Math.ceil(emptyCalls / rounds);
  for (let first = 0; first < emptyCalls; first += perRound) {
    const calls: Call[] = [];
    const workerMs: number[] = [];
    for (let index = first; index < Math.min(first + perRound, emptyCalls); index++) {
      await scheduler.wait(EMPTY_PAUSE_MS);
      calls.push(await callOnce(connection, `/empty-${index}`));
      await scheduler.wait(EMPTY_PAUSE_MS);
      workerMs.push(await workers.start());
    }
    measured.hearth.push(calls);
    measured.bareWorkerMs.push(workerMs);
  }
  return measured;
}

/** What served before is given back at once, and its thread has ended. */
const EMPTY_PAUSE_MS = 30;

/** The middle is the median of the rounds' own; the tail is of all rounds together. */
function summary(rounds: number[][]): { p50: number; p90: number; p99: number; max: number; samples: number } {
  const all = rounds.flat();
  return {
    p50: median(rounds.map((round) => percentile(round, 50))),
    p90: percentile(all, 90),
    p99: percentile(all, 99),
    max: Math.max(...all),
    samples: all.length,
  };
}

/** For this p99 the target itself names 2,000 samples; what is quoted from so few says how many it is from. */
const P99_SAMPLES = 2000;

function report(variants: Record<string, Measured>, empty: Empty, accounts: Accounts): string {
  const clientMs = (rounds: Call[][]) => rounds.map((round) => round.map((call) => call.clientMs));
  const rows = Object.entries(variants).flatMap(([name, { hearth, workerd, bundleBytes }]) => {
    const [ours, theirs] = [summary(clientMs(hearth)), summary(clientMs(workerd))];
    const p99 = (of: typeof ours) => (of.samples >= P99_SAMPLES ? of.p99 : null);
    const row = (peer: string, of: typeof ours) => [
      peer,
      peer === 'hearth' ? ratio(of.p50, theirs.p50) : '',
      peer === 'hearth' ? ratio(p99(of), p99(theirs)) : '',
      figure(of.p50),
      figure(quoted(of.p90, 90, of.samples)),
      figure(p99(of)),
      figure(of.max),
      String(of.samples),
      peer === 'hearth' ? name : `${Math.round(bundleBytes / 1000)} KB bundled`,
    ];
    return [row('hearth', ours), row('workerd dynamic worker', theirs)];
  });
  const header = ['cold', '÷ p50', '÷ p99', 'p50 ms', 'p90 ms', 'p99 ms', 'max ms', 'calls', 'code'];
  return [
    table(header, rows),
    'Client side, one call at a time, the cache pool full before each. Hearth has proved each version on a base when it was deployed, and has its code cache from there. p50: median of the rounds; the tail: all rounds together.',
    ...Object.entries(variants).map(([name, { hearth }]) => `${name}: ${phaseLine(hearth.flat())}`),
    emptyText(empty),
    ...accounts.found.map(
      ({ kind, calls, adding, outside, worst }) =>
        `phases add up to the client's time within 10 % or 0.3 ms, ${kind}: ${adding} of ${calls} (${((adding / calls) * 100).toFixed(1)} %); off by ${outside.toFixed(2)} ms at p50, ${worst.toFixed(2)} at most`,
    ),
    `The same client, calling plain Hono as rarely, waits ${accounts.transport.toFixed(2)} ms at p50: sockets and wake-ups, in which nothing of Hearth is.`,
  ].join('\n');
}

function phaseLine(calls: Call[]): string {
  const middle = (values: number[]) => figure(percentile(values, 50));
  const phases = PHASES.map((phase) => `${phase} ${middle(calls.map((call) => call.phases[phase] ?? 0))}`);
  const outside = middle(calls.map((call) => call.clientMs - phaseSum(call)));
  const warm = calls.filter((call) => !call.cold).length;
  const warned = warm === 0 ? '' : `; ${warm} of ${calls.length} CALLS WERE NOT COLD`;
  return `phases of hearth, p50 in ms: ${phases.join(', ')}; outside of Hearth ${outside}${warned}`;
}

function emptyText({ hearth, bareWorkerMs }: Empty): string {
  const ours = summary(hearth.map((round) => round.map(({ clientMs }) => clientMs)));
  const bare = summary(bareWorkerMs);
  const row = (name: string, of: typeof ours) => [
    name,
    ratio(of.p50, bare.p50),
    figure(of.p50),
    figure(quoted(of.p90, 90, of.samples)),
    figure(of.max),
    String(of.samples),
  ];
  return [
    table(
      ['empty pool', '÷ p50', 'p50 ms', 'p90 ms', 'max ms', 'calls'],
      [row('hearth', ours), row('bare worker, one Response', bare)],
    ),
    `empty pool: ${phaseLine(hearth.flat())}`,
  ].join('\n');
}
