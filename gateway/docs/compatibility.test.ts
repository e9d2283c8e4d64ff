import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { COMPATIBILITY } from './compatibility.ts';
import { CASES, type Case, type CaseRequest } from './testing/compatibility-cases.ts';

const ROWS = COMPATIBILITY.flatMap(({ rows }) => rows);

let gateway: TestGateway;
before(async () => {
  gateway = await startGateway({ env: { HEARTH_WARM_BASES: '4' } });
});
after(() => gateway[Symbol.asyncDispose]());

/** A deploy as a client without a CLI makes it: a form of files, which may hold any bytes. */
async function deploy(name: string, { run, beside = '', files, manifest = {}, secrets = {} }: Case) {
  for (const [key, value] of Object.entries(secrets)) {
    await gateway.api('PUT', `/v1/functions/${name}/secrets/${key}`, { value });
  }
  const source = `${beside}\nexport default { async fetch(request: any, env: any, ctx: any) { return Response.json(await (async () => { ${run} })()); } };`;
  const form = new FormData();
  form.set('manifest', new File([JSON.stringify(manifest)], 'hearth.jsonc'));
  for (const [path, content] of Object.entries(files ?? { 'index.ts': source })) {
    form.append('files', new File([content as string], path));
  }
  return await gateway.api<{ detail?: string }>('PUT', `/v1/functions/${name}`, form);
}

/** What an answer comes down to: its status when it is no success, where it leads to, or its body. */
async function answer(url: string, init: CaseRequest = {}): Promise<unknown> {
  // Not fetch, which says by itself how a browser got there.
  const sent = request(url, { method: 'GET', ...init });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const body = await text(response);
  const status = response.statusCode ?? 0;
  if (status >= 300 && status < 400) return response.headers.location;
  return status >= 400 ? status : body;
}

/** Cases of the runtime alone stand in one function, each under its path. */
const PLAIN = Object.entries(CASES).filter(
  ([, { run, beside, manifest, secrets, refused }]) =>
    run !== undefined &&
    beside === undefined &&
    manifest === undefined &&
    secrets === undefined &&
    refused === undefined,
);
const PLAIN_SOURCE = `const cases: any = {
${PLAIN.map(([id, { run }]) => `'/${id}': async (request: any, env: any, ctx: any) => { ${run} },`).join('\n')}
};
export default { fetch: async (request: any, env: any, ctx: any) =>
  Response.json(await cases[new URL(request.url).pathname](request, env, ctx)) };`;

describe('the compatibility table', () => {
  it('has a case for each row that is supported, and each case is of a row', () => {
    const named = ROWS.flatMap(({ test }) => test ?? []);
    for (const { api, supported, test } of ROWS) {
      assert.ok(supported === 'no' || test !== undefined, `${api} is said to be there, and nothing shows it`);
      if (test !== undefined) assert.ok(CASES[test] !== undefined, `${api} names the case ${test}, which is not there`);
    }
    assert.deepEqual(
      Object.keys(CASES).filter((id) => !named.includes(id)),
      [],
    );
  });

  it('is right about what needs nothing but its runtime', async () => {
    await gateway.deploy('plain', PLAIN_SOURCE);
    for (const [id, { gives }] of PLAIN) {
      const answered = await answer(`${gateway.url}/plain/${id}`);
      assert.equal(typeof answered, 'string', `${id}: status ${answered}; ${gateway.output()}`);
      assert.deepEqual(JSON.parse(answered as string), gives, id);
    }
  });

  for (const [id, tried] of Object.entries(CASES)) {
    if (tried.special === true || tried.refused !== undefined || PLAIN.some(([plain]) => plain === id)) continue;
    it(`is right about ${id}`, async () => {
      const deployed = await deploy(id, tried);
      assert.equal(deployed.status, 201, JSON.stringify(deployed.body));
      for (const [path, expected, init] of tried.asks ?? []) {
        assert.deepEqual(await answer(`${gateway.url}/${id}${path}`, init), expected, path);
      }
      if (tried.asks === undefined) {
        const answered = await answer(`${gateway.url}/${id}`);
        assert.equal(typeof answered, 'string', `status ${answered}; ${gateway.output()}`);
        assert.deepEqual(JSON.parse(answered as string), tried.gives);
      }
    });
  }

  it('refuses by name what it says is refused', async () => {
    for (const [id, tried] of Object.entries(CASES)) {
      if (tried.refused === undefined) continue;
      const { status, body } = await deploy('refused', tried);
      assert.equal(status, 422, `${id}: ${JSON.stringify(body)}`);
      assert.match(body.detail ?? '', tried.refused, id);
    }
  });

  it('is right about scheduled and queue', async () => {
    const source = `export default {
      async scheduled(controller, env) { await env.KV.put('cron', controller.cron); },
      async queue(batch, env) { await env.KV.put('queue', batch.queue + ' ' + batch.messages.length); },
      fetch: async (request, env) => Response.json([await env.KV.get('cron'), await env.KV.get('queue')]),
    }`;
    const manifest = {
      kv_namespaces: [{ binding: 'KV', id: 'compat-triggers' }],
      triggers: { crons: ['0 0 1 1 *'] },
      queues: { consumers: [{ queue: 'compat-in', max_batch_timeout: 0 }] },
    };
    await gateway.deploy('triggers', { 'index.ts': source }, { manifest });
    const cron = { trigger: 'cron', mode: 'sync', cron: '0 0 1 1 *' };
    const queue = { trigger: 'queue', mode: 'sync', messages: [{ body: 1 }] };
    for (const call of [cron, queue]) {
      const ran = await gateway.api('POST', '/v1/functions/triggers/invoke', call);
      assert.equal(ran.status, 200, JSON.stringify(ran.body));
    }
    assert.deepEqual(await (await fetch(`${gateway.url}/triggers`)).json(), ['0 0 1 1 *', 'compat-in 1']);
  });

  it('is right about etags of assets', async () => {
    const { status } = await deploy('etag', {
      files: { 'public/a.txt': 'a' },
      manifest: { assets: { directory: 'public' } },
    });
    assert.equal(status, 201);
    const first = await fetch(`${gateway.url}/etag/a.txt`);
    const etag = first.headers.get('etag');
    assert.ok(etag !== null && first.headers.get('cache-control') !== null);
    const again = await fetch(`${gateway.url}/etag/a.txt`, { headers: { 'if-none-match': `W/${etag}, "x"` } });
    assert.deepEqual([again.status, await again.text(), again.headers.get('etag')], [304, '', etag]);
    const head = await fetch(`${gateway.url}/etag/a.txt`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '1', '']);
  });

  it('shows assets to nobody who may not call their function, and takes no body for them', async () => {
    const locked: Case = {
      files: { 'public/a.txt': 'a' },
      manifest: { assets: { directory: 'public' }, hearth: { auth: { bearer: 'KEY' } } },
      secrets: { KEY: 'hidden' },
    };
    assert.equal((await deploy('locked', locked)).status, 201);
    assert.equal(await answer(`${gateway.url}/locked/a.txt`), 401);
    const headers = { authorization: 'Bearer hidden' };
    assert.equal(await answer(`${gateway.url}/locked/a.txt`, { headers }), 'a');
    const sent = await fetch(`${gateway.url}/locked/a.txt`, { method: 'PUT', headers, body: 'x'.repeat(100_000) });
    assert.equal(sent.status, 405);
  });

  it('is right about WebSocketPair', async () => {
    const source = `export default { fetch() {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept(); server.addEventListener('message', ({ data }) => server.send('echo ' + data));
      return new Response(null, { status: 101, webSocket: client }); } }`;
    await gateway.deploy('pair', source);
    const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/pair`);
    try {
      const said = await new Promise<string>((resolve, reject) => {
        socket.on('open', () => socket.send('hi'));
        socket.on('message', (data) => resolve(String(data)));
        socket.on('error', reject);
        socket.on('close', () => reject(new Error('closed before it answered')));
      });
      assert.equal(said, 'echo hi');
    } finally {
      socket.terminate();
    }
  });

  it('is right about wrangler files, their settings without effect, and routes', async () => {
    const source = `export default { fetch: (request, env) => new Response(env.WORD + ' ' + new URL(request.url).pathname) }`;
    const common = {
      compatibility_date: '2026-11-01',
      compatibility_flags: ['nodejs_compat'],
      observability: { enabled: true },
    };
    const json = {
      name: 'other',
      main: 'src/index.ts',
      vars: { WORD: 'json' },
      ...common,
      placement: { mode: 'smart' },
    };
    const toml =
      'name = "other"\nmain = "src/index.ts"\ncompatibility_date = "2026-11-01"\nroutes = ["toml.example/shop/*"]\n\n[vars]\nWORD = "toml"\n\n[env.staging]\nvars = { WORD = "staging" }\n';
    const files = { 'wrangler.jsonc': `// a comment\n${JSON.stringify(json)}`, 'src/index.ts': source };
    await gateway.deploy('jsonc', files);
    await gateway.deploy('toml', { 'wrangler.toml': toml, 'src/index.ts': source });
    assert.equal(await answer(`${gateway.url}/jsonc/a`), 'json /a');
    assert.equal(await answer(`${gateway.url}/toml/a`), 'toml /a');
    assert.equal(
      await answer(`${gateway.url}/shop/b`, { headers: { 'x-forwarded-host': 'toml.example' } }),
      404,
      'a host that only a client claims',
    );
    const { body } = await gateway.api<{ routes: string[] }>('GET', '/v1/functions/toml');
    assert.deepEqual(body.routes, ['toml.example/shop/*']);
  });
});
