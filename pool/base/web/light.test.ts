import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TestBase } from '../testing/harness.ts';

/**
 * Each probe is asked of the light object and of Node's own, made by a subclass: both have to say the same. Thrown
 * errors are compared by their class.
 */
const ATTEMPT = `
  const attempt = async (probe, ...args) => {
    try {
      const value = await probe(...args);
      return value instanceof Headers ? ['headers', ...value] : value instanceof ArrayBuffer ? ['buffer', ...new Uint8Array(value)]
        : value instanceof Uint8Array ? ['bytes', ...value] : value === undefined ? 'undefined' : value;
    } catch (error) { return 'threw ' + error.name }
  };`;

describe('the request of a handler is like the one of Node', () => {
  let base: TestBase;
  before(async () => {
    base = await TestBase.start();
  });
  after(() => base[Symbol.asyncDispose]());

  const headers = [
    ['x-a', '1'],
    ['x-a', '2'],
    ['content-type', 'application/json'],
    // As the harness gives it: a base puts it among the headers itself.
    ['traceparent', '00-11111111111111111111111111111111-2222222222222222-01'],
  ];
  const json = '\ufeff{"a":[1,2]}';
  const probes = {
    'method and url': '(r) => [r.method, r.url]',
    headers: '(r) => r.headers',
    'one header': "(r) => [r.headers.get('X-A'), r.headers.has('none')]",
    'headers that were changed': "(r) => { r.headers.set('x-b', '3'); return new Request(r).headers }",
    'headers after the body was touched': "(r) => { r.body; r.headers.set('x-b', '3'); return new Request(r).headers }",
    text: '(r) => r.text()',
    json: '(r) => r.json()',
    'text twice': 'async (r) => { await r.text(); return r.text() }',
    'json after text': 'async (r) => { await r.text(); return r.json() }',
    'body after text': 'async (r) => { await r.text(); return [r.bodyUsed, r.body?.locked] }',
    'clone after text': 'async (r) => { await r.text(); r.clone() }',
    arrayBuffer: '(r) => r.arrayBuffer()',
    bytes: '(r) => r.bytes()',
    blob: 'async (r) => { const b = await r.blob(); return [b.type, await b.text()] }',
    'form data that is none': '(r) => r.formData()',
    'both of a clone':
      'async (r) => { const c = r.clone(); return [await c.text(), await r.text(), c.bodyUsed, r.bodyUsed] }',
    'headers of a clone': "(r) => { r.headers.set('x-c', '4'); return r.clone().headers }",
    'bodyUsed before and after': 'async (r) => { const b = r.bodyUsed; await r.text(); return [b, r.bodyUsed] }',
    'the body as a stream': 'async (r) => r.body && new Response(r.body).text()',
    'the body is one object': '(r) => r.body === r.body',
    'bodyUsed when streamed': 'async (r) => { await r.body?.getReader().read(); return r.bodyUsed }',
    'a reader of small buffers':
      'async (r) => { const reader = r.body?.getReader({ mode: "byob" }); return reader && (await reader.read(new Uint8Array(4))).value }',
    'a request made of it':
      "async (r) => { const n = new Request(r, { headers: { z: '1' } }); return [n.method, n.url, await n.text(), [...n.headers], r.bodyUsed] }",
    'a request of another url made of it':
      "async (r) => { const n = new Request('http://other/x', r); return [n.method, n.url, await n.text()] }",
    'the rest':
      '(r) => [r.cache, r.credentials, r.destination, r.duplex, r.integrity, r.keepalive, r.mode, r.redirect, r.referrer, r.referrerPolicy]',
    identity:
      '(r) => [r instanceof Request, r instanceof Response, Object.prototype.toString.call(r), r.constructor === Request || r.constructor.name]',
    'what it has': "(r) => ['url', 'body', 'text', 'signal', 'nothing'].map((k) => k in r)",
    'its signal': '(r) => [r.signal instanceof AbortSignal, r.signal.aborted, r.signal === r.signal]',
    'a signal combined': '(r) => AbortSignal.any([r.signal]).aborted',
    'what is read only': "(r) => { 'use strict'; r.url = 'x' }",
    'the inspection': "(r) => /url: 'http:/.test(require('util').inspect(r))",
    'a fetch of it': "async (r) => (await fetch(new Request('data:text/plain,x', r.method === 'GET' ? r : {}))).text()",
  };
  const urls = ['/plain?q=1', '/a/../b/./c', '/with space', '/ä?ö=ü', '/%7Euser//x', ''];

  for (const [what, probe] of Object.entries(probes)) {
    for (const method of ['GET', 'POST'] as const) {
      test(`${what} (${method})`, async () => {
        const module = `r-${method}-${what}`;
        await base.load(
          `${ATTEMPT}
          const probe = ${probe};
          module.exports = { async fetch(request) {
            class Real extends Request {}
            const real = new Real('http://shop.localhost/p', { method: '${method}', headers: ${JSON.stringify(headers)},
              ${method === 'POST' ? `body: ${JSON.stringify(json)}` : ''} });
            Object.defineProperty(real, 'constructor', { value: Request });
            return Response.json([await attempt(probe, request), await attempt(probe, real)]) } }`,
          { module },
        );
        const more = { module, method, headers: headers as [string, string][] };
        const call = method === 'GET' ? base.http('/p', more) : base.http('/p', more, json);
        const [light, real] = JSON.parse((await call.whole()).text);
        assert.deepEqual(light, real);
      });
    }
  }

  for (const url of urls) {
    test(`the url ${JSON.stringify(url)} is read as Node reads it`, async () => {
      const module = `url-${url}`;
      await base.load('module.exports = { fetch: (r) => Response.json([r.url, new URL(r.url).pathname]) }', { module });
      const expected = new URL(`http://shop.localhost${url}`);
      const { text } = await base.http(url, { module }).whole();
      assert.deepEqual(JSON.parse(text), [expected.href, expected.pathname]);
    });
  }
});

describe('a Response made by a module is like the one of Node', () => {
  let base: TestBase;
  before(async () => {
    base = await TestBase.start();
  });
  after(() => base[Symbol.asyncDispose]());

  const made = [
    '()',
    '(null)',
    "('')",
    "('text ä \\ud800')",
    '(undefined, { status: 404 })',
    '(5)',
    '({ toString: () => "o" })',
    '(new Uint8Array([1, 2]).subarray(1))',
    '(new Uint8Array([1]).buffer)',
    "(new Blob(['b'], { type: 'a/b' }))",
    "(new URLSearchParams({ a: '1' }))",
    '(new ReadableStream({ start(c) { c.enqueue(new Uint8Array([65])); c.close() } }))',
    "('x', { status: 201, statusText: 'Made' })",
    "('x', { headers: { 'Content-Type': 'text/html', 'X-A': 'b' } })",
    "('x', { headers: { 'X-A': ' padded ' } })",
    "('x', { headers: { 'x-a': '1', 'X-A': '2' } })",
    "('x', { headers: { 'x-a': 5, 'x-u': undefined } })",
    "('x', { headers: { 'x-a': '' } })",
    "('x', { headers: { 'set-cookie': 'a=1' } })",
    "('x', { headers: [['x-a', '1'], ['x-a', '2'], ['set-cookie', 'a=1'], ['set-cookie', 'b=2']] })",
    "('x', { headers: new Headers({ b: '1', a: '2' }) })",
    "('x', { headers: new Map([['x-a', '1']]) })",
    "('x', { headers: null })",
    "('x', { headers: { 'bad name': 'x' } })",
    "('x', { headers: { good: 'line\\nbreak' } })",
    "('x', { headers: { good: 'ä' } })",
    "('x', { headers: { good: '€' } })",
    "('x', { status: 99 })",
    "('x', { status: 600 })",
    "('x', { status: '201' })",
    "('x', { status: 201.5 })",
    "('x', { status: 204 })",
    '(null, { status: 204 })',
    "('x', { statusText: 'line\\nbreak' })",
    "('x', { statusText: 'ä' })",
    "('x', null)",
    "('x', 5)",
    "('x', new (class { status = 201 })())",
    "('x', { get status() { return 202 } })",
    "('x', new Response('y', { status: 203, headers: { 'x-a': 'b' } }))",
  ];
  const probes = {
    state: 'async (r) => [r.status, r.statusText, r.ok, r.type, r.url, r.redirected, r.bodyUsed, r.body === null]',
    headers: '(r) => r.headers',
    text: 'async (r) => [await r.text(), r.bodyUsed]',
    bytes: '(r) => r.bytes()',
    twice: 'async (r) => { await r.text(); return r.text() }',
    clone:
      "async (r) => { r.headers.set('x-new', '1'); const c = r.clone(); return [await c.text(), await r.text(), [...c.headers], c.status, c.statusText] }",
    stream: 'async (r) => [await new Response(r.body).text(), r.bodyUsed]',
    identity: '(r) => [r instanceof Response, r instanceof Request, Object.prototype.toString.call(r)]',
    again: '(r) => { const n = new Response(r.body, r); return [n.status, n.statusText, [...n.headers]] }',
    inspection: "(r) => /status: \\d/.test(require('util').inspect(r))",
  };

  for (const [what, probe] of Object.entries(probes)) {
    test(`by its ${what}, however it was made`, async () => {
      const module = `response-${what}`;
      await base.load(
        `${ATTEMPT}
        const probe = ${probe};
        module.exports = { async fetch() {
          class Real extends Response {}
          const ways = [${made.map((args) => `[() => new Response${args}, () => new Real${args}]`).join(',\n')}];
          const answers = [];
          for (const [light, real] of ways) answers.push([await attempt(async () => probe(light())), await attempt(async () => probe(real()))]);
          return Response.json(answers) } }`,
        { module },
      );
      const answers = JSON.parse((await base.http('/', { module }).whole()).text) as unknown[][];
      assert.equal(answers.length, made.length);
      for (const [at, [light, real]] of answers.entries()) assert.deepEqual(light, real, `new Response${made[at]}`);
    });
  }

  test('and it reaches the caller as it was made', async () => {
    await base.load(
      `module.exports = { fetch(request) {
        const ways = [${made.map((args) => `() => new Response${args}`).join(',\n')}];
        const response = ways[Number(new URL(request.url).pathname.slice(1))]();
        return response } }`,
      { module: 'sent' },
    );
    for (const [at, args] of made.entries()) {
      const expected = await makeHere(args);
      const call = base.http(`/${at}`, { module: 'sent' });
      if (expected === null) {
        await assert.rejects(call.whole(), { code: 'FUNCTION_EXCEPTION' }, args);
        continue;
      }
      const { head, body } = await call.whole();
      assert.deepEqual([head.status, head.statusText], [expected.status, expected.statusText], args);
      assert.deepEqual(body, new Uint8Array(await expected.arrayBuffer()), args);
      const sent = head.headers.filter(([name]) => name !== 'content-length');
      assert.deepEqual(new Map(sent), new Map(expected.headers), args);
    }
  });

  for (const [what, expression, expected] of [
    [
      'Response.json',
      "(async () => { const r = Response.json({ a: 1 }, { status: 201 }); return [r.status, r.headers.get('content-type'), await r.text()].join() })()",
      '201,application/json,{"a":1}',
    ],
    [
      'Response.json of a type of its own',
      "Response.json(1, { headers: { 'content-type': 'a/b' } }).headers.get('content-type')",
      'a/b',
    ],
    ['Response.json of nothing', 'Response.json(undefined)', /TypeError/],
    [
      'Response.redirect',
      "[Response.redirect('http://x/', 307).status, Response.redirect('http://x/').headers.get('location')].join()",
      '307,http://x/',
    ],
    ['Response.error', '[Response.error().type, Response.error() instanceof Response].join()', 'error,true'],
    ['a call without new', 'Response("x")', /TypeError/],
    ['a request without new', 'Request("http://x/")', /TypeError/],
    [
      'a subclass',
      "(() => { class Mine extends Response { get mine() { return 1 } } const r = new Mine('x'); return [r instanceof Mine, r instanceof Response, new Response('') instanceof Mine, r.mine].join() })()",
      'true,true,false,1',
    ],
    [
      'the constructor',
      '[new Response("x").constructor === Response, new Request("http://x/").constructor === Request].join()',
      'true,true',
    ],
    [
      'an answer of fetch',
      "(async () => { const r = await fetch('data:text/plain,x'); return [r instanceof Response, await new Response(r.body, r).text()].join() })()",
      'true,x',
    ],
    ['the name', '[Response.name, Request.name].join()', 'Response,Request'],
  ] as const) {
    test(`${what} works`, async () => {
      const answer = await base.evaluate(expression);
      if (typeof expected === 'string') assert.equal(answer, expected);
      else assert.match(answer, expected);
    });
  }

  test('a response may be changed after it was made, and be sent more than once', async () => {
    await base.load(
      `const kept = new Response('kept', { headers: { a: '1' } });
      module.exports = { fetch() { kept.headers.append('set-cookie', 'x=1'); return kept } }`,
      { module: 'kept' },
    );
    assert.equal((await base.http('/', { module: 'kept' }).whole()).text, 'kept');
    const { head, text } = await base.http('/', { module: 'kept' }).whole();
    assert.equal(text, 'kept');
    assert.equal(head.headers.filter(([name]) => name === 'set-cookie').length, 2);
    assert.equal(head.waiting, false);
  });
});

/** The same response in this thread, by Node's own class; null when that refuses. */
async function makeHere(args: string): Promise<Response | null> {
  try {
    return new Function(`return new Response${args}`)() as Response;
  } catch {
    return null; // the base has to refuse it as well
  }
}
