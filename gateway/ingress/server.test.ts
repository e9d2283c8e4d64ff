import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import { FACTS, type ScriptedOptions, startScripted } from './testing/scripted.ts';

async function problemOf(response: Response): Promise<{ code: string; detail: string; status: number }> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json');
  const problem = (await response.json()) as { code: string; detail: string; status: number };
  assert.equal(problem.status, response.status);
  return problem;
}

/** With node's own client, which lets a test see and hold back what fetch hides. */
function send(
  url: string,
  options: { method?: string; headers?: Record<string, string | string[]>; body?: string } = {},
) {
  const req = request(url, { method: options.method ?? 'GET', headers: options.headers ?? {}, agent: false });
  req.end(options.body);
  return once(req, 'response') as Promise<[IncomingMessage]>;
}

describe('a function over HTTP', () => {
  it('is found by path, by host name and by route, and sees its own root', async () => {
    await using hearth = await startScripted((call) => {
      call.respond(
        200,
        [],
        JSON.stringify({ url: call.request.url, prefix: call.header('x-forwarded-prefix') ?? null }),
      );
    });
    const ask = async (path: string, host?: string) => {
      const [res] = await send(hearth.url + path, host === undefined ? {} : { headers: { host } });
      return JSON.parse(await text(res));
    };
    const at = `http://127.0.0.1:${hearth.port}`;
    assert.deepEqual(await ask('/hello'), { url: `${at}/`, prefix: '/hello' });
    assert.deepEqual(await ask('/hello?a=1'), { url: `${at}/?a=1`, prefix: '/hello' });
    assert.deepEqual(await ask('/hello/a/b?c'), { url: `${at}/a/b?c`, prefix: '/hello' });
    assert.deepEqual(await ask('/%68ell%6f/%41'), { url: `${at}/%41`, prefix: '/hello' });
    assert.deepEqual(await ask('/a?b', 'hello.localhost:8080'), {
      url: 'http://hello.localhost:8080/a?b',
      prefix: null,
    });
    assert.deepEqual(await ask('/a', 'HELLO.localhost.'), { url: 'http://HELLO.localhost./a', prefix: null });
    assert.deepEqual(await ask('/x', 'example.com'), { url: 'http://example.com/x', prefix: null });
  });

  it('takes nothing in a path for a host', async () => {
    await using hearth = await startScripted((call) => call.respond(200, [], call.request.url));
    const answer = await hearth.raw('GET /hello//evil.com/x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n');
    assert.match(answer, /http:\/\/h\/\/evil\.com\/x$/);
    const doubled = await hearth.raw('GET //evil.com/hello HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n');
    assert.match(doubled, /http:\/\/example\.com\/\/evil\.com\/hello$/);
  });

  it('answers with its own headers, ours, and the phases', async () => {
    await using hearth = await startScripted((call) => {
      const headers: [string, string][] = [
        ['content-type', 'text/plain'],
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
        ['server-timing', 'db;dur=3'],
        ['hearth-version', 'forged'],
        ['connection', 'upgrade'],
        ['transfer-encoding', 'gzip'],
        ['content-length', '99'],
      ];
      call.respond(201, headers, 'hi');
    });
    const response = await fetch(`${hearth.url}/hello`);
    assert.equal(response.status, 201);
    assert.equal(await response.text(), 'hi');
    assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2']);
    assert.equal(response.headers.get('hearth-version'), 'v1');
    assert.equal(response.headers.get('hearth-start'), 'warm');
    assert.equal(response.headers.get('hearth-invocation-id'), '0123456789abcdef');
    assert.equal(response.headers.get('server-timing'), 'db;dur=3, wait;dur=0.05, run;dur=0.413');
    assert.equal(response.headers.get('content-length'), '2');
    assert.equal(response.headers.get('connection'), 'keep-alive');
  });

  it('shows all phases of a cold start', async () => {
    const phases = { wait: 1, acquire: 2, transfer: 3.25, compile: 4, evaluate: 5, run: 6 };
    await using hearth = await startScripted((call) => {
      call.head(200, [], {}, { ...FACTS, start: 'cold', phases });
      call.sink.end();
    });
    const response = await fetch(`${hearth.url}/hello`);
    assert.equal(response.headers.get('hearth-start'), 'cold');
    assert.equal(
      response.headers.get('server-timing'),
      'wait;dur=1, acquire;dur=2, transfer;dur=3.25, compile;dur=4, evaluate;dur=5, run;dur=6',
    );
  });

  it('gets the request without hop-by-hop and hearth- headers and with the forwarded ones set anew', async () => {
    await using hearth = await startScripted((call) => call.respond(204));
    const lines = [
      'GET /hello HTTP/1.1',
      'Host: h.example:81',
      'Connection: close, X-Secret-Hop',
      'X-Secret-Hop: 1',
      'Keep-Alive: 5',
      'TE: trailers',
      'Proxy-Authorization: x',
      'Hearth-Invocation-Id: forged',
      'X-Forwarded-For: 6.6.6.6',
      'X-Forwarded-Host: evil.com',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Prefix: /evil',
      'Forwarded: for=6.6.6.6',
      'CF-Connecting-IP: 6.6.6.6',
      'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'Accept: a',
      'Accept: b',
      'Cookie: c=1',
      '',
      '',
    ];
    await hearth.raw(lines.join('\r\n'));
    const [call] = hearth.calls;
    assert.deepEqual(call?.request.headers, [
      ['accept', 'a'],
      ['accept', 'b'],
      ['cookie', 'c=1'],
      ['host', 'h.example:81'],
      ['x-forwarded-for', '127.0.0.1'],
      ['x-forwarded-proto', 'http'],
      ['x-forwarded-host', 'h.example:81'],
      ['cf-connecting-ip', '127.0.0.1'],
      ['x-forwarded-prefix', '/hello'],
    ]);
    assert.equal(call?.context.traceparent, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
    assert.equal(call?.request.remoteAddress, '127.0.0.1');
  });

  it('believes the forwarded headers of a trusted proxy', async () => {
    await using hearth = await startScripted((call) => call.respond(204), {
      config: { trustProxy: ['127.0.0.0/8', '10.0.0.0/8'] },
    });
    const headers = {
      'x-forwarded-for': '6.6.6.6, 1.2.3.4, 10.0.0.1',
      'x-forwarded-host': 'example.com',
      'x-forwarded-proto': 'https',
      'x-forwarded-prefix': '/outer',
    };
    await send(`${hearth.url}/x`, { headers });
    const [call] = hearth.calls;
    assert.equal(call?.request.url, 'https://example.com/x');
    assert.equal(call?.header('x-forwarded-for'), '6.6.6.6, 1.2.3.4, 10.0.0.1, 127.0.0.1');
    assert.equal(call?.header('cf-connecting-ip'), '1.2.3.4');
    assert.equal(call?.header('x-forwarded-prefix'), '/outer');
  });

  it('answers HEAD, 204 and 304 without a body and keeps the connection usable', async () => {
    await using hearth = await startScripted((call) => {
      const path = new URL(call.request.url).pathname;
      if (path === '/204') call.respond(204, [['content-length', '5']]);
      else if (path === '/304') call.respond(304, [['etag', '"x"']]);
      else if (path === '/declared') call.respond(200, [['content-length', '1234']]);
      else call.respond(200, [], 'body');
    });
    const get = (method: string, path: string, last = false) =>
      `${method} /hello${path} HTTP/1.1\r\nhost: h\r\n${last ? 'connection: close\r\n' : ''}\r\n`;
    const answers = await hearth.raw(
      get('HEAD', '/') + get('HEAD', '/declared') + get('GET', '/204') + get('GET', '/304') + get('GET', '/', true),
    );
    const heads = answers.split('HTTP/1.1 ').slice(1);
    assert.deepEqual(
      heads.map((head) => [head.slice(0, 3), /content-length: (\d+)/.exec(head)?.[1] ?? null]),
      [
        ['200', '4'],
        ['200', '1234'],
        ['204', null],
        ['304', null],
        ['200', '4'],
      ],
    );
    assert.deepEqual(
      heads.map((head) => head.split('\r\n\r\n')[1]),
      ['', '', '', '', 'body'],
    );
  });

  it('that fails is answered with a problem that tells its code and nothing of its insides', async () => {
    await using hearth = await startScripted((call) => {
      const error = new HearthError('OVERLOADED', 'Function hello is at its limit.', {
        retryAfterS: 1.2,
        functionStack: 'secret stack',
      });
      call.sink.failed(error, FACTS);
    });
    const response = await fetch(`${hearth.url}/hello`);
    assert.equal(response.status, 429);
    assert.equal(response.headers.get('retry-after'), '2');
    assert.equal(response.headers.get('hearth-invocation-id'), '0123456789abcdef');
    const body = await response.text();
    assert.equal(JSON.parse(body).code, 'OVERLOADED');
    assert.doesNotMatch(body, /secret/);
  });

  it('with an answer that is not valid HTTP gives FUNCTION_EXCEPTION and the gateway lives on', async () => {
    const bad: Parameters<typeof Object.entries>[0] = {
      newline: [200, [['x', 'a\r\nset-cookie: b']], {}],
      name: [200, [['a b', 'x']], {}],
      noContent: [204, [['x', '\u0000']], {}],
      wide: [200, [['x', '✓']], {}],
      status: [42, [], {}],
      informational: [103, [], {}],
      upgrade: [101, [], { webSocket: true }],
      text: [200, [], { statusText: 'a\nb' }],
      shape: [200, [[null, 'x']], {}],
    };
    await using hearth = await startScripted((call) => {
      const path = new URL(call.request.url).pathname.slice(1);
      const [status, headers, more] = (bad as Record<string, [number, [string, string][], object]>)[path]!;
      call.head(status, headers, more);
      call.sink.data(Buffer.from('body'));
      call.sink.end();
    });
    for (const name of Object.keys(bad)) {
      const response = await fetch(`${hearth.url}/hello/${name}`);
      assert.equal(response.status, 500, name);
      assert.equal((await problemOf(response)).code, 'FUNCTION_EXCEPTION', name);
      assert.equal(hearth.calls.at(-1)?.consumedBytes, 4, name);
    }
    assert.equal(hearth.lines.length, Object.keys(bad).length);
  });

  it('without a handler for HTTP says what it has', async () => {
    await using hearth = await startScripted(() => undefined, { handlers: ['queue', 'scheduled'] });
    const problem = await problemOf(await fetch(`${hearth.url}/hello`));
    assert.equal(problem.code, 'NO_ROUTE');
    assert.match(problem.detail, /no fetch handler; it can be triggered by: queue, scheduled/);
  });

  it('behind a bearer token is called with that token alone, and stays locked without its secret', async () => {
    const lock = (vars: Record<string, string>): ScriptedOptions => ({ auth: { bearer: 'KEY' }, vars });
    const ask = async (options: ScriptedOptions, authorization?: string) => {
      await using hearth = await startScripted((call) => call.respond(200), options);
      const response = await fetch(`${hearth.url}/hello`, authorization ? { headers: { authorization } } : {});
      return response.status;
    };
    assert.equal(await ask(lock({ KEY: 's3cret' }), 'Bearer s3cret'), 200);
    assert.equal(await ask(lock({ KEY: 's3cret' }), 'Bearer other'), 401);
    assert.equal(await ask(lock({ KEY: 's3cret' })), 401);
    assert.equal(await ask(lock({ KEY: '' }), 'Bearer '), 403);
    assert.equal(await ask(lock({})), 403);
    assert.equal(await ask({ auth: { jwks: 'https://x', audience: 'a' } }, 'Bearer x'), 401);
  });
});

describe('where no function is', () => {
  it('the answer is NO_ROUTE, also for a function with nothing active and for any method', async () => {
    await using hearth = await startScripted(() => undefined);
    for (const [method, path] of [
      ['GET', '/nothing'],
      ['GET', '/inactive'],
      ['GET', '/%'],
      ['POST', '/nothing'],
      ['DELETE', '/'],
    ] as const) {
      const response = await fetch(hearth.url + path, { method });
      assert.equal(response.status, 404);
      assert.equal((await problemOf(response)).code, 'NO_ROUTE');
    }
  });

  it('the root says what this port is and names no function', async () => {
    await using hearth = await startScripted(() => undefined);
    const response = await fetch(hearth.url);
    assert.equal(response.status, 200);
    assert.match(await response.text(), /Hearth serves functions here/);
  });
});

describe('an invalid request', () => {
  const get = (head: string) => `GET /hello HTTP/1.1\r\n${head}\r\n`;

  it('gets a problem answer and does not reach the function', async () => {
    await using hearth = await startScripted((call) => call.respond(200));
    const requests: [status: string, text: string][] = [
      ['400', 'nonsense\r\n\r\n'],
      ['400', get('')],
      ['400', get('host: a\r\nhost: b\r\n')],
      ['400', get('host: a b\r\n')],
      ['400', get('host: user@evil\r\n')],
      ['400', get('host: a/b\r\n')],
      ['400', get('host: a:99999\r\n')],
      ['400', get('host: h\r\nbroken header\r\n')],
      ['400', get('host: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n')],
      ['400', get('host: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n')],
      ['400', get('host: h\r\ncontent-length: -1\r\n')],
      ['400', 'GET ftp://h/x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n'],
      ['400', 'GET http://user:pw@h/hello HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n'],
      ['431', get(`host: h\r\nx: ${'y'.repeat(40_000)}\r\n`)],
      ['405', 'CONNECT h:80 HTTP/1.1\r\nhost: h\r\n\r\n'],
      ['405', 'TRACE /hello HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n'],
    ];
    for (const [status, bytes] of requests) {
      // Those that only Hearth refuses would keep the connection.
      const answer = await hearth.raw(
        bytes.replace('GET /hello HTTP/1.1\r\n', 'GET /hello HTTP/1.1\r\nconnection: close\r\n'),
      );
      const name = bytes.slice(0, 80);
      assert.equal(answer.slice(9, 12), status, name);
      assert.match(answer, /content-type: application\/problem\+json/, name);
      assert.equal(JSON.parse(answer.split('\r\n\r\n')[1]!).code, 'BAD_REQUEST', name);
    }
    assert.deepEqual(hearth.calls, []);
  });

  it('with a malformed chunk ends the connection and the invocation', async () => {
    await using hearth = await startScripted(() => undefined);
    const answer = hearth.raw(
      'POST /hello HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n',
    );
    const call = await hearth.next();
    await call.until(() => call.aborted !== null);
    assert.equal(await answer, '');
    assert.equal(call.body, 'abc');
    assert.equal(call.bodyEnded, false);
  });

  it('of HTTP/1.0 without a host, or with an absolute target, is served', async () => {
    await using hearth = await startScripted((call) => call.respond(200, [], call.request.url));
    assert.match(
      await hearth.raw('GET /hello HTTP/1.0\r\n\r\n'),
      new RegExp(`http://127\\.0\\.0\\.1:${hearth.port}/$`),
    );
    const absolute = 'GET http://example.com/a?b HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n';
    assert.match(await hearth.raw(absolute), /http:\/\/example\.com\/a\?b$/);
  });

  it('that asks for h2c is served over HTTP/1.1', async () => {
    await using hearth = await startScripted((call) => call.respond(200, [], JSON.stringify(call.request.headers)));
    const answer = await hearth.raw(
      'GET /hello HTTP/1.1\r\nhost: h\r\nconnection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\nhttp2-settings: x\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 200/);
    assert.doesNotMatch(answer, /h2c|http2/);
  });
});
