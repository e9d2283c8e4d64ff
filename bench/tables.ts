/**
 * `node bench/tables.ts` writes the docs page of what bench/results has measured, and into README.md and other pages:
 * between `<!-- bench NAME -->` and `<!-- /bench -->` stands what the table of that name says. What was not measured stays
 * as it is. `npm run format` then aligns the columns.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { mb, ms, type PageResults, performancePage, slopeOf, table } from './page.ts';
import { figure, median, percentile, ratio } from './report.ts';

interface Edit {
  data: { times: Record<string, number[]> };
}
export interface Results extends PageResults {
  edit: Edit | null;
}

type Name = 'figures' | 'edit' | 'module-memory';

/** Which tables a file has, by its path in the repository. */
export const PLACES: Readonly<Record<string, readonly Name[]>> = {
  'README.md': ['figures'],
  'gateway/docs/pages/cli.md': ['edit'],
  'gateway/docs/pages/modules.md': ['module-memory'],
};

/** Null: not measured. */
export function tableOf(name: Name, results: Results): string | null {
  switch (name) {
    case 'figures':
      return figures(results);
    case 'edit':
      return savedToServed(results.edit);
    case 'module-memory':
      return moduleMemory(results.density);
  }
}

/** `path` is one of PLACES, `before` what it says now. Throws when a table has no place, so that a renamed one is noticed. */
export function filled(path: string, before: string, results: Results): string {
  let text = before;
  for (const name of PLACES[path] ?? []) {
    const place = new RegExp(`(<!-- bench ${name} -->)[\\s\\S]*?(<!-- /bench -->)`);
    if (!place.test(text)) throw new Error(`${path} has no place for the table "${name}".`);
    const table = tableOf(name, results);
    if (table !== null) text = text.replace(place, (_all, open, close) => `${open}${table}${close}`);
  }
  return text;
}

/* ── what each says, and from where in bench/results ── */

/** What somebody wants to know first, each with what it is to be compared with. Null: nothing of it was measured. */
function figures(results: Results): string | null {
  const { warm, cold, deploy, queue, release, edit, density } = results;
  const rows: string[][] = [];
  const hearth = warm?.data.rounds.hearth;
  if (hearth !== undefined) {
    const rate = (name: string) => median((warm?.data.rounds[name] ?? []).map(({ closed }) => closed.perSecond));
    rows.push([
      'calls of a warm function, a second',
      figure(rate('hearth'), 0),
      `${ratio(rate('hearth'), rate('workerd'))} workerd's, ${ratio(rate('hearth'), rate('hono on node'))} plain Hono's`,
    ]);
  }
  const tiny = cold?.data.variants.tiny;
  if (tiny !== undefined) {
    const p50 = (rounds: { clientMs: number }[][]) =>
      ms(
        percentile(
          rounds.flat().map(({ clientMs }) => clientMs),
          50,
        ),
      );
    rows.push([
      'a cold start, as the client sees it',
      p50(tiny.hearth),
      `workerd's dynamic loader: ${p50(tiny.workerd)}`,
    ]);
  }
  const times = deploy?.data.times;
  if (times?.hearth !== undefined) {
    const p50 = (name: string) => ms(percentile((times[name] ?? []).flat(), 50));
    rows.push(['a deploy, until it serves', p50('hearth'), `esbuild and a start of node: ${p50('esbuild + node')}`]);
  }
  for (const [name, spent] of Object.entries(edit?.data.times ?? {})) {
    rows.push([`from a save to its first answer, ${name}`, ms(percentile(spent, 50)), '`hearth dev`']);
  }
  const sqlite = queue?.data.found.SQLite;
  if (sqlite !== undefined) {
    rows.push(['a message, from its 202 to its handler', ms(sqlite.startUs.p50 / 1000), 'on SQLite']);
  }
  const back = release?.data.acts['rollback → first answer of the version before']?.seen;
  if (back !== undefined) rows.push(['a rollback, until callers see it', ms(median(back)), '']);
  const memory = moduleMemory(density);
  if (memory !== null) rows.push(['memory of a module', memory.trim(), '']);
  return rows.length === 0 ? null : `\n\n${table(['median', '', 'beside it'], rows)}\n\n`;
}

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
function moduleMemory(density: PageResults['density']): string | null {
  const small = density?.data.groups?.small;
  const bases = density?.data.found['bases of one host'];
  if (small === undefined || bases === undefined) return null;
  const most = small.points.at(-1)?.modules;
  return ` ${mb(slopeOf(bases, 'bases'), 0)} with a base of its own, ${mb(slopeOf(small.points, 'modules'), 2)} as one of ${most} in a group `;
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
  const root = join(import.meta.dirname, '..');
  const names = ['warm', 'cold', 'deploy', 'queue', 'release', 'density', 'rpc', 'pools', 'edit'];
  const results = Object.fromEntries(names.map((name) => [name, resultOf(name)])) as unknown as Results;
  for (const path of Object.keys(PLACES)) {
    writeFileSync(join(root, path), filled(path, readFileSync(join(root, path), 'utf8'), results));
  }
  writeFileSync(join(root, 'gateway/docs/pages/performance.md'), performancePage(results));
}
