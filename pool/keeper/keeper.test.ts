import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Invocation } from './invocation.ts';
import { ask, Call, fetchModule, moduleOf, startKeeper } from './testing/harness.ts';
import { gone } from './testing/processes.ts';

test('the first call of a function is a cold start with its phases, the next one is warm in the same base', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = fetchModule(`return new Response('hi ' + new URL(request.url).pathname)`);
  const first = await ask(keeper, spec, { path: '/a' });
  assert.equal(first.text, 'hi /a');
  assert.equal(first.facts.start, 'cold');
  const { wait, acquire, transfer, compile, evaluate, run } = first.facts.phases;
  for (const phase of [wait, acquire, transfer, compile, evaluate, run]) assert.ok((phase ?? -1) >= 0);
  const second = await ask(keeper, spec, { path: '/b' });
  assert.equal(second.text, 'hi /b');
  assert.equal(second.facts.start, 'warm');
  assert.equal(second.facts.instance, first.facts.instance);
  assert.deepEqual(Object.keys(second.facts.phases).sort(), ['run', 'wait']);
});

test('five hundred callers of a cold function cause one load, and only one of them is cold', async (t) => {
  const { keeper, events } = await startKeeper(t);
  const spec = fetchModule(`return new Response('ok')`, { limits: { concurrency: 1000 } });
  const answers = await Promise.all(Array.from({ length: 500 }, () => ask(keeper, spec)));
  assert.equal(answers.filter(({ facts }) => facts.start === 'cold').length, 1);
  assert.equal(new Set(answers.map(({ facts }) => facts.instance)).size, 1);
  assert.equal(events.filter((event) => event.what === 'leased').length, 1);
});

test('a function with concurrency 1 gets as many instances as calls run at once, up to maxInstances', async (t) => {
  const { keeper, events, until, logged } = await startKeeper(t);
  const spec = fetchModule(`console.log('held ' + request.url); await new Promise(() => {})`, {
    limits: { concurrency: 1, maxInstances: 3 },
  });
  const calls = Array.from({ length: 4 }, (_, n) => ask(keeper, spec, { path: `/${n}` }));
  const leases = () => events.filter(({ what, function: name }) => what === 'leased' && name === spec.functionName);
  await until(() => leases().length === 3);
  await Promise.all([0, 1, 2].map((n) => logged(`/${n}`)));
  assert.equal(keeper.snapshot().waiting, 1);
  assert.equal(new Set(leases().map(({ id }) => id)).size, 3);
  keeper.kill();
  for (const call of calls) await assert.rejects(call);
});

test('callers beyond concurrency × maxInstances are told OVERLOADED at once, those who fit are served', async (t) => {
  const { keeper, logged } = await startKeeper(t);
  const spec = moduleOf(
    `let release; const gate = new Promise((resolve) => { release = resolve; });
     exports.default = { fetch(request) {
       if (new URL(request.url).pathname === '/open') release();
       else console.log('held');
       return gate.then(() => new Response('ok'));
     } }`,
    { limits: { concurrency: 2, maxInstances: 1 } },
  );
  const held = ask(keeper, spec);
  await logged('held');
  const second = ask(keeper, spec, { path: '/open-later' });
  const waiting = [ask(keeper, spec), ask(keeper, spec)];
  await assert.rejects(ask(keeper, spec), { code: 'OVERLOADED', retryAfterS: 1 });
  second.catch(() => undefined);
  // The two that wait get their slots when the two that run are answered: nobody opens the gate but an eviction.
  void keeper.retire(spec.key, 'test');
  keeper.kill();
  for (const call of [held, second, ...waiting]) await assert.rejects(call);
});

test('a call that runs out of time gets FUNCTION_TIMEOUT, and its slot is free again', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = fetchModule(`if (request.url.endsWith('/loop')) for (;;); return new Response('ok')`, {
    limits: { timeoutMs: 1_500, concurrency: 1, maxInstances: 1 },
  });
  await ask(keeper, spec);
  const loop = new Call(keeper, spec, { path: '/loop' });
  await assert.rejects(loop.answer.promise, { code: 'FUNCTION_TIMEOUT' });
  await loop.done.promise;
  assert.equal((await ask(keeper, spec)).text, 'ok');
});

test('a blocked base is ended though others wait in it, and who was not started is answered elsewhere', async (t) => {
  const { keeper, event } = await startKeeper(t);
  const spec = fetchModule(`if (request.url.endsWith('/loop')) for (;;); return new Response('ok')`, {
    limits: { timeoutMs: 1_500 },
  });
  const first = await ask(keeper, spec);
  const loop = ask(keeper, spec, { path: '/loop' });
  loop.catch(() => undefined);
  const ended = event(({ what, id }) => what === 'retired' && id === first.facts.instance);
  await assert.rejects(loop, { code: 'FUNCTION_TIMEOUT' });
  await ended;
  assert.equal((await ask(keeper, spec)).text, 'ok');
});

test('a base whose call only waits too long is drained, and what runs beside it is answered', async (t) => {
  const { keeper, logged } = await startKeeper(t);
  const spec = moduleOf(
    `let open; const gate = new Promise((resolve) => { open = resolve; });
     exports.default = { async fetch(request, env, ctx) {
       const url = new URL(request.url);
       if (url.pathname === '/never') { ctx.signal.addEventListener('abort', () => open()); await new Promise(() => {}); }
       console.log('beside'); await gate; return new Response('beside');
     } }`,
    { limits: { timeoutMs: 1_000 } },
  );
  const never = ask(keeper, spec, { path: '/never' });
  never.catch(() => undefined);
  const beside = ask(keeper, spec, { path: '/beside' });
  await logged('beside');
  await assert.rejects(never, { code: 'FUNCTION_TIMEOUT' });
  await beside.catch((error: { code: string }) => assert.equal(error.code, 'FUNCTION_TIMEOUT'));
});

test('a base that broke while a call was on its way to it is gone once what ran in it has ended', async (t) => {
  const { keeper, until } = await startKeeper(t);
  const spec = fetchModule(`if (request.url.endsWith('/next')) return new Response('next');
    for (const end = Date.now() + 300; Date.now() < end;);
    process.nextTick(() => { throw new Error('later'); });
    return new Response('answered');`);
  const breaks = new Call(keeper, spec, { path: '/breaks' });
  await until(() => (breaks.handle as Invocation).state === 'started');
  // The base reads of it when it has broken, and refuses it.
  assert.equal((await ask(keeper, spec, { path: '/next' })).text, 'next');
  assert.equal((await breaks.answer.promise).text, 'answered');
  await keeper.retire(spec.key, 'the test is over');
  assert.equal(keeper.snapshot().bases.draining, 0);
});

test('kill -9 of a host: what was not started is answered elsewhere, the rest gets FUNCTION_CRASHED, the pool refills', async (t) => {
  const { keeper, logged, event } = await startKeeper(t);
  const spec = fetchModule(
    `if (request.url.endsWith('/block')) { console.log('blocking'); const until = Date.now() + 20_000; while (Date.now() < until); }
     return new Response('ok')`,
    { limits: { concurrency: 100 } },
  );
  await ask(keeper, spec);
  const started = ask(keeper, spec, { path: '/block' });
  started.catch(() => undefined);
  await logged('blocking');
  // The base's thread is blocked: these are on its socket, and it has not said that it started them.
  const later = Array.from({ length: 20 }, () => ask(keeper, spec));
  const host = keeper.snapshot().hosts.find(({ bases }) => bases.some((base) => base.function !== null));
  assert.ok(host?.pid);
  process.kill(host.pid, 'SIGKILL');
  await assert.rejects(started, { code: 'FUNCTION_CRASHED' });
  for (const answer of await Promise.all(later)) {
    assert.equal(answer.text, 'ok');
    assert.notEqual(answer.facts.host, host.id);
  }
  await event(({ subject, what, time }) => subject === 'base' && what === 'warm' && time > 0);
  assert.ok(!keeper.snapshot().hosts.some(({ pid }) => pid === host.pid));
});

test('a body that was sent in part is sent again when its base died before the call', async (t) => {
  const { keeper, logged } = await startKeeper(t);
  const spec = fetchModule(
    `if (request.url.endsWith('/block')) { console.log('blocking'); const until = Date.now() + 20_000; while (Date.now() < until); }
     return new Response(await request.text())`,
  );
  await ask(keeper, spec);
  ask(keeper, spec, { path: '/block' }).catch(() => undefined);
  await logged('blocking');
  const echo = new Call(keeper, spec, { method: 'POST', body: 'x'.repeat(100_000) });
  const host = keeper.snapshot().hosts.find(({ bases }) => bases.some((base) => base.function !== null));
  process.kill(host?.pid ?? 0, 'SIGKILL');
  const answer = await echo.answer.promise;
  assert.equal(answer.text.length, 100_000);
  assert.equal(answer.facts.attempt, 2);
});

test('a module that throws at load fails its callers with FUNCTION_EXCEPTION and is tried anew by the next one', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = moduleOf(`throw new TypeError('bad config')`);
  await assert.rejects(ask(keeper, spec), (error: { code: string; functionStack: string }) => {
    assert.equal(error.code, 'FUNCTION_EXCEPTION');
    assert.match(error.functionStack, /bad config/);
    return true;
  });
  await assert.rejects(keeper.probe(spec, null), { code: 'PROBE_FAILED' });
});

test('a probe leaves its base as the first instance, so the first call is warm', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = fetchModule(`return new Response(request.url.endsWith('/ready') ? 'ready' : 'ok')`);
  const probe = await keeper.probe(spec, '/ready');
  assert.deepEqual(probe.handlers, ['fetch']);
  assert.ok((probe.codeCache?.length ?? 0) > 0);
  assert.equal((await ask(keeper, spec)).facts.start, 'warm');
});

test('a probe is refused when the ready path does not answer 2xx', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = fetchModule(`return new Response('no', { status: 503 })`);
  await assert.rejects(keeper.probe(spec, '/ready'), { code: 'PROBE_FAILED', message: /503/ });
});

test('evict retires idle instances, and the next call is a cold start', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = fetchModule(`return new Response('ok')`);
  const first = await ask(keeper, spec);
  assert.equal(await keeper.evict(spec.functionName), 1);
  const second = await ask(keeper, spec);
  assert.equal(second.facts.start, 'cold');
  assert.notEqual(second.facts.instance, first.facts.instance);
});

test('retire answers what runs before the base goes', async (t) => {
  const { keeper, logged } = await startKeeper(t);
  const spec = moduleOf(
    `exports.default = { async fetch() { console.log('running'); await new Promise((r) => setTimeout(r, 50)); return new Response('whole'); } }`,
  );
  const running = ask(keeper, spec);
  await logged('running');
  const retired = keeper.retire(spec.key, 'replaced');
  assert.equal((await running).text, 'whole');
  await retired;
  assert.equal(keeper.snapshot().bases.leased, 0);
});

test('retire takes along what is served apart under a key that continues it, and no other', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = fetchModule(`return new Response('ok')`);
  const keyed = (key: string) => ({ ...spec, key });
  const [apart, other] = [keyed(`${spec.key}/web/batch`), keyed(`${spec.key}1`)];
  const bases = async () => {
    const answers = await Promise.all([spec, apart, other].map((each) => ask(keeper, each)));
    return answers.map(({ facts }) => facts.instance);
  };
  const before = await bases();
  assert.equal(new Set(before).size, 3);
  await keeper.retire(`${spec.key}/web`, 'the publication was changed');
  const between = await bases();
  assert.deepEqual([between[0], between[2]], [before[0], before[2]]);
  assert.notEqual(between[1], before[1]);
  await keeper.retire(spec.key, 'replaced');
  const after = await bases();
  for (const n of [0, 1]) assert.notEqual(after[n], between[n]);
  assert.equal(after[2], before[2]);
});

test('a host serves one trust group only, and its environment is empty', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = (trustGroup: string) =>
    fetchModule(`return Response.json(Object.keys(process.env))`, { trustGroup, vars: { OWN: 'x' } });
  const [a, b, c] = [spec('a'), spec('b'), spec('a')];
  const answers = await Promise.all([ask(keeper, a), ask(keeper, b), ask(keeper, c)]);
  assert.notEqual(answers[0].facts.host, answers[1].facts.host);
  for (const answer of answers) assert.equal(answer.text, '["OWN"]');
});

test('waitUntil holds the slot until it has settled', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = moduleOf(
    `let open; exports.default = { fetch(request, env, ctx) {
       if (request.url.endsWith('/open')) { open(); return new Response('opened'); }
       ctx.waitUntil(new Promise((resolve) => { open = resolve; })); return new Response('early');
     } }`,
  );
  const call = new Call(keeper, spec);
  let released = false;
  void call.done.promise.then(() => {
    released = true;
  });
  assert.equal((await call.answer.promise).text, 'early');
  await ask(keeper, spec, { path: '/other' }).catch(() => undefined);
  assert.equal(released, false);
  const inFlight = () =>
    keeper
      .snapshot()
      .hosts.flatMap(({ bases }) => bases)
      .reduce((sum, base) => sum + base.inFlight, 0);
  assert.ok(inFlight() >= 1);
  await ask(keeper, spec, { path: '/open' });
});

test('an aborted call aborts ctx.signal and gives its slot back once the handler has ended', async (t) => {
  const { keeper, logged } = await startKeeper(t);
  const spec = fetchModule(
    `console.log('waiting'); await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
     console.log('aborted: ' + ctx.signal.reason); return new Response('unheard')`,
  );
  const call = new Call(keeper, spec);
  await logged('waiting');
  call.handle.abort('client gone');
  assert.match((await logged('aborted')).message, /client gone/);
  await call.done.promise;
});

test('a full pool gives up an idle base to who waits', async (t) => {
  const { keeper, event } = await startKeeper(t, { warmBases: 1, maxBases: 2, basesPerHost: 2 });
  const specs = Array.from({ length: 4 }, (_, n) => fetchModule(`return new Response('${n}')`));
  for (const [n, spec] of specs.entries()) assert.equal((await ask(keeper, spec)).text, String(n));
  const gone = await event(({ why }) => why === 'its base is needed elsewhere');
  assert.ok(specs.slice(0, -1).some(({ functionName }) => functionName === gone.function));
});

test('a drained keeper leaves no process behind', async (t) => {
  const { keeper } = await startKeeper(t);
  await ask(keeper, fetchModule(`return new Response('ok')`));
  const pids = keeper.snapshot().hosts.map(({ pid }) => pid as number);
  assert.ok(pids.length > 0);
  await keeper.drain(1_000);
  await gone(pids);
});

test('a handler that does not heed that its caller has gone holds its slot no longer than its wall clock limit', async (t) => {
  const { keeper, logged, event } = await startKeeper(t);
  const spec = fetchModule(`console.log('deaf'); await new Promise(() => {})`, { limits: { timeoutMs: 300 } });
  const call = new Call(keeper, spec);
  await logged('deaf');
  call.handle.abort('client gone');
  await call.done.promise;
  await event(({ why }) => why === 'an invocation never came to its end');
});

test('who waits for a base that never comes up is told why, and other definitions go on', async (t) => {
  const broken = {
    name: 'broken',
    shared: [{ specifier: 'gone', library: 'gone', version: '1.0.0', path: '/nowhere/gone.js', bytes: 0 }],
    setupPath: null,
    env: {},
  };
  const { keeper } = await startKeeper(t, {}, undefined, [broken]);
  const onBroken = fetchModule(`return new Response('never')`, { base: 'broken' });
  const told = { code: 'NO_CAPACITY', message: /"broken" do not come up/ };
  await Promise.all([assert.rejects(ask(keeper, onBroken), told), assert.rejects(keeper.probe(onBroken, null), told)]);
  for (let n = 0; n < 3; n++) {
    assert.equal((await ask(keeper, fetchModule(`return new Response('fine')`))).text, 'fine');
  }
});

test('without any stock the first call boots its base', async (t) => {
  const { keeper } = await startKeeper(t, { warmBases: 0 });
  const answer = await ask(keeper, fetchModule(`return new Response('booted for it')`));
  assert.equal(answer.text, 'booted for it');
  assert.equal(answer.facts.start, 'cold');
});
