/** What a change of a base has to ask, and what is asked of versions and deploys that come to a changed one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type ArkletGateway, startArklet } from '../arklet/testing/arklet.ts';
import type { Deployed } from '../testing/gateway.ts';

interface Problem {
  code: string;
  detail: string;
  errors?: { path: string; message: string }[];
}

interface Setting {
  traffic: { split: { version: string; percent: number }[] };
}

const CONFIG = '{ "bases": { "default": { "shared": ["prices"] } } }';

/** Asks for the library only when it is called: that it comes up says nothing. */
const LAZY = `export default { async fetch() {
  const { version } = await import('prices');
  return new Response('prices ' + version);
} };`;

/** Does not load without it. */
const EAGER = `import { version } from 'prices';
export default { fetch: () => new Response('prices ' + version) };`;

const plain = (text: string) => `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;

/** Ready once the server at this URL has answered. */
const waitsFor = (url: string) => `export default { async fetch(request) {
  if (new URL(request.url).pathname === '/ready') return fetch(${JSON.stringify(url)});
  const { version } = await import('prices');
  return new Response('prices ' + version);
} };`;

/** A server that answers nobody before `open`, and everybody from then on. */
async function holdingServer(t: TestContext) {
  const arrivals = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  let asked = 0;
  const server = http.createServer((_request, response) => {
    asked += 1;
    arrivals.resolve();
    void opened.promise.then(() => response.end('open'));
  });
  t.after(() => {
    opened.resolve();
    server.closeAllConnections();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, first: arrivals.promise, open: opened.resolve, asked: () => asked };
}

describe('a base that changes under what does not take traffic now', { timeout: 240_000 }, () => {
  let cwd: string;
  let arklet: ArkletGateway;
  before(async () => {
    cwd = await mkdtemp(join(tmpdir(), 'hearth-base-proofs-'));
    await writeFile(join(cwd, 'hearth.config.jsonc'), CONFIG);
    for (const [alias, version] of [
      ['prices', '1.4.0'],
      ['prices-2', '2.0.1'],
    ] as const) {
      const directory = join(cwd, 'node_modules', alias);
      await mkdir(directory, { recursive: true });
      await writeFile(join(directory, 'package.json'), JSON.stringify({ name: 'prices', version, main: 'index.js' }));
      await writeFile(join(directory, 'index.js'), `exports.version = ${JSON.stringify(version)};`);
    }
    arklet = await startArklet({ cwd });
  });
  after(async () => {
    await arklet?.[Symbol.asyncDispose]();
    await rm(cwd, { recursive: true, force: true });
  });

  const api = <Body = Problem>(method: string, path: string, body?: unknown) =>
    arklet.gateway.api<Body>(method, path, body);
  const share = (shared: unknown[]) => api('PUT', '/v1/bases/default', { shared });
  const WITHOUT: unknown[] = [];
  const WITH = ['prices'];
  const ask = async (name: string) => (await fetch(`${arklet.gateway.url}/${name}`)).text();
  const split = async (name: string) =>
    (await api<Setting>('GET', `/v1/functions/${name}/traffic`)).body.traffic.split.map(({ version }) => version);
  /** The test's own function, gone with it, and the base as it was. */
  const own = (t: TestContext, name: string) =>
    t.after(async () => {
      await api('DELETE', `/v1/functions/${name}`);
      const { status, body } = await share(WITH);
      assert.equal(status, 200, JSON.stringify(body));
    });

  test('is refused for a version that a rollback leads to, which it names, and the rollback works', async (t) => {
    own(t, 'shop');
    const first = await arklet.gateway.deploy('shop', LAZY);
    await arklet.gateway.deploy('shop', plain('second'));
    const refused = await share(WITHOUT);
    assert.deepEqual([refused.status, refused.body.code], [422, 'PROBE_FAILED'], JSON.stringify(refused.body));
    assert.deepEqual(
      refused.body.errors?.map(({ path }) => path),
      ['shop'],
    );
    const told = new RegExp(`stays as it is: shop .*Version ${first.version}, to which a rollback leads .*"prices"`);
    assert.match(refused.body.detail, told);
    assert.equal((await api('POST', '/v1/functions/shop/rollback')).status, 200);
    assert.equal(await ask('shop'), 'prices 1.4.0');
  });

  test('is refused for a version that only the end of a rollout leads back to', async (t) => {
    own(t, 'shop');
    const oldest = await arklet.gateway.deploy('shop', LAZY);
    await arklet.gateway.deploy('shop', plain('second'));
    const third = await arklet.gateway.deploy('shop', plain('third'), { query: 'activate=false' });
    const rollout = await api<{ id: string }>('POST', '/v1/rollouts', {
      functions: [{ name: 'shop', version: third.version }],
      steps: [{ percent: 100, confirm: true }],
      guard: false,
    });
    assert.equal(rollout.status, 201, JSON.stringify(rollout.body));
    assert.equal(await ask('shop'), 'third');
    const refused = await share(WITHOUT);
    assert.equal(refused.status, 422, JSON.stringify(refused.body));
    assert.match(refused.body.detail, new RegExp(`Version ${oldest.version}, to which a rollout may lead`));
    assert.equal((await api('PATCH', `/v1/rollouts/${rollout.body.id}`, { action: 'abort' })).status, 200);
    assert.equal(await ask('shop'), 'second');
    assert.equal((await api('POST', '/v1/functions/shop/rollback')).status, 200);
    assert.equal(await ask('shop'), 'prices 1.4.0');
  });

  test('asks nothing of versions kept beyond those: they get no traffic while they do not come up', async (t) => {
    own(t, 'shop');
    const oldest = await arklet.gateway.deploy('shop', LAZY);
    const second = await arklet.gateway.deploy('shop', plain('second'));
    const third = await arklet.gateway.deploy('shop', plain('third'));
    assert.equal((await share(WITHOUT)).status, 200);

    const only = { split: [{ version: oldest.version, percent: 100 }] };
    const ways: [way: string, answer: { status: number; body: Problem }][] = [
      ['traffic', await api('PUT', '/v1/functions/shop/traffic', only)],
      [
        'rollout',
        await api('POST', '/v1/rollouts', {
          functions: [{ name: 'shop', version: oldest.version }],
          steps: [{ percent: 10 }, { percent: 100 }],
        }),
      ],
    ];
    for (const [way, { status, body }] of ways) {
      assert.deepEqual([status, body.code], [422, 'PROBE_FAILED'], `${way}: ${JSON.stringify(body)}`);
      assert.match(body.detail, new RegExp(`Version ${oldest.version} of shop does not come up.*leaves "prices"`), way);
    }
    const again = await arklet.gateway.api<Problem>('PUT', '/v1/functions/shop', LAZY, {
      'content-type': 'text/typescript',
    });
    assert.deepEqual([again.status, again.body.code], [422, 'PROBE_FAILED'], 'the same content deployed again');
    const switched = await arklet.command('switchBiz', { bizName: 'shop', bizVersion: oldest.version });
    assert.equal(switched.code, 'FAILED');
    assert.match(JSON.stringify(switched), /does not come up.*prices/);
    assert.deepEqual(await split('shop'), [third.version], 'its traffic is as it was');
    const { rollouts } = (await api<{ rollouts: { state: string }[] }>('GET', '/v1/rollouts')).body;
    assert.ok(!rollouts.some(({ state }) => state === 'running'));

    assert.equal((await api('POST', '/v1/functions/shop/rollback')).status, 200);
    assert.deepEqual(await split('shop'), [second.version]);
    assert.equal((await share(WITH)).status, 200);
    assert.equal((await api('PUT', '/v1/functions/shop/traffic', only)).status, 200);
    const first = await fetch(`${arklet.gateway.url}/shop`);
    assert.equal(first.headers.get('hearth-start'), 'warm', 'the base that proved it is its first instance');
    assert.equal(await first.text(), 'prices 1.4.0');
  });

  test('says which of those moved without an instance, and its next call is told why', async (t) => {
    own(t, 'shop');
    const oldest = await arklet.gateway.deploy('shop', EAGER);
    for (const text of ['second', 'third']) await arklet.gateway.deploy('shop', plain(text));
    const byHand = () =>
      api<{ status: number; code?: string }>('POST', '/v1/functions/shop/invoke', {
        trigger: 'http',
        version: oldest.version,
      });
    assert.equal((await byHand()).body.status, 200);
    assert.equal((await share(WITHOUT)).status, 200);
    const told = 'moved to another generation of its base without an instance';
    await arklet.gateway.said(told);
    const line = arklet.gateway
      .output()
      .split('\n')
      .find((each) => each.includes(told));
    const { version, why } = JSON.parse(line ?? '{}') as { version: string; why: string };
    assert.equal(version, oldest.version);
    assert.match(why, /prices/);
    assert.equal((await byHand()).body.code, 'FUNCTION_EXCEPTION');
    const logs = await arklet.gateway.api<string>('GET', '/v1/functions/shop/logs');
    assert.match(JSON.stringify(logs.body), /prices/);
  });

  test('in the middle of a deploy: that one is built and proved anew, against the base as it is', async (t) => {
    own(t, 'slow');
    const gate = await holdingServer(t);
    const manifest = { hearth: { ready: '/ready' } };
    const deploying = arklet.gateway.deploy('slow', { 'index.ts': waitsFor(gate.url) }, { manifest });
    await Promise.race([gate.first, deploying]);
    const changed = await share([{ as: 'prices', from: 'prices-2' }]);
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    gate.open();
    const deployed: Deployed = await deploying;
    assert.deepEqual(
      deployed.provided.map(({ library, version }) => [library, version]),
      [['prices', '2.0.1']],
    );
    assert.equal(gate.asked(), 2, 'once on each base');
    const first = await fetch(`${arklet.gateway.url}/slow`);
    assert.equal(first.headers.get('hearth-start'), 'warm');
    assert.equal(await first.text(), 'prices 2.0.1');
  });

  test('in the middle of a deploy that could not be on the new one: it is refused, and what ran runs on', async (t) => {
    own(t, 'slow');
    const running = await arklet.gateway.deploy('slow', plain('as before'));
    const gate = await holdingServer(t);
    const files = { 'index.ts': waitsFor(gate.url) };
    const deploying = api('PUT', '/v1/functions/slow', { manifest: { hearth: { ready: '/ready' } }, files });
    await Promise.race([gate.first, deploying]);
    assert.equal((await share(WITHOUT)).status, 200);
    gate.open();
    const { status, body } = await deploying;
    assert.deepEqual([status, body.code], [422, 'BUILD_FAILED'], JSON.stringify(body));
    assert.match(body.detail, /prices/);
    assert.deepEqual(await split('slow'), [running.version]);
    assert.equal(await ask('slow'), 'as before');
  });
});
