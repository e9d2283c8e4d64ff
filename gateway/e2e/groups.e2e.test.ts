/** Groups through the real gateway, under constant load: no call fails whatever is deployed, replaced or taken out. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { constantLoad } from '../testing/load.ts';

interface PoolBase {
  id: string;
  function: string | null;
  state: string;
  group?: string;
  modules?: { function: string; version: string }[];
}
interface PoolHost {
  id: string;
  pid: number;
  bases: PoolBase[];
}

const hearth = { group: 'shop' };

/** The bases that hold modules of the group, with their hosts. */
async function groupBases(gateway: TestGateway): Promise<{ host: PoolHost; base: PoolBase }[]> {
  const { body } = await gateway.api<{ hosts: PoolHost[] }>('GET', '/v1/pool');
  return body.hosts.flatMap((host) =>
    host.bases.filter(({ group }) => group === 'shop').map((base) => ({ host, base })),
  );
}

/** Ids of the bases that serve this function alone. */
async function basesOf(gateway: TestGateway, name: string): Promise<string[]> {
  const { body } = await gateway.api<{ hosts: PoolHost[] }>('GET', '/v1/pool');
  const bases = body.hosts.flatMap((host) => host.bases);
  return bases.filter((base) => base.function === name && base.state === 'leased').map(({ id }) => id);
}

function outsideFolder(t: TestContext, team: string): string {
  const dir = mkdtempSync(join(tmpdir(), `hearth-${team}-`));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const PER_FOLDER = 250;

test('500 modules from two outside folders stand in one base, and calls go on while they come', {
  timeout: 180_000,
}, async (t) => {
  await using gateway = await startGateway({ env: { HEARTH_WARM_BASES: '4' } });
  const teams = ['north', 'south'];
  const folders = await Promise.all(
    teams.map(async (team) => {
      const dir = outsideFolder(t, team);
      for (let n = 0; n < PER_FOLDER; n++) {
        await mkdir(join(dir, `${team}-${n}`));
        await writeFile(
          join(dir, `${team}-${n}`, 'index.ts'),
          `import { label } from './label';\nexport default { fetch: (): Response => new Response(label(process.env.TEAM as string)) };`,
        );
        await writeFile(
          join(dir, `${team}-${n}`, 'label.ts'),
          `export const label = (team: string) => team + ' ${n}';`,
        );
      }
      return dir;
    }),
  );
  const deployed: string[] = [];
  const deployFolder = async (dir: string, team: string) => {
    for (const name of await readdir(dir)) {
      const files: Record<string, string> = {};
      for (const file of await readdir(join(dir, name))) files[file] = await readFile(join(dir, name, file), 'utf8');
      // 500 times the default would be allowed 64 GB together. On a slow machine the last comes minutes after the first.
      const own = { ...hearth, memoryMb: 16, keepAlive: 3600 };
      await gateway.deploy(name, files, { manifest: { vars: { TEAM: team }, hearth: own } });
      deployed.push(name);
    }
  };
  await gateway.deploy('north-first', 'export default { fetch: () => new Response("first") }', {
    manifest: { hearth: { ...hearth, keepAlive: 3600 } },
  });
  const [before] = await groupBases(gateway);
  let turn = 0;
  await using load = constantLoad(
    () => `${gateway.url}/${deployed[turn++ % Math.max(1, deployed.length)] ?? 'north-first'}`,
  );
  await Promise.all(folders.map((dir, n) => deployFolder(dir, teams[n] as string)));
  assert.ok((await load.stop()) > deployed.length);
  const bases = await groupBases(gateway);
  assert.equal(bases.length, 1);
  assert.equal(bases[0]?.base.id, before?.base.id, 'the base is the one in which the first stood');
  const modules = bases[0]?.base.modules ?? [];
  assert.equal(modules.length, 2 * PER_FOLDER + 1);
  for (const name of deployed) {
    const [team, number] = name.split('-');
    const response = await fetch(`${gateway.url}/${name}`);
    assert.equal(await response.text(), `${team} ${number}`);
    assert.equal(response.headers.get('hearth-start'), 'warm');
  }
});

/** Says which version answered, and whether the very object that the caller made has come. */
const shop = (n: number) => `export default { fetch(request) {
  return new Response('${n} ' + (request.by ?? 'link'));
} };`;
const CALLER = `export default { async fetch(request, env) {
  const inner = new Request('http://shop/');
  inner.by = 'direct';
  return env.SHOP.fetch(inner);
} };`;

async function deployCaller(gateway: TestGateway): Promise<void> {
  const manifest = { services: [{ binding: 'SHOP', service: 'shop' }], hearth };
  await gateway.deploy('caller', { 'index.js': CALLER }, { manifest });
}

test('modules are replaced and taken out under load: no call fails, the base stays, and neighbours call the new one at once', {
  timeout: 180_000,
}, async () => {
  await using gateway = await startGateway({ env: { HEARTH_WARM_BASES: '4' } });
  const text = async (name: string) => (await fetch(`${gateway.url}/${name}`)).text();
  await gateway.deploy('apart', 'export default { fetch: () => new Response("apart") }');
  await gateway.deploy('leaves', 'export default { fetch: () => new Response("leaves") }', { manifest: { hearth } });
  const versions = [await gateway.deploy('shop', { 'index.js': shop(0) }, { manifest: { hearth } })];
  await deployCaller(gateway);
  const [before] = await groupBases(gateway);
  const apart = await basesOf(gateway, 'apart');
  assert.equal(apart.length, 1);
  await using stack = new AsyncDisposableStack();
  const loads = ['shop', 'caller', 'apart'].map((name) =>
    stack.use(constantLoad(`${gateway.url}/${name}`, { callers: 2 })),
  );
  for (let n = 1; n <= 8; n++) {
    versions.push(await gateway.deploy('shop', { 'index.js': shop(n) }, { manifest: { hearth } }));
    assert.deepEqual([await text('shop'), await text('caller')], [`${n} link`, `${n} direct`]);
  }
  assert.equal((await gateway.api('DELETE', '/v1/functions/leaves')).status, 204);
  assert.equal((await fetch(`${gateway.url}/leaves`)).status, 404);
  for (const load of loads) assert.ok((await load.stop()) > 8);
  const [, caller] = loads;
  assert.deepEqual(
    [...(caller?.seen ?? [])].filter((line) => !line.endsWith('direct')),
    [],
  );
  const [after] = await groupBases(gateway);
  assert.equal(after?.base.id, before?.base.id);
  const apartNow = await basesOf(gateway, 'apart');
  assert.ok(apartNow.includes(apart[0] as string), 'what does not hold the module was not touched');

  const split = versions.slice(-2).map(({ version }) => ({ version, percent: 50 }));
  const put = await gateway.api('PUT', '/v1/functions/shop/traffic', { split });
  assert.equal(put.status, 200, JSON.stringify(put.body));
  const chosen = await Promise.all(Array.from({ length: 20 }, () => text('caller')));
  assert.deepEqual([...new Set(chosen)].sort(), ['7 link', '8 link'], 'the gateway chooses, call by call');
  await gateway.api('PUT', '/v1/functions/shop/traffic', { split: [{ version: versions[7]?.version, percent: 100 }] });
  assert.equal(await text('caller'), '7 direct');
});

test('a hundred deploys of one module of a group: every other instance, in the group and outside, is the one it was', {
  timeout: 180_000,
}, async () => {
  await using gateway = await startGateway({ env: { HEARTH_WARM_BASES: '4' } });
  // Its module scope is the instance: whoever was loaded anew says another.
  const instance = (name: string) => `const id = '${name} ' + crypto.randomUUID();
    export default { fetch: () => new Response(id) };`;
  const grouped = ['in-a', 'in-b', 'in-c'];
  const outside = ['out-a', 'out-b'];
  const apart = { maxInstances: 1, minInstances: 1 };
  for (const name of grouped) await gateway.deploy(name, { 'index.js': instance(name) }, { manifest: { hearth } });
  for (const name of outside) {
    await gateway.deploy(name, { 'index.js': instance(name) }, { manifest: { hearth: apart } });
  }
  await gateway.deploy('shop', { 'index.js': shop(0) }, { manifest: { hearth } });
  await deployCaller(gateway);
  // Not the base in which each new version is proved first.
  const held = async () => {
    const group = (await groupBases(gateway)).map(({ base }) => base.id);
    return [...group, ...(await Promise.all(outside.map((name) => basesOf(gateway, name)))).flat()];
  };
  const others = [...grouped, ...outside];
  const ask = async (name: string) => (await fetch(`${gateway.url}/${name}`)).text();
  const instances = await Promise.all(others.map(ask));
  const before = await held();
  assert.equal(before.length, 1 + outside.length);

  await using stack = new AsyncDisposableStack();
  const loads = others.map((name) => stack.use(constantLoad(`${gateway.url}/${name}`, { callers: 1 })));
  const own = ['shop', 'caller'].map((name) => stack.use(constantLoad(`${gateway.url}/${name}`, { callers: 1 })));
  for (let n = 1; n <= 100; n++) await gateway.deploy('shop', { 'index.js': shop(n) }, { manifest: { hearth } });
  assert.deepEqual([await ask('shop'), await ask('caller')], ['100 link', '100 direct']);
  for (const load of [...loads, ...own]) await load.more();
  for (const load of [...loads, ...own]) await load.stop();
  assert.deepEqual(
    loads.map(({ seen }) => [...seen]),
    instances.map((text) => [text]),
  );
  assert.deepEqual(await held(), before);
});

test('calls that go round through a group, past the gateway and through it, come to an end', {
  timeout: 180_000,
}, async () => {
  await using gateway = await startGateway();
  const passes = (name: string, binding: string) =>
    `export default { async fetch(request, env) {
       try {
         const answer = await env.${binding}.fetch('http://next/');
         return new Response('${name} ' + (await answer.text()));
       } catch (error) {
         return new Response('${name} ' + error.code);
       }
     } };`;
  const deploy = (name: string, service: string, more: object) => {
    const binding = service.toUpperCase();
    const manifest = { services: [{ binding, service }], ...more };
    return gateway.deploy(name, { 'index.js': passes(name, binding) }, { manifest });
  };
  await deploy('inner', 'apart', { hearth });
  await deploy('outer', 'inner', { hearth });
  await deploy('apart', 'outer', {});
  const answer = async (name: string) => (await (await fetch(`${gateway.url}/${name}`)).text()).split(' ');
  // One is called by the client, sixteen by one another, and the next call is refused: over the link, or directly.
  const round = ['outer', 'inner', 'apart'];
  for (const begin of [0, 1, 2]) {
    const passed = Array.from({ length: 17 }, (_, n) => round[(begin + n) % 3]);
    assert.deepEqual(await answer(round[begin] as string), [...passed, 'LOOP_DETECTED']);
  }
});

const NODE_APP = `const http = require('node:http');
let calls = 0;
const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    response.writeHead(calls++ < 0 ? 500 : 201, { 'content-type': 'application/json', 'x-greeting': process.env.GREETING });
    response.end(JSON.stringify({ method: request.method, url: request.url, body }));
  });
});
server.listen(Number(process.env.PORT ?? 0), () => console.log('listening on ' + server.address().port));`;

const WEB_APP = `let calls = 0;
export default {
  async fetch(request) {
    calls++;
    const url = new URL(request.url);
    return Response.json(
      { method: request.method, url: url.pathname + url.search, body: await request.text() },
      { status: 201, headers: { 'x-greeting': process.env.GREETING } },
    );
  },
};`;

/** What a plain Node needs to serve a fetch handler: the program beside it is the same one. */
const WEB_SERVER = `import { serve } from ${JSON.stringify(import.meta.resolve('@hono/node-server'))};
import app from './index.mjs';
serve({ fetch: app.fetch, port: 0 }, ({ port }) => console.log('listening on ' + port));`;

for (const [what, code, file, server] of [
  ['a Node application', NODE_APP, 'index.cjs', null],
  ['a fetch handler', WEB_APP, 'index.mjs', WEB_SERVER],
] as const) {
  test(`${what} is the same grouped, alone and as a plain Node server`, { timeout: 180_000 }, async (t) => {
    const dir = outsideFolder(t, 'plain');
    await writeFile(join(dir, file), code);
    if (server !== null) await writeFile(join(dir, 'server.mjs'), server);
    const child = spawn(process.execPath, [join(dir, server === null ? file : 'server.mjs')], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, GREETING: 'hello' },
    });
    t.after(() => child.kill('SIGKILL'));
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const plain = `http://127.0.0.1:${/listening on (\d+)/.exec(line.toString())?.[1]}`;

    await using gateway = await startGateway();
    const vars = { GREETING: 'hello' };
    const files = { [file]: code };
    await gateway.deploy('alone', files, { manifest: { main: file, vars } });
    await gateway.deploy('beside', 'export default { fetch: () => new Response("beside") }', { manifest: { hearth } });
    await gateway.deploy('grouped', files, { manifest: { main: file, vars, hearth } });
    const [standing] = await groupBases(gateway);
    assert.equal(standing?.base.modules?.length, 2);

    const requests: [string, RequestInit][] = [
      ['/', {}],
      ['/a/b?c=d', { method: 'POST', body: 'x'.repeat(100_000) }],
      ['/empty', { method: 'PUT', body: '' }],
    ];
    for (const [path, init] of requests) {
      const answers = await Promise.all(
        [plain, `${gateway.url}/alone`, `${gateway.url}/grouped`].map(async (base) => {
          const response = await fetch(base + path, init);
          const { status, headers } = response;
          return [status, headers.get('content-type'), headers.get('x-greeting'), await response.text()];
        }),
      );
      assert.equal(answers[0]?.[0], 201);
      assert.deepEqual(answers[1], answers[0]);
      assert.deepEqual(answers[2], answers[0]);
    }
  });
}
