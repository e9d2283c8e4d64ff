/** Where calls of methods end: other trust groups, loops, deadlines, callers and callees that go, peers that lie. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

const LIMIT = { timeout: 120_000 };

const WORKER = `
import { RpcTarget, WorkerEntrypoint } from 'hearth';
class Held extends RpcTarget {
  #env; #signal; #id;
  constructor(env, ctx) { super(); this.#env = env; ctx.signal.addEventListener('abort', () => env.BASE_LOG?.()); this.#id = ctx.invocationId; }
  get id() { return this.#id; }
  ping() { return 'pong'; }
  [Symbol.dispose]() { console.log('disposed ' + this.#id); }
}
export default class extends WorkerEntrypoint {
  fetch() { return new Response('http'); }
  add(a, b) { return a + b; }
  hold() { return new Held(this.env, this.ctx); }
  async forever(mark) {
    this.ctx.signal.addEventListener('abort', () => console.log('aborted ' + mark + ': ' + this.ctx.signal.reason.name));
    console.log('began ' + mark);
    await new Promise((resolve) => this.ctx.signal.addEventListener('abort', resolve));
  }
  async callBackThenForever(back) { await back(); await new Promise(() => undefined); }
  exit() { process.exit(1); }
  async trace() { return { traceparent: this.env.TRACE, id: this.ctx.invocationId }; }
  again(n) { return this.env.SELF === undefined ? n : this.env.SELF.again(n + 1); }
  log(text) { console.log(text); }
  later(ms) { this.ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, ms)).then(() => console.log('went on afterwards'))); return 'now'; }
}
export class Admin extends WorkerEntrypoint { who() { return 'admin'; } }`;

const CALLER = `
let kept;
const CASES = {
  add: (env) => env.CALLEE.add(1, 2),
  http: async (env) => (await env.CALLEE.fetch('http://callee/')).status,
  admin: (env) => env.ADMIN.who(),
  loop: (env) => env.LOOP.again(0),
  slow: (env) => env.SLOW.forever('by its own time'),
  slowBack: (env) => env.SLOW.callBackThenForever(() => undefined),
  exit: (env) => env.CALLEE.exit(),
  held: async (env) => { const held = await env.CALLEE.hold(); await env.CALLEE.exit().catch(() => undefined); return held.ping(); },
  forever: (env) => env.CALLEE.forever('by its caller'),
  keep: async (env) => { kept = await env.CALLEE.hold(); return kept.id; },
  use: () => kept.ping(),
  later: (env) => env.CALLEE.later(50),
  background: async (env, ctx) => { ctx.waitUntil(env.CALLEE.log('from the background')); return 'now'; },
  aborted: async (env, ctx) => { await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve)); },
};
export default { async fetch(request, env, ctx) {
  const name = new URL(request.url).pathname.slice(1);
  try {
    return Response.json({ value: (await CASES[name](env, ctx)) ?? null });
  } catch ({ name, message, code }) {
    return Response.json({ thrown: { name, message, code } });
  }
} };`;

let gateway: TestGateway;

const services = [
  { binding: 'CALLEE', service: 'callee' },
  { binding: 'ADMIN', service: 'callee', entrypoint: 'Admin' },
  { binding: 'LOOP', service: 'loop' },
  { binding: 'SLOW', service: 'slow' },
];

before(async () => {
  gateway = await startGateway();
  await gateway.deploy('callee', { 'index.ts': WORKER });
  await gateway.deploy('slow', { 'index.ts': WORKER }, { manifest: { hearth: { timeoutMs: 2_000 } } });
  const self = { services: [{ binding: 'SELF', service: 'loop' }] };
  await gateway.deploy('loop', { 'index.ts': WORKER }, { manifest: self });
  const inGroup = { services: [{ binding: 'SELF', service: 'group-loop' }], hearth: { group: 'ring' } };
  await gateway.deploy('group-loop', { 'index.ts': WORKER }, { manifest: inGroup });
  await gateway.deploy('caller', { 'index.ts': CALLER }, { manifest: { services } });
  await gateway.deploy('stranger', { 'index.ts': CALLER }, { manifest: { services, hearth: { trustGroup: 'apart' } } });
}, LIMIT);
after(() => gateway?.[Symbol.asyncDispose]());

interface Outcome {
  value?: unknown;
  thrown?: { name: string; message: string; code?: string };
}

async function ask(caller: string, what: string, signal: AbortSignal | null = null): Promise<Outcome> {
  const response = await fetch(`${gateway.url}/${caller}/${what}`, { signal });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text) as Outcome;
}

async function code(caller: string, what: string): Promise<string | undefined> {
  const { thrown, value } = await ask(caller, what);
  assert.ok(thrown, `${what} gave ${JSON.stringify(value)}`);
  return thrown.code;
}

/** Calls under way in the bases of a function. */
async function inFlight(name: string): Promise<number> {
  const { body } = await gateway.api<{ hosts: { bases: { function: string | null; inFlight: number }[] }[] }>(
    'GET',
    '/v1/pool',
  );
  const bases = body.hosts.flatMap((host) => host.bases).filter((base) => base.function === name);
  return bases.reduce((sum, base) => sum + base.inFlight, 0);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
}

test('another trust group calls methods where a publication says so, and no other class of it', LIMIT, async () => {
  assert.equal(await code('stranger', 'add'), 'FORBIDDEN', 'published by its manifest: for fetch');
  assert.equal(await code('stranger', 'admin'), 'FORBIDDEN');
  assert.equal((await ask('caller', 'admin')).value, 'admin');
  const publish = (body: object | null) =>
    gateway.api(body === null ? 'DELETE' : 'PUT', '/v1/publications/callee', body ?? undefined);
  for (const rpc of [false, true]) {
    assert.equal((await publish({ function: 'callee', rpc })).status < 300, true);
    assert.equal(await code('stranger', 'add'), 'FORBIDDEN');
    const { value, thrown } = await ask('stranger', 'http');
    assert.deepEqual([value, thrown?.code], rpc ? [200, undefined] : [undefined, 'FORBIDDEN']);
  }
  assert.equal((await publish({ function: 'callee', rpc: 'methods' })).status < 300, true);
  assert.equal((await ask('stranger', 'add')).value, 3);
  assert.equal(await code('stranger', 'admin'), 'FORBIDDEN');
  assert.equal((await ask('caller', 'add')).value, 3);
  await publish(null);
  assert.equal(await code('stranger', 'add'), 'FORBIDDEN');
  assert.equal((await publish({ function: 'callee' })).status < 300, true);
  assert.equal(await code('stranger', 'add'), 'FORBIDDEN');
});

test('sixteen hops are enough, over the link and within a group', LIMIT, async () => {
  const { thrown } = await ask('caller', 'loop');
  assert.match(thrown?.message ?? '', /[Hh]op|through 16 functions/);
  for (const name of ['loop', 'group-loop']) {
    const answer = await gateway.api<{ detail: string }>('POST', `/v1/functions/${name}/invoke`, {
      trigger: 'rpc',
      method: 'again',
      args: [0],
    });
    assert.equal(answer.status, 500);
    assert.match(answer.body.detail, /[Hh]op|through 16 functions/, name);
  }
});

test('the callee has its own time, whether or not it has said anything before', LIMIT, async () => {
  const codes = await Promise.all([code('caller', 'slow'), code('caller', 'slowBack')]);
  assert.deepEqual(codes, ['FUNCTION_TIMEOUT', 'FUNCTION_TIMEOUT']);
  await until(async () => (await inFlight('slow')) === 0);
});

test('a base that dies ends its calls and what is held of it', LIMIT, async () => {
  assert.equal(await code('caller', 'exit'), 'FUNCTION_CRASHED');
  const { thrown } = await ask('caller', 'held');
  assert.equal(thrown?.code, 'FUNCTION_CRASHED');
  assert.equal((await ask('caller', 'add')).value, 3);
});

test('a caller that goes takes its calls along', LIMIT, async () => {
  const going = new AbortController();
  const asked = ask('caller', 'forever', going.signal);
  await gateway.said('began by its caller');
  going.abort();
  await assert.rejects(asked);
  await gateway.said('aborted by its caller: AbortError');
  await until(async () => (await inFlight('callee')) === 0);
});

test('stubs end with the invocation that holds them, and the slot with it', LIMIT, async () => {
  const { value } = await ask('caller', 'keep');
  assert.equal(typeof value, 'string');
  await until(async () => (await inFlight('callee')) === 0);
  await gateway.said(`disposed ${value}`);
  const { thrown } = await ask('caller', 'use');
  assert.match(thrown?.message ?? '', /has ended/);
});

test('waitUntil goes on behind an answer, on either side', LIMIT, async () => {
  assert.equal((await ask('caller', 'later')).value, 'now');
  await gateway.said('went on afterwards');
  assert.equal((await ask('caller', 'background')).value, 'now');
  await gateway.said('from the background');
});

test('each call is an invocation of its own, one hop on in the same trace', LIMIT, async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const { body } = await gateway.api<{ invocationId: string }>(
    'POST',
    '/v1/functions/caller/invoke',
    { trigger: 'http', path: '/keep' },
    { traceparent },
  );
  const outcome = body as unknown as { body: string };
  const { value } = JSON.parse(outcome.body) as { value: string };
  const called = await gateway.api<{ trigger: string; traceId: string; function: string }>(
    'GET',
    `/v1/invocations/${value}`,
  );
  assert.deepEqual([called.body.trigger, called.body.traceId], ['rpc', traceparent.slice(3, 35)]);
});
