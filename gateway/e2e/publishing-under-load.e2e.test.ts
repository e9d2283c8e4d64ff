/** Publications put, changed, tagged and split while the function itself and its neighbours are called: no call fails. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { constantLoad, type Load } from '../testing/load.ts';

/** Its module scope is the instance. */
const source = (name: string) => `const id = '${name} ' + crypto.randomUUID();
export default { fetch: () => new Response(id) };`;
const BOUND = `export default { fetch: (request, env) => env.SHOP.fetch(request) };`;
const ONE = { hearth: { maxInstances: 1, keepAlive: 3600 } };

const BATCH = { 'x-from': 'batch' };
const SPRING = { 'x-hearth-tag': 'spring' };
const WEB = { function: 'shop', routes: ['/web/*'] };
const split = (limits: object = {}) => ({ name: 'batch', when: { header: BATCH }, ...limits });

describe('publishing under load', { timeout: 120_000 }, () => {
  let gateway: TestGateway;
  let loads: AsyncDisposableStack;
  let running: Load[];
  before(async () => {
    gateway = await startGateway({ env: { HEARTH_WARM_BASES: '4' } });
    for (const name of ['shop', 'other', 'spring', 'next']) {
      await gateway.deploy(name, { 'index.js': source(name) }, { manifest: ONE });
    }
    const services = [{ binding: 'SHOP', service: 'shop' }];
    await gateway.deploy('bound', { 'index.js': BOUND }, { manifest: { services } });
    loads = new AsyncDisposableStack();
    running = [begin('/shop'), begin('/next'), begin('/bound')];
  });
  after(async () => {
    await loads?.disposeAsync();
    await gateway?.[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    for (const load of running) load.forget();
  });

  const begin = (path: string, headers: Record<string, string> = {}) =>
    loads.use(constantLoad(`${gateway.url}${path}`, { callers: 2, headers }));
  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${gateway.url}${path}`, { headers });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return text;
  };
  const put = async (name: string, settings: object, status = 200) => {
    const answer = await gateway.api('PUT', `/v1/publications/${name}`, settings);
    assert.equal(answer.status, status, JSON.stringify(answer.body));
  };
  /** Every caller has been answered since what was done last, and none badly so far. */
  const allServed = async () => {
    for (const load of running) await load.more();
    for (const { failures } of running) assert.deepEqual(failures, []);
  };
  const namesOf = (texts: Iterable<string>) => [...new Set([...texts].map((text) => text.split(' ')[0]))].sort();

  test('put: neighbours, and the function at its other address, notice nothing', async () => {
    const instance = await ask('/shop');
    await put('web', WEB, 201);
    assert.equal(await ask('/web/x'), instance);
    await allServed();
    const [own, next, bound] = running;
    assert.deepEqual(
      [own, bound].map((load) => [...(load?.seen ?? [])]),
      [[instance], [instance]],
    );
    assert.deepEqual([...(next?.seen ?? [])], [await ask('/next')]);
    running.push(begin('/web/x'), begin('/web/x', SPRING), begin('/web/x', BATCH));
    await allServed();
  });

  test('changed: other routes, then another function and back, and each caller gets the one or the other', async () => {
    await put('web', { ...WEB, routes: ['/web/*', '/more/*'] });
    assert.match(await ask('/more/x'), /^shop /);
    await put('web', { ...WEB, function: 'other' });
    assert.match(await ask('/web/x'), /^other /);
    await allServed();
    await put('web', WEB);
    assert.equal(await ask('/web/x'), await ask('/shop'));
    await allServed();
    const [own, next, bound, ...web] = running;
    assert.deepEqual(
      [own, next, bound].map((load) => namesOf(load?.seen ?? [])),
      [['shop'], ['next'], ['shop']],
    );
    for (const { seen } of web) assert.deepEqual(namesOf(seen), ['other', 'shop']);
  });

  test('a tag added: who carries it gets the other function, nobody else, until it is taken back', async () => {
    await put('spring-web', { function: 'spring', routes: ['/web/*'], tag: 'spring' }, 201);
    assert.match(await ask('/web/x', SPRING), /^spring /);
    await allServed();
    assert.equal((await gateway.api('DELETE', '/v1/publications/spring-web')).status, 204);
    assert.match(await ask('/web/x', SPRING), /^shop /);
    await allServed();
    const [, , , plain, tagged, batch] = running;
    assert.deepEqual(
      [plain, tagged, batch].map((load) => namesOf(load?.seen ?? [])),
      [['shop'], ['shop', 'spring'], ['shop']],
    );
  });

  test('a split added, changed and taken away: its callers go to instances of its own and back, the others stay where they are', async () => {
    const whole = await ask('/shop');
    const instances = [whole];
    for (const settings of [
      { ...WEB, splits: [split()] },
      { ...WEB, splits: [split({ maxInstances: 2, concurrency: 4 })] },
    ]) {
      await put('web', settings);
      instances.push(await ask('/web/x', BATCH));
      await allServed();
    }
    await put('web', WEB);
    assert.equal(await ask('/web/x', BATCH), whole);
    await allServed();
    assert.equal(new Set(instances).size, 3, instances.join());
    const [own, , bound, plain, , batch] = running;
    for (const load of [own, bound, plain]) assert.deepEqual([...(load?.seen ?? [])], [whole]);
    for (const instance of instances) assert.ok(batch?.seen.has(instance), instance);
  });

  test('all of it again and again, as fast as it is answered, with a new version in between', async () => {
    for (let n = 0; n < 10; n++) {
      await put('web', { ...WEB, splits: [split({ concurrency: 8 + (n % 3) })] });
      await put('spring-web', { function: 'spring', routes: ['/web/*'], tag: 'spring' }, 201);
      if (n === 5) await gateway.deploy('shop', { 'index.js': source('shop2') }, { manifest: ONE });
      await put('web', { ...WEB, routes: ['/web/*', `/more/${n}/*`] });
      assert.equal((await gateway.api('DELETE', '/v1/publications/spring-web')).status, 204);
    }
    await allServed();
    for (const load of running) assert.ok((await load.stop()) > 0);
    for (const path of ['/shop', '/web/x', '/bound']) assert.match(await ask(path), /^shop2 /);
    assert.match(await ask('/web/x', BATCH), /^shop2 /);
  });
});
