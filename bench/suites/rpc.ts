/** What a call costs: within a module, into the base, back out of it, to a neighbour in the base, to another base. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHearth } from '../peers/hearth.ts';
import { figure, table } from '../report.ts';

export interface RpcOptions {
  rounds: number;
  /** Calls of one measurement, each awaited before the next. */
  calls: number;
}

const SETUP = `export default () => {
  let back = () => 0;
  return { add: (a, b) => a + b, register: (call) => { back = call; }, ask: (n) => back(n) };
};`;

const CALLEE = 'export default { fetch: () => new Response("answer") };';

/** Each kind is called so often in a row by one request; the answer is µs a call. */
const CALLER = `
const plain = (a, b) => a + b;
const handler = { fetch: () => new Response('answer') };
const kinds = {
  plain: () => plain(1, 2),
  'plain handler': async () => handler.fetch(new Request('http://callee/')),
  'module to base': (env) => env.BASE.add(1, 2),
  'base to module': (env) => env.BASE.ask(1),
  'module to module': (env) => env.CALLEE.fetch(new Request('http://callee/')),
};
export default { async fetch(request, env) {
  env.BASE.register((n) => n + 1);
  const { searchParams } = new URL(request.url);
  const kind = kinds[searchParams.get('kind')];
  const calls = Number(searchParams.get('calls'));
  for (let n = 0; n < calls / 10; n++) await kind(env);
  const begun = performance.now();
  for (let n = 0; n < calls; n++) await kind(env);
  return Response.json((performance.now() - begun) * 1000 / calls);
} };`;

interface Kind {
  name: string;
  caller: string;
  kind: string;
  /** Of the calls asked for: a link is not waited for a hundred thousand times. */
  share: number;
}

const KINDS: Kind[] = [
  { name: 'a function of the module', caller: 'caller', kind: 'plain', share: 1 },
  { name: 'a handler of the module, with Request and Response', caller: 'caller', kind: 'plain handler', share: 1 },
  { name: 'module to base (env.BASE.add)', caller: 'caller', kind: 'module to base', share: 1 },
  { name: 'base to module (what it handed over)', caller: 'caller', kind: 'base to module', share: 1 },
  { name: 'module to module in one base (env.OTHER.fetch)', caller: 'caller', kind: 'module to module', share: 1 },
  { name: 'module to module over the link', caller: 'far-caller', kind: 'module to module', share: 0.1 },
];

export async function rpc({ rounds, calls }: RpcOptions): Promise<{ text: string; data: unknown }> {
  const dir = await mkdtemp(join(tmpdir(), 'hearth-bench-rpc-'));
  try {
    const setup = join(dir, 'base.mjs');
    await writeFile(setup, SETUP);
    await using hearth = await startHearth({ bases: { default: { setup } } });
    const { gateway } = hearth;
    const grouped = { hearth: { group: 'bench', timeoutMs: 120_000 } };
    const alone = { hearth: { timeoutMs: 120_000 } };
    const bind = (service: string) => ({ services: [{ binding: 'CALLEE', service }] });
    await gateway.deploy('callee', { 'index.js': CALLEE }, { manifest: grouped });
    await gateway.deploy('caller', { 'index.js': CALLER }, { manifest: { ...grouped, ...bind('callee') } });
    await gateway.deploy('far-callee', { 'index.js': CALLEE }, { manifest: alone });
    await gateway.deploy('far-caller', { 'index.js': CALLER }, { manifest: { ...alone, ...bind('far-callee') } });
    const found = new Map(KINDS.map(({ name }) => [name, [] as number[]]));
    for (let round = 0; round < rounds; round++) {
      for (const { name, caller, kind, share } of KINDS) {
        const query = new URLSearchParams({ kind, calls: String(Math.ceil(calls * share)) });
        const response = await fetch(`${gateway.url}/${caller}?${query}`);
        if (response.status !== 200) throw new Error(`${name}: ${response.status} ${await response.text()}`);
        found.get(name)?.push((await response.json()) as number);
      }
    }
    const medians = [...found].map(([name, values]) => [name, figure(median(values), 2)]);
    const text = [
      table(['a call, awaited', 'µs'], medians),
      `Median of ${rounds} rounds, ${calls} calls one after another within one request, of calls over the link a tenth.`,
    ].join('\n');
    return { text, data: { rounds, calls, us: Object.fromEntries(found) } };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
