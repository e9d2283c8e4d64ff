/** Base definitions changed over the API while functions serve on them, through the real gateway and under load. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from '../../functions/examples/testing/until.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

interface BaseView {
  name: string;
  generation: number;
  libraries: { specifier: string; version: string }[];
  setup: unknown;
  env: string[];
  functions: number;
  previous: { generation: number } | null;
  change: {
    generation: number;
    state: string;
    versions: number;
    proved: number;
    left: number;
    why: string | null;
  } | null;
  changed?: boolean;
  broken?: string[];
}

interface Problem {
  code: string;
  detail: string;
  errors?: { path: string; message: string }[];
}

const CONFIG = `{ "bases": {
  "default": { "shared": ["prices"], "setup": "./base.ts", "types": "./base.d.ts", "env": ["DATABASE_URL"] },
  "other": { "shared": ["prices"] },
} }`;

/** As a driver makes its pool: nothing is opened before the first query. */
const setupOf = (tag: string) => `import { version } from 'prices';
let pools = 0;
let opened = 0;
let queries = 0;
const rules = new Map<string, (n: number) => number>();
export default ({ env }: { env: Record<string, string> }) => {
  pools += 1;
  let connection: { url: string } | null = null;
  return {
    tag: ${JSON.stringify(tag)}, version,
    db: {
      query() { queries += 1; connection ??= (opened += 1, { url: env.DATABASE_URL }); return connection.url; },
      counts: () => ({ pools, opened, queries }),
    },
    register: (name: string, rule: (n: number) => number) => rules.set(name, rule),
    apply: (name: string, n: number) => rules.get(name)?.(n),
  };
};`;

const TYPES = `export interface Base { tag: string; db: { query(): string } }`;

/** Says what it runs on: its library, and what its base made. */
const MODULE = `import { version, price } from 'prices';
export default { fetch: (request, env) => Response.json([version, env.BASE?.tag ?? null, price(2)]) };`;

async function directoryWith(files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hearth-base-changes-'));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(directory, path, '..'), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  return directory;
}

/** One library in two versions, as npm installs the second under an alias. */
const library = (alias: string, version: string, source: string) => ({
  [`node_modules/${alias}/package.json`]: JSON.stringify({ name: 'prices', version, main: 'index.js' }),
  [`node_modules/${alias}/index.js`]: `exports.version = ${JSON.stringify(version)};\n${source}`,
});

const FILES = {
  'hearth.config.jsonc': CONFIG,
  'base.ts': setupOf('file'),
  'base.d.ts': TYPES,
  ...library('prices', '1.4.0', 'exports.price = (n) => n;'),
  ...library('prices-2', '2.0.1', 'exports.price = (n) => n * 10;'),
  ...library('prices-bad', '3.0.0', 'exports.cost = (n) => n;'),
};

const V2 = [{ as: 'prices', from: 'prices-2' }];
const ENV = { DATABASE_URL: 'postgres://db.example/shop', HEARTH_WARM_BASES: '2' };

/** Callers that never stop and count every answer that is no 200. `end` gives what was seen, by path. */
function load(gateway: TestGateway, paths: string[], callers = 4) {
  let done = false;
  const seen = new Map(paths.map((path) => [path, new Set<string>()]));
  const failed: string[] = [];
  let calls = 0;
  const caller = async (n: number) => {
    for (let i = n; !done; i++) {
      const path = paths[i % paths.length] as string;
      const response = await fetch(`${gateway.url}/${path}`);
      const text = await response.text();
      calls++;
      if (response.status === 200) seen.get(path)?.add(text);
      else failed.push(`${path}: ${response.status} ${text}`);
    }
  };
  const running = Promise.all(Array.from({ length: callers }, (_, n) => caller(n)));
  const stop = async () => {
    done = true;
    await running;
  };
  return {
    seen,
    async end() {
      await stop();
      assert.deepEqual(failed, []);
      assert.ok(calls > 0);
    },
    [Symbol.asyncDispose]: stop,
  };
}

describe('a base changed while its modules serve', { timeout: 240_000 }, () => {
  let cwd: string;
  let gateway: TestGateway;
  before(async () => {
    cwd = await directoryWith(FILES);
    gateway = await startGateway({ cwd, env: ENV });
    await gateway.deploy('shop', MODULE);
    await gateway.deploy('team', { 'index.ts': MODULE }, { manifest: { hearth: { trustGroup: 'team' } } });
    await gateway.deploy('apart', { 'index.ts': MODULE }, { manifest: { hearth: { base: 'other' } } });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await rm(cwd, { recursive: true, force: true });
  });

  const ask = async (path: string) => (await fetch(`${gateway.url}/${path}`)).json();
  const put = <Body = BaseView>(name: string, body: unknown, headers?: Record<string, string>) =>
    gateway.api<Body>('PUT', `/v1/bases/${name}`, body, headers);
  const get = async (name: string) => (await gateway.api<BaseView>('GET', `/v1/bases/${name}`)).body;

  test('definitions of the file are the first generation, with their libraries as found', async () => {
    const { body } = await gateway.api<{ bases: BaseView[] }>('GET', '/v1/bases');
    assert.deepEqual(
      body.bases.map(({ name, generation, functions }) => [name, generation, functions]),
      [
        ['default', 1, 2],
        ['other', 1, 1],
      ],
    );
    const [base] = body.bases;
    assert.deepEqual(
      base?.libraries.map(({ specifier, version }) => [specifier, version]),
      [['prices', '1.4.0']],
    );
    assert.deepEqual(base?.setup, { path: './base.ts' });
    assert.deepEqual([base?.previous, base?.change], [null, null]);
  });

  test('another version of a library: no request fails, and once it is answered every call gets the new one', async () => {
    const others = (await gateway.api<{ hosts: { id: string; base: string }[] }>('GET', '/v1/pool')).body.hosts;
    await using calls = load(gateway, ['shop', 'team', 'apart']);
    const { status, body } = await put('default', { shared: V2 });
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual([body.generation, body.changed, body.broken], [2, true, []]);
    assert.deepEqual([body.change?.state, body.change?.proved, body.change?.left], ['done', 2, 0]);
    for (const path of ['shop', 'team']) assert.deepEqual(await ask(path), ['2.0.1', 'file', 20]);
    await calls.end();
    assert.deepEqual(await ask('apart'), ['1.4.0', null, 2]);
    assert.deepEqual([...(calls.seen.get('apart') ?? [])], ['["1.4.0",null,2]']);
    // Nothing between the two, such as the new library with the old setup.
    const both = ['["1.4.0","file",2]', '["2.0.1","file",20]'];
    for (const path of ['shop', 'team'])
      for (const text of calls.seen.get(path) ?? []) assert.ok(both.includes(text), text);
    const old = others.filter(({ base }) => base === 'default').map(({ id }) => id);
    await until(async () => {
      const { hosts } = (await gateway.api<{ hosts: { id: string }[] }>('GET', '/v1/pool')).body;
      return hosts.some(({ id }) => old.includes(id)) ? undefined : true;
    }, 'the end of the old hosts');
    const { records } = (
      await gateway.api<{ records: { action: string; subject: string; actor: string }[] }>('GET', '/v1/audit')
    ).body;
    assert.ok(
      records.some(
        (record) => record.action === 'base.change' && record.subject === 'default' && record.actor === 'admin',
      ),
    );
  });

  test('the same again changes nothing', async () => {
    const { status, body } = await put('default', { shared: V2 });
    assert.deepEqual([status, body.changed, body.generation], [200, false, 2]);
  });

  test('another setup: given as source, and no request fails', async () => {
    await using calls = load(gateway, ['shop', 'team']);
    const { status, body } = await put('default', setupOf('typed'), { 'content-type': 'text/typescript' });
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(body.setup, { files: ['setup.ts'] });
    for (const path of ['shop', 'team']) assert.deepEqual(await ask(path), ['2.0.1', 'typed', 20]);
    await calls.end();
  });

  test('a setup of several files comes as a form, and what it imports is bundled', async () => {
    const form = new FormData();
    form.set('definition', JSON.stringify({ setup: { main: 'src/base.ts' } }));
    form.append(
      'files',
      new File(["import { tag } from './tag.ts';\nexport default async () => ({ tag });"], 'src/base.ts'),
    );
    form.append('files', new File(["export const tag: string = 'form';"], 'src/tag.ts'));
    const { status, body } = await put('default', form);
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(await ask('shop'), ['2.0.1', 'form', 20]);
  });

  test('rollback leads to what was before, without a failed request, and again to what it came from', async () => {
    await using calls = load(gateway, ['shop', 'team']);
    const back = await gateway.api<BaseView>('POST', '/v1/bases/default/rollback');
    assert.equal(back.status, 200, JSON.stringify(back.body));
    assert.deepEqual(await ask('shop'), ['2.0.1', 'typed', 20]);
    assert.equal(back.body.previous?.generation, 4);
    const forth = await gateway.api<BaseView>('POST', '/v1/bases/default/rollback');
    assert.equal(forth.status, 200);
    assert.deepEqual(await ask('team'), ['2.0.1', 'form', 20]);
    await calls.end();
    assert.equal((await gateway.api<Problem>('POST', '/v1/bases/other/rollback')).body.code, 'CONFLICT');
  });

  test('the setup of the file comes back by its path, and no other path is taken', async () => {
    const { status } = await put('default', { setup: { path: './base.ts' }, shared: V2 });
    assert.equal(status, 200);
    assert.deepEqual(await ask('shop'), ['2.0.1', 'file', 20]);
    const other = await put<Problem>('default', { setup: { path: '/etc/passwd' } });
    assert.deepEqual([other.status, other.body.code], [400, 'BAD_REQUEST']);
    assert.match(other.body.detail, /it names "\.\/base\.ts"/);
  });

  test('a module that does not come up keeps the base as it is: the answer names it and says why', async () => {
    await gateway.deploy(
      'picky',
      `import { price } from 'prices'; const doubled = price(1);
       export default { fetch: () => new Response(String(doubled)) };`,
    );
    await gateway.deploy('wants', {
      'index.ts': MODULE,
      'package.json': '{ "dependencies": { "prices": "^2.0.0" } }',
    });
    await using calls = load(gateway, ['shop', 'picky', 'wants']);
    const generation = (await get('default')).generation;

    const breaks = await put<Problem>('default', { shared: [{ as: 'prices', from: 'prices-bad' }] });
    assert.deepEqual([breaks.status, breaks.body.code], [422, 'PROBE_FAILED'], JSON.stringify(breaks.body));
    assert.deepEqual(
      breaks.body.errors?.map(({ path }) => path),
      ['picky', 'wants'],
    );
    assert.match(
      breaks.body.detail,
      /The base "default" stays as it is: picky does not come up on the new one\. .*price/,
    );
    assert.match(
      breaks.body.errors?.[1]?.message ?? '',
      /package\.json wants "prices" \^2\.0\.0, and the base has 3\.0\.0/,
    );

    const gone = await put<Problem>('default', { shared: [], setup: null });
    assert.equal(gone.status, 422);
    assert.match(gone.body.detail, /It leaves "prices" to its base, which does not share it/);

    const { generation: still, change, previous } = await get('default');
    assert.deepEqual([still, change?.state], [generation, 'refused']);
    assert.match(change?.why ?? '', /does not come up/);
    assert.ok(previous);
    assert.deepEqual(await ask('shop'), ['2.0.1', 'file', 20]);
    await calls.end();
    const { records } = (await gateway.api<{ records: { action: string }[] }>('GET', '/v1/audit')).body;
    assert.ok(records.some(({ action }) => action === 'base.change.refused'));
    for (const name of ['picky', 'wants']) await gateway.api('DELETE', `/v1/functions/${name}`);
  });

  test('a setup that throws, or does not build, or asks for what is not there is refused with the place', async () => {
    const text = { 'content-type': 'text/typescript' };
    const throws = await put<Problem>('default', 'export default () => { throw new Error("no licence"); };', text);
    assert.equal(throws.body.code, 'PROBE_FAILED');
    assert.match(throws.body.detail, /The base "default" stays as it is\. .*no licence/);
    const syntax = await put<Problem>('default', 'export default () => (\n  1 +\n;', text);
    assert.equal(syntax.body.code, 'BUILD_FAILED');
    assert.match(syntax.body.detail, /setup\.ts:3:1/);
    const missing = await put<Problem>('default', 'import pg from "pg";\nexport default () => pg;', text);
    assert.match(missing.body.detail, /setup\.ts:1:16: .*"pg"/);
    const waits = await put<Problem>('default', 'const a = await 1;\nexport default () => a;', text);
    assert.match(waits.body.detail, /cannot await at its top level/);
    const boots = await put<Problem>('default', 'throw new Error("at the top");', text);
    assert.equal(boots.body.code, 'PROBE_FAILED');
    assert.match(boots.body.detail, /do not come up.*at the top/);
    assert.deepEqual(await ask('shop'), ['2.0.1', 'file', 20]);
  });

  test('bad input is refused before anything is tried', async () => {
    const refused: [body: unknown, detail: RegExp][] = [
      [{ shared: ['../../etc/passwd'] }, /body\.shared\.0/],
      [{ shared: ['/etc/passwd'] }, /body\.shared\.0/],
      [{ shared: [{ as: 'x', from: 'prices/../../secret' }] }, /body\.shared\.0/],
      [{ shared: ['left-pad'] }, /"left-pad" is installed neither/],
      [{ shared: ['prices', { as: 'prices', from: 'prices-2' }] }, /stands there twice/],
      [{ env: ['HEARTH_SECRET_KEY'] }, /a variable of Hearth itself/],
      [{ env: ['REDIS_URL'] }, /a variable of Hearth itself/],
      [{ warm: -1 }, /body\.warm/],
      [{ sahred: [] }, /body\.sahred: no such key/],
      [{ types: 'export interface Other {}' }, /export interface Base/],
      [{ setup: { main: 'a.ts' } }, /there are no files/],
      [{ setup: { main: 'b.ts', files: { 'a.ts': 'export default 1' } } }, /b\.ts/],
      [{ setup: { files: { '../a.ts': 'export default 1' } } }, /\.\./],
    ];
    for (const [body, detail] of refused) {
      const answer = await put<Problem>('default', body);
      assert.ok([400, 422].includes(answer.status), `${JSON.stringify(body)}: ${answer.status}`);
      assert.match(answer.body.detail, detail);
    }
    const text = await put<Problem>('default', '{', { 'content-type': 'application/json' });
    assert.deepEqual([text.status, text.body.code], [400, 'BAD_REQUEST']);
    const plain = await put<Problem>('default', 'x', { 'content-type': 'text/plain' });
    assert.match(plain.body.detail, /does not take "text\/plain"/);
    assert.equal((await put('Default', {})).status, 400);
    assert.equal((await gateway.api('POST', '/v1/bases/nowhere/rollback')).status, 404);
  });

  test('only the admin token changes a base; types are for whoever may ask anything', async () => {
    const { body } = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['deploy:*', 'read'] });
    const scoped = { authorization: `Bearer ${body.token}` };
    assert.equal((await put('default', { shared: V2 }, scoped)).status, 403);
    assert.equal((await gateway.api('POST', '/v1/bases/default/rollback', undefined, scoped)).status, 403);
    assert.equal((await gateway.api('GET', '/v1/bases', undefined, scoped)).status, 200);
    assert.equal((await gateway.api('GET', '/v1/bases/default/types', undefined, scoped)).status, 200);
    const blind = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['enqueue:orders'] });
    const other = { authorization: `Bearer ${blind.body.token}` };
    assert.equal((await gateway.api('GET', '/v1/bases', undefined, other)).status, 403);
  });

  test('a setup reads, writes and starts no more than SECURITY.md says', async () => {
    const tries = `import { readFileSync, writeFileSync } from 'node:fs';
      import { spawnSync } from 'node:child_process';
      import { Worker } from 'node:worker_threads';
      const attempt = (what: () => unknown) => { try { what(); return 'done'; } catch (error) { return (error as { code: string }).code; } };
      export default ({ env }) => ({ tried: {
        read: attempt(() => readFileSync('/etc/passwd')),
        config: attempt(() => readFileSync(${JSON.stringify(join(cwd, 'hearth.config.jsonc'))})),
        token: attempt(() => readFileSync(${JSON.stringify(join(gateway.dataDir, 'admin-token'))})),
        write: attempt(() => writeFileSync('/tmp/hearth-setup-wrote', '')),
        spawn: attempt(() => { throw spawnSync('true').error; }),
        thread: attempt(() => new Worker('', { eval: true })),
        environment: [Object.keys(process.env), Object.keys(env)],
      } });`;
    const made = await put('tries', { setup: tries, env: ['DATABASE_URL'], warm: 1 });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const files = { 'index.ts': 'export default { fetch: (request, env) => Response.json(env.BASE.tried) };' };
    await gateway.deploy('on-tries', files, { manifest: { hearth: { base: 'tries' } } });
    const denied = 'ERR_ACCESS_DENIED';
    assert.deepEqual(await ask('on-tries'), {
      read: denied,
      config: denied,
      token: denied,
      write: denied,
      spawn: denied,
      thread: denied,
      environment: [[], ['DATABASE_URL']],
    });
  });

  test('a setup that was edited where it stands is taken up by the same path, and rolled back all the same', async () => {
    await writeFile(join(cwd, 'base.ts'), setupOf('edited'));
    const edited = await put('default', { setup: { path: './base.ts' } });
    assert.deepEqual([edited.status, edited.body.changed], [200, true]);
    assert.deepEqual(await ask('shop'), ['2.0.1', 'edited', 20]);
    assert.equal((await gateway.api('POST', '/v1/bases/default/rollback')).status, 200);
    assert.deepEqual(await ask('shop'), ['2.0.1', 'file', 20]);
    await writeFile(join(cwd, 'base.ts'), setupOf('file'));
    assert.equal((await put('default', { setup: { path: './base.ts' } })).status, 200);
    assert.deepEqual(await ask('shop'), ['2.0.1', 'file', 20]);
  });

  test('a base that is new is made by the same call, and functions can be deployed onto it', async () => {
    const made = await put('fresh', { shared: ['prices'], setup: 'export default { tag: "constant" };', warm: 1 });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    await gateway.deploy('on-fresh', { 'index.ts': MODULE }, { manifest: { hearth: { base: 'fresh' } } });
    assert.deepEqual(await ask('on-fresh'), ['1.4.0', 'constant', 2]);
  });

  test('a library that was installed, or upgraded where it stands, after the start is found as it is now', async () => {
    const refused = await put<Problem>('late', { shared: ['late'] });
    assert.match(refused.body.detail, /"late" is installed neither/);
    const install = async (version: string, main: string) => {
      await mkdir(join(cwd, 'node_modules/late'), { recursive: true });
      const manifest = { name: 'late', version, exports: { '.': `./${main}` } };
      await writeFile(join(cwd, 'node_modules/late/package.json'), JSON.stringify(manifest));
      await writeFile(join(cwd, 'node_modules/late', main), `exports.version = ${JSON.stringify(version)};`);
    };
    await install('1.0.0', 'one.js');
    assert.equal((await put('late', { shared: ['late'], warm: 1 })).status, 201);
    const files = {
      'index.ts': "import { version } from 'late';\nexport default { fetch: () => Response.json(version) };",
    };
    await gateway.deploy('on-late', files, { manifest: { hearth: { base: 'late' } } });
    assert.equal(await ask('on-late'), '1.0.0');
    await install('2.0.0', 'two.js');
    await rm(join(cwd, 'node_modules/late/one.js'));
    const { status, body } = await put('late', {});
    assert.deepEqual([status, body.changed], [200, true], JSON.stringify(body));
    assert.equal(await ask('on-late'), '2.0.0');
  });

  test('base calls module, module calls base: by reference, and one lazy connection for all calls', async () => {
    await gateway.deploy(
      'rules',
      `import { env } from 'hearth';
       let asked = 0;
       env.BASE.register('vat', (n) => { asked += 1; return n * 1.2; });
       export default { fetch: (request, { BASE }) => {
         const before = BASE.db.counts();
         return Response.json({ net: BASE.apply('vat', 100), none: BASE.apply('nobody', 1) ?? null, asked, before, url: [BASE.db.query(), BASE.db.query()], after: BASE.db.counts() });
       } };`,
    );
    assert.deepEqual(await ask('rules'), {
      net: 120,
      none: null,
      asked: 1,
      before: { pools: 1, opened: 0, queries: 0 },
      url: [ENV.DATABASE_URL, ENV.DATABASE_URL],
      after: { pools: 1, opened: 1, queries: 2 },
    });
  });

  test('ten modules of a group hold one connection pool, opened at the first query, and move to another base together', async () => {
    const MEMBER = `export default { fetch(request, env) {
      const { pathname } = new URL(request.url);
      if (pathname === '/next') return env.NEXT.fetch('http://next/query');
      if (pathname === '/query') env.BASE.db.query();
      return Response.json([env.BASE.tag, env.BASE.db.counts()]);
    } };`;
    const names = Array.from({ length: 10 }, (_, n) => `member-${n}`);
    for (const [n, name] of names.entries()) {
      const services = [{ binding: 'NEXT', service: `member-${(n + 1) % 10}` }];
      await gateway.deploy(name, { 'index.ts': MEMBER }, { manifest: { services, hearth: { group: 'shop' } } });
    }
    assert.deepEqual(await ask('member-3'), ['file', { pools: 1, opened: 0, queries: 0 }]);
    for (const [n, name] of names.entries()) {
      assert.deepEqual(
        await ask(`${name}/query`),
        ['file', { pools: 1, opened: 1, queries: n + 1 }],
        'all see one pool',
      );
    }

    await using calls = load(gateway, ['member-0/next', 'member-1/query', 'member-9/next', 'shop']);
    const { status, body } = await put('default', { setup: setupOf('grouped') });
    assert.equal(status, 200, JSON.stringify(body));
    type Counts = [tag: string, { pools: number; opened: number }];
    const counts = await Promise.all(names.map(async (name) => (await ask(name)) as Counts));
    assert.ok(
      counts.every(([tag, { pools, opened }]) => tag === 'grouped' && pools === 1 && opened === 1),
      JSON.stringify(counts),
    );
    await calls.end();
    for (const [path, texts] of calls.seen) {
      for (const text of texts) assert.ok(path === 'shop' || /"pools":1,"opened":1/.test(text), `${path}: ${text}`);
    }
    const back = await gateway.api<BaseView>('POST', '/v1/bases/default/rollback');
    assert.equal(back.status, 200);
    assert.deepEqual(await ask('member-5'), ['file', { pools: 1, opened: 0, queries: 0 }]);
    for (const name of names) await gateway.api('DELETE', `/v1/functions/${name}`);
  });

  test('types answers declarations of env.BASE and of what is shared', async () => {
    const { body, headers } = await gateway.api<string>('GET', '/v1/bases/default/types');
    assert.match(headers.get('content-type') ?? '', /text\/typescript/);
    assert.ok(body.includes(TYPES), body);
    assert.match(body, /readonly BASE: Base;/);
    assert.match(body, /readonly "prices": "2\.0\.1";/);
    assert.match(body, /npm install --save-dev prices@2\.0\.1/);
    const { generation } = await get('default');
    const types = 'export type Base = { later: true };';
    const told = await put('default', { types });
    assert.deepEqual(
      [told.status, told.body.changed, told.body.generation],
      [200, true, generation],
      'nothing had to move',
    );
    assert.ok((await gateway.api<string>('GET', '/v1/bases/default/types')).body.includes(types));
    // Without any, what the compiler makes of the setup: of the file's, and of one that came over the API.
    assert.equal((await put('default', { types: null })).status, 200);
    assert.match(
      (await gateway.api<string>('GET', '/v1/bases/default/types')).body,
      /register: \(name: string, rule: \(n: number\) => number\) =>/,
    );
    assert.match((await gateway.api<string>('GET', '/v1/bases/tries/types')).body, /tried: \{\s+read: /);
    assert.match((await gateway.api<string>('GET', '/v1/bases/other/types')).body, /Record<never, never>/);
    assert.equal((await gateway.api('GET', '/v1/bases/nowhere/types')).status, 404);
  });
});

describe('a start after a kill in the middle of a change', { timeout: 240_000 }, () => {
  /** Proved slowly on a base with a tag that says so, and one that streams on, so that a host is not empty soon. */
  const SLOW = `import { version } from 'prices';
    export default { async fetch(request, { BASE }) {
      const { pathname } = new URL(request.url);
      if (pathname.endsWith('/ready') && BASE.tag === 'slow') await new Promise(() => {});
      if (pathname.endsWith('/stream')) return new Response(new ReadableStream({ start: (c) => c.enqueue(new TextEncoder().encode('on ')) }));
      return Response.json([version, BASE.tag]);
    } };`;

  const cases: [when: string, tag: string, state: string, answer: unknown][] = [
    ['while modules are proved leaves the old generation', 'slow', 'proving', ['1.4.0', 'file']],
    ['while modules move leaves the new one, for all of them', 'quick', 'moving', ['2.0.1', 'quick']],
  ];
  for (const [when, tag, state, answer] of cases) {
    test(`kill -9 ${when}`, async () => {
      const cwd = await directoryWith(FILES);
      const dataDir = join(cwd, 'data');
      await mkdir(dataDir);
      try {
        {
          await using gateway = await startGateway({ cwd, dataDir, env: ENV });
          for (const trustGroup of ['default', 'team']) {
            const manifest = { hearth: { trustGroup, ready: '/ready' } };
            await gateway.deploy(`in-${trustGroup}`, { 'index.ts': SLOW }, { manifest });
          }
          const streams = await Promise.all(
            ['default', 'team'].map((group) => fetch(`${gateway.url}/in-${group}/stream`)),
          );
          assert.ok(streams.every(({ ok }) => ok));
          const change = gateway.api('PUT', '/v1/bases/default', { shared: V2, setup: setupOf(tag) });
          const broken = assert.rejects(change);
          await until(async () => {
            const { body } = await gateway.api<BaseView>('GET', '/v1/bases/default');
            const under = body.change;
            return under?.state === state && (state !== 'moving' || under.left === 1) ? true : undefined;
          }, state);
          await gateway.kill9();
          await broken;
          await Promise.all(streams.map((stream) => stream.text().catch(() => undefined)));
        }
        await using gateway = await startGateway({ cwd, dataDir, env: ENV });
        for (const group of ['default', 'team']) {
          assert.deepEqual(await (await fetch(`${gateway.url}/in-${group}`)).json(), answer);
        }
        const { body } = await gateway.api<BaseView>('GET', '/v1/bases/default');
        assert.equal(body.generation, state === 'moving' ? 2 : 1);
        if (state !== 'moving') return;
        assert.deepEqual(body.setup, { files: ['setup.ts'] }, 'what the API changed holds over the file');
        const back = await gateway.api<BaseView>('POST', '/v1/bases/default/rollback');
        assert.deepEqual([back.body.generation, back.body.setup], [3, { path: './base.ts' }]);
        assert.deepEqual(await (await fetch(`${gateway.url}/in-team`)).json(), ['1.4.0', 'file']);
      } finally {
        await rm(cwd, { recursive: true, force: true });
      }
    });
  }
});
