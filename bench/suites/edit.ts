/**
 * The edit loop: from the moment a file is saved to the first answer of the new code, under `hearth dev` as its user runs
 * it, for a project whose files are sent as they are, and for one that is bundled with its node_modules.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scheduler } from 'node:timers/promises';
import { running } from '../../functions/cli/testing/running.ts';
import { Connection } from '../load/connection.ts';
import { figure, percentile, table } from '../report.ts';

export interface EditOptions {
  /** Of each project. */
  saves: number;
}

const TARGET_MS = 150;
/** Between two saves, as a person makes them; the pool has filled up again by then. */
const PAUSE_MS = 200;
/** What asking for the new code may add to a sample. */
const ASK_EVERY_MS = 1;
const NODE_MODULES = join(import.meta.dirname, '../../node_modules');

const plain = (id: string) => `import { greet } from './greet.ts';
interface Greeting { text: string }
const greeting: Greeting = { text: greet('${id}') };
export default { fetch: (): Response => new Response(greeting.text) };
`;
const withHono = (id: string) => `import { Hono } from 'hono';
import { cors } from 'hono/cors';
const app = new Hono();
app.use(cors());
app.get('/', (c) => c.text('${id}'));
export default app;
`;

export async function edit({ saves }: EditOptions): Promise<{ text: string; data: unknown }> {
  await using stack = new AsyncDisposableStack();
  const cwd = await mkdtemp(join(tmpdir(), 'hearth-bench-edit-'));
  stack.defer(() => rm(cwd, { recursive: true, force: true }));
  const files = { plain: join(cwd, 'plain/index.ts'), bundled: join(cwd, 'bundled/src/index.ts') };
  mkdirSync(join(cwd, 'plain'));
  mkdirSync(join(cwd, 'bundled/src'), { recursive: true });
  writeFileSync(join(cwd, 'plain/greet.ts'), 'export const greet = (who: string): string => who;\n');
  writeFileSync(files.plain, plain('begin'));
  symlinkSync(NODE_MODULES, join(cwd, 'bundled/node_modules'));
  writeFileSync(files.bundled, withHono('begin'));

  const dev = stack.use(running(['dev', 'plain', 'bundled', '--url', 'http://127.0.0.1:0', '--port', '0'], { cwd }));
  const [, url = ''] = await dev.said(/functions at (\S+),/);
  await dev.said(/watching/);
  const connection = new Connection(Number(new URL(url).port), { keepBody: true });
  stack.defer(() => connection.close());
  await connection.opened();
  const times: Record<string, number[]> = {
    'a project of two files': await servedAfter(connection, files.plain, '/plain', plain, saves),
    'one bundled with Hono': await servedAfter(connection, files.bundled, '/bundled', withHono, saves),
  };
  return { text: report(times), data: { options: { saves }, targetMs: TARGET_MS, times } };
}

/** Ms of each save. */
async function servedAfter(
  connection: Connection,
  file: string,
  path: string,
  source: (id: string) => string,
  saves: number,
): Promise<number[]> {
  const times: number[] = [];
  for (let save = 0; save < saves; save++) {
    await scheduler.wait(PAUSE_MS);
    const id = `save ${save}`;
    const savedAt = performance.now();
    writeFileSync(file, source(id));
    for (;;) {
      const { status, body } = await connection.get(path);
      if (status !== 200) throw new Error(`${path} answered ${status} between two saves`);
      if (body === id) break;
      await scheduler.wait(ASK_EVERY_MS);
    }
    times.push(performance.now() - savedAt);
  }
  return times;
}

/** Saves are too few for a p99 that would hold for others: it is told with their number and the worst beside it. */
function report(times: Record<string, number[]>): string {
  const rows = Object.entries(times).map(([name, values]) => [
    name,
    figure(percentile(values, 50), 1),
    figure(percentile(values, 99), 1),
    figure(Math.max(...values), 1),
    String(values.length),
  ]);
  return [
    `From a save to the first answer of the new code, ms, under hearth dev; to be below ${TARGET_MS}.`,
    table(['project', 'p50', 'p99', 'most', 'saves'], rows),
  ].join('\n');
}
