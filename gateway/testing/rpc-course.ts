/**
 * Thousands of method calls of every kind at once, while callers give up and bases are ended at random:
 *
 *   drivers ──HTTP, some aborted──► caller ──methods, stubs, callbacks, pipelines──► callee ──► dies now and then
 *
 * A call may fail only for what was done to it. When all is over nothing may be left of it: no slot, no stub, no answer
 * that never came.
 */
import { scheduler } from 'node:timers/promises';
import type { TestGateway } from './gateway.ts';

export interface RpcCourseOptions {
  gateway: TestGateway;
  /** Of the functions; several courses may run on one gateway. */
  name: string;
  /** Of the callee: in another trust group's hosts, in another base, or in the very base of the caller. */
  where: 'hosts' | 'bases' | 'group';
  /** Method calls at least. */
  calls: number;
  /** Under way at once. */
  concurrency: number;
  /** Calls within one request. */
  burst: number;
  /** Of a hundred requests so many are given up by who asked, and in so many the callee's base is ended. */
  abortShare: number;
  killShare: number;
  seed: number;
}

export interface RpcCourseResult {
  calls: number;
  aborted: number;
  killed: number;
  /** Calls that failed for what was done to them. */
  explained: Record<string, number>;
  /** Answers that were wrong, and errors that nothing explains. */
  unexplained: string[];
  /** Slots that are still taken. */
  inFlight: number;
  /** Of the callee's bases that are still there: objects it gave and was never told are not held any more. */
  held: number;
  /** In use in the callee's base after the course, what waits for the collector included. */
  heapBytes: number;
}

const CALLEE = `
import { RpcTarget, WorkerEntrypoint } from 'hearth';
const counts = { made: 0, disposed: 0 };
class Counter extends RpcTarget {
  #n;
  constructor(n) { super(); this.#n = n; counts.made++; }
  up(by) { this.#n += by; return this.#n; }
  next() { return new Counter(this.#n + 1); }
  get n() { return this.#n; }
  [Symbol.dispose]() { counts.disposed++; }
}
export default class extends WorkerEntrypoint {
  fetch() { return Response.json({ ...counts, heap: process.memoryUsage().heapUsed }); }
  add(a, b) { return a + b; }
  async echo(value) { await null; return value; }
  counter(n) { return new Counter(n); }
  async each(list, back) { let sum = 0; for (const n of list) sum += await back(n); return sum; }
  slow(ms) { return new Promise((resolve) => setTimeout(resolve, ms)); }
  fail(what) { throw new RangeError(what); }
  text(n) { return new Response('x'.repeat(n)); }
  later() { this.ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 1))); return 'now'; }
  exit() { process.exit(1); }
}`;

const CALLER = `
const same = (got, wanted) => { if (got !== wanted) throw new Error('wrong: ' + String(got).slice(0, 100) + ' for ' + wanted); };
const KINDS = [
  async (env, n) => same(await env.CALLEE.add(n, 1), n + 1),
  async (env, n) => same((await env.CALLEE.echo({ n, list: [n, { n }], text: 'x'.repeat(n % 3000) })).list[1].n, n),
  async (env, n) => { using counter = await env.CALLEE.counter(n); same(await counter.up(2), n + 2); same(await counter.n, n + 2); },
  async (env, n) => same(await env.CALLEE.counter(n).next().up(1), n + 2),
  async (env, n) => { let sum = 0; same(await env.CALLEE.each([n, 1, 2], (each) => { sum += each; return each; }), sum); },
  async (env, n) => { try { await env.CALLEE.fail('by ' + n); } catch (error) { if (error.name !== 'RangeError') throw error; same(error.message, 'by ' + n); return; } throw new Error('wrong: it did not fail'); },
  async (env, n) => same((await (await env.CALLEE.text(n % 100_000)).text()).length, n % 100_000),
  async (env, n) => same(await env.CALLEE.later(), 'now'),
  async (env, n) => { const counter = await env.CALLEE.counter(n); same(await counter.up(1), n + 1); },
  async (env, n) => { await env.CALLEE.slow(n % 5); },
  async (env, n) => { env.CALLEE.add(n, 1).catch(() => undefined); const first = env.CALLEE.counter(n); const [a, b] = await Promise.all([first.up(1), env.CALLEE.add(n, n)]); same(a, n + 1); same(b, 2 * n); },
];
export default { async fetch(request, env, ctx) {
  const { searchParams } = new URL(request.url);
  const [from, count, kill] = ['from', 'count', 'kill'].map((name) => +searchParams.get(name));
  const failed = {};
  let made = 0;
  let begunAt = 0;
  let ticks = 0;
  const loop = setInterval(() => ticks++, 100);
  ctx.signal.addEventListener('abort', () => {
    clearInterval(loop);
    if (ctx.signal.reason?.name === 'TimeoutError') console.error('given up in call ' + made + ', kind ' + (from + made - 1) % KINDS.length + ', after ' + Math.round(performance.now() - begunAt) + ' ms and ' + ticks + ' ticks of 100 ms');
  });
  if (kill) await env.CALLEE.exit().catch(() => undefined);
  else for (let n = from; n < from + count; n++) {
    made++;
    begunAt = performance.now();
    ticks = 0;
    try {
      await KINDS[n % KINDS.length](env, n);
    } catch (error) {
      const what = (error?.code ?? error?.name) + ': ' + String(error?.message).slice(0, 200);
      failed[what] = (failed[what] ?? 0) + 1;
      // While no base comes up each call waits for one.
      break;
    }
  }
  clearInterval(loop);
  return Response.json({ made, failed });
} };`;

/** What a base that ends, or a caller that goes, does to calls under way. */
const EXPECTED = /^(FUNCTION_CRASHED|NO_CAPACITY|OVERLOADED|CANCELLED|AbortError)/;
/** Far above what a request takes on a starved machine, where a call across bases may take a second. */
const GIVE_UP_MS = 90_000;

export async function callAndKill(options: RpcCourseOptions): Promise<RpcCourseResult> {
  const { gateway, name, calls, concurrency, burst, abortShare, killShare } = options;
  const random = randomOf(options.seed);
  await deploy(options);
  const found: RpcCourseResult = {
    calls: 0,
    aborted: 0,
    killed: 0,
    explained: {},
    unexplained: [],
    inFlight: 0,
    held: 0,
    heapBytes: 0,
  };
  let from = 0;
  // Where all of them fail there is no end to be reached. While a base is booted again many fail at once.
  const mostFrom = 40 * calls + 100 * burst;
  const drive = async () => {
    while (found.calls < calls && from < mostFrom) {
      const kill = random() * 100 < killShare;
      const abort = !kill && random() * 100 < abortShare;
      const query = new URLSearchParams({ from: String(from), count: String(burst), kill: kill ? '1' : '0' });
      from += burst;
      const going = new AbortController();
      const late = AbortSignal.timeout(GIVE_UP_MS + 10_000);
      if (abort) setTimeout(() => going.abort(), random() * 20);
      if (kill) found.killed++;
      try {
        const response = await fetch(`${gateway.url}/${name}-caller?${query}`, {
          signal: AbortSignal.any([going.signal, late]),
        });
        const text = await response.text();
        if (response.status !== 200) {
          // In a group the caller stands in the base that was ended.
          const code = (JSON.parse(text) as { code?: string }).code ?? '';
          note(found, `${code}: ${text}`, 1);
          continue;
        }
        const { made, failed } = JSON.parse(text) as { made: number; failed: Record<string, number> };
        found.calls += made;
        for (const [what, times] of Object.entries(failed)) note(found, what, times);
      } catch (error) {
        if (going.signal.aborted) {
          found.aborted++;
          found.calls += burst / 2;
        } else if (late.aborted) found.unexplained.push('a request that was never answered');
        else throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, drive));
  if (found.calls < calls) found.unexplained.push(`only ${found.calls} calls came through`);
  const names = [`${name}-caller`, `${name}-callee`];
  found.inFlight = await settled(() => slots(gateway, names));
  const state = async () => {
    const response = await fetch(`${gateway.url}/${name}-callee`);
    return (await response.json()) as { made: number; disposed: number; heap: number };
  };
  if (options.where !== 'group') {
    found.held = await settled(async () => {
      const { made, disposed } = await state();
      return made - disposed;
    });
  }
  found.heapBytes = (await state()).heap;
  return found;
}

function note(found: RpcCourseResult, what: string, times: number): void {
  const mayFail = found.killed > 0 && EXPECTED.exec(what)?.[1];
  if (mayFail) found.explained[mayFail] = (found.explained[mayFail] ?? 0) + times;
  else if (found.unexplained.length < 20) found.unexplained.push(what);
}

async function deploy({ gateway, name, where }: RpcCourseOptions): Promise<void> {
  const shared = where === 'group' ? { group: name } : {};
  const apart = where === 'hosts' ? { trustGroup: `${name}-apart` } : {};
  // One base each, so that what it counts is all there is. A request holds a slot of the callee for each stub and each
  // result passed through that it has not disposed of, until it ends: with too few slots they would wait for each other.
  const settings = { maxInstances: 1, concurrency: 1000, timeoutMs: GIVE_UP_MS };
  await gateway.deploy(
    `${name}-callee`,
    { 'index.ts': CALLEE },
    { manifest: { hearth: { ...settings, ...shared, ...apart } } },
  );
  if (where === 'hosts') {
    const callee = `${name}-callee`;
    const { status, body } = await gateway.api('PUT', `/v1/publications/${callee}`, {
      function: callee,
      rpc: 'methods',
    });
    if (status >= 300) throw new Error(JSON.stringify(body));
  }
  await gateway.deploy(
    `${name}-caller`,
    { 'index.ts': CALLER },
    {
      manifest: {
        hearth: { ...settings, ...shared },
        services: [{ binding: 'CALLEE', service: `${name}-callee` }],
      },
    },
  );
}

/** Calls under way in the bases of these functions. */
async function slots(gateway: TestGateway, names: string[]): Promise<number> {
  const { body } = await gateway.api<{ hosts: { bases: { function: string | null; inFlight: number }[] }[] }>(
    'GET',
    '/v1/pool',
  );
  const bases = body.hosts.flatMap((host) => host.bases).filter((base) => names.includes(base.function ?? ''));
  return bases.reduce((sum, base) => sum + base.inFlight, 0);
}

/** Looks until there is nothing, or for so long that it will stay. */
async function settled(look: () => Promise<number>): Promise<number> {
  const giveUpAt = performance.now() + GIVE_UP_MS;
  for (;;) {
    const left = await look();
    if (left === 0 || performance.now() > giveUpAt) return left;
    await scheduler.wait(50);
  }
}

function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
