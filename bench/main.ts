/**
 * `npm run bench [-- NAME…] [--full] [--quick]`: runs suites (all, when none is named), prints their tables, writes
 * bench/results/NAME.json. --quick only shows that a suite runs: its figures stand nowhere and are of no use.
 */
import { parseArgs } from 'node:util';
import { policy } from './policy/suite.ts';
import { environment, writeResult } from './report.ts';
import { bodies } from './suites/bodies.ts';
import { burst } from './suites/burst.ts';
import { cold } from './suites/cold.ts';
import { cron } from './suites/cron.ts';
import { dashboard } from './suites/dashboard.ts';
import { density } from './suites/density.ts';
import { deploy } from './suites/deploy.ts';
import { edit } from './suites/edit.ts';
import { elasticity } from './suites/elasticity.ts';
import { neighbour } from './suites/neighbour.ts';
import { pools } from './suites/pools.ts';
import { queue } from './suites/queue.ts';
import { release } from './suites/release.ts';
import { rpc } from './suites/rpc.ts';
import { warm } from './suites/warm.ts';

type Size = 'quick' | 'usual' | 'full';
type Suite = (size: Size) => Promise<{ text: string; data: unknown }>;

/** One value for each size; `full` is as `usual` where it is not given. */
function of<Value>(size: Size, quick: Value, usual: Value, full: Value = usual): Value {
  return { quick, usual, full }[size];
}

const rounds = (size: Size) => of(size, 2, 5);

const SUITES: Record<string, Suite> = {
  warm: (size) => warm({ rounds: rounds(size), secondsPerRun: of(size, 1, 3, 12) }),
  cold: (size) =>
    cold({
      warmBases: of(size, 4, 16),
      functions: of(size, 6, 200, 2000),
      rounds: rounds(size),
      emptyCalls: of(size, 4, 200),
      accountingCalls: of(size, 3, 40, 100),
    }),
  bodies: (size) => bodies({ rounds: rounds(size), secondsPerRun: of(size, 1, 3), streamMb: of(size, 20, 100) }),
  burst: (size) => burst({ rounds: rounds(size), functions: of(size, 16, 100) }),
  dashboard: (size) => dashboard({ functions: of(size, 3, 100), loads: of(size, 2, 20) }),
  deploy: (size) =>
    deploy({
      rounds: rounds(size),
      deploys: of(size, 10, 200),
      services: of(size, 2, 20, 200),
      versions: of(size, 40, 1000),
      registered: of(size, 300, 10_000),
    }),
  edit: (size) => edit({ saves: of(size, 40, 400, 2000) }),
  density: (size) =>
    density({
      bases: of(size, [2, 4, 8], [4, 8, 16, 24, 32]),
      modules: of(size, [1, 5, 10], [1, 250, 500]),
      replacements: of(size, 5, 500),
      settleMs: of(size, 1_000, 10_000),
    }),
  elasticity: (size) => elasticity({ scale: of(size, 0.2, 1) }),
  neighbour: (size) => neighbour({ rounds: rounds(size), secondsPerRun: of(size, 2, 7), rate: 300 }),
  pools: (size) => pools({ rounds: rounds(size), secondsPerRun: of(size, 1, 7), rate: 300 }),
  release: (size) => release({ rounds: of(size, 2, 20), guardRounds: of(size, 1, 5) }),
  queue: (size) =>
    queue({
      rounds: of(size, 1, 5),
      secondsPerRun: of(size, 2, 5),
      messages: of(size, 4_000, 80_000),
      samples: of(size, 50, 10_000),
    }),
  cron: (size) =>
    cron({
      functions: of(size, 3, 50),
      crons: of(size, 5, 20),
      ticks: of(size, 1, 5, 20),
      idleTicks: of(size, 3, 30, 120),
    }),
  rpc: (size) => rpc({ rounds: rounds(size), samples: of(size, 100, 20_000) }),
  policy: (size) => policy({ seeds: of(size, 1, 5), functions: of(size, 500, 10_000) }),
};

const { values, positionals } = readArguments();
const unknown = positionals.filter((name) => !Object.hasOwn(SUITES, name));
if (unknown.length > 0) {
  console.error(`There is no suite ${unknown.join(', ')}; there are ${Object.keys(SUITES).join(', ')}.`);
  process.exit(2);
}
const size: Size = values.full === true ? 'full' : values.quick === true ? 'quick' : 'usual';

const where = environment();
console.log(
  `${where.machine.cpu}, ${where.machine.cores} cores, ${where.machine.memoryGb} GB, ${where.machine.system}`,
);
console.log(
  `${Object.entries(where.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')}; commit ${where.commit}\n`,
);

for (const [name, suite] of Object.entries(SUITES)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const { text, data } = await suite(size);
  console.log(text);
  if (size === 'quick') console.log('--quick: these figures show that the suite runs, and nothing else; not written\n');
  else console.log(`written to ${writeResult(name, { suite: name, size, ...where, data })}\n`);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { quick: { type: 'boolean' }, full: { type: 'boolean' } },
    });
  } catch (error) {
    console.error(
      `${(error as Error).message} Usage: npm run bench -- [${Object.keys(SUITES).join('|')}]… [--quick|--full]`,
    );
    process.exit(2);
  }
}
