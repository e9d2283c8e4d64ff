import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { BaseDefinition } from '../definition.ts';
import { ask, Call, fetchModule, moduleOf, startKeeper } from '../testing/harness.ts';

const ANY = { required: () => true };

/** The next generation of `default`, with a setup of this source. */
function nextDefault(t: TestContext, setup: string, generation = 2): BaseDefinition {
  const directory = mkdtempSync(path.join(tmpdir(), 'hearth-generation-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const setupPath = path.join(directory, 'setup.cjs');
  writeFileSync(setupPath, setup);
  return { name: 'default', generation, shared: [], setupPath, env: {} };
}

const tellsTag = (limits = {}) => fetchModule(`return new Response(String(env.BASE?.tag))`, { limits });

test('a generation that is only tried serves nobody, and what is proved on it keeps nothing', async (t) => {
  const { keeper, event, events } = await startKeeper(t);
  const next = nextDefault(t, 'module.exports = () => ({ tag: 2 });');
  keeper.bases.add(next);
  const spec = tellsTag();
  await keeper.bases.prove(next, spec, null);
  assert.equal((await ask(keeper, spec)).text, 'undefined');
  await event(({ why }) => why === 'it was proved on another generation of its base');
  assert.deepEqual(
    keeper.snapshot().stock.map(({ base }) => base),
    ['default'],
  );
  keeper.bases.drop(next);
  await event(({ why, subject }) => subject === 'host' && why === 'its base definition has changed');
  assert.ok(events.some(({ why, subject }) => subject === 'base' && why === 'its base definition has changed'));
});

test('a module that does not come up on it is refused with what it said, and so is one that is not ready', async (t) => {
  const { keeper } = await startKeeper(t);
  const next = nextDefault(t, 'module.exports = () => ({ tag: 2 });');
  keeper.bases.add(next);
  const throws = moduleOf(`throw new Error('no licence'); exports.default = { fetch() {} };`);
  await assert.rejects(keeper.bases.prove(next, throws, null), { code: 'PROBE_FAILED', message: /no licence/ });
  const unready = fetchModule(`return new Response('', { status: env.BASE ? 503 : 200 })`);
  await assert.rejects(keeper.bases.prove(next, unready, '/ready'), { code: 'PROBE_FAILED', message: /answered 503/ });
});

test('modules of a group are proved beside each other, and one that fails is named all the same', async (t) => {
  const { keeper, events } = await startKeeper(t);
  const next = nextDefault(t, 'module.exports = () => ({ tag: 2 });');
  keeper.bases.add(next);
  const leases = () => events.filter(({ what }) => what === 'leased').length;
  const group = (source: string) => ({ ...moduleOf(source), group: 'shop' });
  for (let n = 0; n < 5; n++) {
    await keeper.bases.prove(next, group('exports.default = { fetch: () => new Response() };'), '/ready');
  }
  assert.equal(leases(), 1);
  const throws = group(`throw new Error('no licence'); exports.default = { fetch() {} };`);
  await assert.rejects(keeper.bases.prove(next, throws, null), { code: 'PROBE_FAILED', message: /no licence/ });
  const ends = group(`process.exit(3); exports.default = { fetch() {} };`);
  await assert.rejects(keeper.bases.prove(next, ends, null), { code: 'PROBE_FAILED' });
  await keeper.bases.prove(next, group('exports.default = { fetch: () => new Response() };'), null);
});

test('a generation whose bases do not come up is told of, and the one in use serves on', async (t) => {
  const { keeper } = await startKeeper(t);
  const next = nextDefault(t, 'throw new Error("broken setup");');
  keeper.bases.add(next);
  const spec = tellsTag();
  await assert.rejects(keeper.bases.prove(next, spec, null), { code: 'NO_CAPACITY', message: /do not come up/ });
  await assert.rejects(keeper.bases.prepare(next), { code: 'NO_CAPACITY', message: /do not come up/ });
  assert.equal((await ask(keeper, spec)).text, 'undefined');
});

test('instances move to it while calls run: what has begun ends where it is, and the next call is warm', async (t) => {
  const { keeper, event, logged } = await startKeeper(t);
  const next = nextDefault(t, 'module.exports = () => ({ tag: 2 });');
  const spec = moduleOf(`exports.default = { async fetch(request, env) {
    if (request.url.endsWith('/long')) {
      console.log('begun');
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    return new Response(String(env.BASE?.tag));
  } };`);
  const before = await ask(keeper, spec);
  assert.equal(before.text, 'undefined');
  keeper.bases.add(next);
  await keeper.bases.prepare(next);
  const long = new Call(keeper, spec, { path: '/long' });
  await logged('begun');
  const left: number[] = [];
  await keeper.bases.move(next, { ...ANY, progress: (count) => left.push(count) });
  const after = await ask(keeper, spec);
  assert.equal(after.text, '2');
  assert.equal(after.facts.start, 'warm');
  assert.notEqual(after.facts.host, before.facts.host);
  assert.equal((await long.answer.promise).text, 'undefined');
  assert.deepEqual(left, [1, 0]);
  await event(({ subject, id, what }) => subject === 'host' && id === before.facts.host && what !== 'started');
});

test('as many instances as there were stand on the new generation before calls go there', async (t) => {
  const { keeper, until, events } = await startKeeper(t);
  const next = nextDefault(t, 'module.exports = () => ({ tag: 2 });');
  const spec = tellsTag({ minInstances: 3, concurrency: 1 });
  keeper.activate(spec);
  const leases = () => events.filter(({ what }) => what === 'leased').length;
  await until(() => leases() === 3);
  keeper.bases.add(next);
  await keeper.bases.prepare(next);
  await keeper.bases.move(next, ANY);
  assert.equal(leases(), 6);
  const answers = await Promise.all(Array.from({ length: 3 }, () => ask(keeper, spec)));
  assert.ok(answers.every(({ text, facts }) => text === '2' && facts.start === 'warm'));
});

test('what stands in one host moves together, and the next host after it', async (t) => {
  const { keeper } = await startKeeper(t);
  const next = nextDefault(t, 'module.exports = () => ({ tag: 2 });');
  const specs = ['red', 'red', 'blue'].map((trustGroup) =>
    fetchModule(`return new Response(String(env.BASE?.tag))`, { trustGroup }),
  );
  const before = [];
  for (const spec of specs) before.push(await ask(keeper, spec));
  assert.equal(before[0]?.facts.host, before[1]?.facts.host);
  assert.notEqual(before[0]?.facts.host, before[2]?.facts.host);
  keeper.bases.add(next);
  const left: number[] = [];
  await keeper.bases.move(next, { ...ANY, progress: (count) => left.push(count) });
  assert.ok(['3,1,0', '3,2,0'].includes(left.join()), left.join());
  for (const spec of specs) assert.equal((await ask(keeper, spec)).text, '2');
});

test('a move that fails goes back: what had moved returns, and nothing of the new generation is left', async (t) => {
  const { keeper, event } = await startKeeper(t);
  const spec = tellsTag();
  await ask(keeper, spec);
  const next = nextDefault(t, 'module.exports = () => { throw new Error("only now"); };');
  const former = { name: 'default', shared: [], setupPath: null, env: {} };
  keeper.bases.add(next);
  await assert.rejects(keeper.bases.move(next, ANY), { code: 'PROBE_FAILED', message: /only now/ });
  // As its owner does it; another object, since this test does not hold the first.
  const back: BaseDefinition = { ...former, generation: 3 };
  keeper.bases.add(back);
  await keeper.bases.move(back, ANY);
  assert.equal((await ask(keeper, spec)).text, 'undefined');
  await event(({ subject, why }) => subject === 'host' && why === 'its base definition has changed');
});

test('what need not come up on the new generation does not hold the move up, and is told of', async (t) => {
  const { keeper } = await startKeeper(t);
  const good = tellsTag();
  const picky = moduleOf(`const { env } = require('hearth'); if (env.BASE) throw new Error('not with a base');
    exports.default = { fetch: () => new Response('old') };`);
  await Promise.all([ask(keeper, good), ask(keeper, picky)]);
  const next = nextDefault(t, 'module.exports = () => ({ tag: 2 });');
  keeper.bases.add(next);
  const unloaded: [key: string, why: string][] = [];
  await keeper.bases.move(next, {
    required: ({ key }) => key === good.key,
    unloaded: ({ key }, { message }) => unloaded.push([key, message]),
  });
  assert.deepEqual(
    unloaded.map(([key]) => key),
    [picky.key],
  );
  assert.match(unloaded[0]?.[1] ?? '', /not with a base/);
  assert.equal((await ask(keeper, good)).text, '2');
  await assert.rejects(ask(keeper, picky), (error: Error) => /not with a base/.test(String(error.cause)));
});
