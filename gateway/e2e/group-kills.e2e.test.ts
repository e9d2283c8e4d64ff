/** kill -9 in the middle of a replace, under load: of the host in which the group stands, and of the gateway itself. */
import assert from 'node:assert/strict';
import { watch } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../functions/examples/testing/until.ts';
import { type Answer, type Deployed, startGateway, type TestGateway } from '../testing/gateway.ts';
import { constantLoad } from '../testing/load.ts';

const GROUP = { group: 'shop' };
const NEIGHBOURS = Array.from({ length: 6 }, (_, n) => `module-${n}`);

/**
 * Says when it is evaluated, which is twice: in the base in which it is proved, then in the group's. Its `ready` path
 * answers when the function GATE does.
 */
const shop = (n: number) => `console.log('shop ${n} is evaluated');
export default { fetch(request, env) {
  if (new URL(request.url).pathname === '/ready') return env.GATE.fetch('http://gate/');
  return new Response('${n} ' + (request.by ?? 'link'));
} };`;
const SHOP_MANIFEST = { services: [{ binding: 'GATE', service: 'gate' }], hearth: { ...GROUP, ready: '/ready' } };

const CALLER = `export default { async fetch(request, env) {
  const inner = new Request('http://shop/');
  inner.by = 'direct';
  return env.SHOP.fetch(inner);
} };`;

const OPEN = 'export default { fetch: () => new Response("open") };';
const SHUT = `export default { fetch: () => { console.log('the gate is asked'); return new Promise(() => {}); } };`;

const evaluated = (n: number, times: number) => new RegExp(`(?:shop ${n} is evaluated[\\s\\S]*){${times}}`);

const replace = (gateway: TestGateway, n: number) =>
  gateway.api<Deployed>('PUT', '/v1/functions/shop', { manifest: SHOP_MANIFEST, files: { 'index.js': shop(n) } });

/** The group, with version 0 of the shop, and beside it one function in a trust group, so in a host, of its own. */
async function deployAll(gateway: TestGateway): Promise<Deployed> {
  await gateway.deploy('gate', OPEN, { manifest: { hearth: { trustGroup: 'default' } } });
  await gateway.deploy('apart', 'export default { fetch: () => new Response("apart") }', {
    manifest: { hearth: { trustGroup: 'other' } },
  });
  for (const name of NEIGHBOURS) {
    await gateway.deploy(name, `export default { fetch: () => new Response('${name}') }`, {
      manifest: { hearth: GROUP },
    });
  }
  const first = await replace(gateway, 0);
  assert.equal(first.status, 201, JSON.stringify(first.body));
  const services = [{ binding: 'SHOP', service: 'shop' }];
  await gateway.deploy('caller', { 'index.js': CALLER }, { manifest: { services, hearth: GROUP } });
  return first.body;
}

interface Standing {
  pid: number;
  functions: string[];
}

async function groupBases(gateway: TestGateway): Promise<Standing[]> {
  type Base = { group?: string; modules?: { function: string }[] };
  const { body } = await gateway.api<{ hosts: { pid: number; bases: Base[] }[] }>('GET', '/v1/pool');
  return body.hosts.flatMap(({ pid, bases }) =>
    bases
      .filter(({ group }) => group === 'shop')
      .map(({ modules = [] }) => ({ pid, functions: [...new Set(modules.map((module) => module.function))].sort() })),
  );
}

async function hostPids(gateway: TestGateway): Promise<number[]> {
  const { body } = await gateway.api<{ hosts: { pid: number }[] }>('GET', '/v1/pool');
  return body.hosts.map(({ pid }) => pid);
}

const ask = async (gateway: TestGateway, name: string) => (await fetch(`${gateway.url}/${name}`)).text();

/** Every caller, of whatever way in, is answered by this one, and the group stands whole in one base. */
async function serves(gateway: TestGateway, n: number, version: string): Promise<void> {
  const answers = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const response = await fetch(`${gateway.url}/shop`);
      return `${await response.text()} ${response.headers.get('hearth-version')}`;
    }),
  );
  assert.deepEqual([...new Set(answers)], [`${n} link ${version}`]);
  for (const name of NEIGHBOURS) assert.equal(await ask(gateway, name), name);
  assert.equal(await ask(gateway, 'caller'), `${n} direct`);
  const bases = await groupBases(gateway);
  assert.deepEqual(
    bases.map(({ functions }) => functions),
    // Of the one that is replaced the version before may stand there still, for a rollback.
    [['caller', ...NEIGHBOURS, 'shop']],
  );
}

test('kill -9 of the host in the middle of a replace: only what was in flight in the group fails, and it is the old version or the new one', {
  timeout: 120_000,
}, async () => {
  await using gateway = await startGateway({ env: { HEARTH_WARM_BASES: '3' } });
  let { version } = await deployAll(gateway);
  let now = 0;
  const CALLERS = 2;
  const moments: [what: string, comes: (n: number, deploy: Promise<Answer>) => Promise<unknown>][] = [
    ['as it begins', async () => undefined],
    ['while it is proved', (n) => gateway.said(evaluated(n, 1))],
    ['while it comes to its neighbours', (n) => gateway.said(evaluated(n, 2))],
    ['as soon as it is answered', (_, deploy) => deploy],
  ];
  for (const [index, [what, comes]] of moments.entries()) {
    const n = index + 1;
    await using apart = constantLoad(`${gateway.url}/apart`, { callers: CALLERS });
    await using inGroup = constantLoad(`${gateway.url}/${NEIGHBOURS[0]}`, { callers: CALLERS });
    await using replaced = constantLoad(`${gateway.url}/shop`, { callers: CALLERS });
    for (const load of [apart, inGroup, replaced]) await load.more();
    const [standing] = await groupBases(gateway);
    assert.ok(standing, what);
    const deploy = replace(gateway, n);
    // A host that dies before the new version is evaluated ends the deploy, and with it what is waited for.
    await Promise.race([comes(n, deploy), deploy]);
    process.kill(standing.pid, 'SIGKILL');
    const { status, body } = await deploy;
    const before = now;
    // What is asked before the gateway has heard of its death is in flight as well.
    await until(
      async () => ((await hostPids(gateway)).includes(standing.pid) ? undefined : true),
      'the end of the host',
    );
    if (status === 201) [now, version] = [n, body.version];
    else assert.ok(status === 422 || status === 502 || status === 503, `${what}: ${status} ${JSON.stringify(body)}`);
    await serves(gateway, now, version);
    for (const load of [apart, inGroup, replaced]) await load.more();
    await apart.stop();
    for (const load of [inGroup, replaced]) {
      await load.end();
      const told = load.failures.map((failure) => `${failure.status} ${failure.text}`);
      assert.ok(told.length <= CALLERS, `${what}: ${told.join()}`);
      for (const one of told) assert.match(one, /^502 .*FUNCTION_CRASHED/, what);
    }
    for (const text of replaced.seen) assert.ok([`${before} link`, `${n} link`].includes(text), `${what}: ${text}`);
  }
});

test('kill -9 of the gateway in the middle of a replace: after a restart it is the old version or the new one, whole, and the same deploy goes through', {
  timeout: 180_000,
}, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-group-kills-'));
  const moments: [
    what: string,
    comes: (gateway: TestGateway, n: number, deploy: Promise<unknown>) => Promise<unknown>,
    outcome: 'old' | 'new' | 'either',
  ][] = [
    ['while it is proved', (now) => now.said('the gate is asked'), 'old'],
    ['while it comes to its neighbours', (now, n) => now.said(evaluated(n, 2)), 'either'],
    ['in the commit', (now, n) => written(dataDir, () => now.said(evaluated(n, 2))), 'either'],
    ['once it is answered', (_now, _n, deploy) => deploy, 'new'],
  ];
  let gateway = await startGateway({ dataDir });
  try {
    let serving = { n: 0, version: (await deployAll(gateway)).version };
    for (const [index, [what, comes, outcome]] of moments.entries()) {
      const n = index + 1;
      await gateway.deploy('gate', outcome === 'old' ? SHUT : OPEN);
      await killed(gateway, { what, serving: serving.n, n, comes });
      await gateway[Symbol.asyncDispose]();
      gateway = await startGateway({ dataDir });

      const isNew = (await ask(gateway, 'shop')) === `${n} link`;
      if (outcome !== 'either') assert.equal(isNew, outcome === 'new', what);
      if (!isNew) await serves(gateway, serving.n, serving.version);
      await gateway.deploy('gate', OPEN);
      const again = await replace(gateway, n);
      assert.equal(again.status, 201, `${what}: ${JSON.stringify(again.body)}`);
      await serves(gateway, n, again.body.version);
      const { body } = await gateway.api<{ versions: { version: string }[] }>('GET', '/v1/functions/shop/versions');
      const ids = body.versions.map((each) => each.version);
      assert.equal(new Set(ids).size, ids.length, 'taken once');
      assert.ok(ids.includes(serving.version), 'the version before is there for a rollback');
      serving = { n, version: again.body.version };
    }
  } finally {
    await gateway[Symbol.asyncDispose]();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  }
});

interface Kill {
  what: string;
  serving: number;
  n: number;
  comes(gateway: TestGateway, n: number, deploy: Promise<unknown>): Promise<unknown>;
}

/** Replaces the shop under load and kills the gateway when the moment comes. Throws when any call was told of an error. */
async function killed(gateway: TestGateway, { what, serving, n, comes }: Kill): Promise<void> {
  await using loads = new AsyncDisposableStack();
  const begin = (path: string) => loads.use(constantLoad(`${gateway.url}/${path}`, { callers: 2 }));
  const [direct, called, beside] = [begin('shop'), begin('caller'), begin(NEIGHBOURS[0] as string)];
  const all = [direct, called, beside, begin('apart')];
  for (const load of all) await load.more();
  for (const load of all) assert.deepEqual(load.failures, [], what);
  const deploy = replace(gateway, n).then(
    ({ status }) => assert.equal(status, 201),
    // Whoever was killed answers nobody.
    () => undefined,
  );
  await comes(gateway, n, deploy);
  await gateway.kill9();
  await deploy;
  for (const load of all) {
    await load.end();
    // There was an answer, or none as the gateway was gone.
    const told = load.failures.filter(({ status }) => status !== null);
    assert.deepEqual(told, [], what);
  }
  for (const text of direct.seen) assert.ok([`${serving} link`, `${n} link`].includes(text), `${what}: ${text}`);
  // Over the link until the shop has been called after the start.
  const versions = [...called.seen].map((text) => text.replace(/ (direct|link)$/, ''));
  for (const version of versions) assert.ok([String(serving), String(n)].includes(version), `${what}: ${version}`);
  assert.deepEqual([...beside.seen], [NEIGHBOURS[0]]);
}

/** Resolves with the first write of the store after this has come: nothing else commits at that moment. */
async function written(dataDir: string, comes: () => Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let open = false;
  const watcher = watch(dataDir, (_event, file) => {
    if (open && file?.endsWith('-wal') === true) resolve();
  });
  try {
    await comes();
    open = true;
    await promise;
  } finally {
    watcher.close();
  }
}
