/** Methods of functions, called by functions: within a group, across bases and across trust groups, over real gateways. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

const LIMIT = { timeout: 120_000 };

const CALLEE = `
import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers';
class Counter extends RpcTarget {
  #count = 0;
  secret = 'of the instance';
  constructor(count) { super(); this.#count = count; }
  get count() { return this.#count; }
  add(by) { this.#count += by; return this.#count; }
  map(call) { return call(this.#count); }
  self() { return this; }
}
class PaymentError extends Error { name = 'PaymentError'; }
export default class extends WorkerEntrypoint {
  fetch(request) { return new Response('fetched ' + new URL(request.url).pathname); }
  scheduled() {}
  get motto() { return 'kept short'; }
  add(a, b) { return a + b; }
  echo(value) { return value; }
  async describe(value) {
    return { type: Object.prototype.toString.call(value), keys: value instanceof Map ? [...value.keys()] : Object.keys(value ?? {}) };
  }
  counter(count = 0) { return new Counter(count); }
  nested() { return { deep: { counter: new Counter(7) }, list: [1, 2, 3] }; }
  async apply(call, ...args) { return (await call(...args)) * 2; }
  adder(by) { return (n) => n + by; }
  fail(kind) {
    if (kind === 'own') throw Object.assign(new PaymentError('no money'), { code: 402, cause: new RangeError('empty') });
    if (kind === 'text') throw 'just a text';
    throw new TypeError('of the language');
  }
  async bytesOf(stream) { let n = 0; for await (const chunk of stream) n += chunk.length; return n; }
  stream(parts) { return ReadableStream.from(parts.map((part) => new TextEncoder().encode(part))); }
  async respond(request) {
    return new Response('to ' + request.method + ' ' + (await request.text()), { status: 201, headers: { 'x-from': 'callee' } });
  }
  cycle() { const a = { name: 'a', at: new Date(5) }; a.self = a; a.list = [a, new Map([['a', a]])]; return a; }
  where() { return { props: this.ctx.props, id: this.ctx.invocationId }; }
  forever() { return new Promise(() => undefined); }
  _underscored() { return 'callable, as in Workers'; }
  #hidden() { return 'never'; }
  instance = () => 'never';
}
export class Admin extends WorkerEntrypoint {
  who() { return { who: 'admin', props: this.ctx.props }; }
}`;

/** Evaluates what the query says, with what it is given. */
const CALLER = `
import { RpcTarget, WorkerEntrypoint } from 'cloudflare:workers';
class Listener extends RpcTarget { heard = []; hear(what) { this.heard.push(what); return this.heard.length; } list() { return this.heard; } }
const CASES = {
  add: (env) => env.CALLEE.add(2, 3),
  fetch: async (env) => (await env.CALLEE.fetch('http://callee/path')).text(),
  property: (env) => env.CALLEE.motto,
  values: async (env) => {
    const sent = {
      map: new Map([['k', new Set([1n, 'two', undefined])]]), date: new Date(0), regexp: /a.b/gi,
      bytes: new Uint8Array([1, 2, 3]), floats: new Float64Array([1.5, -2]), half: new Float16Array([0.5]), buffer: new ArrayBuffer(2),
      none: null, nothing: undefined, nan: NaN, inf: -Infinity, big: 2n ** 70n, url: new URL('http://a.test/b?c'),
      error: new RangeError('far'), odd: { constructor: 'Lotus', toString: 1 }, list: [[], [[1]]], '\\u0000hearth': 'map',
    };
    const back = await env.CALLEE.echo(sent);
    const { error, ...rest } = back;
    const { error: was, ...own } = sent;
    delete rest[Symbol.dispose];
    const util = (await import('node:util')).default;
    return {
      same: util.isDeepStrictEqual(rest, own), error: [error instanceof RangeError, error.name, error.message],
      plainBytes: back.bytes.constructor === Uint8Array, ownBuffer: back.bytes.buffer.byteLength,
    };
  },
  cycle: async (env) => {
    const a = await env.CALLEE.cycle();
    const echoed = await env.CALLEE.echo(a);
    return [a.self === a, a.list[0] === a, a.list[1].get('a') === a, a.at.getTime(), echoed.self === echoed, echoed === a];
  },
  shared: async (env) => { const one = {}; const [a, b] = await env.CALLEE.echo([one, one]); return a === b; },
  deep: async (env) => {
    let deep = null;
    for (let i = 0; i < 5000; i++) deep = { deep };
    let back = await env.CALLEE.echo(deep);
    let levels = 0;
    for (; back !== null; back = back.deep) levels++;
    return levels;
  },
  target: async (env) => {
    using counter = await env.CALLEE.counter(5);
    const first = await counter.add(2);
    return [first, await counter.add(1), await counter.count, await counter.map((n) => n * 10)];
  },
  secret: async (env) => { using counter = await env.CALLEE.counter(5); return await counter.secret; },
  pipeline: async (env) => [await env.CALLEE.counter(1).self().add(41), await env.CALLEE.nested().deep.counter.add(1), await env.CALLEE.nested().list],
  late: async (env) => {
    const found = [];
    for (let turns = 0; turns < 30; turns++) {
      const result = env.CALLEE.echo({ deep: { turns } });
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      found.push(await result.deep.turns, await result.deep.nope().then(() => 'called', (error) => error.name));
    }
    return found.every((value, i) => value === (i % 2 === 0 ? i / 2 : 'TypeError'));
  },
  nested: async (env) => { const { deep, list } = await env.CALLEE.nested(); return [await deep.counter.add(1), list]; },
  callback: (env) => env.CALLEE.apply((a, b) => a * b, 3, 7),
  returned: async (env) => { using add = await env.CALLEE.adder(10); return [await add(1), await add(2)]; },
  listener: async (env) => { const l = new Listener(); return env.CALLEE.apply((...x) => l.hear(x), 1); },
  dup: async (env) => { const one = await env.CALLEE.counter(1); const two = one.dup?.() ?? one; one[Symbol.dispose](); return two.add(1); },
  disposed: async (env) => { const one = await env.CALLEE.counter(1); one[Symbol.dispose](); return one.add(1); },
  ownError: (env) => env.CALLEE.fail('own'),
  languageError: (env) => env.CALLEE.fail(),
  textError: async (env) => { try { await env.CALLEE.fail('text'); } catch (thrown) { return { thrown }; } },
  upload: (env) => env.CALLEE.bytesOf(new Response('x'.repeat(300_000)).body),
  download: async (env) => new Response(await env.CALLEE.stream(['a', 'b', 'c'])).text(),
  http: async (env) => {
    const response = await env.CALLEE.respond(new Request('http://x/', { method: 'POST', body: 'a body' }));
    return [response.status, response.headers.get('x-from'), await response.text()];
  },
  passed: async (env, request) => (await env.CALLEE.respond(request)).text(),
  props: (env) => env.ADMIN.who(),
  named: (env) => env.ADMIN.add(1, 2),
  missing: (env) => env.CALLEE.nope(),
  constructor_: (env) => env.CALLEE.constructor.name,
  lifecycle: (env) => env.CALLEE.scheduled(),
  instance: (env) => env.CALLEE.instance(),
  hidden: (env) => env.CALLEE['#hidden'](),
  underscored: (env) => env.CALLEE._underscored(),
  symbol: (env) => env.CALLEE.echo(Symbol('x')),
  instanceOfClass: (env) => env.CALLEE.echo(new (class Money {})()),
  json: (env) => JSON.stringify(env.CALLEE),
  awaited: async (env) => { const it = await env.CALLEE; return it === env.CALLEE; },
  unawaited: async (env, request, ctx) => { env.CALLEE.add(1, 2); return 'went on'; },
  many: async (env) => (await Promise.all(Array.from({ length: 200 }, (_, i) => env.CALLEE.add(i, 1)))).reduce((a, b) => a + b),
  forever: (env) => env.CALLEE.forever(),
};
export default { async fetch(request, env, ctx) {
  const name = new URL(request.url).pathname.slice(1);
  try {
    return Response.json({ value: (await CASES[name](env, request, ctx)) ?? null });
  } catch (thrown) {
    const { name, message, code, stack, cause } = thrown;
    return Response.json({ thrown: { name, message, code, typeError: thrown instanceof TypeError, stack: String(stack), cause: cause && cause.name + ': ' + cause.message } });
  }
} };`;

let gateway: TestGateway;

/** The same questions, whatever lies between the two. */
const PAIRS = [
  { pair: 'in one group', caller: 'near-caller', callee: 'near-callee', hearth: { group: 'shop' } },
  { pair: 'across bases', caller: 'far-caller', callee: 'far-callee', hearth: {} },
];

before(async () => {
  gateway = await startGateway();
  for (const { caller, callee, hearth } of PAIRS) {
    await gateway.deploy(callee, { 'index.ts': CALLEE }, { manifest: { hearth: { ...hearth, timeoutMs: 20_000 } } });
    const services = [
      { binding: 'CALLEE', service: callee },
      { binding: 'ADMIN', service: callee, entrypoint: 'Admin', props: { tier: 1 } },
    ];
    await gateway.deploy(caller, { 'index.ts': CALLER }, { manifest: { services, hearth } });
  }
}, LIMIT);
after(() => gateway?.[Symbol.asyncDispose]());

interface Outcome {
  value?: unknown;
  thrown?: { name: string; message: string; code?: unknown; typeError: boolean; stack: string; cause?: string };
}

async function ask(caller: string, what: string, init?: RequestInit): Promise<Outcome> {
  const response = await fetch(`${gateway.url}/${caller}/${what}`, init);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text) as Outcome;
}

for (const { pair, caller } of PAIRS) {
  const value = async (what: string, init?: RequestInit) => {
    const { value: found, thrown } = await ask(caller, what, init);
    assert.equal(thrown, undefined, `${what}: ${JSON.stringify(thrown)}`);
    return found;
  };
  const thrown = async (what: string) => {
    const outcome = await ask(caller, what);
    assert.ok(outcome.thrown, `${what} gave ${JSON.stringify(outcome.value)}`);
    return outcome.thrown;
  };

  test(`${pair}: methods, properties and fetch of an entrypoint`, LIMIT, async () => {
    assert.equal(await value('add'), 5);
    assert.equal(await value('fetch'), 'fetched /path');
    assert.equal(await value('property'), 'kept short');
    assert.deepEqual(await value('props'), { who: 'admin', props: { tier: 1 } });
    assert.equal(await value('underscored'), 'callable, as in Workers');
    assert.equal(await value('many'), 20_100);
    assert.equal(await value('unawaited'), 'went on');
  });

  test(`${pair}: whatever structured clone takes arrives as it was`, LIMIT, async () => {
    assert.deepEqual(await value('values'), {
      same: true,
      error: [true, 'RangeError', 'far'],
      plainBytes: true,
      ownBuffer: 3,
    });
    const near = caller === 'near-caller';
    assert.deepEqual(await value('cycle'), [true, true, true, 5, true, near]);
    assert.equal(await value('shared'), true);
    assert.equal(await value('deep'), 5000);
  });

  test(
    `${pair}: targets and functions are called where they are, and results before they have come`,
    LIMIT,
    async () => {
      assert.deepEqual(await value('target'), [7, 8, 8, 80]);
      assert.deepEqual(await value('pipeline'), [42, 8, [1, 2, 3]]);
      assert.equal(await value('late'), true);
      assert.deepEqual(await value('nested'), [8, [1, 2, 3]]);
      assert.equal(await value('callback'), 42);
      assert.deepEqual(await value('returned'), [11, 12]);
      assert.equal(await value('listener'), 2);
      assert.equal(await value('dup'), 2);
    },
  );

  test(`${pair}: requests, responses and streams`, LIMIT, async () => {
    assert.equal(await value('upload'), 300_000);
    assert.equal(await value('download'), 'abc');
    assert.deepEqual(await value('http'), [201, 'callee', 'to POST a body']);
    assert.equal(await value('passed', { method: 'POST', body: 'the caller got this' }), 'to POST the caller got this');
  });

  test(`${pair}: what is thrown comes with its class and message`, LIMIT, async () => {
    const own = await thrown('ownError');
    assert.deepEqual(
      [own.name, own.message, own.code, own.cause],
      ['PaymentError', 'no money', 402, 'RangeError: empty'],
    );
    const language = await thrown('languageError');
    assert.deepEqual([language.name, language.message, language.typeError], ['TypeError', 'of the language', true]);
    assert.deepEqual(await value('textError'), { thrown: 'just a text' });
  });

  test(`${pair}: what is not to be called is not`, LIMIT, async () => {
    for (const what of ['missing', 'named', 'lifecycle', 'instance', 'hidden']) {
      const { name, message } = await thrown(what);
      assert.match(
        `${name}: ${message}`,
        /TypeError: (The RPC receiver does not implement|".*" is (reserved|a property))/,
        what,
      );
    }
    assert.equal(await value('constructor_'), 'Object');
    assert.equal(await value('json'), '{}');
    assert.equal(await value('awaited'), true);
  });
}

test(
  'across bases no stack is told, private fields are not reached, and what cannot travel is named',
  LIMIT,
  async () => {
    const { stack } = (await ask('far-caller', 'ownError')).thrown ?? assert.fail();
    assert.equal(stack, 'PaymentError: no money');
    assert.match((await ask('far-caller', 'secret')).thrown?.message ?? '', /stays private/);
    assert.match((await ask('far-caller', 'symbol')).thrown?.message ?? '', /^A symbol cannot be sent/);
    assert.match(
      (await ask('far-caller', 'instanceOfClass')).thrown?.message ?? '',
      /An object of class .* cannot be sent/,
    );
    assert.match((await ask('far-caller', 'disposed')).thrown?.message ?? '', /disposed/);
  },
);
