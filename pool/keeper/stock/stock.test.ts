import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ask, Call, fetchModule, startKeeper } from '../testing/harness.ts';

const HOUR_MS = 3_600_000;
const TOO_MUCH = 'more in stock than leases are expected';

/** A keeper whose demand is forgotten by a clock that the test moves. */
async function poolWithClock(t: TestContext, settings: Parameters<typeof startKeeper>[1]) {
  let now = 0;
  const harness = await startKeeper(t, settings, () => now);
  const level = (base = 'default') => {
    const found = harness.keeper.snapshot().stock.find((stock) => stock.base === base);
    assert.ok(found);
    return found;
  };
  return {
    ...harness,
    level,
    pass: (ms: number) => {
      now += ms;
    },
    filled: () => harness.until(() => level().warm >= level().target),
  };
}

const crowd = (count: number) =>
  Array.from({ length: count }, () => fetchModule(`return new Response('served')`, { limits: { keepAlive: 86_400 } }));

test('a run of leases raises the stock, quiet lowers it to its floor again, one base after another', async (t) => {
  const { keeper, events, until, level, pass, filled } = await poolWithClock(t, { warmBases: 1, basesPerHost: 8 });
  assert.equal(level().target, 1);
  const answers = await Promise.all(crowd(3).map((spec) => ask(keeper, spec)));
  assert.ok(answers.every(({ text }) => text === 'served'));
  // Three, and twice the square root of three.
  assert.equal(level().target, 7);
  await filled();
  assert.equal(level().warm, 7);

  pass(HOUR_MS);
  assert.equal(level().target, 1);
  const given = () => events.filter(({ why }) => why === TOO_MUCH);
  for (let gone = 0; level().warm > 1; gone = given().length) {
    await until(() => given().length > gone || level().warm === 1);
    assert.ok(given().length <= gone + 1);
    pass(5_000);
  }
  assert.ok(given().length > 0);
  assert.ok(given().every(({ what }) => what === 'retired'));
  const { text } = await ask(keeper, fetchModule(`return new Response('still served')`));
  assert.equal(text, 'still served');
});

test('the stock keeps to its floor where the memory of hosts leaves no room for more', async (t) => {
  const { keeper, level, until, logged } = await poolWithClock(t, { warmBases: 1, memoryMb: 96 });
  const holder = fetchModule(
    `globalThis.kept = Buffer.alloc(128 * 1024 * 1024, 1); console.log('holding');
     await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve)); return new Response('unheard');`,
    { limits: { memoryMb: 512 } },
  );
  const held = new Call(keeper, holder);
  await logged('holding');
  // It alone holds more than all may, whatever a host takes by itself.
  await until(() => keeper.snapshot().pools[0]?.pressure === 'full');
  const answers = crowd(3).map((spec) => ask(keeper, spec));
  // Seven, where there is memory.
  assert.equal(level().target, 1);
  held.handle.abort('enough');
  await Promise.allSettled(answers);
});

test('a definition that does not come up holds back neither the start nor the stock of the others', async (t) => {
  const broken = {
    name: 'broken',
    shared: [{ specifier: 'gone', library: 'gone', version: '1.0.0', path: '/nowhere/gone.js', bytes: 0 }],
    setupPath: null,
    env: {},
  };
  const { keeper, events } = await startKeeper(t, { warmBases: 1 }, undefined, [broken]);
  assert.equal(keeper.snapshot().stock.find(({ base }) => base === 'default')?.warm, 1);
  assert.ok(events.some(({ what, why }) => what === 'died' && why.includes('gone')));
});

test('functions of different pools never share a host', async (t) => {
  const { keeper } = await startKeeper(t, { warmBases: 2, pools: { batch: {} } });
  const hostOf = async (pool: string) => {
    const { facts } = await ask(keeper, fetchModule(`return new Response('here')`, { pool }));
    return facts.host;
  };
  const [first, other, again] = [await hostOf('default'), await hostOf('batch'), await hostOf('default')];
  const poolOf = new Map(keeper.snapshot().hosts.map(({ id, pool }) => [id, pool]));
  assert.deepEqual(
    [first, other, again].map((id) => poolOf.get(id)),
    ['default', 'batch', 'default'],
  );
});

test('the start waits for a base of each definition, and one may have a floor of its own', async (t) => {
  const own = { name: 'own', shared: [], setupPath: null, env: {}, warm: 3 };
  const { keeper, until } = await startKeeper(t, { warmBases: 1 }, undefined, [own]);
  assert.ok(keeper.snapshot().stock.every(({ warm }) => warm > 0));
  await until(() => keeper.snapshot().stock.every(({ warm, target }) => warm === target));
  const stock = keeper.snapshot().stock.toSorted((a, b) => a.base.localeCompare(b.base));
  assert.deepEqual(stock, [
    { pool: 'default', base: 'default', warm: 1, target: 1 },
    { pool: 'default', base: 'own', warm: 3, target: 3 },
  ]);
});
