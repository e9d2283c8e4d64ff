/** `npm run bench:soak [-- --minutes 30] [--report]`: exit code 1 when what it has to show was not shown. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { environment } from '../report.ts';
import { page, verdict } from './report.ts';
import { soak } from './run.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, report: { type: 'boolean', default: false } },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error(`--minutes: given ${JSON.stringify(values.minutes)}, allowed is a number above 0.`);
  process.exit(2);
}

const where = environment();
const begun = performance.now();
const result = await soak(minutes, (line) => {
  console.log(`${((performance.now() - begun) / 60_000).toFixed(1)} min: ${line}`);
});
const text = page(result, where);
console.log(`\n${text}`);
if (values.report) {
  const path = join(import.meta.dirname, `report-${where.date.slice(0, 10)}.md`);
  writeFileSync(path, text);
  console.log(`written to ${path}`);
}
if (verdict(result).some(({ met }) => !met)) process.exitCode = 1;
