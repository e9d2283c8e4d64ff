import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { until } from '../../functions/examples/testing/until.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { type Load, startLoad } from './testing/load.ts';

interface Rollout {
  id: string;
  state: string;
  step: number;
  percent: number;
  why: string | null;
  functions: { name: string; version: string; before: unknown; figures: { new: { requests: number } } | null }[];
  endedAt: string | null;
}

const GOOD = 'export default { fetch: () => new Response("good") };';
const BETTER = 'export default { fetch: () => new Response("better") };';
/** Every third call. */
const FAILING =
  'let calls = 0; export default { fetch: () => new Response("bad", { status: calls++ % 3 === 0 ? 500 : 200 }) };';
const SLOW =
  'export default { async fetch() { await new Promise((resolve) => setTimeout(resolve, 60)); return new Response("slow"); } };';

const SLOW_TO_LOAD =
  'const until = performance.now() + 60; while (performance.now() < until); export default { fetch: () => new Response("late") };';

/** Two versions of one function: the first takes the traffic. */
async function versions(gateway: TestGateway, name: string, first: string, second: string): Promise<[string, string]> {
  const one = await gateway.deploy(name, first);
  const two = await gateway.deploy(name, second, { query: 'activate=false' });
  return [one.version, two.version];
}

async function begin(gateway: TestGateway, body: unknown): Promise<Rollout> {
  const answer = await gateway.api<Rollout>('POST', '/v1/rollouts', body);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
}

async function stateOf(gateway: TestGateway, id: string): Promise<Rollout> {
  return (await gateway.api<Rollout>('GET', `/v1/rollouts/${id}`)).body;
}

function ended(gateway: TestGateway, id: string): Promise<Rollout> {
  return until(async () => {
    const rollout = await stateOf(gateway, id);
    return rollout.endedAt === null ? undefined : rollout;
  }, 'the end of a rollout');
}

function reached(gateway: TestGateway, id: string, state: string, step: number): Promise<Rollout> {
  return until(async () => {
    const rollout = await stateOf(gateway, id);
    return rollout.state === state && rollout.step === step ? rollout : undefined;
  }, `${state} at step ${step}`);
}

/** So many that nobody has, and none on its way. */
function basesWarm(gateway: TestGateway, count: number): Promise<true> {
  return until(async () => {
    const { bases } = (await gateway.api<{ bases: Record<string, number> }>('GET', '/v1/pool')).body;
    return (bases.warm ?? 0) >= count ? true : undefined;
  }, 'warm bases');
}

/** Until so many calls of each of these were answered since `restart`. */
function answered(load: Load, count: number, ...prefixes: string[]): Promise<true> {
  return until(
    async () => {
      const of = (prefix: string) =>
        [...load.seen].filter(([key]) => key.startsWith(prefix)).reduce((sum, [, n]) => sum + n, 0);
      return prefixes.every((prefix) => of(prefix) >= count) ? true : undefined;
    },
    `calls of ${prefixes.join(', ')}`,
  );
}

function nothingLost(load: Load): void {
  assert.deepEqual(load.lost, []);
}

async function audited(gateway: TestGateway, id: string): Promise<string[]> {
  const { body } = await gateway.api<{ records: { actor: string; action: string; subject: string }[] }>(
    'GET',
    '/v1/audit?limit=1000',
  );
  return body.records
    .filter(({ subject }) => subject === id)
    .map(({ actor, action }) => `${actor} ${action}`)
    .reverse();
}

/** One for all but the restart: each test leaves it without functions. */
let gateway: TestGateway;
before(async () => {
  gateway = await startGateway();
});
afterEach(async () => {
  for (const name of ['shop', 'cart']) await gateway.api('DELETE', `/v1/functions/${name}`);
});
after(() => gateway[Symbol.asyncDispose]());

/** On a machine that runs other tests too, one version may meet the bad moments and the other not. */
const UNHURRIED = { p95: { minIncreaseMs: 2_000 }, coldStart: { minIncreaseMs: 2_000 } };

describe('a rollout under constant load', () => {
  it('goes to the end over a beta step and batches without a failed request, and back with one call', async () => {
    const [one, two] = await versions(gateway, 'shop', GOOD, BETTER);
    const load = startLoad(gateway.url, ['shop'], 4);
    try {
      const beta = { header: { 'x-beta': 'yes' } };
      const { id, functions } = await begin(gateway, {
        functions: [{ name: 'shop', version: two }],
        steps: [
          { beta, confirm: true },
          { batches: 3, pauseSeconds: 0.6 },
        ],
        guard: UNHURRIED,
      });
      assert.deepEqual(functions[0]?.before, { split: [{ version: one, percent: 100 }] });
      await reached(gateway, id, 'waiting', 1);
      const versionFor = async (headers: Record<string, string>) => {
        const answer = await fetch(`${gateway.url}/shop`, { headers });
        await answer.arrayBuffer();
        return answer.headers.get('hearth-version');
      };
      assert.equal(await versionFor({ 'x-beta': 'yes' }), two);
      assert.equal(await versionFor({}), one);
      load.restart();
      await answered(load, 200, `shop ${one}`);
      assert.deepEqual([...load.seen.keys()], [`shop ${one} 200`], 'nobody else takes part in the beta');

      const confirmed = await gateway.api<Rollout>('PATCH', `/v1/rollouts/${id}`, { action: 'confirm' });
      assert.deepEqual([confirmed.status, confirmed.body.state, confirmed.body.step], [200, 'running', 2]);
      const done = await ended(gateway, id);
      assert.deepEqual([done.state, done.why], ['completed', null]);
      load.restart();
      await answered(load, 200, `shop ${two}`);
      assert.deepEqual([...load.seen.keys()], [`shop ${two} 200`]);

      assert.equal((await gateway.api('POST', '/v1/functions/shop/rollback')).status, 200);
      load.restart();
      await answered(load, 200, `shop ${one}`);
      assert.deepEqual([...load.seen.keys()], [`shop ${one} 200`]);
      nothingLost(load);
      assert.deepEqual(await audited(gateway, id), [
        'admin rollout.create',
        'hearth rollout.wait',
        'admin rollout.confirm',
        'hearth rollout.step',
        'hearth rollout.step',
        'hearth rollout.complete',
      ]);
    } finally {
      await load.stop();
    }
  });

  for (const [what, source, why] of [
    [
      'errors',
      FAILING,
      /^shop [0-9a-f]+: error rate 3\d(\.\d)? % \(\d+ of \d+ requests\) against 0 % \(0 of \d+ requests\) of the version before$/,
    ],
    [
      'latency',
      SLOW,
      /^shop [0-9a-f]+: p95 latency \d+(\.\d)? ms \(\d+ requests\) against [\d.]+ ms \(\d+ requests\) of the version before$/,
    ],
  ] as const) {
    it(`is stopped by ${what}, says why, and nobody but the bad version fails a request`, async () => {
      const [one, two] = await versions(gateway, 'shop', GOOD, source);
      const load = startLoad(gateway.url, ['shop'], 4);
      try {
        const { id } = await begin(gateway, {
          functions: [{ name: 'shop', version: two }],
          steps: [{ percent: 30, confirm: true }, { percent: 100 }],
        });
        const stopped = await ended(gateway, id);
        assert.equal(stopped.state, 'stopped');
        assert.match(stopped.why ?? '', why);
        const failed = [...load.seen.keys()].filter((key) => !key.endsWith(' 200'));
        assert.deepEqual(failed, what === 'errors' ? [`shop ${two} 500`] : []);
        load.restart();
        await answered(load, 200, `shop ${one}`);
        assert.deepEqual([...load.seen.keys()], [`shop ${one} 200`]);
        nothingLost(load);
        assert.equal((await audited(gateway, id)).at(-1), 'hearth rollout.stop');
      } finally {
        await load.stop();
      }
    });
  }

  it('is stopped by cold starts, though the old version starts cold as often', async () => {
    const [one, two] = await versions(gateway, 'shop', GOOD, SLOW_TO_LOAD);
    const { id } = await begin(gateway, {
      functions: [{ name: 'shop', version: two }],
      steps: [{ percent: 50, confirm: true }, { percent: 100 }],
      guard: { errorRate: false, p95: false, minColdStarts: 5, confidence: 0.95 },
    });
    let rollout = await stateOf(gateway, id);
    // Seven of each are enough for a verdict; what the machine does beside may make it more.
    for (let round = 0; round < 200 && rollout.endedAt === null; round++) {
      await gateway.api('POST', '/v1/functions/shop/evict');
      // Waiting for a base to boot would be most of a cold start, of either version.
      await basesWarm(gateway, 2);
      for (let call = 0; call < 3; call++) assert.equal((await fetch(`${gateway.url}/shop`)).status, 200);
      rollout = await stateOf(gateway, id);
    }
    assert.equal(rollout.state, 'stopped');
    assert.match(
      rollout.why ?? '',
      /^shop [0-9a-f]+: median cold start [\d.]+ ms \(of \d+\) against [\d.]+ ms \(of \d+\) of the version before$/,
    );
    for (let call = 0; call < 10; call++) {
      assert.equal((await fetch(`${gateway.url}/shop`)).headers.get('hearth-version'), one);
    }
  });

  it('counts calls from beside it in its group, at 100 percent too, which are direct again when it is over', async () => {
    const hearth = { group: 'rolled' };
    const shop = (n: number) => ({
      'index.js': `export default { fetch: (request) => new Response('${n} ' + (request.by ?? 'link')) };`,
    });
    const services = [{ binding: 'SHOP', service: 'shop' }];
    const calling = `export default { fetch(_request, env) {
      const inner = new Request('http://shop/');
      inner.by = 'direct';
      return env.SHOP.fetch(inner);
    } };`;
    await gateway.deploy('shop', shop(1), { manifest: { hearth } });
    const { version } = await gateway.deploy('shop', shop(2), { manifest: { hearth }, query: 'activate=false' });
    await gateway.deploy('cart', { 'index.js': calling }, { manifest: { services, hearth } });
    const text = async () => (await fetch(`${gateway.url}/cart`)).text();
    const told = (wanted: string) => until(async () => ((await text()) === wanted ? true : undefined), wanted);
    await told('1 direct');
    const load = startLoad(gateway.url, ['cart'], 2);
    try {
      const { id } = await begin(gateway, {
        functions: [{ name: 'shop', version }],
        steps: [
          { percent: 50, pauseSeconds: 0 },
          { percent: 100, confirm: true },
        ],
        guard: { ...UNHURRIED, whenTooFew: 'wait', minRequests: 20 },
      });
      const waiting = await reached(gateway, id, 'waiting', 2);
      assert.ok((waiting.functions[0]?.figures?.new.requests ?? 0) >= 20);
      assert.equal(await text(), '2 link');
      await gateway.api('PATCH', `/v1/rollouts/${id}`, { action: 'confirm' });
      assert.equal((await ended(gateway, id)).state, 'completed');
      await told('2 direct');
      nothingLost(load);
      assert.deepEqual(
        [...load.seen.keys()].filter((key) => !key.endsWith(' 200')),
        [],
      );
    } finally {
      await load.stop();
    }
  });

  it('moves two functions together, and both back when one is bad', async () => {
    const [shop1, shop2] = await versions(gateway, 'shop', GOOD, BETTER);
    const [cart1, cart2] = await versions(gateway, 'cart', GOOD, FAILING);
    const load = startLoad(gateway.url, ['shop', 'cart'], 2);
    try {
      const { id } = await begin(gateway, {
        functions: [
          { name: 'shop', version: shop2 },
          { name: 'cart', version: cart2 },
        ],
        steps: [{ percent: 50, confirm: true }, { percent: 100 }],
        // No verdict on the errors before somebody has looked at both.
        guard: { minRequests: 300 },
      });
      await answered(load, 20, `shop ${shop2}`, `cart ${cart2}`);
      const stopped = await ended(gateway, id);
      assert.equal(stopped.state, 'stopped');
      assert.match(stopped.why ?? '', /^cart [0-9a-f]+: error rate/);
      load.restart();
      await answered(load, 100, `shop ${shop1}`, `cart ${cart1}`);
      assert.deepEqual([...load.seen.keys()].sort(), [`cart ${cart1} 200`, `shop ${shop1} 200`]);
      nothingLost(load);
    } finally {
      await load.stop();
    }
  });

  it('goes on where it was after kill -9 of the gateway, to the end', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'hearth-rollout-'));
    try {
      let id: string;
      let one: string;
      let two: string;
      {
        await using gateway = await startGateway({ dataDir });
        [one, two] = await versions(gateway, 'shop', GOOD, BETTER);
        ({ id } = await begin(gateway, {
          functions: [{ name: 'shop', version: two }],
          steps: [{ percent: 20 }, { percent: 50, confirm: true }, { percent: 100 }],
          guard: UNHURRIED,
        }));
        await gateway.api('PATCH', `/v1/rollouts/${id}`, { action: 'confirm' });
        await gateway.kill9();
      }
      await using gateway = await startGateway({ dataDir });
      const load = startLoad(gateway.url, ['shop'], 4);
      try {
        const waiting = await reached(gateway, id, 'waiting', 2);
        assert.equal(waiting.percent, 50);
        await answered(load, 100, `shop ${one}`, `shop ${two}`);
        await gateway.api('PATCH', `/v1/rollouts/${id}`, { action: 'confirm' });
        assert.equal((await ended(gateway, id)).state, 'completed');
        load.restart();
        await answered(load, 100, `shop ${two}`);
        assert.deepEqual([...load.seen.keys()], [`shop ${two} 200`]);
        nothingLost(load);
      } finally {
        await load.stop();
      }
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });

  it('is ended by a deploy, a traffic change or a rollback, and says so', async () => {
    const [one, two] = await versions(gateway, 'shop', GOOD, BETTER);
    const moves: (() => Promise<unknown>)[] = [
      () => gateway.api('POST', '/v1/functions/shop/rollback'),
      () => gateway.api('PUT', '/v1/functions/shop/traffic', { split: [{ version: one, percent: 100 }] }),
      () => gateway.deploy('shop', GOOD.replace('good', 'third')),
    ];
    for (const move of moves) {
      const { id } = await begin(gateway, {
        functions: [{ name: 'shop', version: two }],
        steps: [{ percent: 50 }, { percent: 100 }],
      });
      const busy = await gateway.api<{ code: string; detail: string }>('POST', '/v1/rollouts', {
        functions: [{ name: 'shop', version: two }],
        steps: [{ percent: 100 }],
      });
      assert.deepEqual([busy.status, busy.body.code], [409, 'CONFLICT']);
      assert.match(busy.body.detail, new RegExp(id));
      await move();
      const aborted = await stateOf(gateway, id);
      assert.equal(aborted.state, 'aborted');
      assert.match(aborted.why ?? '', /^the traffic of shop was moved by a traffic change, a deploy or a rollback/);
      assert.equal((await audited(gateway, id)).at(-1), 'hearth rollout.abort');
    }
  });
});

describe('the rollouts of the control API', () => {
  it('are described, listed newest first, and refuse what they cannot do', async () => {
    const [, two] = await versions(gateway, 'shop', GOOD, BETTER);
    const call = async (method: string, path: string, body?: unknown, headers?: Record<string, string>) => {
      const answer = await gateway.api<{ code: string; detail: string }>(method, path, body, headers);
      return [answer.status, answer.body.code, answer.body.detail] as const;
    };
    const steps = [{ percent: 50 }, { percent: 100 }];
    const functions = [{ name: 'shop', version: two }];
    assert.deepEqual((await call('POST', '/v1/rollouts', { functions })).slice(0, 2), [400, 'BAD_REQUEST']);
    assert.deepEqual((await call('POST', '/v1/rollouts', { functions, steps: [{ percent: 50 }] })).slice(0, 2), [
      400,
      'BAD_REQUEST',
    ]);
    assert.match(
      (await call('POST', '/v1/rollouts', { functions, steps: [{ percent: 50 }] }))[2],
      /steps\.0: The last step/,
    );
    assert.deepEqual(
      (await call('POST', '/v1/rollouts', { functions: [{ name: 'nobody', version: two }], steps })).slice(0, 2),
      [404, 'NOT_FOUND'],
    );
    assert.deepEqual(
      (await call('POST', '/v1/rollouts', { functions: [{ name: 'shop', version: 'x' }], steps })).slice(0, 2),
      [404, 'NOT_FOUND'],
    );
    assert.deepEqual((await call('GET', '/v1/rollouts/none')).slice(0, 2), [404, 'NOT_FOUND']);
    assert.deepEqual((await call('PATCH', '/v1/rollouts/none', { action: 'abort' })).slice(0, 2), [404, 'NOT_FOUND']);

    const first = await begin(gateway, { functions, steps });
    assert.deepEqual((await call('PATCH', `/v1/rollouts/${first.id}`, { action: 'stop' })).slice(0, 2), [
      400,
      'BAD_REQUEST',
    ]);
    assert.deepEqual((await call('PATCH', `/v1/rollouts/${first.id}`, { action: 'resume' })).slice(0, 2), [
      409,
      'CONFLICT',
    ]);
    const aborted = await gateway.api<Rollout>('PATCH', `/v1/rollouts/${first.id}`, { action: 'abort' });
    assert.equal(aborted.body.state, 'aborted');
    const second = await begin(gateway, { functions, steps, guard: false });
    const list = await gateway.api<{ rollouts: Rollout[] }>('GET', '/v1/rollouts');
    assert.deepEqual(
      list.body.rollouts.slice(0, 2).map(({ id, state }) => [id, state]),
      [
        [second.id, 'running'],
        [first.id, 'aborted'],
      ],
    );
    assert.equal(second.functions[0]?.figures?.new.requests, 0);

    const { body: document } = await gateway.api<{ paths: Record<string, Record<string, unknown>> }>(
      'GET',
      '/openapi.json',
    );
    assert.deepEqual(Object.keys(document.paths['/v1/rollouts'] ?? {}).sort(), ['get', 'post']);
    assert.deepEqual(Object.keys(document.paths['/v1/rollouts/{id}'] ?? {}).sort(), ['get', 'patch']);
  });

  it('need the right to deploy every function they move', async () => {
    const [, shop2] = await versions(gateway, 'shop', GOOD, BETTER);
    const [, cart2] = await versions(gateway, 'cart', GOOD, BETTER);
    const { body } = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['deploy:shop'] });
    const headers = { authorization: `Bearer ${body.token}` };
    const steps = [{ percent: 50 }, { percent: 100 }];
    const shop = { name: 'shop', version: shop2 };
    const cart = { name: 'cart', version: cart2 };
    assert.equal((await gateway.api('POST', '/v1/rollouts', { functions: [shop, cart], steps }, headers)).status, 403);
    const own = await gateway.api<Rollout>('POST', '/v1/rollouts', { functions: [shop], steps }, headers);
    assert.equal(own.status, 201);
    assert.equal((await gateway.api('GET', `/v1/rollouts/${own.body.id}`, undefined, headers)).status, 200);
    assert.equal((await gateway.api('PATCH', `/v1/rollouts/${own.body.id}`, { action: 'abort' }, headers)).status, 200);

    const both = await begin(gateway, { functions: [shop, cart], steps });
    assert.equal((await gateway.api('GET', `/v1/rollouts/${both.id}`, undefined, headers)).status, 403);
    assert.equal((await gateway.api('PATCH', `/v1/rollouts/${both.id}`, { action: 'abort' }, headers)).status, 403);
    assert.equal((await gateway.api('GET', '/v1/rollouts', undefined, headers)).status, 403);
  });

  it('and rollbacks bring no version in whose routes the token may not claim', async () => {
    const source = { 'index.js': 'export default { fetch: () => new Response("claimed") }' };
    const manifest = { name: 'claims', main: 'index.js', routes: ['shop.example.com/*'] };
    const { version: claiming } = await gateway.deploy('claims', source, { manifest });
    const { version: plain } = await gateway.deploy('claims', { 'index.js': `${source['index.js']} // plain` });
    const { body } = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['deploy:claims'] });
    const headers = { authorization: `Bearer ${body.token}` };
    const begun = await gateway.api<{ code: string }>(
      'POST',
      '/v1/rollouts',
      { functions: [{ name: 'claims', version: claiming }], steps: [{ percent: 100 }] },
      headers,
    );
    assert.equal(begun.body.code, 'FORBIDDEN');
    const back = await gateway.api<{ code: string }>('POST', '/v1/functions/claims/rollback', undefined, headers);
    assert.equal(back.body.code, 'FORBIDDEN');
    const { body: now } = await gateway.api<{ version: string }>('GET', '/v1/functions/claims');
    assert.equal(now.version, plain);
  });
});
