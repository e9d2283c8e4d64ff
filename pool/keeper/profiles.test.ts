/** Profiles of functions in real hosts. One keeper for all: each test has functions, and where it matters a host, of its own. */
import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { ProfileRequest, ProfileSubject } from './api.ts';
import { ask, Call, fetchModule, type Harness, startKeeper } from './testing/harness.ts';

let harness: Harness;
const ends: (() => unknown)[] = [];
before(async () => {
  harness = await startKeeper({ after: (end: () => unknown) => ends.push(end) } as unknown as TestContext);
});
after(async () => {
  for (const end of ends) await end();
});

function take(name: string, more: Partial<ProfileRequest> = {}) {
  const { signal } = new AbortController();
  return harness.keeper.profile(name, {
    kind: 'cpu',
    durationMs: 200,
    instance: null,
    admit: () => undefined,
    signal,
    ...more,
  });
}

async function whole(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(pieces)).toString();
}

function killHost(id: string): void {
  const pid = harness.keeper.snapshot().hosts.find((host) => host.id === id)?.pid;
  process.kill(pid ?? assert.fail(`no host ${id}`), 'SIGKILL');
}

const code = (expected: string) => (error: unknown) => error instanceof HearthError && error.code === expected;

/** Says `shown` once, then burns turns of some ms in a function of that name until its caller goes. */
const BURNS = `
  const burn = (until) => { while (performance.now() < until) Math.sqrt(2); };
  console.log('burns ' + request.url);
  while (!ctx.signal.aborted) { burn(performance.now() + 5); await new Promise(setImmediate); }
  return new Response('done')`;

interface CpuProfile {
  nodes: { callFrame: { functionName: string; url: string }; hitCount: number }[];
  samples: number[];
  timeDeltas: number[];
}

test('a CPU profile shows where a function spends its time, while it serves', async () => {
  const { keeper, logged } = harness;
  const spec = fetchModule(BURNS, { name: 'burns' });
  const call = new Call(keeper, spec, { path: '/a' });
  await logged('burns');
  const profile = JSON.parse(await whole(take('burns', { durationMs: 1_000 }).pieces)) as CpuProfile;
  call.handle.abort('enough');
  await call.done.promise;
  const burn = profile.nodes.filter(({ callFrame }) => callFrame.functionName === 'burn');
  assert.ok(
    burn.some(({ callFrame }) => callFrame.url === 'burns.js'),
    JSON.stringify(burn),
  );
  assert.ok(burn.reduce((sum, { hitCount }) => sum + hitCount, 0) > 0);
  assert.equal(profile.samples.length, profile.timeDeltas.length);
  assert.equal((await ask(keeper, fetchModule(`return new Response('on')`, { name: 'beside' }))).text, 'on');
});

test('a loop that never lets go is profiled too', async () => {
  const { keeper, logged } = harness;
  const spec = fetchModule(`console.log('spins now'); (function spinning() { for (;;); })()`, {
    name: 'spins',
    trustGroup: 'spins',
  });
  const call = new Call(keeper, spec);
  await logged('spins now');
  const profile = take('spins');
  assert.ok((JSON.parse(await whole(profile.pieces)) as CpuProfile).nodes.length > 0);
  killHost(profile.host);
  await assert.rejects(call.answer.promise);
});

test('a heap snapshot holds what the function keeps; it takes no calls meanwhile, goes on, and its host is given up', async () => {
  const { keeper, events, until } = harness;
  const spec = fetchModule(`globalThis.kept ??= [{ marker: 'kept-by-' + 'the-function' }]; return new Response('ok')`, {
    name: 'keeps',
    trustGroup: 'snapshots',
    limits: { memoryMb: 32, cpuMs: 20 },
  });
  const first = await ask(keeper, spec);
  const profile = take('keeps', { kind: 'heap' });
  assert.deepEqual([profile.instance, profile.host], [first.facts.instance, first.facts.host]);
  const next = await profile.pieces.next();
  assert.equal(next.done, false);
  const text = Buffer.from(next.value as Uint8Array).toString() + (await whole(profile.pieces));
  const snapshot = JSON.parse(text) as { snapshot: { node_count: number }; strings: string[] };
  assert.ok(snapshot.strings.includes('kept-by-the-function'));
  const said = events.find((event) => event.what === 'profiled' && event.id === profile.instance);
  assert.match(said?.why ?? '', /heap snapshot: it stands still/);
  await until(() => keeper.snapshot().hosts.every(({ id }) => id !== profile.host));
  const again = await ask(keeper, spec);
  assert.equal(again.text, 'ok');
  assert.notEqual(again.facts.host, profile.host);
  const faults = events.filter((event) => event.function === 'keeps' && event.what === 'killed');
  assert.deepEqual(faults, [], 'that it stood still was no fault of its own');
});

test('while a heap is written down, a new call goes to another instance', async () => {
  const { keeper, logged } = harness;
  const spec = fetchModule(
    `globalThis.kept ??= Array.from({ length: 30_000 }, (_, n) => ({ n, text: 'x' + n }));
     console.log('called ' + request.url); return new Response('ok')`,
    { name: 'large', trustGroup: 'snapshots-2', limits: { memoryMb: 64 } },
  );
  const first = await ask(keeper, spec);
  await logged('called');
  const profile = take('large', { kind: 'heap' });
  const begun = profile.pieces.next();
  const meanwhile = await ask(keeper, spec);
  assert.notEqual(meanwhile.facts.instance, first.facts.instance);
  assert.equal((await begun).done, false);
  await profile.pieces.return(undefined);
});

test('one at a time in a host, and none of what does not run', async () => {
  const { keeper, logged } = harness;
  const call = new Call(keeper, fetchModule(BURNS, { name: 'twice', trustGroup: 'twice' }), { path: '/twice' });
  await logged('/twice');
  const given = new AbortController();
  const long = take('twice', { durationMs: 60_000, signal: given.signal });
  const pending = long.pieces.next();
  pending.catch(() => undefined);
  assert.throws(() => take('twice'), code('CONFLICT'));
  given.abort(new Error('the caller is gone'));
  await assert.rejects(pending, /the caller is gone/);
  assert.match(await whole(take('twice', { durationMs: 1 }).pieces), /^\{"nodes"/, 'and then the next');
  assert.throws(() => take('never-called'), code('CONFLICT'));
  assert.throws(() => take('twice', { instance: 'base-0' }), code('CONFLICT'));
  call.handle.abort('enough');
  await call.done.promise;
});

test('who asks hears first whose modules stand in the base, and may not get it', async () => {
  const { keeper } = harness;
  const one = fetchModule(`return new Response('one')`, {
    name: 'member-one',
    group: 'pair',
    limits: { memoryMb: 32 },
  });
  const two = fetchModule(`return new Response('two')`, {
    name: 'member-two',
    group: 'pair',
    limits: { memoryMb: 32 },
  });
  await ask(keeper, one);
  await ask(keeper, two);
  const heard: ProfileSubject[] = [];
  const admit = (subject: ProfileSubject) => {
    heard.push(subject);
    throw new HearthError('FORBIDDEN', 'not with others');
  };
  assert.throws(() => take('member-one', { kind: 'heap', admit }), code('FORBIDDEN'));
  assert.deepEqual(heard[0]?.functions, ['member-one', 'member-two']);
  assert.equal((await ask(keeper, one)).text, 'one');
});

test('a base that dies ends its profile', async () => {
  const { keeper, logged } = harness;
  const spec = fetchModule(BURNS, { name: 'dies', trustGroup: 'dies' });
  const call = new Call(keeper, spec, { path: '/dies' });
  await logged('/dies');
  const profile = take('dies', { durationMs: 60_000 });
  const pending = profile.pieces.next();
  killHost(profile.host);
  await assert.rejects(pending, code('NO_CAPACITY'));
  await assert.rejects(call.answer.promise);
});
