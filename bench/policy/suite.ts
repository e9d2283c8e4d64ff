/** `npm run bench -- policy`: days like those of the Azure Functions trace against each policy; see README.md. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { median, percentile, ratio, table } from '../report.ts';
import { fewestColdStarts } from './bound.ts';
import { lines, type Point } from './chart.ts';
import { type Outcome, type Policy, simulate } from './simulate.ts';
import { CONCURRENCY, makeWorkload } from './workload.ts';

export interface PolicyOptions {
  seeds: number;
  functions: number;
}

interface Row {
  policy: string;
  outcomes: Outcome[];
}

const MINUTE_MS = 60_000;
const DAYS_BEFORE = 1;
const FIXED = 'fixed 10 min';
const AUTO = 'Hearth auto';
const AUTO_CAPPED = 'Hearth auto, memory of fixed';
/** Other fixed times, for the curve of what memory buys without a policy. */
const CURVE_MINUTES = [2, 5, 20, 30, 45, 60];

export async function policy({ seeds, functions }: PolicyOptions): Promise<{ text: string; data: unknown }> {
  const rows = new Map<string, Row>();
  const note = (name: string, outcome: Outcome) => {
    const row = rows.get(name) ?? { policy: name, outcomes: [] };
    row.outcomes.push(outcome);
    rows.set(name, row);
  };
  const bounds: number[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const workload = makeWorkload({ seed, functions, daysBefore: DAYS_BEFORE, concurrency: CONCURRENCY });
    const run = (name: string, chosen: Policy) => {
      const outcome = simulate(workload, chosen);
      note(name, outcome);
      return outcome;
    };
    const fixed = run(FIXED, { kind: 'fixed', keepMs: 10 * MINUTE_MS });
    bounds.push(fewestColdStarts(workload, fixed.idleMbHours) / fixed.coldStarts);
    run('none', { kind: 'none' });
    for (const minutes of CURVE_MINUTES) run(`fixed ${minutes} min`, { kind: 'fixed', keepMs: minutes * MINUTE_MS });
    // What a fixed time used on the average is the most that these may use at any moment.
    const capMb = fixed.totalMbHours / 24;
    run('LRU, memory of fixed', { kind: 'lru', capMb });
    run(AUTO_CAPPED, { kind: 'hearth', capMb });
    run(AUTO, { kind: 'hearth', capMb: Number.POSITIVE_INFINITY });
  }
  const all = [...rows.values()];
  const data = { seeds, functions, daysBefore: DAYS_BEFORE, concurrency: CONCURRENCY, policies: all.map(summary) };
  const equal = equalMemory(all);
  const bound = `Who knew each next use would have ${median(bounds).toFixed(2)}× with that memory-time.`;
  const text = [tableOf(all), '', sentence(all, equal), bound].join('\n');
  // A quick look is no result: the page's plots are of whole runs.
  if (functions >= 10_000) {
    const folder = import.meta.dirname;
    writeFileSync(join(folder, 'apps.svg'), await appsChart(all));
    writeFileSync(join(folder, 'memory.svg'), await memoryChart(all));
  }
  return { text, data: { ...data, fixedWithTheMemoryOfAuto: equal, boundOverFixed: median(bounds) } };
}

const of = (row: Row | undefined, value: (outcome: Outcome) => number) => median((row?.outcomes ?? []).map(value));
const p75 = (outcome: Outcome) => percentile(outcome.shares, 75);

function summary(row: Row) {
  return {
    policy: row.policy,
    coldStarts: of(row, ({ coldStarts }) => coldStarts),
    scaleOuts: of(row, ({ scaleOuts }) => scaleOuts),
    perMillion: of(row, ({ coldStarts, invocations }) => (coldStarts / invocations) * 1e6),
    coldSeconds: of(row, ({ coldSeconds }) => coldSeconds),
    p50: of(row, ({ shares }) => percentile(shares, 50)),
    p75: of(row, p75),
    idleGbHours: of(row, ({ idleMbHours }) => idleMbHours / 1024),
    totalGbHours: of(row, ({ totalMbHours }) => totalMbHours / 1024),
    evicted: of(row, ({ evicted }) => evicted),
    prewarmed: of(row, ({ prewarmed }) => prewarmed),
    bySeed: row.outcomes.map((outcome) => ({
      coldStarts: outcome.coldStarts,
      p75: p75(outcome),
      idleGbHours: outcome.idleMbHours / 1024,
    })),
  };
}

function tableOf(rows: Row[]): string {
  const fixed = summary(find(rows, FIXED));
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  return table(
    [
      'policy',
      'cold starts',
      '÷ fixed',
      'of it scale-out',
      'wait s',
      'app p50',
      'app p75',
      '÷ fixed',
      'idle GB·h',
      '÷ fixed',
    ],
    rows
      .map(summary)
      .map((row) => [
        row.policy,
        row.coldStarts.toFixed(0),
        ratio(row.coldStarts, fixed.coldStarts),
        row.scaleOuts.toFixed(0),
        row.coldSeconds.toFixed(0),
        percent(row.p50),
        percent(row.p75),
        ratio(row.p75, fixed.p75),
        row.idleGbHours.toFixed(0),
        ratio(row.idleGbHours, fixed.idleGbHours),
      ]),
  );
}

/** A fixed time that takes as much memory as `auto` does where nothing limits it, between the times that were run. */
function equalMemory(rows: Row[]): { minutes: number; coldStarts: number; p75: number } | null {
  const wanted = summary(find(rows, AUTO)).idleGbHours;
  const curve = rows
    .filter(({ policy: name }) => name.startsWith('fixed'))
    .map((row) => ({ minutes: Number(row.policy.split(' ')[1]), ...summary(row) }))
    .sort((a, b) => a.minutes - b.minutes);
  for (const [index, above] of curve.entries()) {
    const below = curve[index - 1];
    if (below === undefined || above.idleGbHours < wanted || below.idleGbHours > wanted) continue;
    const share = (wanted - below.idleGbHours) / (above.idleGbHours - below.idleGbHours);
    const between = (from: number, to: number) => from + (to - from) * share;
    return {
      minutes: between(below.minutes, above.minutes),
      coldStarts: between(below.coldStarts, above.coldStarts),
      p75: between(below.p75, above.p75),
    };
  }
  return null;
}

function sentence(rows: Row[], equal: ReturnType<typeof equalMemory>): string {
  const [fixed, auto, capped] = [FIXED, AUTO, AUTO_CAPPED].map((name) => summary(find(rows, name)));
  if (fixed === undefined || auto === undefined || capped === undefined) return '';
  const first =
    `At the memory-time of fixed 10 minutes: ${ratio(capped.coldStarts, fixed.coldStarts)} its cold starts, ` +
    `${ratio(capped.p75, fixed.p75)} at the 75th percentile application (target 0.5× each).`;
  if (equal === null) return first;
  return (
    `${first}\nUnlimited, against a fixed time of the same memory-time (${equal.minutes.toFixed(0)} minutes): ` +
    `${ratio(auto.coldStarts, equal.coldStarts)} its cold starts, ${ratio(auto.p75, equal.p75)} at the 75th percentile application.`
  );
}

function find(rows: Row[], name: string): Row {
  const row = rows.find((candidate) => candidate.policy === name);
  if (row === undefined) throw new Error(`The policy ${name} was not run.`);
  return row;
}

/** Of the first seed: share of applications that have so many cold starts or fewer. */
function appsChart(rows: Row[]): Promise<string> {
  const shown = ['none', FIXED, 'LRU, memory of fixed', AUTO_CAPPED, AUTO];
  const points: Point[] = shown.flatMap((series) => {
    const shares = find(rows, series).outcomes[0]?.shares ?? [];
    return Array.from({ length: 101 }, (_, percent) => ({
      series,
      x: percentile(shares, percent) * 100,
      y: percent,
    }));
  });
  const text = {
    title: 'Cold starts by application',
    x: 'cold starts of an application, % of its invocations',
    y: 'applications with so many or fewer, %',
  };
  return lines(points, text, false);
}

function memoryChart(rows: Row[]): Promise<string> {
  const points: Point[] = rows
    .filter(({ policy: name }) => name !== 'none')
    .map((row) => {
      const { coldStarts, idleGbHours } = summary(row);
      const series = row.policy.startsWith('fixed') ? 'fixed time: 2 to 60 minutes' : row.policy;
      return { series, x: idleGbHours, y: coldStarts };
    });
  return lines(points, { title: 'What memory buys', x: 'idle memory, GB·h a day', y: 'cold starts a day' }, true);
}
