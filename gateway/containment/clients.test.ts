import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type Rig, startRig } from './testing/rig.ts';

describe('hostile clients', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
    await rig.gateway.deploy(
      'echo',
      'export default { async fetch(request) { const body = await request.text(); return Response.json({ url: request.url, headers: [...request.headers], body }) } }',
    );
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Everything that the port answers to these bytes until it closes. */
  function raw(bytes: string): Promise<string> {
    const { port } = new URL(rig.gateway.url);
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      const socket = connect(Number(port), '127.0.0.1', () => socket.end(bytes));
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('error', reject).on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    });
  }

  const smuggled = 'GET /neighbour HTTP/1.1\r\nHost: x\r\n\r\n';
  for (const [what, bytes] of [
    [
      'both lengths',
      `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    [
      'two different lengths',
      `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n${smuggled}`,
    ],
    ['a length with a sign', `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n${smuggled}`],
    ['a disguised coding', `POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n${smuggled}`],
    [
      'a coding after a space',
      `POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n${smuggled}`,
    ],
    ['a folded header', `POST /echo HTTP/1.1\r\nHost: x\r\nX-A: b\r\n Content-Length: 9\r\n\r\n${smuggled}`],
    ['bare line feeds', 'POST /echo HTTP/1.1\nHost: x\n\n'],
    [
      'a chunk of a wrong size',
      `POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n${smuggled}`,
    ],
    ['two hosts', 'GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n'],
    ['a NUL in a header', 'GET /echo HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n'],
    ['40 KB of headers', `GET /echo HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(40_000)}\r\n\r\n`],
  ] as const) {
    test(`get at most one refusal for a request with ${what}, and smuggle none behind it`, async () => {
      const answer = await raw(bytes);
      const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1]);
      // None where the connection was simply cut.
      assert.ok(statuses.length <= 1, answer);
      for (const status of statuses) assert.match(status as string, /^4/, answer);
      assert.doesNotMatch(answer, /fine/);
    });
  }

  test('forge nothing that the gateway says: its own headers, its proxies, the invocation id', async () => {
    const answer = await raw(
      'GET /echo/../neighbour HTTP/1.1\r\nHost: x\r\nHearth-Invocation-Id: forged\r\nHearth-Hops: 0\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Prefix: /evil\r\nCF-Connecting-IP: 1.2.3.4\r\nConnection: close, x-dropped\r\nX-Dropped: 1\r\n\r\n',
    );
    assert.doesNotMatch(answer, /forged|1\.2\.3\.4|evil|x-dropped/i);
  });

  test('of the control API are answered with a problem, whatever they send', async () => {
    const { api } = rig.gateway;
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
    for (const [method, path, body, expected] of [
      ['POST', '/v1/tokens', '{"scopes":["read"],"__proto__":{"admin":true}}', /^(201|400)$/],
      ['POST', '/v1/tokens', '{"scopes":["*"]}', /^400$/],
      ['POST', '/v1/tokens', '{"scopes":["deploy:"]}', /^400$/],
      ['POST', '/v1/tokens', deep, /^400$/],
      ['PUT', '/v1/functions/x%2Fy', 'export default {}', /^40[04]$/],
      ['PUT', '/v1/functions/..%2f..%2fetc', 'export default {}', /^40[04]$/],
      ['PUT', '/v1/functions/__proto__', 'export default {}', /^400$/],
      ['GET', '/v1/functions/constructor', undefined, /^404$/],
      ['GET', '/v1/functions/%E0%A4%A', undefined, /^40[04]$/],
    ] as const) {
      const answer = await api<{ code?: string }>(method, path, body, {
        'content-type': path.includes('secrets') || path.includes('tokens') ? 'application/json' : 'text/typescript',
      });
      assert.match(String(answer.status), expected, `${method} ${path}: ${JSON.stringify(answer.body)}`);
      if (answer.status >= 400) assert.equal(typeof answer.body.code, 'string');
    }
    const { body } = await api<{ token: string }>(
      'POST',
      '/v1/tokens',
      '{"scopes":["read"],"__proto__":{"admin":true}}',
      { 'content-type': 'application/json' },
    );
    const token = body.token ?? 'none';
    const status = await fetch(`${rig.gateway.adminUrl}/v1/tokens`, { headers: { authorization: `Bearer ${token}` } });
    assert.ok([401, 403].includes(status.status));
  });

  test('with a narrow token stay within its names, trust groups and routes', async () => {
    const { api, adminUrl } = rig.gateway;
    const grant = {
      scopes: ['deploy:shop-*', 'invoke:shop-*', 'enqueue:shop-*'],
      trustGroups: ['shop'],
      routes: ['shop.example.com/*'],
    };
    const { body } = await api<{ token: string }>('POST', '/v1/tokens', grant);
    const call = async (method: string, path: string, json?: unknown) => {
      const response = await fetch(`${adminUrl}${path}`, {
        method,
        headers: { authorization: `Bearer ${body.token}`, 'content-type': 'application/json' },
        ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      });
      await response.body?.cancel();
      return response.status;
    };
    const deploy = (name: string, hearth: object, more: object = {}) =>
      call('PUT', `/v1/functions/${name}`, {
        manifest: { name, main: 'index.ts', hearth, ...more },
        files: { 'index.ts': 'export default { fetch: () => new Response() }' },
      });
    const shop = { trustGroup: 'shop' };
    assert.equal(await deploy('shop-cart', shop, { routes: ['shop.example.com/cart/*'] }), 201);
    const refused: [string, Promise<number>][] = [
      ['another name', deploy('neighbour', shop)],
      ['a name that only ends so', deploy('x-shop-a', shop)],
      ['another trust group', deploy('shop-a', { trustGroup: 'neighbours' })],
      ['the default trust group', deploy('shop-a', {})],
      ['another host', deploy('shop-a', shop, { routes: ['bank.example.com/*'] })],
      ['a host that ends alike', deploy('shop-a', shop, { routes: ['evilshop.example.com/*'] })],
      ['every host', deploy('shop-a', shop, { routes: ['*/*'] })],
      ['hosts below', deploy('shop-a', shop, { routes: ['*.shop.example.com/*'] })],
      ['its tokens', call('GET', '/v1/tokens')],
      ['a token for itself', call('POST', '/v1/tokens', { scopes: ['read'] })],
      ['the audit', call('GET', '/v1/audit')],
      ['the pool', call('GET', '/v1/pool')],
      ['all functions', call('GET', '/v1/functions')],
      ["another's logs", call('GET', '/v1/functions/neighbour/logs')],
      ["another's secret", call('PUT', '/v1/functions/neighbour/secrets/A', { value: 'x' })],
      ['an end to another', call('DELETE', '/v1/functions/neighbour')],
      ['another by an encoded slash', call('DELETE', '/v1/functions/shop-a%2F..%2Fneighbour')],
      ['a call of another', call('POST', '/v1/functions/neighbour/invoke', { trigger: 'http', mode: 'sync' })],
      ["another's queue", call('POST', '/v1/queues/orders/messages', { messages: [{ body: 1 }] })],
    ];
    for (const [what, answer] of refused) {
      const status = await answer;
      assert.ok(status === 403 || (what.includes('slash') && (status === 400 || status === 404)), `${what}: ${status}`);
    }
    assert.equal(await (await fetch(`${rig.gateway.url}/neighbour`)).text(), 'fine');
  });

  for (const [what, files] of [
    ['climbs out', { 'index.ts': 'export default {}', '../../evil.ts': 'x' }],
    ['is absolute', { 'index.ts': 'export default {}', '/tmp/evil.ts': 'x' }],
    ['climbs with backslashes', { 'index.ts': 'export default {}', '..\\..\\evil.ts': 'x' }],
    ['holds a NUL', { 'index.ts': 'export default {}', 'a\0.ts': 'x' }],
    [
      'imports a file of the machine',
      {
        'index.ts':
          "import x from '/etc/passwd' with { type: 'text' }; export default { fetch: () => new Response(x) }",
      },
    ],
    [
      'imports by a relative way out',
      {
        'index.ts':
          "import x from '../../../../../../../etc/passwd' with { type: 'text' }; export default { fetch: () => new Response(x) }",
      },
    ],
    [
      'imports a file: URL',
      {
        'index.ts':
          "import x from 'file:///etc/passwd' with { type: 'text' }; export default { fetch: () => new Response(x) }",
      },
    ],
    [
      'extends a tsconfig of the machine',
      {
        'index.ts': "import x from '@/passwd'; export default { fetch: () => new Response(x) }",
        'tsconfig.json': '{"compilerOptions":{"baseUrl":"/","paths":{"@/*":["/etc/*"]}}}',
      },
    ],
    [
      'maps a package onto the machine',
      {
        'index.ts': "import x from 'p'; export default { fetch: () => new Response(x) }",
        'node_modules/p/package.json': '{"name":"p","main":"../../../../../../etc/passwd","exports":"/etc/passwd"}',
      },
    ],
    [
      "imports the gateway's own modules",
      {
        'index.ts': "import { Piscina } from 'piscina'; export default { fetch: () => new Response(String(Piscina)) }",
      },
    ],
    [
      'requires an addon',
      { 'index.ts': "const x = require('./x.node'); export default { fetch: () => new Response(x) }", 'x.node': 'x' },
    ],
  ] as const) {
    test(`upload nothing that ${what}`, async () => {
      const { status, body } = await rig.gateway.api<{ code: string; detail: string }>('PUT', '/v1/functions/evil', {
        manifest: { name: 'evil', main: 'index.ts' },
        files,
      });
      assert.ok(status === 400 || status === 422, JSON.stringify(body));
      assert.doesNotMatch(JSON.stringify(body), /root:/);
    });
  }
});
