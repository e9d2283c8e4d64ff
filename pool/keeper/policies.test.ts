/** Keep-alive, prewarming, minimum, reserve, fairness and eviction over real hosts and bases. */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import type { PoolEvent } from './api.ts';
import { SURPLUS_HOLD_MS } from './policy/spell.ts';
import { ask, Call, fetchModule, type Harness, startKeeper } from './testing/harness.ts';

const MINUTE = 60_000;

/** A clock of idle times that stands still until it is moved. */
function manualClock() {
  const clock = { ms: 0, now: () => clock.ms };
  return clock;
}

const OK = `return new Response('ok')`;
/** Runs until its caller goes away. */
const HOLDS = `console.log('held ' + new URL(request.url).pathname);
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve)); return new Response('unheard')`;

const leasesOf = (events: PoolEvent[], name: string) =>
  events.filter((event) => event.what === 'leased' && event.function === name).length;
const retired = ({ event }: Harness, name: string) =>
  event((seen) => seen.what === 'retired' && seen.function === name);
const nthLease = ({ until, events }: Harness, name: string, count: number) =>
  until(() => leasesOf(events, name) >= count);

test('an instance is kept for the seconds of keepAlive and no longer', async (t) => {
  const clock = manualClock();
  const harness = await startKeeper(t, {}, clock.now);
  const short = fetchModule(OK, { limits: { keepAlive: 5 } });
  const long = fetchModule(OK, { limits: { keepAlive: 50 } });
  await Promise.all([ask(harness.keeper, short), ask(harness.keeper, long)]);
  clock.ms += 5_000;
  assert.match((await retired(harness, short.functionName)).why, /idle for 5 s/);
  assert.equal((await ask(harness.keeper, long)).facts.start, 'warm');
  assert.equal((await ask(harness.keeper, short)).facts.start, 'cold');
});

test('a function with a rhythm is let go after a minute and warm again before its next call', async (t) => {
  const clock = manualClock();
  const harness = await startKeeper(t, {}, clock.now);
  const spec = fetchModule(OK);
  for (let n = 0; n < 7; n++) {
    await ask(harness.keeper, spec);
    // Its idle time is known once the next call has come.
    clock.ms += 30 * MINUTE;
  }
  assert.equal((await new Call(harness.keeper, spec).answer.promise).text, 'ok');
  const leases = leasesOf(harness.events, spec.functionName);
  clock.ms += MINUTE;
  await harness.event(({ what, why }) => what === 'retired' && why === 'idle for 60 s');
  assert.equal(leasesOf(harness.events, spec.functionName), leases);
  clock.ms += 26 * MINUTE;
  await nthLease(harness, spec.functionName, leases + 1);
  clock.ms += 3 * MINUTE;
  assert.equal((await ask(harness.keeper, spec)).facts.start, 'warm');
});

test('what a crowd made grow goes after twenty seconds, but for one instance', async (t) => {
  const clock = manualClock();
  const harness = await startKeeper(t, {}, clock.now);
  const { keeper, logged, events, until } = harness;
  const spec = fetchModule(HOLDS, { limits: { concurrency: 1, maxInstances: 3 } });
  const crowd = [1, 2, 3].map((n) => new Call(keeper, spec, { path: `/${n}` }));
  await Promise.all([1, 2, 3].map((n) => logged(`held /${n}`)));
  for (const call of crowd) call.handle.abort('enough');
  await Promise.all(crowd.map((call) => call.done.promise));
  clock.ms += SURPLUS_HOLD_MS;
  const gone = () => events.filter(({ what, function: of }) => what === 'retired' && of === spec.functionName).length;
  // A ping that was out while the clock was moved looks twenty seconds late: its loop counts as busy, and its instance as
  // needed, from then on. So the clock goes on.
  let looks = 0;
  await until(() => {
    if (++looks % 200 === 0) clock.ms += SURPLUS_HOLD_MS;
    return gone() === 2;
  });
  // Another function is looked after meanwhile: the last one was passed over.
  const other = fetchModule(OK, { limits: { keepAlive: 1 } });
  await ask(keeper, other);
  clock.ms += 1_000;
  await retired(harness, other.functionName);
  assert.equal(gone(), 2);
});

test('minInstances are there from activation on, outlast any idle time, and go when the version is retired', async (t) => {
  const clock = manualClock();
  const harness = await startKeeper(t, {}, clock.now);
  const spec = fetchModule(OK, { limits: { minInstances: 2 } });
  const other = fetchModule(OK);
  harness.keeper.activate(spec);
  await nthLease(harness, spec.functionName, 2);
  await ask(harness.keeper, other);
  clock.ms += 24 * 60 * MINUTE;
  await retired(harness, other.functionName);
  assert.equal((await ask(harness.keeper, spec)).facts.start, 'warm');
  assert.equal(leasesOf(harness.events, spec.functionName), 2);
  await harness.keeper.retire(spec.key, 'replaced');
  assert.equal(harness.keeper.snapshot().bases.leased, 0);
});

test('a version that is deactivated gives up its minimum, and is warm for ten minutes should its traffic come back', async (t) => {
  const clock = manualClock();
  const harness = await startKeeper(t, {}, clock.now);
  const { keeper, events, until } = harness;
  const spec = fetchModule(OK, { limits: { minInstances: 2 } });
  const gone = () => events.filter(({ what, function: of }) => what === 'retired' && of === spec.functionName).length;
  keeper.activate(spec);
  await nthLease(harness, spec.functionName, 2);
  keeper.deactivate(spec.key);
  keeper.deactivate('nobody@v1+0');
  await until(() => gone() === 1);
  clock.ms += 10 * MINUTE - 1;
  assert.equal((await ask(keeper, spec)).facts.start, 'warm');
  clock.ms += 10 * MINUTE;
  await until(() => gone() === 2);
  keeper.activate(spec);
  await nthLease(harness, spec.functionName, 4);
});

test('what is served apart from a version rests with it, and rests no more when its traffic has come back', async (t) => {
  const clock = manualClock();
  const harness = await startKeeper(t, { warmBases: 1, maxBases: 2, basesPerHost: 2 }, clock.now);
  const { keeper } = harness;
  const spec = fetchModule(OK);
  const part = { ...spec, key: `${spec.key}/web/batch`, functionName: 'part' };
  const [other, next] = [fetchModule(OK), fetchModule(OK)];
  for (let n = 0; n < 20; n++) {
    await ask(keeper, part);
    clock.ms += 2 * MINUTE;
  }
  keeper.deactivate(spec.key);
  keeper.activate(spec);
  await ask(keeper, other);
  // One of the two has to go: the part is used far more often, and would be the first if it rested still.
  await ask(keeper, next);
  const gone = await harness.event(({ why }) => why === 'its base is needed elsewhere');
  assert.equal(gone.function, other.functionName);
  assert.equal((await ask(keeper, part)).facts.start, 'warm');
});

test('one of minInstances that dies is replaced', async (t) => {
  const harness = await startKeeper(t);
  const spec = fetchModule(`setTimeout(() => { throw new Error('bang'); }); ${OK}`, { limits: { minInstances: 1 } });
  harness.keeper.activate(spec);
  await nthLease(harness, spec.functionName, 1);
  await ask(harness.keeper, spec);
  await retired(harness, spec.functionName);
  await nthLease(harness, spec.functionName, 2);
});

test('a module that does not load is not loaded over and over for its minimum', async (t) => {
  const clock = manualClock();
  const harness = await startKeeper(t, {}, clock.now);
  const spec = fetchModule(OK, { limits: { minInstances: 1 } });
  const broken = { ...spec, image: () => Promise.reject(new Error('the store is away')) };
  harness.keeper.activate(broken);
  await retired(harness, spec.functionName);
  // Others are looked after meanwhile.
  const other = fetchModule(OK, { limits: { minInstances: 1 } });
  harness.keeper.activate(other);
  await nthLease(harness, other.functionName, 1);
  assert.equal(leasesOf(harness.events, spec.functionName), 1);
  clock.ms += 5_000;
  await nthLease(harness, spec.functionName, 2);
});

test('what is prewarmed serves its first call warm', async (t) => {
  const { keeper } = await startKeeper(t);
  const spec = fetchModule(OK);
  keeper.prewarm(spec, 10_000);
  keeper.prewarm(spec, 10_000);
  assert.equal((await ask(keeper, spec)).facts.start, 'warm');
});

test('in a full pool a reserved invocation gets its base at once, and others wait for those that are left', async (t) => {
  const { keeper, logged } = await startKeeper(t, { warmBases: 1, maxBases: 3, basesPerHost: 3 });
  const reserving = fetchModule(OK, { limits: { reserved: 1, concurrency: 1 } });
  keeper.activate(reserving);
  const held = [1, 2].map((n) => new Call(keeper, fetchModule(HOLDS), { path: `/${n}` }));
  await Promise.all([logged('held /1'), logged('held /2')]);
  const third = ask(keeper, fetchModule(OK));
  assert.equal((await ask(keeper, reserving)).text, 'ok');
  // Its instance is idle now and stays its own: the third one gets a base of those that hold.
  held[0]?.handle.abort('enough');
  assert.equal((await third).text, 'ok');
  assert.equal((await ask(keeper, reserving)).facts.start, 'warm');
  held[1]?.handle.abort('enough');
});

test('a crowd of one function in a full pool lets another one in', async (t) => {
  const { keeper } = await startKeeper(t, { warmBases: 1, maxBases: 2, basesPerHost: 2 });
  const crowd = fetchModule(`await new Promise((resolve) => setTimeout(resolve, 20)); ${OK}`, {
    limits: { concurrency: 1, maxInstances: 8 },
  });
  let stop = false;
  const answered: Promise<number>[] = Array.from({ length: 2 }, async () => {
    let count = 0;
    // Each of these has the next call waiting before the last one has ended.
    for (let next = ask(keeper, crowd); !stop; count++) {
      const last = next;
      next = ask(keeper, crowd);
      await last;
      if (stop) await next;
    }
    return count;
  });
  await Promise.all([ask(keeper, crowd), ask(keeper, crowd)]);
  assert.equal((await ask(keeper, fetchModule(OK))).text, 'ok');
  stop = true;
  for (const count of await Promise.all(answered)) assert.ok(count > 0);
});

test('a full pool gives up what is used least, not what was used longest ago', async (t) => {
  const clock = manualClock();
  const harness = await startKeeper(t, { warmBases: 1, maxBases: 2, basesPerHost: 2 }, clock.now);
  const { keeper } = harness;
  const [often, once, next] = [fetchModule(OK, { limits: { keepAlive: 86_400 } }), fetchModule(OK), fetchModule(OK)];
  for (let n = 0; n < 200; n++) {
    await ask(keeper, often);
    clock.ms += 2 * MINUTE;
  }
  await ask(keeper, once);
  await ask(keeper, next);
  assert.equal((await retired(harness, once.functionName)).why, 'its base is needed elsewhere');
  assert.equal((await ask(keeper, often)).facts.start, 'warm');
});

test('a function whose loop is busy gets a second instance though its slots are not full', {
  skip: availableParallelism() < 2 && 'there is one core only',
}, async (t) => {
  const harness = await startKeeper(t);
  const { keeper, events } = harness;
  const spec = fetchModule(`const until = Date.now() + 40; while (Date.now() < until); ${OK}`);
  const burn = async () => {
    while (leasesOf(events, spec.functionName) < 2) await ask(keeper, spec);
  };
  await Promise.all(Array.from({ length: 4 }, burn));
  const [, second] = events.filter(({ what, function: of }) => what === 'leased' && of === spec.functionName);
  assert.ok(second);
});
