/** `npm run bench [-- warm cold] [--full] [--quick]`: runs suites, prints their tables, writes bench/results. */
import { parseArgs } from 'node:util';
import { environment, writeResult } from './report.ts';
import { cold } from './suites/cold.ts';
import { warm } from './suites/warm.ts';

type Size = 'quick' | 'usual' | 'full';
type Suite = (size: Size) => Promise<{ text: string; data: unknown }>;

const SUITES: Record<string, Suite> = {
  warm: (size) => warm({ rounds: size === 'quick' ? 2 : 5, secondsPerRun: size === 'quick' ? 1 : 3, rate: 1000 }),
  cold: (size) =>
    cold({ functions: { quick: 20, usual: 200, full: 2000 }[size], rounds: size === 'quick' ? 2 : 5, gapMs: 60 }),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, full: { type: 'boolean' } },
});
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
  const path = writeResult(name, { suite: name, size, ...where, data });
  console.log(`${text}\nwritten to ${path}\n`);
}
