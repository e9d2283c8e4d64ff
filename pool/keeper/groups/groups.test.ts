/** Several modules in one base, with real hosts: what each has to itself, how they come and go, and what they share. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BindingSpec } from '../../../functions/contract/invocation.ts';
import type { ModuleSpec } from '../api.ts';
import { ask, Call, fetchModule, type Harness, moduleOf, type SpecOptions, startKeeper } from '../testing/harness.ts';

const GROUP = { group: 'shop' } as const;

function member(name: string, body: string, options: SpecOptions = {}): ModuleSpec {
  return fetchModule(body, { name, ...GROUP, ...options });
}

function calls(...services: string[]): { bindings: BindingSpec[] } {
  return { bindings: services.map((service) => ({ kind: 'service', name: service.toUpperCase(), service })) };
}

test('modules of a group stand in one base, each with its own scope, env, process.env, console and timers', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  const source = (name: string) => `
    let count = 0;
    globalThis.seen = (globalThis.seen ?? 0) + 1;
    const started = [];
    setTimeout(() => { started.push(process.env.NAME); console.log('timer of ${name}'); }, 5);
    exports.default = { async fetch(request, env) {
      const before = process.env.NAME;
      await new Promise((resolve) => setTimeout(resolve, 5 * (count % 3)));
      count++;
      console.log('line of ${name} ' + count);
      globalThis.console.log('global line of ${name} ' + count);
      return Response.json([before, env.NAME, globalThis.process.env.NAME, require('process').env.NAME, count]);
    } };`;
  const specs = ['one', 'two', 'three'].map((name) => moduleOf(source(name), { name, ...GROUP, vars: { NAME: name } }));
  const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => ask(keeper, specs[n % 3] as ModuleSpec)));
  for (const [n, { text }] of answers.entries()) {
    const name = specs[n % 3]?.functionName;
    assert.deepEqual(JSON.parse(text).slice(0, 4), [name, name, name, name]);
  }
  assert.equal(new Set(answers.map(({ facts }) => facts.instance)).size, 1, 'one base');
  for (const { functionName } of specs) await harness.logged(`timer of ${functionName}`);
  await harness.logged('global line of three 10');
  const mixed = harness.logs.filter(
    ({ module, message }) => !message.includes(`of ${module.slice(0, module.indexOf('@'))}`),
  );
  assert.deepEqual(mixed, []);
});

test('a line without an invocation of its own says none, also where a neighbour calls what a module handed out', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  const giver = member('giver', `globalThis.handed = () => console.log('by the giver'); return new Response('');`);
  const taker = member('taker', `globalThis.handed(); console.log('by the taker'); return new Response('');`);
  await ask(keeper, giver);
  await ask(keeper, taker);
  const given = await harness.logged('by the giver');
  const taken = await harness.logged('by the taker');
  assert.match(given.module, /^giver@/);
  assert.equal(given.invocationId, null);
  assert.match(taken.module, /^taker@/);
  assert.notEqual(taken.invocationId, null);
});

test('a module is replaced and taken out while the others serve, and nobody else notices', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  const stays = member('stays', 'return new Response("stays")');
  const old = member(
    'changes',
    `
    if (request.url.endsWith('/slow')) await new Promise((resolve) => { globalThis.release = resolve; });
    return new Response('1');`,
  );
  const fresh = member('changes', 'globalThis.release?.(); return new Response("2")', { version: '2' });
  const { facts } = await ask(keeper, stays);
  assert.equal((await ask(keeper, old)).facts.instance, facts.instance);
  const slow = new Call(keeper, old, { path: '/slow' });
  await keeper.probe(fresh, null);
  const retired = keeper.retire(old.key, 'replaced');
  const after = await ask(keeper, fresh);
  assert.deepEqual([after.text, after.facts.start, after.facts.instance], ['2', 'warm', facts.instance]);
  assert.equal((await slow.answer.promise).text, '1', 'what ran came to its end');
  await retired;
  const [base] = keeper.snapshot().hosts.flatMap(({ bases }) => bases.filter(({ group }) => group === 'shop'));
  assert.deepEqual(base?.modules?.map((module) => [module.function, module.version]).sort(), [
    ['changes', '2'],
    ['stays', '1'],
  ]);
  await keeper.retire(fresh.key, 'deleted');
  assert.equal((await ask(keeper, stays)).facts.instance, facts.instance);
  await keeper.retire(stays.key, 'deleted');
  await harness.event(({ subject, id, what }) => subject === 'base' && id === facts.instance && what === 'retired');
});

test("a deploy is proved in a base of its own: what it breaks there, or at its top level, is nobody else's", async (t) => {
  const { keeper } = await startKeeper(t);
  const good = member('good', 'return new Response("good")');
  const { facts } = await ask(keeper, good);
  const crashes = moduleOf(
    `setTimeout(() => { throw new Error('uncaught'); }); exports.default = { fetch: () => new Promise(() => {}) };`,
    {
      name: 'crashes',
      limits: { timeoutMs: 300 },
      ...GROUP,
    },
  );
  await assert.rejects(keeper.probe(crashes, '/ready'), { code: 'PROBE_FAILED' });
  await assert.rejects(keeper.probe(moduleOf('throw new Error("no config")', { name: 'throws', ...GROUP }), null), {
    code: 'PROBE_FAILED',
    message: /no config/,
  });
  const awaits = moduleOf('export default { fetch: () => new Response(await 1) }', { name: 'awaits', ...GROUP });
  const esm: ModuleSpec = {
    ...awaits,
    image: () => ({ format: 'esm', code: Buffer.from('await 1; export default {}'), codeCache: null, files: [] }),
  };
  await assert.rejects(keeper.probe(esm, null), { code: 'PROBE_FAILED', message: /top-level await/ });
  const again = await ask(keeper, good);
  assert.deepEqual([again.facts.instance, again.facts.start], [facts.instance, 'warm']);
});

test('calls between members are direct: the request and the answer are the very objects', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  harness.onBinding = (_spec, _call, exchange) => exchange.cancel({ code: 'NOT_FOUND', message: 'over the link' });
  const callee = member(
    'callee',
    `
    const { handed } = request;
    handed.seen = [ctx.invocationId, ctx.props, env.SECRET];
    const answer = new Response('answer');
    answer.mine = handed;
    return answer;`,
    { vars: { SECRET: 'of the callee' } },
  );
  const caller = member(
    'caller',
    `
    const request2 = new Request('http://callee/');
    request2.handed = { from: 'caller' };
    const answer = await env.CALLEE.fetch(request2);
    return Response.json([answer.mine === request2.handed, answer.mine.seen[0] === ctx.invocationId, answer.mine.seen[2],
      await answer.text(), request2.headers.get('traceparent')]);`,
    calls('callee'),
  );
  await keeper.probe(callee, null);
  keeper.direct('callee', callee.key);
  const { text } = await ask(keeper, caller);
  const [same, within, secret, answer, traceparent] = JSON.parse(text);
  assert.deepEqual([same, within, secret, answer], [true, true, 'of the callee', 'answer']);
  assert.match(traceparent, /^00-[0-9a-f]{32}-/);
  keeper.direct('callee', null);
  await assert.rejects(ask(keeper, caller), { code: 'FUNCTION_EXCEPTION', message: /over the link/ });
});

test('direct calls are hops, have no more time than their caller, and fail as calls over the link do', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  const seen: unknown[] = [];
  harness.onBinding = (spec, call, exchange) => {
    seen.push([spec.functionName, call.invocationId, call.within?.hops]);
    exchange.cancel({ code: 'NOT_FOUND', message: 'none such' });
  };
  const attempt = (what: string) =>
    `try { return await ${what} } catch (error) { return Response.json([error.name, error.code, error.message]) }`;
  const thrower = member('thrower', 'throw new RangeError("too far")');
  const slow = member(
    'slow',
    `
    await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
    globalThis.slowHeard = ctx.signal.reason.name;
    return new Response('late');`,
    { limits: { timeoutMs: 150 } },
  );
  const loop = member('loop', 'return env.LOOP.fetch("http://loop/")', calls('loop'));
  const reaches = member('reaches', 'await env.KV.get("key").catch(() => 0); return new Response("reached")', {
    bindings: [{ kind: 'kv', name: 'KV', namespace: 'n' }],
  });
  const caller = member(
    'caller',
    `
    const name = new URL(request.url).pathname.slice(1).toUpperCase();
    if (name === 'HEARD') return new Response(globalThis.slowHeard);
    ${attempt('env[name].fetch("http://it/")')}`,
    calls('thrower', 'slow', 'loop', 'reaches'),
  );
  for (const spec of [thrower, slow, loop, reaches, caller]) {
    await keeper.probe(spec, null);
    keeper.direct(spec.functionName, spec.key);
  }
  const answer = async (path: string) => JSON.parse((await ask(keeper, caller, { path })).text);
  assert.deepEqual(await answer('/thrower'), ['BindingError', 'FUNCTION_EXCEPTION', 'RangeError: too far']);
  await harness.logged('RangeError: too far');
  assert.match(harness.logs.find(({ message }) => message.includes('too far'))?.module ?? '', /^thrower@/);
  const timedOut = await answer('/slow');
  assert.deepEqual(timedOut.slice(0, 2), ['BindingError', 'FUNCTION_TIMEOUT']);
  assert.equal((await ask(keeper, caller, { path: '/heard' })).text, 'TimeoutError');
  assert.match((await answer('/loop'))[2], /through 16 functions/);
  assert.equal((await ask(keeper, caller, { path: '/reaches' })).text, 'reached');
  assert.deepEqual(seen.at(-1), ['reaches', null, 1], 'what it asks of the gateway says where it stands in the chain');

  seen.length = 0;
  const ticker = moduleOf(
    `const { env } = require('hearth');
     setTimeout(() => env.REACHES.fetch('http://it/').then(() => console.log('ticked')));
     exports.default = { fetch: () => new Response('') };`,
    { name: 'ticker', ...GROUP, ...calls('reaches') },
  );
  await ask(keeper, ticker);
  await harness.logged('ticked');
  assert.deepEqual(seen, [['reaches', null, 1]], 'outside of any invocation it is the first hop, as over the link');
});

test('what is called by its neighbours alone is not taken out as idle', async (t) => {
  let now = 1_000_000;
  const harness = await startKeeper(t, {}, () => now);
  const { keeper } = harness;
  const limits = { keepAlive: 10 } as const;
  const callee = member(
    'callee',
    'globalThis.hits = (globalThis.hits ?? 0) + 1; return new Response(String(globalThis.hits))',
    { limits },
  );
  // The base tells of such calls now and then: before this answer it has.
  const body = `const answer = await env.CALLEE.fetch('http://callee/');
    await new Promise((resolve) => setTimeout(resolve, 300));
    return answer;`;
  const caller = member('caller', body, { ...calls('callee'), limits });
  await keeper.probe(callee, null);
  keeper.direct('callee', callee.key);
  for (let n = 1; n <= 3; n++) {
    now += 6_000;
    assert.equal((await ask(keeper, caller)).text, String(n));
  }
  assert.equal(harness.events.filter(({ subject, what }) => subject === 'instance' && what === 'retired').length, 0);
  now += 60_000;
  await harness.event(
    ({ subject, what, function: name }) => subject === 'instance' && what === 'retired' && name === 'callee',
  );
  await harness.event(
    ({ subject, what, why }) => subject === 'base' && what === 'retired' && why.startsWith('idle for'),
  );
});

const HOLDS = `if (request.url.endsWith('/hold')) {
    console.log('holding');
    await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
  }
  if (request.url.endsWith('/much')) globalThis.kept = Buffer.alloc(288 * 1024 * 1024, 1);
  return new Response('ok');`;

/** A group in which a call runs, with a version that lost its traffic and the one that has it now. */
async function withReplaced(harness: Harness) {
  const { keeper } = harness;
  const busy = member('busy', HOLDS, { limits: { memoryMb: 1024 } });
  const [old, fresh] = ['1', '2'].map((version) =>
    member('changes', `return new Response('${version}')`, { version }),
  ) as [ModuleSpec, ModuleSpec];
  keeper.activate(old);
  assert.equal((await ask(keeper, old)).text, '1');
  const call = new Call(keeper, busy, { path: '/hold' });
  await harness.logged('holding');
  const { facts } = await ask(keeper, fresh);
  keeper.activate(fresh);
  keeper.deactivate(old.key);
  const versions = () => {
    const bases = keeper.snapshot().hosts.flatMap((host) => host.bases);
    const modules = bases.find(({ id }) => id === facts.instance)?.modules ?? [];
    return modules.filter((module) => module.function === 'changes').map(({ version }) => version);
  };
  assert.deepEqual(versions(), ['1', '2']);
  return { busy, call, fresh, instance: facts.instance, versions };
}

test('a replaced version goes alone when its time is over, however busy its group is', async (t) => {
  let now = 1_000_000;
  const harness = await startKeeper(t, {}, () => now);
  const { call, fresh, instance, versions } = await withReplaced(harness);
  now += 10 * 60_000;
  await ask(harness.keeper, fresh);
  await harness.until(() => versions().join() === '2');
  assert.equal((await ask(harness.keeper, fresh)).facts.instance, instance);
  call.handle.abort('enough');
});

test('a replaced version is the first to go when memory runs short, alone, while its group is busy', async (t) => {
  const harness = await startKeeper(t, { memoryMb: 260, warmBases: 1, basesPerHost: 16 });
  const { keeper } = harness;
  const { busy, call, fresh, instance, versions } = await withReplaced(harness);
  // It alone holds more than all may, whatever a host takes by itself.
  await ask(keeper, busy, { path: '/much' });
  await harness.event(({ why, function: of }) => why === 'memory runs short' && of === 'changes');
  assert.deepEqual(versions(), ['2']);
  assert.deepEqual(
    [(await ask(keeper, fresh)).facts, (await ask(keeper, busy)).facts].map((facts) => [facts.instance, facts.start]),
    [instance, instance].map((id) => [id, 'warm']),
  );
  call.handle.abort('enough');
});

test('limits are of all together: the base goes with all that runs in it, who did it is named, and all come back', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  const victim = member(
    'victim',
    `
    if (request.url.endsWith('/hang')) await new Promise(() => {});
    return new Response('victim');`,
  );
  const other = member('other', 'return new Response("other")');
  const spins = member('spins', 'if (request.url.endsWith("/spin")) for (;;); return new Response("spins")', {
    limits: { cpuMs: 200 },
  });
  for (const spec of [victim, other, spins]) await keeper.probe(spec, null);
  const { facts } = await ask(keeper, victim);
  const hanging = new Call(keeper, victim, { path: '/hang' });
  await assert.rejects(ask(keeper, spins, { path: '/spin' }), {
    code: 'FUNCTION_TIMEOUT',
    message: /^spins used more than 200 ms/,
  });
  await assert.rejects(hanging.answer.promise, { code: 'FUNCTION_CRASHED', message: /spins used more than/ });
  const killed = await harness.event(({ id, what }) => id === facts.instance && what === 'killed');
  assert.match(killed.why, /^spins used/);
  const back = (name: string) =>
    harness.event((event) => event.what === 'loaded' && event.function === name && event.id !== facts.instance);
  const ids = await Promise.all(['victim', 'other', 'spins'].map(back));
  assert.equal(new Set(ids.map(({ id }) => id)).size, 1);
  const again = await ask(keeper, other);
  assert.deepEqual([again.text, again.facts.start, again.facts.instance], ['other', 'warm', ids[0]?.id]);
});

test('memory is the sum of what its modules may take: the group is named when they take more', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  const limits = { memoryMb: 64 };
  const hog = member(
    'hog',
    `
    globalThis.kept ??= [];
    const mb = Number(new URL(request.url).pathname.slice(1));
    for (let n = 0; n < mb; n++) globalThis.kept.push(new Array(131072).fill(n));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    return new Response('kept');`,
    { limits },
  );
  const small = member('small', 'return new Response("small")', { limits });
  await keeper.probe(small, null);
  await keeper.probe(hog, null);
  assert.equal((await ask(keeper, hog, { path: '/80' })).text, 'kept', 'more than its own, less than both');
  await assert.rejects(ask(keeper, hog, { path: '/150' }), {
    code: 'FUNCTION_CRASHED',
    message: /group shop went over its memory limit of 128 MB/,
  });
});

test('a host that is killed takes nothing but time: the group is rebuilt as it was, and who was not called yet is served', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  const specs = Array.from({ length: 5 }, (_, n) => member(`m${n}`, `return new Response("${n}")`));
  for (const spec of specs) await keeper.probe(spec, null);
  const { facts } = await ask(keeper, specs[0] as ModuleSpec);
  const { pid } = keeper.snapshot().hosts.find(({ id }) => id === facts.host) ?? {};
  process.kill(pid as number, 'SIGKILL');
  await harness.event(({ id, what }) => id === facts.host && what === 'died');
  const answers = await Promise.all(specs.map((spec) => ask(keeper, spec)));
  assert.deepEqual(
    answers.map(({ text }) => text),
    ['0', '1', '2', '3', '4'],
  );
  assert.equal(new Set(answers.map(({ facts: { instance } }) => instance)).size, 1);
  assert.notEqual(answers[0]?.facts.instance, facts.instance);
});

test('groups of other trust groups, networks or pools are other groups', async (t) => {
  const { keeper } = await startKeeper(t);
  const specs = [
    member('a', 'return new Response("")'),
    member('b', 'return new Response("")', { trustGroup: 'other' }),
    member('c', 'return new Response("")', { network: 'none' }),
    member('d', 'return new Response("")', { group: 'other' }),
  ];
  const answers = await Promise.all(specs.map((spec) => ask(keeper, spec)));
  assert.equal(new Set(answers.map(({ facts }) => facts.instance)).size, 4);
});

test('module files: each module of a group has its own directory, and it goes with the module', async (t) => {
  const { keeper } = await startKeeper(t);
  const body = `const fs = require('fs'); const path = require('path');
    return new Response(fs.readFileSync(path.join(__dirname, 'name.txt'), 'utf8') + ' ' + (process.cwd() === __dirname));`;
  const files = (name: string) => [{ path: 'name.txt', bytes: Buffer.from(name) }];
  const bare = member('bare', 'return new Response("bare")');
  await ask(keeper, bare);
  const one = member('one', body, { files: files('one') });
  const two = member('two', body, { files: files('two') });
  assert.equal((await ask(keeper, one)).text, 'one true');
  assert.equal((await ask(keeper, two)).text, 'two true');
  await keeper.retire(one.key, 'deleted');
  assert.equal((await ask(keeper, two)).text, 'two true');
});

test('an uncaught exception of one module ends the base for all: what runs comes to its end, and all go on in a new one', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  const bomb = member('bomb', 'setTimeout(() => { throw new Error("boom"); }); return new Response("lit")');
  const other = member(
    'other',
    `if (!request.url.endsWith('/slow')) return new Response('other');
     await new Promise((resolve) => setTimeout(resolve, 100));
     return new Response('slow');`,
  );
  for (const spec of [bomb, other]) await keeper.probe(spec, null);
  const slow = new Call(keeper, other, { path: '/slow' });
  const { facts } = await ask(keeper, bomb);
  assert.equal((await slow.answer.promise).text, 'slow');
  await harness.event(({ subject, id, what }) => subject === 'base' && id === facts.instance && what === 'retired');
  assert.match((await harness.logged('boom')).module, /^bomb@/);
  const back = (name: string) =>
    harness.event((event) => event.what === 'loaded' && event.function === name && event.id !== facts.instance);
  const [first, second] = await Promise.all([back('bomb'), back('other')]);
  assert.equal(first.id, second.id);
  assert.equal((await ask(keeper, other)).facts.instance, first.id);
});

test('what breaks its base again and again is not rebuilt for ever, but when somebody calls', async (t) => {
  const harness = await startKeeper(t);
  const { keeper } = harness;
  const mine = member('mine', 'return new Response("mine")');
  await keeper.probe(mine, null);
  let died = (await ask(keeper, mine)).facts.host;
  for (let n = 0; n < 3; n++) {
    const host = keeper.snapshot().hosts.find(({ id }) => id === died);
    process.kill(host?.pid as number, 'SIGKILL');
    await harness.event(({ id, what }) => id === died && what === 'died');
    if (n < 2) died = (await ask(keeper, mine)).facts.host;
  }
  await harness.event(({ subject, what }) => subject === 'base' && what === 'warm');
  const groups = () => keeper.snapshot().hosts.flatMap(({ bases }) => bases.filter(({ group }) => group === 'shop'));
  assert.deepEqual(groups(), []);
  assert.equal((await ask(keeper, mine)).text, 'mine');
});

test('a deploy that never comes to the end of its top level is refused, and the proofs beside it are not', async (t) => {
  const { keeper } = await startKeeper(t);
  const spins = moduleOf('for (;;); exports.default = { fetch() {} };', {
    name: 'spins',
    ...GROUP,
    limits: { timeoutMs: 400 },
  });
  const good = member('good', 'return new Response("good")');
  const [spun, proved] = await Promise.allSettled([keeper.probe(spins, null), keeper.probe(good, null)]);
  assert.equal(spun.status === 'rejected' && spun.reason.code, 'PROBE_FAILED');
  assert.equal(proved.status, 'fulfilled');
  assert.equal((await ask(keeper, good)).text, 'good');
});
