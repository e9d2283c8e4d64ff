/** Several versions of a function at once, through the real gateway, while calls go on all the time. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { until } from '../../functions/examples/testing/until.ts';
import { type Deployed, startGateway, type TestGateway } from '../testing/gateway.ts';

/** Says which one it is, and what it was given. */
const source = (name: string) => `export default { async fetch(request) {
  const body = await request.text();
  if (request.url.endsWith('/log')) console.log('served by ${name}');
  return Response.json({
    name: '${name}', bytes: body.length,
    authorization: request.headers.get('authorization'), token: request.headers.get('hearth-token'),
  });
} };`;

interface Served {
  name: string;
  bytes: number;
  authorization: string | null;
  token: string | null;
}

interface Load {
  /** Calls that were answered so far. */
  readonly calls: number;
  stop(): Promise<void>;
}

/** A few callers that never pause. Stopping fails when one call of theirs was not answered with 200. */
function constantLoad(url: string, callers = 3): Load {
  const failures: string[] = [];
  let calls = 0;
  let stopped = false;
  const caller = async () => {
    while (!stopped) {
      try {
        const response = await fetch(url);
        const text = await response.text();
        if (response.status !== 200) failures.push(`${response.status} ${text}`);
      } catch (error) {
        failures.push(String(error));
      }
      calls++;
    }
  };
  const all = Promise.all(Array.from({ length: callers }, caller));
  return {
    get calls() {
      return calls;
    },
    async stop() {
      stopped = true;
      await all;
      assert.ok(calls > 0);
      assert.deepEqual(failures.slice(0, 3), [], `${failures.length} of ${calls} calls failed`);
    },
  };
}

/** Versions by name; the first one serves, the others are only stored. */
async function versions(gateway: TestGateway, fn: string, ...names: string[]): Promise<Record<string, string>> {
  const ids: Record<string, string> = {};
  for (const [index, name] of names.entries()) {
    if (index === 0) ids[name] = (await gateway.deploy(fn, source(name))).version;
    else {
      const path = `/v1/functions/${fn}?activate=false`;
      const answer = await gateway.api<Deployed>('PUT', path, source(name), { 'content-type': 'text/typescript' });
      assert.equal(answer.status, 201);
      ids[name] = answer.body.version;
    }
  }
  return ids;
}

async function setTraffic(gateway: TestGateway, fn: string, traffic: object): Promise<void> {
  const answer = await gateway.api('PUT', `/v1/functions/${fn}/traffic`, traffic);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

const arms = (ids: Record<string, string>, shares: Record<string, number>) =>
  Object.entries(shares).map(([name, percent]) => ({ version: ids[name], percent }));

async function call(url: string, init: RequestInit = {}): Promise<Served & { status: number; start: string | null }> {
  const response = await fetch(url, init);
  const served = (await response.json()) as Served;
  return { ...served, status: response.status, start: response.headers.get('hearth-start') };
}

/** As `fetch` would, but for a host of the client's choice. */
async function callHost(url: string, host: string, path: string, headers: Record<string, string>): Promise<void> {
  const sent = request(`${url}${path}`, { headers: { ...headers, host } }).end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  assert.equal(answer.statusCode, 200);
  await once(answer.resume(), 'end');
}

async function tally(count: number, callers: number, one: () => Promise<Served>): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  let left = count;
  const caller = async () => {
    while (left-- > 0) {
      const { name } = await one();
      counts[name] = (counts[name] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return counts;
}

/** So many GETs, pipelined: what a client costs is not to be most of the test. Counts answers by version. */
async function manyGets(
  url: string,
  path: string,
  count: number,
  ids: Record<string, string>,
): Promise<Record<string, number>> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.setEncoding('latin1');
  const closed = once(socket, 'close').then(() => assert.fail('the gateway closed the connection'));
  closed.catch(() => undefined);
  const counts: Record<string, number> = {};
  const head = `GET ${path} HTTP/1.1\r\nhost: h\r\n`;
  for (let left = count; left > 0; left -= 100) {
    const batch = Math.min(left, 100);
    socket.write(`${head}\r\n`.repeat(batch));
    let text = '';
    while ((text.match(/HTTP\/1\.1 /g) ?? []).length < batch || !text.endsWith('}')) {
      const [piece] = (await Promise.race([once(socket, 'data'), closed])) as [string];
      text += piece;
    }
    assert.equal((text.match(/HTTP\/1\.1 200 /g) ?? []).length, batch);
    for (const [, version] of text.matchAll(/hearth-version: (\S+)/g)) {
      const name = Object.keys(ids).find((each) => ids[each] === version) ?? 'none';
      counts[name] = (counts[name] ?? 0) + 1;
    }
  }
  socket.destroy();
  return counts;
}

test('traffic is split, bound to callers, ruled and overridden, while calls go on and none fails', async (t) => {
  await using gateway = await startGateway({ env: { HEARTH_WARM_BASES: '4' } });
  const { url } = gateway;
  const ids = await versions(gateway, 'shop', 'old', 'new', 'beta');
  const load = constantLoad(`${url}/shop`);

  await t.test('a split is kept within a point over ten thousand requests', async () => {
    await setTraffic(gateway, 'shop', { split: arms(ids, { old: 70, new: 29, beta: 1 }) });
    const counts = await manyGets(url, '/shop', 10_000, ids);
    for (const [name, percent] of [
      ['old', 70],
      ['new', 29],
      ['beta', 1],
    ] as const) {
      const share = (counts[name] ?? 0) / 100;
      assert.ok(Math.abs(share - percent) <= 1, `${name} had ${share} %, not ${percent}`);
    }
  });

  await t.test('a caller stays where it is, and nobody goes back while the share grows', async () => {
    const users = Array.from({ length: 300 }, (_, n) => `user-${n}`);
    let moved = new Set<string>();
    for (const percent of [5, 20, 50, 90, 100]) {
      const split = arms(ids, { old: 100 - percent, new: percent });
      await setTraffic(gateway, 'shop', { split, stickyBy: { header: 'X-User' } });
      const now = new Set<string>();
      for (const round of [1, 2]) {
        await Promise.all(
          users.map(async (user) => {
            const { name } = await call(`${url}/shop`, { headers: { 'x-user': user } });
            if (round === 1 && name === 'new') now.add(user);
            else assert.equal(name, now.has(user) ? 'new' : 'old', `${user} moved between two calls`);
          }),
        );
      }
      for (const user of moved) assert.ok(now.has(user), `${user} was moved back at ${percent} %`);
      assert.ok(Math.abs(now.size - (users.length * percent) / 100) <= 30, `${now.size} callers at ${percent} %`);
      moved = now;
    }
  });

  await t.test('rules come before the split, of each kind', async () => {
    const version = ids.beta;
    await setTraffic(gateway, 'shop', {
      split: arms(ids, { old: 100 }),
      rules: [
        { when: { header: { 'X-Beta': 'yes' } }, version },
        { when: { cookie: { beta: 'yes please' } }, version },
        { when: { query: { beta: '1' } }, version },
        { when: { json: { '/user/plan': 'beta', '/user/id': 7 } }, version },
      ],
    });
    const json = (value: unknown) => ({ method: 'POST', body: JSON.stringify(value) });
    const cases: [string, RequestInit, string][] = [
      ['', {}, 'old'],
      ['', { headers: { 'x-beta': 'yes' } }, 'beta'],
      ['', { headers: { 'x-beta': 'no' } }, 'old'],
      ['', { headers: { cookie: 'a=b; beta=yes%20please' } }, 'beta'],
      ['', { headers: { cookie: 'beta=no' } }, 'old'],
      ['?a=b&beta=1', {}, 'beta'],
      ['?beta=2', {}, 'old'],
      ['', json({ user: { plan: 'beta', id: 7 } }), 'beta'],
      ['', json({ user: { plan: 'beta', id: '7' } }), 'old'],
      ['', { method: 'POST', body: 'user=beta' }, 'old'],
    ];
    for (const [query, init, expected] of cases) {
      const served = await call(`${url}/shop${query}`, init);
      assert.equal(served.name, expected, `${query} ${JSON.stringify(init)}`);
      assert.equal(served.bytes, typeof init.body === 'string' ? init.body.length : 0);
    }
  });

  await t.test(
    'a body that the choice hangs on is passed on whole, streamed in pieces or too long to be looked at',
    async () => {
      const fits = JSON.stringify({ user: { plan: 'beta', id: 7 }, fill: 'x'.repeat(700_000) });
      const long = JSON.stringify({ user: { plan: 'beta', id: 7 }, fill: 'x'.repeat(3_000_000) });
      const streamed = (text: string) => ({
        method: 'POST',
        duplex: 'half',
        body: ReadableStream.from(
          [text.slice(0, 10), text.slice(10, 100_000), text.slice(100_000)].map((part) => Buffer.from(part)),
        ),
      });
      for (const [text, name] of [
        [fits, 'beta'],
        [long, 'old'],
      ] as const) {
        for (const init of [{ method: 'POST', body: text }, streamed(text)]) {
          const served = await call(`${url}/shop`, init as RequestInit);
          assert.deepEqual([served.status, served.name, served.bytes], [200, name, text.length]);
        }
      }
    },
  );

  await t.test('a tester names a version with a token of that scope, which the function does not see', async () => {
    await setTraffic(gateway, 'shop', { split: arms(ids, { old: 100 }) });
    const tokenFor = async (scope: string) =>
      (await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: [scope] })).body.token;
    const [mine, others] = [await tokenFor('override:sh*'), await tokenFor('override:other')];
    const asked = (headers: Record<string, string>) =>
      call(`${url}/shop`, { headers: { 'hearth-version-override': ids.new ?? '', ...headers } });

    assert.equal((await asked({ 'hearth-token': mine })).name, 'new');
    assert.equal((await asked({ 'hearth-token': gateway.token })).name, 'new');
    const withBearer = await asked({ authorization: `Bearer ${mine}` });
    assert.deepEqual([withBearer.name, withBearer.authorization], ['new', null]);
    const both = await asked({ 'hearth-token': mine, authorization: 'Bearer its-own' });
    assert.deepEqual([both.name, both.authorization, both.token], ['new', 'Bearer its-own', null]);
    const short = await asked({ 'hearth-token': mine, 'hearth-version-override': (ids.beta ?? '').slice(0, 8) });
    assert.equal(short.name, 'beta');

    for (const headers of [{}, { 'hearth-token': others }, { 'hearth-token': 'none' }, { authorization: 'Basic x' }]) {
      const response = await fetch(`${url}/shop`, {
        headers: { 'hearth-version-override': ids.new ?? '', ...headers },
      });
      const problem = (await response.json()) as { code: string; detail: string };
      assert.deepEqual([response.status, problem.code], [403, 'FORBIDDEN']);
      assert.match(problem.detail, /override:shop/);
    }
    for (const unknown of ['nonsense', (ids.new ?? '').slice(0, 7), '']) {
      const response = await fetch(`${url}/shop`, {
        headers: { 'hearth-version-override': unknown, 'hearth-token': mine },
      });
      assert.equal(response.status, 404, unknown);
    }
    assert.equal((await call(`${url}/shop`)).name, 'old');
  });

  await t.test('metrics and logs tell versions and arms apart', async () => {
    const rules = [{ when: { header: { 'x-beta': 'yes' } }, version: ids.new }];
    await setTraffic(gateway, 'shop', { split: arms(ids, { old: 50, new: 50 }), rules });
    const splits = [{ name: 'inner', when: { header: { 'x-inner': '1' } } }];
    const published = await gateway.api('PUT', '/v1/publications/parts', {
      function: 'shop',
      routes: ['parts.example/*'],
      splits,
    });
    assert.ok(published.status < 300, JSON.stringify(published.body));
    const version = ids.new ?? '';
    const callEach = async () => {
      await tally(20, 2, () => call(`${url}/shop/log`));
      await call(`${url}/shop/log`, { headers: { 'x-beta': 'yes' } });
      const headers = { 'hearth-version-override': version, 'hearth-token': gateway.token };
      await call(`${url}/shop/log`, { headers });
      await callHost(url, 'parts.example', '/log', { 'x-beta': 'yes', 'x-inner': '1' });
      const byHand = { trigger: 'http', version, path: '/log' };
      assert.equal((await gateway.api('POST', '/v1/functions/shop/invoke', byHand)).status, 200);
    };
    const lines = async (query: string) => {
      const answer = await gateway.api<{ lines: { version: string; arm: string | null; message: string }[] }>(
        'GET',
        `/v1/functions/shop/logs?${query}`,
      );
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      return answer.body.lines;
    };
    const expected = ['override', 'parts/inner', 'rule', 'split'];
    const ofVersion = await until(async () => {
      // Of the many calls of a busy second those that are over are not all remembered when their lines come.
      await callEach();
      const found = await lines(`version=${version.slice(0, 8)}&limit=1000`);
      return expected.every((arm) => found.some((line) => line.arm === arm)) ? found : undefined;
    }, 'a line of each arm');
    for (const line of ofVersion) assert.equal(line.message, 'served by new');
    assert.deepEqual([...new Set(ofVersion.flatMap(({ arm }) => arm ?? []))].sort(), expected);
    const ofArm = await lines('arm=rule');
    assert.ok(ofArm.length > 0);
    for (const line of ofArm) assert.deepEqual([line.arm, line.version], ['rule', version]);
    assert.deepEqual(await lines(`arm=rule&version=${ids.old}`), []);

    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    const count = (id: string | undefined, arm: string) => {
      const labels = `faas_name="shop",faas_trigger="http",faas_version="${id}",hearth_arm="${arm}"`;
      return Number(metrics.split(`faas_invocations_total{${labels}} `)[1]?.split('\n')[0] ?? 0);
    };
    for (const arm of expected) assert.ok(count(ids.new, arm) > 0, arm);
    assert.ok(count(ids.old, 'split') > 0);
    assert.equal(count(ids.old, 'parts/inner'), 0);
    assert.equal((await gateway.api('DELETE', '/v1/publications/parts')).status, 204);
  });

  await t.test('a rollback finds the version before still loaded', async () => {
    await setTraffic(gateway, 'shop', { split: arms(ids, { old: 100 }) });
    await call(`${url}/shop`);
    await gateway.deploy('shop', source('bad'));
    const before = await instancesOf(gateway, 'shop', ids.old ?? '');
    assert.ok(before.length > 0, 'it was given up at once');
    const answer = await gateway.api<{ version: string; traffic: object }>('POST', '/v1/functions/shop/rollback');
    assert.deepEqual([answer.status, answer.body.version], [200, ids.old]);
    assert.deepEqual(answer.body.traffic, { split: [{ version: ids.old, percent: 100 }] });
    const served = await call(`${url}/shop`);
    assert.deepEqual([served.name, served.start], ['old', 'warm']);
    const after = await instancesOf(gateway, 'shop', ids.old ?? '');
    assert.ok(
      after.some((id) => before.includes(id)),
      'another instance serves it',
    );
  });

  await t.test('what is called by hand goes by the same rules, or by the version that is named', async () => {
    await setTraffic(gateway, 'shop', {
      split: arms(ids, { old: 100 }),
      rules: [{ when: { json: { '/beta': true } }, version: ids.beta }],
    });
    const invoke = async (request: object) => {
      const answer = await gateway.api<{ body: string; version: string }>('POST', '/v1/functions/shop/invoke', request);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      return { name: (JSON.parse(answer.body.body) as Served).name, version: answer.body.version };
    };
    assert.equal((await invoke({ trigger: 'http' })).name, 'old');
    assert.equal((await invoke({ trigger: 'http', method: 'POST', body: { beta: true } })).name, 'beta');
    assert.deepEqual(await invoke({ trigger: 'http', version: ids.new?.slice(0, 10) }), {
      name: 'new',
      version: ids.new,
    });
    const unknown = await gateway.api('POST', '/v1/functions/shop/invoke', { trigger: 'http', version: 'nonsense' });
    assert.equal(unknown.status, 404);
  });

  await t.test('a setting that cannot be is refused with what is wrong, and changes nothing', async () => {
    const before = (await gateway.api('GET', '/v1/functions/shop/traffic')).body;
    const refused = async (traffic: object, status: number, detail: RegExp) => {
      const answer = await gateway.api('PUT', '/v1/functions/shop/traffic', traffic);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.match(JSON.stringify(answer.body), detail);
    };
    await refused({ split: arms(ids, { old: 60 }) }, 400, /add up to 60/);
    await refused({ split: [{ version: 'nonsense', percent: 100 }] }, 404, /has no version \\"nonsense\\"/);
    await refused(
      { split: arms(ids, { old: 100 }), rules: [{ when: { query: { a: 'b' } }, version: '12345678' }] },
      404,
      /12345678/,
    );
    const twice = [ids.old, ids.old?.slice(0, 8)].map((version) => ({ version, percent: 50 }));
    await refused({ split: twice }, 400, /stands there twice/);
    await refused({ split: arms(ids, { old: 100 }), stickyBy: { ip: true } }, 400, /stickyBy/);
    const reader = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['read'] });
    const denied = await gateway.api(
      'PUT',
      '/v1/functions/shop/traffic',
      { split: arms(ids, { new: 100 }) },
      {
        authorization: `Bearer ${reader.body.token}`,
      },
    );
    assert.equal(denied.status, 403);
    const taking = { manifest: { main: 'index.ts', routes: ['shop.example.com/*'] }, query: 'activate=false' };
    const { version } = await gateway.deploy('shop', { 'index.ts': source('routes') }, taking);
    const deployer = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['deploy:shop'] });
    const claims = await gateway.api<{ detail: string }>(
      'PUT',
      '/v1/functions/shop/traffic',
      { split: [...arms(ids, { old: 99 }), { version, percent: 1 }] },
      { authorization: `Bearer ${deployer.body.token}` },
    );
    assert.equal(claims.status, 403);
    assert.match(claims.body.detail, /shop\.example\.com/);
    assert.deepEqual((await gateway.api('GET', '/v1/functions/shop/traffic')).body, before);
    const removed = await gateway.api('DELETE', `/v1/functions/shop/versions/${ids.beta}`);
    assert.equal(removed.status, 409, 'a version that a rule names was deleted');
  });

  await load.stop();
});

test('a service binding obeys the split, and the rules by what the caller sends', async () => {
  await using gateway = await startGateway();
  const ids = await versions(gateway, 'other', 'old', 'new');
  await gateway.deploy(
    'front',
    { 'index.ts': 'export default { fetch: (request, env) => env.OTHER.fetch(request) };' },
    { manifest: { main: 'index.ts', services: [{ binding: 'OTHER', service: 'other' }] } },
  );
  const url = `${gateway.url}/front`;
  const load = constantLoad(url, 2);
  await setTraffic(gateway, 'other', { split: arms(ids, { old: 80, new: 20 }) });
  const counts = await tally(1000, 8, () => call(url));
  // The load takes turns in the same split, so each thousand is right to within a few.
  assert.ok(Math.abs((counts.new ?? 0) - 200) <= 30, JSON.stringify(counts));

  await setTraffic(gateway, 'other', {
    split: arms(ids, { old: 100 }),
    rules: [
      { when: { header: { 'x-beta': 'yes' } }, version: ids.new },
      { when: { json: { '/beta': true } }, version: ids.new },
    ],
  });
  assert.equal((await call(url)).name, 'old');
  assert.equal((await call(url, { headers: { 'x-beta': 'yes' } })).name, 'new');
  const fits = JSON.stringify({ beta: true, fill: 'x'.repeat(600_000) });
  const long = JSON.stringify({ beta: true, fill: 'x'.repeat(2_000_000) });
  for (const [body, name] of [
    [fits, 'new'],
    [long, 'old'],
    ['plain', 'old'],
  ] as const) {
    const served = await call(url, { method: 'POST', body });
    assert.deepEqual([served.name, served.bytes], [name, body.length]);
  }
  await load.stop();
});

test('a hundred deploys of one function leave the instances of all others as they are, and no call fails', async () => {
  await using gateway = await startGateway({ env: { HEARTH_WARM_BASES: '4' } });
  const others = ['a', 'b', 'c', 'd'];
  for (const name of others) {
    await gateway.deploy(
      name,
      { 'index.ts': source(name) },
      {
        manifest: { main: 'index.ts', hearth: { maxInstances: 1, minInstances: 1 } },
      },
    );
    await call(`${gateway.url}/${name}`);
  }
  await gateway.deploy('hot', source('hot'));
  const before = await Promise.all(others.map((name) => instancesOf(gateway, name)));
  assert.deepEqual(
    before.map(({ length }) => length),
    [1, 1, 1, 1],
  );
  const loads = ['hot', ...others].map((name) => constantLoad(`${gateway.url}/${name}`, 1));
  for (let n = 0; n < 100; n++) await gateway.deploy('hot', source(`hot ${n}`));
  assert.equal((await call(`${gateway.url}/hot`)).name, 'hot 99');
  await Promise.all(loads.map((load) => load.stop()));
  assert.deepEqual(await Promise.all(others.map((name) => instancesOf(gateway, name))), before);
});

async function instancesOf(gateway: TestGateway, fn: string, version?: string): Promise<string[]> {
  const pool = await gateway.api<{
    hosts: { bases: { id: string; function: string | null; version: string | null; state: string }[] }[];
  }>('GET', '/v1/pool');
  return pool.body.hosts
    .flatMap(({ bases }) => bases)
    .filter(
      (base) => base.function === fn && base.state === 'leased' && (version === undefined || base.version === version),
    )
    .map(({ id }) => id)
    .sort();
}
