/**
 * `node bench/tables.ts` writes the docs page of what bench/results has measured, and into README.md: between `<!-- bench NAME -->` and
 * `<!-- /bench -->` stands what the table of that name says. What was not measured stays as it is. `npm run format`
 * then aligns the columns.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type PageResults, performancePage } from './page.ts';
import { figure, leastSquares, percentile } from './report.ts';
import type { GroupDensity } from './suites/group-density.ts';

interface Density {
  data: {
    found: Record<string, { bases: number; pssBytes: number }[]>;
    groups?: Record<'small' | 'large', GroupDensity>;
  };
}
interface Rpc {
  data: { kinds?: Record<string, { p50Ns: number; p99Ns: number | null }> };
}
interface Pools {
  data: { phases: Record<string, { p50Us: number | null; p99Us: number | null; errors: number; requests: number }> };
}
interface Edit {
  data: { times: Record<string, number[]> };
}
export interface Results {
  edit: Edit | null;
  density: Density | null;
  rpc: Rpc | null;
  pools: Pools | null;
}

const NAMES = ['edit', 'memory', 'module-memory', 'calls', 'pools'] as const;
type Name = (typeof NAMES)[number];

/** Null: not measured. */
export function tableOf(name: Name, { edit, density, rpc, pools }: Results): string | null {
  switch (name) {
    case 'edit':
      return savedToServed(edit);
    case 'memory':
      return memory(density);
    case 'module-memory':
      return moduleMemory(density);
    case 'calls':
      return calls(rpc);
    case 'pools':
      return fullPools(pools);
  }
}

/** Throws when a table has no place, so that a renamed one is noticed. */
export function filled(readme: string, results: Results): string {
  let text = readme;
  for (const name of NAMES) {
    const place = new RegExp(`(<!-- bench ${name} -->)[\\s\\S]*?(<!-- /bench -->)`);
    if (!place.test(text)) throw new Error(`README.md has no place for the table "${name}".`);
    const table = tableOf(name, results);
    if (table !== null) text = text.replace(place, (_all, before, after) => `${before}${table}${after}`);
  }
  return text;
}

/* ── what each says, and from where in bench/results ── */

/** edit.json: times, ms, by project. */
function savedToServed(edit: Edit | null): string | null {
  if (edit === null) return null;
  const each = Object.entries(edit.data.times).map(
    ([name, times]) =>
      `${figure(percentile(times, 50), 0)} ms for ${name} (of ${times.length} saves one in a hundred over ${figure(percentile(times, 99), 0)} ms)`,
  );
  return ` ${each.join(', ')} `;
}

/** density.json: a base is the slope of found["bases of one host"], a module that of groups.small.points. */
function moduleMemory(density: Density | null): string | null {
  const small = density?.data.groups?.small;
  const bases = density?.data.found['bases of one host'];
  if (small === undefined || bases === undefined) return null;
  const most = small.points.at(-1)?.modules;
  return ` ${mb(slopeOf(bases, 'bases'), 0)} with a base of its own, ${mb(slopeOf(small.points, 'modules'), 2)} as one of ${most} in a group `;
}

/** density.json: found["bases of one host"]; groups.small and .large: points, replacements. */
function memory(density: Density | null): string | null {
  const groups = density?.data.groups;
  const bases = density?.data.found['bases of one host'];
  if (groups === undefined || bases === undefined) return null;
  const rows = [['a base of its own, idle', mb(slopeOf(bases, 'bases'), 1), 'slope over the bases of one host']];
  for (const [size, { sourceBytes, points }] of Object.entries(groups)) {
    const most = points.at(-1);
    rows.push([
      `a ${size} module in its group's base, ${figure(sourceBytes / 1024, 1)} KB of source`,
      mb(slopeOf(points, 'modules'), 2),
      `slope; the host of ${most?.modules} takes ${mb(most?.pssBytes, 0)}`,
    ]);
  }
  for (const [size, { replacements }] of Object.entries(groups)) {
    const { count, before, after } = replacements;
    rows.push([
      `that host after ${count} replacements of a ${size} one`,
      `${mb(before.pssBytes, 0)} → ${mb(after.pssBytes, 0)}`,
      `RSS ${mb(before.rssBytes, 0)} → ${mb(after.rssBytes, 0)}`,
    ]);
  }
  return `\n${markdown(['what', 'PSS', ''], rows)}\n`;
}

/** rpc.json: kinds, by name. */
function calls(rpc: Rpc | null): string | null {
  const kinds = rpc?.data.kinds;
  if (kinds === undefined) return null;
  const rows = Object.entries(kinds).map(([name, { p50Ns, p99Ns }]) => [name, time(p50Ns), time(p99Ns)]);
  return `\n${markdown(['a call', 'p50', 'p99'], rows)}\n`;
}

/** pools.json: phases, by name. */
function fullPools(pools: Pools | null): string | null {
  if (pools === null) return null;
  const ms = (us: number | null) => (us === null ? 'n/a' : `${figure(us / 1000)} ms`);
  const rows = Object.entries(pools.data.phases).map(([name, { p50Us, p99Us, errors, requests }]) => [
    name,
    ms(p50Us),
    ms(p99Us),
    `${errors} of ${requests}`,
  ]);
  return `\n${markdown(['pool `batch`', 'p50 in `default`', 'p99', 'errors'], rows)}\n`;
}

function slopeOf<Key extends string>(points: (Record<Key, number> & { pssBytes: number })[], key: Key): number {
  return leastSquares(points.map((point) => [point[key], point.pssBytes])).slope;
}

function mb(bytes: number | undefined, digits: number): string {
  return bytes === undefined ? 'n/a' : `${figure(bytes / 1024 ** 2, digits)} MB`;
}

function time(ns: number | null): string {
  if (ns === null) return 'n/a';
  return ns < 1000 ? `${figure(ns, 1)} ns` : `${figure(ns / 1000, 1)} µs`;
}

function markdown(header: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return ['', line(header), line(header.map(() => '---')), ...rows.map(line), ''].join('\n');
}

function resultOf<Result>(name: string): Result | null {
  try {
    return JSON.parse(readFileSync(join(import.meta.dirname, 'results', `${name}.json`), 'utf8')) as Result;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const path = join(import.meta.dirname, '..', 'README.md');
  const results = {
    edit: resultOf<Edit>('edit'),
    density: resultOf<Density>('density'),
    rpc: resultOf<Rpc>('rpc'),
    pools: resultOf<Pools>('pools'),
  };
  writeFileSync(path, filled(readFileSync(path, 'utf8'), results));
  const names = ['warm', 'cold', 'deploy', 'queue', 'release'];
  const measured = Object.fromEntries(names.map((name) => [name, resultOf(name)])) as unknown as PageResults;
  const page = join(import.meta.dirname, '..', 'gateway/docs/pages/performance.md');
  writeFileSync(page, performancePage(measured));
}
