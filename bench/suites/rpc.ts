/** What a call costs: within a module, into the base, back out of it, to a neighbour in the base, to another base. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestGateway } from '../../gateway/testing/gateway.ts';
import { startHearth } from '../peers/hearth.ts';
import { figure, median, percentile, quoted, ratio, table } from '../report.ts';

export interface RpcOptions {
  rounds: number;
  /** Samples of each kind in a round; of calls over the link a tenth. */
  samples: number;
}

/** Calls that a sample of those is the mean of which take less than the clock can tell. */
const CALLS_A_SAMPLE = 1000;
/** Calls over the link are not waited for as often. */
const FAR_SHARE = 0.1;

/** What is called in the first three kinds; too long for a compiler to take it into the loop that calls it. */
const ADD = `(a, b) => {
  if (a < -1) { ${'b = (b * 31 + a) | 0; '.repeat(100)} }
  return a + b;
}`;

/** `time` is the base's own loop: what it calls is the module's function, and nothing else is within it. */
const SETUP = `export default () => {
  let back = (n) => n;
  return {
    add: ${ADD},
    register: (call) => { back = call; },
    time(calls) {
      let sum = 0;
      for (let n = 0; n < calls; n++) sum += back(n, 2);
      return sum;
    },
  };
};`;

const CALLEE = `
import { WorkerEntrypoint } from 'hearth';
export class Methods extends WorkerEntrypoint { add(a, b) { return a + b; } }
export default { fetch: () => new Response("answer") };`;

/** Answers with ns a call, one figure for each sample. What is summed up cannot be left out. */
const CALLER = `
const plain = ${ADD};
const handler = { fetch: () => new Response('answer') };
const sums = {
  plain: (env, calls) => { let sum = 0; for (let n = 0; n < calls; n++) sum += plain(n, 2); return sum; },
  'module to base': (env, calls) => { let sum = 0; for (let n = 0; n < calls; n++) sum += env.BASE.add(n, 2); return sum; },
  'base to module': (env, calls) => env.BASE.time(calls),
};
const calls = {
  handler: (env, request) => handler.fetch(request),
  'module to module': (env, request) => env.CALLEE.fetch(request),
};
async function sumsOf(kind, env, count, perSample) {
  const found = [];
  let sum = 0;
  for (let n = -count / 10; n < count; n++) {
    const begun = performance.now();
    sum += sums[kind](env, perSample);
    const ns = (performance.now() - begun) * 1e6 / perSample;
    if (n >= 0) found.push(Math.round(ns * 100) / 100);
  }
  if (sum < 0) throw new Error('never');
  return found;
}
async function methodsOf(env, count) {
  const found = [];
  for (let n = -count / 10; n < count; n++) {
    const begun = performance.now();
    const sum = await env.METHODS.add(n, 2);
    const ns = (performance.now() - begun) * 1e6;
    if (sum !== n + 2) throw new Error(String(sum));
    if (n >= 0) found.push(Math.round(ns));
  }
  return found;
}
async function callsOf(kind, env, count) {
  if (kind === 'method') return methodsOf(env, count);
  const found = [];
  for (let n = -count / 10; n < count; n++) {
    const begun = performance.now();
    const answer = await (await calls[kind](env, new Request('http://callee/'))).text();
    const ns = (performance.now() - begun) * 1e6;
    if (answer !== 'answer') throw new Error(answer);
    if (n >= 0) found.push(Math.round(ns));
  }
  return found;
}
export default { async fetch(request, env) {
  env.BASE?.register(plain);
  const { searchParams } = new URL(request.url);
  const [kind, count, perSample] = ['kind', 'samples', 'calls'].map((name) => searchParams.get(name));
  return Response.json(await (kind in sums ? sumsOf(kind, env, +count, +perSample) : callsOf(kind, env, +count)));
} };`;

interface Kind {
  name: string;
  caller: string;
  kind: string;
  /** What it is compared with. */
  beside: string;
  /** Of the samples asked for. */
  share: number;
  /** Calls a sample is the mean of. */
  calls: number;
}

const PLAIN = 'plain call of a function';
const HANDLER = 'plain call of a handler, with Request and Response';

const KINDS: Kind[] = [
  { name: PLAIN, caller: 'caller', kind: 'plain', beside: PLAIN, share: 1, calls: CALLS_A_SAMPLE },
  ...['module to base', 'base to module'].map((kind) => ({
    name: `${kind} (env.BASE)`,
    caller: 'caller',
    kind,
    beside: PLAIN,
    share: 1,
    calls: CALLS_A_SAMPLE,
  })),
  { name: HANDLER, caller: 'caller', kind: 'handler', beside: HANDLER, share: 1, calls: 1 },
  ...[
    { name: 'module to module in one group', caller: 'caller', share: 1 },
    { name: 'module to module across bases', caller: 'far-caller', share: FAR_SHARE },
    { name: 'module to module across hosts', caller: 'apart-caller', share: FAR_SHARE },
  ].map((far) => ({ ...far, kind: 'module to module', beside: HANDLER, calls: 1 })),
  ...[
    { name: 'method in one group', caller: 'caller', share: 1 },
    { name: 'method across bases', caller: 'far-caller', share: FAR_SHARE },
  ].map((far) => ({ ...far, kind: 'method', beside: HANDLER, calls: 1 })),
];

interface Found {
  samples: number;
  callsPerSample: number;
  p50Ns: number;
  /** Null where there are too few samples to quote it. */
  p99Ns: number | null;
  /** p50 of each round. */
  rounds: number[];
}

export async function rpc({ rounds, samples }: RpcOptions): Promise<{ text: string; data: unknown }> {
  const dir = await mkdtemp(join(tmpdir(), 'hearth-bench-rpc-'));
  try {
    const setup = join(dir, 'base.mjs');
    await writeFile(setup, SETUP);
    await using hearth = await startHearth({ bases: { default: { setup } } });
    const { gateway } = hearth;
    await deployAll(gateway);
    const found = new Map(KINDS.map(({ name }) => [name, [] as number[][]]));
    for (let round = 0; round < rounds; round++) {
      for (const { name, caller, kind, share, calls } of KINDS) {
        const query = new URLSearchParams({ kind, samples: String(Math.ceil(samples * share)), calls: String(calls) });
        const response = await fetch(`${gateway.url}/${caller}?${query}`);
        if (response.status !== 200) throw new Error(`${name}: ${response.status} ${await response.text()}`);
        found.get(name)?.push((await response.json()) as number[]);
      }
    }
    const kinds = Object.fromEntries(KINDS.map((kind) => [kind.name, summary(found.get(kind.name) ?? [], kind)]));
    return { text: report(rounds, kinds), data: { rounds, samples, kinds } };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function deployAll(gateway: TestGateway): Promise<void> {
  // One request asks for all of a round.
  const alone = { timeoutMs: 120_000 };
  const bind = (service: string) => ({
    services: [
      { binding: 'CALLEE', service },
      { binding: 'METHODS', service, entrypoint: 'Methods' },
    ],
  });
  for (const [prefix, ofCallee, ofCaller] of [
    ['', { group: 'bench' }, { group: 'bench' }],
    ['far-', {}, {}],
    ['apart-', { trustGroup: 'apart' }, {}],
  ] as const) {
    const callee = `${prefix}callee`;
    await gateway.deploy(callee, { 'index.js': CALLEE }, { manifest: { hearth: { ...alone, ...ofCallee } } });
    const manifest = { hearth: { ...alone, ...ofCaller }, ...bind(callee) };
    await gateway.deploy(`${prefix}caller`, { 'index.js': CALLER }, { manifest });
  }
}

function summary(rounds: number[][], { calls }: Kind): Found {
  const all = rounds.flat();
  return {
    samples: all.length,
    callsPerSample: calls,
    p50Ns: median(rounds.map((round) => percentile(round, 50))),
    p99Ns: quoted(percentile(all, 99), 99, all.length),
    rounds: rounds.map((round) => percentile(round, 50)),
  };
}

function report(rounds: number, kinds: Record<string, Found>): string {
  const rows = KINDS.map(({ name, beside }) => {
    const { p50Ns, p99Ns, samples } = kinds[name] as Found;
    return [name, time(p50Ns), time(p99Ns), ratio(p50Ns, kinds[beside]?.p50Ns ?? null), String(samples)];
  });
  return [
    table(['a call', 'p50', 'p99', '÷ plain', 'samples'], rows),
    `p50: median of ${rounds} rounds. Of the first three a sample is the mean of ${CALLS_A_SAMPLE} calls; of the others it is one call, awaited, and its answer read.`,
  ].join('\n');
}

function time(ns: number | null): string {
  if (ns === null) return 'n/a';
  return ns < 1000 ? `${figure(ns, 1)} ns` : `${figure(ns / 1000, 1)} µs`;
}
