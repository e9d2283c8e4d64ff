import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startGateway, type TestGateway } from '../../testing/gateway.ts';
import { type Project, projectOf } from './testing/wrangler.ts';

const HONO_STYLE = `import { Hono } from 'hono';
import page from './page.html';
type Bindings = { GREETING: string; LIMITS: { most: number }; KV: KVNamespace; VERSION: { id: string } };
const app = new Hono<{ Bindings: Bindings }>();
app.get('/', (c) => c.json({ greeting: c.env.GREETING, most: c.env.LIMITS.most, secret: process.env.API_KEY ?? null, version: c.env.VERSION.id }));
app.get('/page', (c) => c.html(page));
app.put('/kv/:key', async (c) => { await c.env.KV.put(c.req.param('key'), await c.req.text()); return c.text('kept'); });
app.get('/kv/:key', async (c) => c.text((await c.env.KV.get(c.req.param('key'))) ?? 'nothing'));
export default app;
`;

let gateway: TestGateway;
let project: Project;
before(async () => {
  gateway = await startGateway();
  project = await projectOf(gateway, {});
});
after(async () => {
  await project[Symbol.asyncDispose]();
  await gateway[Symbol.asyncDispose]();
});

async function wrangler(...args: string[]): Promise<string> {
  const { code, stdout, output } = await project.wrangler(args);
  assert.equal(code, 0, `wrangler ${args.join(' ')}: ${output}\n${gateway.output()}`);
  return stdout;
}

async function json(path: string): Promise<unknown> {
  return await (await fetch(`${gateway.url}${path}`)).json();
}

async function textOf(path: string, init?: RequestInit): Promise<string> {
  return await (await fetch(`${gateway.url}${path}`, init)).text();
}

// Fifteen commands, each a process of its own: on a machine that does other things they may take minutes together.
describe('stock wrangler', { timeout: 300_000 }, () => {
  it('deploys a Hono project as its template has it, with variables, KV, a secret and version metadata', async () => {
    await project.write({
      'wrangler.jsonc': `{
        "$schema": "node_modules/wrangler/config-schema.json",
        "name": "hono-app",
        "main": "src/index.ts",
        "compatibility_date": "2026-11-01",
        "compatibility_flags": ["nodejs_compat"],
        "vars": { "GREETING": "hi", "LIMITS": { "most": 3 } }, // a comment
        "kv_namespaces": [{ "binding": "KV" }],
        "version_metadata": { "binding": "VERSION" },
        "observability": { "enabled": true },
      }`,
      'src/index.ts': HONO_STYLE,
      'src/page.html': '<p>page</p>',
    });
    const output = await wrangler('deploy', '--tag', '1.0.0');
    const version = /Current Version ID: ([0-9a-f-]{36})/.exec(output)?.[1];
    assert.ok(version !== undefined, output);
    const put = await project.wrangler(['secret', 'put', 'API_KEY'], { stdin: 'hidden\n' });
    assert.equal(put.code, 0, put.output);

    const id = version.replaceAll('-', '').slice(0, 24);
    assert.deepEqual(await json('/hono-app'), { greeting: 'hi', most: 3, secret: 'hidden', version: id });
    assert.equal(await textOf('/hono-app/page'), '<p>page</p>');
    assert.equal(await textOf('/hono-app/kv/a', { method: 'PUT', body: 'value' }), 'kept');
    assert.equal(await textOf('/hono-app/kv/a'), 'value');
    const { body } = await gateway.api<{ version: string }>('GET', '/v1/functions/hono-app');
    assert.equal(body.version, id);
  });

  it('deploys again, shows versions and deployments, and rolls back', async () => {
    const config = { name: 'hono-app', main: 'src/two.ts', compatibility_date: '2026-11-01' };
    await project.write({
      'wrangler.jsonc': JSON.stringify(config),
      'src/two.ts': `export default { fetch: (_request: Request, env: { API_KEY: string }) => Response.json(['two', env.API_KEY]) };`,
    });
    await wrangler('deploy');
    assert.deepEqual(await json('/hono-app'), ['two', 'hidden'], 'secrets stay');
    const listed = JSON.parse(await wrangler('versions', 'list', '--json')) as { id: string; annotations: object }[];
    assert.equal(listed.length, 2);
    assert.deepEqual(
      listed.map(({ annotations }) => (annotations as Record<string, string>)['workers/tag'] ?? null),
      ['1.0.0', null],
    );
    const deployments = await wrangler('deployments', 'list');
    assert.ok(deployments.includes(`(100%) ${listed[1]?.id}`), deployments);

    await wrangler('rollback', '--message', 'back');
    assert.equal(await textOf('/hono-app/page'), '<p>page</p>');
    const split = await wrangler('versions', 'deploy', `${listed[0]?.id}@50%`, `${listed[1]?.id}@50%`, '--yes');
    assert.match(split, /SUCCESS/i);
    const { body } = await gateway.api<{ traffic: { split: { percent: number }[] } }>('GET', '/v1/functions/hono-app');
    assert.deepEqual(
      body.traffic.split.map(({ percent }) => percent),
      [50, 50],
    );
  });

  it('deploys a project with a router of its own in TOML, with routes and data and wasm imports', async () => {
    await project.write({
      'toml/wrangler.toml': `name = "router"
main = "worker.js"
compatibility_date = "2026-11-01"
routes = [{ pattern = "shop.example/api/*", zone_name = "shop.example" }, { pattern = "www.example", custom_domain = true }]

[[rules]]
type = "Text"
globs = ["**/*.md"]
fallthrough = true

[vars]
NAME = "router"
`,
      'toml/worker.js': `import notes from './notes.md';
import module from './answer.wasm';
import data from './bytes.bin';
const routes = [];
const router = { get: (path, handler) => routes.push([path, handler]), fetch: (request, ...args) => {
  const { pathname } = new URL(request.url);
  const found = routes.find(([path]) => path === pathname);
  return found ? found[1](request, ...args) : new Response('no such page', { status: 404 }); } };
router.get('/notes', (_request, env) => new Response(env.NAME + ' ' + notes));
router.get('/answer', () => Response.json([new WebAssembly.Instance(module).exports.answer(), data.byteLength]));
export default { fetch: router.fetch };
`,
      'toml/notes.md': '# notes',
      'toml/bytes.bin': new Uint8Array(5),
      'toml/answer.wasm': Uint8Array.of(
        ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0],
        ...[7, 10, 1, 6, 97, 110, 115, 119, 101, 114, 0, 0, 10, 6, 1, 4, 0, 65, 42, 11],
      ),
    });
    await wrangler('deploy', '--config', 'toml/wrangler.toml');
    assert.equal(await textOf('/router/notes'), 'router # notes');
    assert.deepEqual(await json('/router/answer'), [42, 5]);
    assert.equal((await fetch(`${gateway.url}/router/none`)).status, 404);
    const { body } = await gateway.api<{ routes: string[]; byName: boolean }>('GET', '/v1/publications/router');
    assert.deepEqual([body.routes.toSorted(), body.byName], [['shop.example/api/*', 'www.example/*'], true]);
  });

  it('deploys a Worker of crons and queues, which run as they are set', async () => {
    const config = (crons: string[], most: number) => ({
      name: 'jobs',
      main: 'jobs.ts',
      compatibility_date: '2026-11-01',
      vars: { PREFIX: 'job' },
      triggers: { crons },
      kv_namespaces: [{ binding: 'KV', id: 'jobs-kv' }],
      queues: {
        producers: [{ binding: 'OUT', queue: 'jobs-out' }],
        consumers: [{ queue: 'jobs-out', max_batch_size: most, max_batch_timeout: 0, dead_letter_queue: 'jobs-lost' }],
      },
    });
    await project.write({
      'wrangler.jsonc': JSON.stringify(config(['0 3 * * 1', '*/5 * * * *'], 7)),
      'jobs.ts': `export default {
  async fetch(request: Request, env: any) { await env.OUT.send({ at: 'fetch' }); return Response.json(await env.KV.get('seen')); },
  async scheduled(controller: any, env: any) { await env.KV.put('seen', env.PREFIX + ' ' + controller.cron); },
  async queue(batch: any, env: any) { await env.KV.put('batch', JSON.stringify(batch.messages.map((each: any) => each.body))); },
};`,
    });
    const output = await wrangler('deploy');
    for (const said of ['schedule: 0 3 * * 1', 'Producer for jobs-out', 'Consumer for jobs-out']) {
      assert.ok(output.includes(said), output);
    }
    const crons = await gateway.api<{ crons: { function: string; expression: string }[] }>('GET', '/v1/crons');
    const nextAt = (crons.body.crons as { nextAt?: string; expression: string }[]).find((cron) =>
      cron.nextAt?.endsWith('T03:00:00.000Z'),
    );
    assert.equal(new Date(nextAt?.nextAt ?? 0).getUTCDay(), 0, 'Sunday, as wrangler counts');
    const ran = await gateway.api('POST', '/v1/functions/jobs/invoke', {
      trigger: 'cron',
      mode: 'sync',
      cron: '0 3 * * 1',
    });
    assert.equal(ran.status, 200);
    assert.equal(await json('/jobs'), 'job 0 3 * * 1');
    const queue = await gateway.api<{ consumer: string; settings: Record<string, unknown> }>(
      'GET',
      '/v1/queues/jobs-out',
    );
    assert.deepEqual(
      [queue.body.consumer, queue.body.settings.maxBatchSize, queue.body.settings.deadLetterQueue],
      ['jobs', 7, 'jobs-lost'],
    );

    await project.write({ 'wrangler.jsonc': JSON.stringify(config(['*/5 * * * *'], 9)) });
    await wrangler('triggers', 'deploy');
    const later = await gateway.api<{ crons: { function: string }[] }>('GET', '/v1/crons');
    assert.equal(later.body.crons.filter((cron) => cron.function === 'jobs').length, 1);
    const { body } = await gateway.api<{ settings: { maxBatchSize: number } }>('GET', '/v1/queues/jobs-out');
    assert.equal(body.settings.maxBatchSize, 9);
  });

  it('uploads static assets once, serves them, and gives them to the function', async () => {
    await project.write({
      'wrangler.jsonc': JSON.stringify({
        name: 'site',
        main: 'site.ts',
        compatibility_date: '2026-11-01',
        assets: {
          directory: './public',
          binding: 'ASSETS',
          run_worker_first: ['/api/*'],
          not_found_handling: '404-page',
        },
      }),
      'site.ts': `export default { fetch: async (_request: Request, env: any) => new Response('api ' + (await (await env.ASSETS.fetch('http://x/big.txt')).text()).length) };`,
      'public/index.html': '<h1>home</h1>',
      'public/404.html': 'lost',
      'public/big.txt': 'x'.repeat(700_000),
    });
    const first = await wrangler('deploy');
    assert.match(first, /Uploaded 3 files/);
    assert.equal(await textOf('/site/'), '<h1>home</h1>');
    assert.equal((await textOf('/site/big.txt')).length, 700_000);
    assert.equal(await textOf('/site/api/x'), 'api 700000');
    const none = await fetch(`${gateway.url}/site/none`);
    assert.deepEqual([none.status, await none.text()], [404, 'lost']);
    await project.write({ 'public/index.html': '<h1>new</h1>' });
    assert.match(await wrangler('deploy'), /Uploaded 1 file \(2 already uploaded\)/);
    assert.equal(await textOf('/site/'), '<h1>new</h1>');
  });

  it('is told what Hearth does not do, and where a build is wrong, and changes nothing then', async () => {
    await project.write({
      'wrangler.jsonc': JSON.stringify({
        name: 'hono-app',
        main: 'src/two.ts',
        compatibility_date: '2026-11-01',
        d1_databases: [{ binding: 'DB', database_id: 'a', database_name: 'b' }],
      }),
    });
    const { code, output } = await project.wrangler(['deploy']);
    assert.equal(code, 1);
    assert.match(output, /D1 is part of Workers that Hearth does not do/);
  });

  it('may do with a token of scopes what its scopes allow, and nothing else', async () => {
    const made = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['deploy:mine-*'] });
    await project.write({
      'wrangler.jsonc': JSON.stringify({ name: 'mine-a', main: 'mine.ts', compatibility_date: '2026-11-01' }),
      'mine.ts': `export default { fetch: () => new Response('mine') };`,
    });
    const mine = await project.wrangler(['deploy'], made.body);
    assert.equal(mine.code, 0, mine.output);
    assert.equal(await textOf('/mine-a'), 'mine');
    const other = await project.wrangler(['deploy', '--name', 'hono-app'], made.body);
    assert.equal(other.code, 1);
    assert.match(other.output, /needs the scope/);
  });

  it('deletes a Worker', async () => {
    await wrangler('delete', '--name', 'mine-a', '--force');
    assert.equal((await gateway.api('GET', '/v1/functions/mine-a')).status, 404);
  });

  it('asks nobody but Hearth', () => {
    assert.deepEqual(project.outside(), []);
  });
});
