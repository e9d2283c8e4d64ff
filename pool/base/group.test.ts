/** A base that holds several modules, one at a time replaced by its next version: what is left behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { COLLECT, CPU_MS, type Gauges, MEMORY_MB, makeGauge, PING, PLACE, PONG } from './gauge.ts';
import { TestBase } from './testing/harness.ts';

// As in a host: a base takes the collector for itself, and V8 keeps nothing that it compiled.
setFlagsFromString('--expose-gc');
setFlagsFromString('--no-compilation-cache');

const gauges = (): Gauges => ({ gauge: makeGauge(), wake: makeGauge() });
const group = (place: number) => ({ place, timeoutMs: 30_000 });

/** Its garbage is gone. */
async function collect(base: TestBase, { gauge }: Gauges): Promise<void> {
  Atomics.store(gauge, COLLECT, 1);
  const ping = Atomics.add(gauge, PING, 1) + 1;
  Atomics.notify(gauge, PING);
  while (Atomics.load(gauge, PONG) !== ping) await base.link.ping();
}

/** Bytes of its heap and beside it, once nothing more is freed: what one collection finds the next may give back. */
async function heldBytes(base: TestBase, watched: Gauges): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let reading = 0; reading < 10; reading++) {
    await collect(base, watched);
    const { used_heap_size, external_memory } = await base.worker.getHeapStatistics();
    const held = used_heap_size + external_memory;
    const settled = Math.abs(held - least) < 100_000;
    least = Math.min(least, held);
    if (settled) break;
  }
  return least;
}

/** Calls over the link and from beside it, something that outlives its call, and a timer that would never end. */
const CHURNED = `
  const kept = Array.from({ length: 2000 }, (_, n) => ({ n, text: 'kept ' + n }));
  globalThis.kept.push(new WeakRef(kept));
  setInterval(() => kept.length, 5);
  const again = () => setTimeout(again, 5);
  again();
  exports.default = { async fetch(request, env, ctx) {
    ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 1, kept)));
    console.log(kept.length);
    await env.KV.get('key').catch(() => undefined);
    return new Response(String(kept.length));
  } };`;

const NODE_APP = `
  const kept = Array.from({ length: 2000 }, (_, n) => ({ n, text: 'kept ' + n }));
  globalThis.kept.push(new WeakRef(kept));
  require('node:http').createServer((request, response) => response.end(String(kept.length))).listen(0);`;

const STAYS = `
  globalThis.kept = [];
  exports.default = { async fetch(request, env) {
    if (request.url.endsWith('/alive')) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return new Response(String(globalThis.kept.filter((ref) => ref.deref() !== undefined).length));
    }
    return env.CHURNED.fetch('http://churned/');
  } };`;

for (const [what, code] of [
  ['modules', CHURNED],
  ['Node applications', NODE_APP],
] as const) {
  test(`of ${what} that were replaced nothing is left`, async () => {
    const watched = gauges();
    await using base = await TestBase.start({ gauges: watched });
    await base.load(STAYS, {
      module: 'stays',
      group: group(1),
      bindings: [{ kind: 'service', name: 'CHURNED', service: 'churned' }],
    });
    const bindings = [{ kind: 'kv' as const, name: 'KV', namespace: 'n' }];
    for (let n = 2; n < 62; n++) {
      const module = `churned#${n}`;
      await base.load(code, { module, functionName: 'churned', group: group(n), bindings });
      assert.equal((await base.http('/', { module }).whole()).text, '2000');
      base.link.event({ event: 'peer', function: 'churned', module });
      // A Node application is called over the link, which leads nowhere here.
      const direct = base.http('/', { module: 'stays' }).whole();
      if (code === CHURNED) assert.equal((await direct).text, '2000');
      else await assert.rejects(direct, /no bindings/);
      base.link.event({ event: 'peer', function: 'churned', module: null });
      base.link.event({ event: 'unload', module });
    }
    const alive = async () => Number((await base.http('/alive', { module: 'stays' }).whole()).text);
    // Timers that are over go when they are due, what they held with the next collection.
    await alive();
    await collect(base, watched);
    const left = await alive();
    assert.ok(left <= 1, `${left} of 60 are held still`);
  });
}

test('five hundred replacements leave the heap where it was, the code of those that went included', async () => {
  const watched = gauges();
  await using base = await TestBase.start({ gauges: watched });
  await base.load('exports.default = { fetch: () => new Response("") };', { module: 'stays', group: group(1) });
  const functions = Array.from({ length: 400 }, (_, n) => `function f${n}(a) { return { a, text: 'number ${n}' }; }`);
  const replace = async (from: number, to: number) => {
    for (let n = from; n <= to; n++) {
      const module = `m#${n}`;
      const code = `${functions.join('\n')}\nexports.default = { fetch: () => new Response(f1(${n}).text + f2(0).text) };`;
      await base.load(code, { module, functionName: 'm', group: group(n) });
      await base.http('/', { module }).whole();
      base.link.event({ event: 'unload', module });
    }
    return heldBytes(base, watched);
  };
  // What is made once and stays, however many come, is there by then.
  const before = await replace(2, 100);
  const grown = (await replace(101, 600)) - before;
  // They have twenty thousand bytes of source each: kept, that would be ten million. A fifth of it tells.
  assert.ok(grown < 2_000_000, `${grown} bytes more`);
});

test('the memory that a base may take is that of its modules together, a turn as long as the shortest says', async () => {
  const watched = gauges();
  const { gauge } = watched;
  await using base = await TestBase.start({ gauges: watched });
  const code = 'exports.default = { fetch: () => new Response("") };';
  await base.load(code, { module: 'a', group: group(1), memoryMb: 100, cpuMs: 500 });
  await base.load(code, { module: 'b', group: group(2), memoryMb: 50, cpuMs: 0 });
  await base.load(code, { module: 'c', group: group(3), memoryMb: 20, cpuMs: 200 });
  assert.deepEqual([gauge[MEMORY_MB], gauge[CPU_MS]], [170, 200]);
  await base.http('/', { module: 'b' }).whole();
  assert.equal(gauge[PLACE], 2);
  base.link.event({ event: 'unload', module: 'c' });
  await base.link.ping();
  assert.deepEqual([gauge[MEMORY_MB], gauge[CPU_MS]], [150, 500]);
});

test('a call from beside it holds a module that is taken out until its answer is whole', async () => {
  await using base = await TestBase.start();
  await base.load(
    `let release; const gate = new Promise((resolve) => { release = resolve; });
     globalThis.release = release;
     exports.default = { fetch: () => new Response(new ReadableStream({ async start(c) {
       c.enqueue(new TextEncoder().encode('first '));
       await gate;
       await new Promise((resolve) => setTimeout(resolve, 1));
       c.enqueue(new TextEncoder().encode('last ' + process.env.NAME));
       c.close();
     } })) };`,
    { module: 'feed#1', functionName: 'feed', group: group(1), vars: { NAME: 'feed' } },
  );
  await base.load(
    `exports.default = { async fetch(request, env) {
       if (request.url.endsWith('/release')) { globalThis.release(); return new Response(''); }
       return env.FEED.fetch(request);
     } };`,
    { module: 'front#2', group: group(2), bindings: [{ kind: 'service', name: 'FEED', service: 'feed' }] },
  );
  base.link.event({ event: 'peer', function: 'feed', module: 'feed#1' });
  const call = base.http('/', { module: 'front#2' });
  assert.equal(await call.until('first '), 'first ');
  base.link.event({ event: 'unload', module: 'feed#1' });
  await base.http('/release', { module: 'front#2' }).whole();
  assert.equal((await call.whole()).text, 'first last feed');
  const used = await base.event((event) => event.event === 'used');
  assert.deepEqual(used, { event: 'used', modules: ['feed#1'], calls: [1], failed: [0] });
});

test('the setup of a base runs once, however many modules come while it does', async () => {
  await using base = await TestBase.start({
    setup: `let count = 0; module.exports = async () => {
      count++;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { count };
    };`,
  });
  const code = 'exports.default = { fetch: (request, env) => new Response(String(env.BASE.count)) };';
  const modules = ['a', 'b', 'c'];
  const loads = modules.map((module, n) => base.startLoad(code, { module, group: group(n + 1) }).whole());
  await Promise.all(loads);
  const answers = await Promise.all(modules.map((module) => base.http('/', { module }).whole()));
  assert.deepEqual(
    answers.map(({ text }) => text),
    ['1', '1', '1'],
  );
});

test('modules share what the setup of their base made, it calls them, and hears when one has left', async () => {
  await using base = await TestBase.start({
    setup: `module.exports = ({ modules }) => {
      const offers = new Map();
      modules.onLeave((module) => offers.delete(module));
      return {
        pool: { connections: 0, connect() { this.connections++; } },
        offer: (call) => offers.set(modules.current(), call),
        ask: () => [...offers].map(([module, call]) => module.function + '@' + module.version + ': ' + call()),
      };
    };`,
  });
  const member = (name: string) => `
    const { env } = require('hearth');
    if (env.BASE.pool.connections === 0) env.BASE.pool.connect();
    env.BASE.offer(() => '${name}');
    exports.default = { fetch: (request, env) => Response.json([env.BASE.pool.connections, ...env.BASE.ask()]) };`;
  for (let n = 0; n < 10; n++) {
    await base.load(member(`m${n}`), { module: `m${n}`, functionName: `f${n}`, version: '1', group: group(n + 1) });
  }
  const asked = async () => JSON.parse((await base.http('/', { module: 'm9' }).whole()).text);
  assert.deepEqual(await asked(), [1, ...Array.from({ length: 10 }, (_, n) => `f${n}@1: m${n}`)]);
  for (let n = 0; n < 9; n++) base.link.event({ event: 'unload', module: `m${n}` });
  assert.deepEqual(await asked(), [1, 'f9@1: m9']);
});

test('five hundred small modules take less than half a megabyte each', async () => {
  const watched = gauges();
  await using base = await TestBase.start({ gauges: watched });
  const code = `${'// some lines of source, as bundles have them\n'.repeat(200)}
    const routes = new Map(Array.from({ length: 20 }, (_, n) => ['/' + n, () => 'route ' + n]));
    exports.default = { fetch: (request) => new Response(routes.get(new URL(request.url).pathname)()) };`;
  const bindings = [{ kind: 'kv' as const, name: 'KV', namespace: 'n' }];
  const load = async (from: number, to: number) => {
    for (let n = from; n <= to; n++) {
      const module = `m#${n}`;
      await base.load(code, { module, functionName: 'm', group: group(n), vars: { N: String(n) }, bindings });
      assert.equal((await base.http('/7', { module }).whole()).text, 'route 7');
    }
  };
  await load(1, 20);
  const before = await heldBytes(base, watched);
  await load(21, 500);
  const each = ((await heldBytes(base, watched)) - before) / 480;
  assert.ok(each < 512 * 1024, `${Math.round(each / 1024)} KB each`);
  assert.ok(each > 0);
});
