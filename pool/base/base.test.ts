import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LoadedHead, LogLine } from '../../functions/contract/invocation.ts';
import { concat } from './body.ts';
import { TestBase } from './testing/harness.ts';

const HELLO = 'module.exports = { fetch: (request) => new Response("hi " + new URL(request.url).pathname) }';

test('a loaded module answers a request, and the load says when each step ended', async () => {
  await using base = await TestBase.start();
  const { head: loaded } = await base.load(HELLO);
  assert.deepEqual(loaded.handlers, ['fetch']);
  assert.ok(loaded.receivedAt <= loaded.compiledAt && loaded.compiledAt <= loaded.evaluatedAt);
  const { head, text } = await base.http('/there').whole();
  assert.equal(head.status, 200);
  assert.equal(text, 'hi /there');
  assert.ok(head.calledAt >= loaded.evaluatedAt);
});

test('an invocation that is sent along with the load waits for it', async () => {
  await using base = await TestBase.start();
  const load = base.startLoad(HELLO);
  const call = base.http('/first');
  await load.whole();
  assert.equal((await call.whole()).text, 'hi /first');
});

test('code and code cache larger than a frame arrive whole, and V8 takes the cache', async () => {
  await using base = await TestBase.start();
  const code = `${HELLO}\n// ${'x'.repeat(300_000)}`;
  const first = await base.load(code, { wantCodeCache: true });
  assert.equal(first.head.cacheUsed, false);
  assert.ok(first.body.length > 0);
  await using other = await TestBase.start();
  const second = await other.load(code, {}, first.body);
  assert.equal(second.head.cacheUsed, true);
  assert.equal((await other.http('/cached').whole()).text, 'hi /cached');
});

test('a code cache that V8 does not take is ignored', async () => {
  await using base = await TestBase.start();
  const { head } = await base.load(HELLO, {}, new Uint8Array(500).fill(7));
  assert.equal(head.cacheUsed, false);
  assert.equal((await base.http('/x').whole()).text, 'hi /x');
});

for (const [what, code, expected] of [
  ['does not parse', 'const = 1', /SyntaxError: Unexpected token '='/],
  ['throws at its top level', 'throw new RangeError("no luck")', /^RangeError: no luck$/],
  ['throws what is no error', 'throw { toString() { throw 1 } }', /./],
  ['exports nothing callable', 'exports.x = 1', /exports no handler/],
  ['requires what is not there', 'require("left-pad")', /require\("left-pad"\) is not available/],
] as const) {
  test(`a module that ${what} is refused with PROBE_FAILED, and so are invocations sent along`, async () => {
    await using base = await TestBase.start();
    const load = base.startLoad(code);
    const call = base.http('/');
    await assert.rejects(load.whole(), { code: 'PROBE_FAILED', message: expected });
    await assert.rejects(call.whole(), { code: 'PROBE_FAILED' });
    assert.ok(!base.events.some((event) => event.event === 'started'));
  });
}

test('a stack names the function and the line of its bundle', async () => {
  await using base = await TestBase.start();
  await assert.rejects(base.load('\n\nthrow new Error("here")'), (error: Error & { stack: string }) => {
    assert.match(error.stack, /shop\.js:3:7/);
    return true;
  });
});

test('a module with top-level await is loaded as an ES module with its imports', async () => {
  await using base = await TestBase.start();
  const code = `
    import { basename } from 'node:path';
    import fs, { readFileSync } from 'node:fs';
    import { WorkerEntrypoint } from 'cloudflare:workers';
    const word = await Promise.resolve('later');
    export default class extends WorkerEntrypoint {
      fetch() { return new Response([word, basename('/a/b'), this.env.A, fs.readFileSync === readFileSync].join(' ')) }
    }`;
  const { head } = await base.load(code, { format: 'esm', vars: { A: 'var' } });
  assert.deepEqual(head.handlers, ['fetch', 'rpc']);
  assert.equal((await base.http('/').whole()).text, 'later b var true');
});

for (const [what, code, expected] of [
  [
    'an object with a fetch method',
    'exports.__esModule = true; exports.default = { word: "this", fetch() { return new Response(this.word) } }',
    'this',
  ],
  [
    'a function',
    'exports.__esModule = true; exports.default = async (request, env, ctx) => new Response(env.A + typeof ctx.waitUntil)',
    'afunction',
  ],
  [
    'a class that extends WorkerEntrypoint',
    'const { WorkerEntrypoint } = require("hearth"); exports.__esModule = true; exports.default = class extends WorkerEntrypoint { fetch() { return new Response(this.env.A + this.ctx.invocationId) } }',
    'ai-1',
  ],
  ['module.exports', 'module.exports = { fetch: () => new Response("plain") }', 'plain'],
] as const) {
  test(`the default export may be ${what}`, async () => {
    await using base = await TestBase.start();
    await base.load(code, { vars: { A: 'a' } });
    assert.equal((await base.http('/').whole()).text, expected);
  });
}

test('a named entrypoint is reached by its name with its props, an unknown one is refused', async () => {
  await using base = await TestBase.start();
  await base.load(`
    const { WorkerEntrypoint } = require('cloudflare:workers');
    exports.__esModule = true;
    exports.default = { fetch: () => new Response('default') };
    exports.Admin = class extends WorkerEntrypoint { fetch() { return new Response('admin ' + this.ctx.props.who) } };`);
  assert.equal((await base.http('/', { entrypoint: 'Admin', props: { who: 'ann' } }).whole()).text, 'admin ann');
  await assert.rejects(base.http('/', { entrypoint: 'Nobody' }).whole(), {
    code: 'FUNCTION_EXCEPTION',
    message: /no entrypoint "Nobody"/,
  });
  await assert.rejects(base.http('/', { entrypoint: 'constructor' }).whole(), { code: 'FUNCTION_EXCEPTION' });
});

test('the module sees its request: method, url, headers, body', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { async fetch(request) {
    return Response.json({ method: request.method, url: request.url, a: request.headers.get('x-a'),
      cookie: request.headers.get('cookie'), text: await request.text() }) } }`);
  const call = base.http(
    '/p?q=1',
    {
      headers: [
        ['x-a', '1'],
        ['x-a', '2'],
        ['cookie', 'c=d'],
      ],
    },
    'body äöü',
  );
  const { head, text } = await call.whole();
  assert.deepEqual(JSON.parse(text), {
    method: 'POST',
    url: 'http://shop.localhost/p?q=1',
    a: '1, 2',
    cookie: 'c=d',
    text: 'body äöü',
  });
  assert.ok(head.headers.some(([name, value]) => name === 'content-type' && value === 'application/json'));
});

test('each set-cookie stays a header of its own', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { fetch() {
    const headers = new Headers([['set-cookie', 'a=1; Path=/'], ['set-cookie', 'b=2, 3']]);
    return new Response(null, { headers }) } }`);
  const { head } = await base.http('/').whole();
  assert.deepEqual(
    head.headers.filter(([name]) => name === 'set-cookie'),
    [
      ['set-cookie', 'a=1; Path=/'],
      ['set-cookie', 'b=2, 3'],
    ],
  );
});

for (const [what, more, code, status] of [
  ['HEAD', { method: 'HEAD' }, 'new Response("never sent", { headers: { "content-length": "10" } })', 200],
  ['204', {}, 'new Response(null, { status: 204 })', 204],
  ['304', {}, 'new Response(null, { status: 304 })', 304],
] as const) {
  test(`an answer to ${what} has no body`, async () => {
    await using base = await TestBase.start();
    await base.load(`module.exports = { fetch: () => ${code} }`);
    const { head, body } = await base.http('/', more).whole();
    assert.equal(head.status, status);
    assert.equal(body.length, 0);
    assert.equal(head.headers.find(([name]) => name === 'content-length')?.[1], what === 'HEAD' ? '10' : undefined);
  });
}

test('bodies stream both ways at once', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { fetch: (request) => new Response(request.body.pipeThrough(new TransformStream({
    transform(chunk, controller) { controller.enqueue(new TextEncoder().encode(new TextDecoder().decode(chunk).toUpperCase())) } }))) }`);
  const call = base.http('/', {}, null, false);
  call.exchange.write(Buffer.from('one '));
  await call.until('ONE ');
  call.exchange.write(Buffer.from('two'));
  await call.until('TWO');
  call.exchange.end();
  assert.equal((await call.whole()).text, 'ONE TWO');
});

test('a response body is read no further than the link has credit', async () => {
  await using base = await TestBase.start();
  await base.load(`let pulled = 0;
    module.exports = { fetch(request) {
      if (request.url.endsWith('/pulled')) return new Response(String(pulled));
      return new Response(new ReadableStream({ pull(c) {
        if (++pulled > 64) c.close(); else c.enqueue(new Uint8Array(65536)) } }, { highWaterMark: 0 })) } }`);
  const call = base.http('/');
  call.consume = false;
  await call.answered.promise;
  const pulled = async () => Number((await base.http('/pulled').whole()).text);
  // Other requests are answered meanwhile, and the count stays where the credit ended.
  for (let at = 0; at < 20; at++) assert.ok((await pulled()) <= 6);
  call.consume = true;
  call.exchange.consumed(concat(call.chunks).length);
  assert.equal((await call.whole()).body.length, 64 * 65536);
});

test('a request body is taken no faster than the module reads it', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { async fetch(request) {
      if (request.method === 'GET') { globalThis.go(); return new Response('') }
      await new Promise((resolve) => { globalThis.go = resolve });
      return new Response(String((await request.arrayBuffer()).byteLength)) } }`);
  const call = base.http('/', {}, null, false);
  let written = 0;
  while (call.exchange.write(new Uint8Array(50_000))) written += 50_000;
  assert.ok(written <= 256 * 1024);
  await base.event((event) => event.event === 'started');
  const drained = new Promise<void>((resolve) => call.drained.push(resolve));
  await base.http('/go').whole();
  await drained;
  call.exchange.end();
  assert.equal((await call.whole()).text, String(written + 50_000));
});

test('a body that the module leaves unread does not keep the exchange open', async () => {
  await using base = await TestBase.start();
  await base.load(HELLO);
  const call = base.http('/', {}, new Uint8Array(200_000));
  assert.equal((await call.whole()).text, 'hi /');
});

test('a chunk that is not bytes breaks the answer off', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { fetch: () => new Response(new ReadableStream({
    start(c) { c.enqueue(new TextEncoder().encode('some')); c.enqueue('text') } })) }`);
  const call = base.http('/');
  await assert.rejects(call.whole(), { code: 'FUNCTION_EXCEPTION', message: /not bytes|Received non-Uint8Array/ });
  assert.equal((await call.answered.promise).status, 200);
});

test('when the caller goes away both signals are aborted and the body stream is cancelled', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { fetch(request, env, ctx) {
      const both = [request.signal, ctx.signal].map((signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason.message))));
      return new Response(new ReadableStream({
        start(c) { c.enqueue(new TextEncoder().encode('first')) },
        async cancel() { console.log('cancelled', ...await Promise.all(both)) } })) } }`);
  const call = base.http('/');
  await call.until('first');
  call.exchange.cancel({ code: 'CANCELLED', message: 'the client has gone' });
  const line = await logged(base, 'cancelled');
  assert.equal(line.message, 'cancelled the client has gone the client has gone');
  await base.event((event) => event.event === 'settled');
});

test('a handler that still runs when its caller goes away is reported as settled at its end', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { async fetch(request, env, ctx) {
      await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve)); return new Response('late') } }`);
  const call = base.http('/', { invocationId: 'gone' });
  await base.event((event) => event.event === 'started');
  call.exchange.cancel({ code: 'CANCELLED', message: 'gone' });
  assert.deepEqual(await base.event((event) => event.event === 'settled'), {
    event: 'settled',
    invocationId: 'gone',
    timedOut: false,
  });
});

test('the deadline aborts the signals with a TimeoutError', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { async fetch(request, env, ctx) {
      await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
      return new Response(ctx.signal.reason.name + ' ' + request.signal.reason.name) } }`);
  assert.equal((await base.http('/', { timeoutMs: 1 }).whole()).text, 'TimeoutError TimeoutError');
});

test('waitUntil is announced in the head, and its end by an event', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { fetch(request, env, ctx) {
      if (request.method === 'POST') { globalThis.finish(); return new Response('') }
      ctx.waitUntil(new Promise((resolve) => { globalThis.finish = resolve }));
      return new Response(null) } }`);
  const { head } = await base.http('/', { invocationId: 'waits' }).whole();
  assert.equal(head.waiting, true);
  assert.ok(!base.events.some((event) => event.event === 'settled'));
  assert.equal((await base.http('/', {}, 'go').whole()).head.status, 200);
  const settled = await base.event((event) => event.event === 'settled' && event.invocationId === 'waits');
  assert.deepEqual(settled, { event: 'settled', invocationId: 'waits', timedOut: false });
});

test('of a call that had come to its end before its cancel came the end is told when the gateway asks, of one that runs at its end', async () => {
  await using base = await TestBase.start();
  await base.load(`const ends = new Map();
    const held = (id) => new Promise((resolve) => ends.set(id, resolve));
    module.exports = { async fetch(request, env, ctx) {
      const what = new URL(request.url).pathname.slice(1);
      if (what.startsWith('end-')) ends.get(what.slice(4))();
      else if (what === 'runs') await held(what);
      else if (what === 'waits') ctx.waitUntil(held(what));
      return new Response(null) } }`);
  const settled = (id: string) => base.events.some((event) => event.event === 'settled' && event.invocationId === id);
  await base.http('/over', { invocationId: 'over' }).whole();
  await base.http('/waits', { invocationId: 'waits' }).whole();
  const runs = base.http('/runs', { invocationId: 'runs' });
  await base.event((event) => event.event === 'started' && event.streams.includes(runs.exchange.id));
  runs.exchange.cancel({ code: 'ABORTED', message: 'gone' });
  for (const invocationId of ['over', 'waits', 'runs']) base.link.event({ event: 'abandoned', invocationId });
  await base.link.ping();
  assert.deepEqual(['over', 'waits', 'runs'].map(settled), [true, false, false]);
  for (const id of ['waits', 'runs']) {
    await base.http(`/end-${id}`).whole();
    await base.event((event) => event.event === 'settled' && event.invocationId === id);
  }
});

test('a rejected waitUntil is logged and settles all the same', async () => {
  await using base = await TestBase.start();
  await base.load(
    'module.exports = { fetch(request, env, ctx) { ctx.waitUntil(Promise.reject(new Error("in vain"))); return new Response(null) } }',
  );
  await base.http('/').whole();
  assert.match((await logged(base, 'in vain')).message, /waitUntil: Error: in vain/);
  await base.event((event) => event.event === 'settled');
});

test('started is on its way before a handler that loops for ever', async () => {
  await using base = await TestBase.start();
  await base.load('module.exports = { fetch() { console.log("last words"); for (;;); } }');
  const first = base.http('/');
  const second = base.http('/');
  const started = await base.event((event) => event.event === 'started');
  assert.deepEqual(started, { event: 'started', streams: [first.exchange.id, second.exchange.id] });
  assert.equal((await logged(base, 'last words')).message, 'last words');
});

for (const [what, code, message] of [
  ['an error', 'new TypeError("bad")', 'TypeError: bad'],
  ['a string', '"just text"', 'Error: just text'],
  ['undefined', 'undefined', 'Error: undefined'],
  ['null', 'null', 'Error: null'],
  ['an object', '({ a: 1 })', 'Error: {"a":1}'],
  ['a cycle', '(() => { const a = {}; a.a = a; return a })()', 'Error: an object was thrown'],
  [
    'an error with throwing getters',
    'Object.defineProperties(new Error("x"), { message: { get() { throw 1 } }, stack: { get() { throw 2 } }, name: { get() { throw 3 } } })',
    'Error',
  ],
  [
    'a proxy that refuses all',
    'new Proxy({}, new Proxy({}, { get() { throw new Error("trap") } }))',
    'Error: an object was thrown',
  ],
  ['a symbol', 'Symbol("s")', 'Error: Symbol(s)'],
] as const) {
  test(`a handler that throws ${what} is a FUNCTION_EXCEPTION, and the base goes on`, async () => {
    await using base = await TestBase.start();
    await base.load(`module.exports = {
      fetch: async (request) => { if (request.method === 'GET') throw ${code}; return new Response('fine') } }`);
    await assert.rejects(base.http('/').whole(), { code: 'FUNCTION_EXCEPTION', message });
    assert.equal((await base.http('/', {}, 'x').whole()).text, 'fine');
  });
}

test('a handler that returns no Response is told so', async () => {
  await using base = await TestBase.start();
  await base.load('module.exports = { fetch: (request) => request.method === "GET" ? undefined : { then: 5 } }');
  await assert.rejects(base.http('/').whole(), { message: /has to return a Response; it returned undefined/ });
  await assert.rejects(base.http('/', {}, 'x').whole(), { message: /it returned object/ });
});

test('an unhandled rejection is logged and the base goes on', async () => {
  await using base = await TestBase.start();
  await base.load('module.exports = { fetch() { Promise.reject(new Error("lost")); return new Response("ok") } }');
  assert.equal((await base.http('/', { invocationId: 'rejects' }).whole()).text, 'ok');
  const line = await logged(base, 'lost');
  assert.equal(line.level, 'error');
  assert.equal((await base.http('/').whole()).text, 'ok');
});

test('an uncaught exception makes the base broken: it takes nothing new', async () => {
  await using base = await TestBase.start();
  await base.load(
    `module.exports = { fetch: () => { setTimeout(() => { throw new Error('too late') }, 0); return new Response('ok') } }`,
  );
  await base.http('/').whole();
  const broken = await base.event((event) => event.event === 'broken');
  assert.deepEqual(broken, { event: 'broken', reason: 'Uncaught exception: too late' });
  await assert.rejects(base.http('/').whole(), { code: 'FUNCTION_CRASHED' });
});

test('process.exit ends this base only', async () => {
  await using base = await TestBase.start();
  await base.load('module.exports = { fetch: () => process.exit(3) }');
  const call = base.http('/');
  const broken = await base.event((event) => event.event === 'broken');
  assert.deepEqual(broken, { event: 'broken', reason: 'process.exit(3) was called' });
  await assert.rejects(call.whole(), { code: 'LINK_CLOSED' });
  assert.equal(await base.exited, 1);
});

test('console lines carry level and invocation, and nothing a module prints can throw', async () => {
  await using base = await TestBase.start();
  await base.load(
    `console.info('at load');
    module.exports = { async fetch(request, env, ctx) {
      console.log('%s is %d', 'six', 6, { a: [1] });
      await null;
      console.error(new Error('shown'));
      console.warn({ get a() { throw 1 } }, new Proxy({}, { get() { throw 2 } }), { [Symbol.for('nodejs.util.inspect.custom')]() { throw 3 } });
      ctx.log.debug('by ctx');
      console.table([{ a: 1 }]);
      process.stdout.write('raw\\n');
      require('node:fs').writeSync(1, 'by number\\n');
      return new Response('') } }`,
    { module: 'm' },
  );
  await base.http('/', { invocationId: 'prints' }).whole();
  const last = await logged(base, 'by number');
  assert.equal(last.invocationId, 'prints');
  assert.equal((await logged(base, 'at load')).invocationId, null);
  assert.deepEqual(
    [(await logged(base, 'six is')).message, (await logged(base, 'six is')).level],
    ['six is 6 { a: [ 1 ] }', 'info'],
  );
  assert.deepEqual(
    [(await logged(base, 'Error: shown')).level, (await logged(base, 'by ctx')).level],
    ['error', 'debug'],
  );
  assert.match((await logged(base, '│ a')).message, /│ 0/);
  assert.equal((await logged(base, 'raw')).message, 'raw');
});

test('what is printed beyond 64 KB at once is dropped and counted', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { fetch() {
    for (let at = 0; at < 100; at++) console.log('line ' + at + ' ' + 'x'.repeat(2000));
    return new Response('') } }`);
  await base.http('/').whole();
  await base.event((event) => event.event === 'log' && event.dropped > 0);
  const events = base.events.filter((event) => event.event === 'log');
  const kept = events.reduce((sum, event) => sum + event.lines.length, 0);
  const dropped = events.reduce((sum, event) => sum + event.dropped, 0);
  assert.equal(kept + dropped, 100);
  assert.ok(kept <= 33);
});

test('env holds vars, JSON vars and what setup returned; process.env holds the vars and nothing else', async () => {
  await using base = await TestBase.start({
    setup: 'exports.default = async ({ env }) => ({ url: env.DATABASE_URL })',
    env: { DATABASE_URL: 'db://x' },
  });
  await base.load(
    'module.exports = { fetch: (request, env) => Response.json([env, process.env, globalThis.process.env]) }',
    {
      vars: { A: 'a' },
      jsonVars: { LIST: [1, 2] },
    },
  );
  const [env, ...environments] = JSON.parse((await base.http('/').whole()).text);
  assert.deepEqual(env, { LIST: [1, 2], A: 'a', BASE: { url: 'db://x' } });
  assert.deepEqual(environments, [{ A: 'a' }, { A: 'a' }]);
});

test('a rehearsal is no lease: the setup runs for the first real module, which gets its own env and network', async () => {
  await using base = await TestBase.start({ setup: 'let runs = 0; exports.default = () => ({ runs: ++runs })' });
  const code = `module.exports = { fetch: (request, env) => Response.json([env, process.env, process.cwd()]) }`;
  await base.load(code, { module: 'canned', rehearsal: true, vars: { CANNED: '1' }, network: 'none' });
  const canned = JSON.parse((await base.http('/', { module: 'canned' }).whole()).text);
  assert.deepEqual(canned, [{ CANNED: '1' }, { CANNED: '1' }, '/']);
  base.link.event({ event: 'unload', module: 'canned' });
  const real = `const net = require('net'); module.exports = { fetch: async (request, env) => {
    const refused = await new Promise((done) => net.connect(1, '127.0.0.1').on('error', (error) => done(error.code)));
    return Response.json([env, process.env, refused]) } }`;
  await base.load(real, { vars: { A: 'a' } });
  const [env, environment, refused] = JSON.parse((await base.http('/').whole()).text);
  assert.deepEqual(env, { A: 'a', BASE: { runs: 1 } });
  assert.deepEqual(environment, { A: 'a' });
  assert.equal(refused, 'ECONNREFUSED', 'the network is there, and only nobody listens');
});

test('a drain lets what runs end, then the base closes its link', async () => {
  await using base = await TestBase.start();
  await base.load(`module.exports = { async fetch(request) {
    if (request.method === 'POST') { globalThis.go(); return new Response('') }
    await new Promise((resolve) => { globalThis.go = resolve }); return new Response('done') } }`);
  const call = base.http('/');
  await base.event((event) => event.event === 'started');
  base.link.event({ event: 'drain' });
  await base.http('/', {}, 'go').whole();
  assert.equal((await call.whole()).text, 'done');
  assert.equal(await base.closed.promise, null);
});

test('an idle base ends at once when drained', async () => {
  await using base = await TestBase.start();
  base.link.event({ event: 'drain' });
  assert.equal(await base.closed.promise, null);
});

test('rehearsals leave nothing behind: an unloaded module is gone, permissions still stand', async () => {
  await using base = await TestBase.start();
  await base.load(HELLO, { module: 'canned', rehearsal: true });
  await base.http('/', { module: 'canned' }).whole();
  base.link.event({ event: 'unload', module: 'canned' });
  await assert.rejects(base.http('/', { module: 'canned' }).whole(), { code: 'INTERNAL', message: /no module canned/ });
  const loaded: LoadedHead = (await base.load(HELLO)).head;
  assert.deepEqual(loaded.handlers, ['fetch']);
});

test('invocations of a module that was never loaded are refused', async () => {
  await using base = await TestBase.start();
  await assert.rejects(base.http('/', { module: 'nothing' }).whole(), { code: 'INTERNAL' });
});

async function logged(base: TestBase, part: string): Promise<LogLine> {
  const matches = (line: LogLine) => line.message.includes(part);
  const event = await base.event((event) => event.event === 'log' && event.lines.some(matches));
  assert.equal(event.event, 'log');
  return event.lines.find(matches)!;
}
