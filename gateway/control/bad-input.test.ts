/** What the control API says to input that is wrong, through the real process: a code, and a sentence to act on. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { ERRORS, type ErrorCode, type Problem } from '../../functions/contract/errors.ts';
import { type Answer, startGateway, type TestGateway } from '../testing/gateway.ts';

const HELLO = 'export default { fetch: () => new Response("hello") }';

describe('bad input to the control API', { timeout: 120_000 }, () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway({ env: { HEARTH_MAX_DEPLOY_MB: '1' } });
    await gateway.deploy('hello', HELLO);
  });
  after(() => gateway[Symbol.asyncDispose]());

  const json = { 'content-type': 'application/json' };

  /** Checks the form of a problem and returns it. */
  function problem(answer: Answer, code: ErrorCode, status: number = ERRORS[code].status): Problem {
    const body = answer.body as Problem;
    assert.equal(body.code, code, JSON.stringify(answer.body));
    assert.equal(answer.status, status);
    assert.equal(body.status, status);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    assert.equal(body.type, `/docs/errors#${code.toLowerCase()}`);
    assert.equal(body.title, ERRORS[code].title);
    assert.ok(body.detail.endsWith('.') && !/\n\s+at /.test(body.detail), body.detail);
    return body;
  }

  /** `detail` is part of the problem's, less what the table adds. */
  async function refused(
    call: [method: string, path: string, body?: unknown, headers?: Record<string, string>],
    code: ErrorCode,
    detail: RegExp,
  ): Promise<Problem> {
    const found = problem(await gateway.api(...call), code);
    assert.match(found.detail, detail);
    return found;
  }

  test('arrays in arrays without an end', async () => {
    // Written again it would hold the gateway for minutes: what is asked meanwhile would hear nothing.
    const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;
    const most = deep(5_000_000);
    for (const [method, path, body] of [
      ['POST', '/v1/rpc/hello', `{"jsonrpc":"2.0","id":1,"method":"a","params":${most}}`],
      ['POST', '/v1/functions/hello/invoke', `{"trigger":"rpc","method":"a","args":${most}}`],
      ['POST', '/v1/functions/hello/invoke', `{"trigger":"http","method":"POST","body":${most}}`],
      ['POST', '/v1/queues/in/messages', `{"messages":[{"body":${most}}]}`],
      ['PUT', '/v1/functions/deep', `{"files":{},"manifest":${deep(200_000)}}`],
      ['PUT', '/v1/bases/default', deep(200_000)],
    ] as const) {
      await refused([method, path, body, json], 'BAD_REQUEST', /more than 1000 arrays and objects/);
    }
    const chunked = await fetch(`${gateway.adminUrl}/v1/functions/hello/invoke`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.token}`, ...json },
      body: ReadableStream.from([Buffer.from(`{"trigger":"http","method":"POST","body":${deep(200_000)}}`)]),
      duplex: 'half',
    });
    assert.equal(chunked.status, 400);
    const { status } = await gateway.api('POST', '/v1/functions/hello/invoke', {
      trigger: 'http',
      method: 'POST',
      body: [JSON.parse(deep(990)), 'x'.repeat(20_000)],
    });
    assert.equal(status, 200, 'what is deep and not too deep goes through');
  });

  test('more said about a call or a function than a base is told', async () => {
    const invoke = (body: object) =>
      ['POST', '/v1/functions/hello/invoke', body] as [method: string, path: string, body: object];
    const headers = { a: Array.from({ length: 100_000 }, () => 'b') };
    await refused(invoke({ trigger: 'http', headers }), 'BAD_REQUEST', /body\.headers: Headers have at most 48 KB/);
    await refused(invoke({ trigger: 'cron', cron: 'x'.repeat(300) }), 'BAD_REQUEST', /body\.cron/);
    const messages = Array.from({ length: 100 }, () => ({ body: 1, id: 'x'.repeat(7000) }));
    await refused(invoke({ trigger: 'queue', queue: 'q', messages }), 'BAD_REQUEST', /messages/);
    const props = { a: 'x'.repeat(4_000) };
    const services = Array.from({ length: 200 }, (_, i) => ({ binding: `B${i}`, service: 'hello', props }));
    const manifest = { hearth: { timeoutMs: 600_000 }, services };
    const deploy = ['PUT', '/v1/functions/wide', { manifest, files: { 'index.ts': HELLO } }] as const;
    await refused([...deploy], 'PAYLOAD_TOO_LARGE', /names, headers, variables and bindings/);
    const files = { 'index.ts': HELLO };
    const more = { services: [...services, { binding: 'ONE_MORE', service: 'hello' }] };
    await refused(['PUT', deploy[1], { manifest: more, files }], 'MANIFEST_INVALID', /at most 200 bindings/);
    const routes = Array.from({ length: 501 }, (_, i) => `example.com/${i}/*`);
    await refused(['PUT', deploy[1], { manifest: { routes }, files }], 'MANIFEST_INVALID', /routes|500/);
    // Its base did not stay behind, waiting for code that never comes.
    const bases = async () => {
      const { body } = await gateway.api<{ hosts: { bases: { function: string | null }[] }[] }>('GET', '/v1/pool');
      return body.hosts.flatMap((host) => host.bases).filter((base) => base.function === 'wide');
    };
    while ((await bases()).length > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test('unknown names', async () => {
    await refused(['GET', '/v1/functions/nobody'], 'NOT_FOUND', /There is no function "nobody"/);
    await refused(['DELETE', '/v1/functions/nobody'], 'NOT_FOUND', /There is no function "nobody"/);
    await refused(['POST', '/v1/functions/nobody/evict'], 'NOT_FOUND', /There is no function "nobody"/);
    await refused(['POST', '/v1/functions/nobody/rollback'], 'NOT_FOUND', /There is no function "nobody"/);
    await refused(['GET', '/v1/functions/nobody/logs'], 'NOT_FOUND', /There is no function "nobody"/);
    await refused(['GET', '/v1/functions/nobody/versions'], 'NOT_FOUND', /There is no function "nobody"/);
    await refused(['GET', '/v1/functions/nobody/metrics'], 'NOT_FOUND', /There is no function "nobody"/);
    await refused(['GET', '/v1/functions/nobody/invocations'], 'NOT_FOUND', /There is no function "nobody"/);
    await refused(['POST', '/v1/functions/nobody/invoke', { trigger: 'http' }], 'NOT_FOUND', /There is no function/);
    await refused(['GET', '/v1/functions/hello/versions/0'], 'NOT_FOUND', /"hello" has no version "0"/);
    await refused(['DELETE', '/v1/functions/hello/secrets/NONE'], 'NOT_FOUND', /has no secret "NONE"/);
    await refused(['GET', '/v1/invocations/none'], 'NOT_FOUND', /There is no invocation "none"/);
    await refused(['GET', '/v1/queues/none'], 'NOT_FOUND', /There is no queue "none"/);
    await refused(['POST', '/v1/queues/none/purge'], 'NOT_FOUND', /There is no queue "none"/);
    await refused(['PATCH', '/v1/crons/none', { paused: true }], 'NOT_FOUND', /There is no cron "none"/);
    await refused(['DELETE', '/v1/tokens/none'], 'NOT_FOUND', /There is no token none/);
    await refused(['GET', '/v1/nothing'], 'NOT_FOUND', /There is nothing at \/v1\/nothing/);
    await refused(['GET', '/nothing'], 'NOT_FOUND', /There is nothing at \/nothing/);
  });

  test('names that cannot be names', async () => {
    for (const name of ['Hello', '1st', 'a_b', 'a'.repeat(64), 'a%2Fb', '..%2Fetc', '%00']) {
      await refused(
        ['PUT', `/v1/functions/${name}`, HELLO, { 'content-type': 'text/typescript' }],
        'BAD_REQUEST',
        /path\.name: a name starts with a letter/,
      );
    }
    await refused(['PUT', '/v1/queues/Orders', {}], 'BAD_REQUEST', /path\.name: a queue's name/);
    await refused(['PUT', '/v1/functions/hello/secrets/a-b', { value: 'x' }], 'BAD_REQUEST', /path\.key: /);
  });

  test('wrong methods are told the right ones', async () => {
    for (const [method, path, allow] of [
      ['POST', '/v1/functions', 'GET'],
      ['PATCH', '/v1/functions/hello', 'DELETE, GET, PUT'],
      ['GET', '/v1/functions/hello/evict', 'POST'],
      ['DELETE', '/healthz', 'GET'],
    ] as const) {
      const answer = await gateway.api(method, path);
      const { detail } = problem(answer, 'BAD_REQUEST', 405);
      assert.equal(answer.headers.get('allow'), allow);
      assert.ok(detail.includes(`does not take ${method}, but ${allow}.`), detail);
    }
  });

  test('malformed JSON and wrong content types', async () => {
    const invoke = '/v1/functions/hello/invoke';
    await refused(['POST', invoke, '{"trigger":', json], 'BAD_REQUEST', /JSON/);
    await refused(['POST', invoke, '', json], 'BAD_REQUEST', /JSON/);
    await refused(['POST', invoke, '{}', { 'content-type': 'text/plain' }], 'BAD_REQUEST', /send application\/json/);
    await refused(['POST', invoke, '[]', json], 'BAD_REQUEST', /body/);
    await refused(['POST', invoke, 'null', json], 'BAD_REQUEST', /body/);
  });

  test('keys that are unknown, missing or of the wrong kind are named', async () => {
    const invoke = '/v1/functions/hello/invoke';
    const { errors } = await refused(
      ['POST', invoke, { trigger: 'http', pth: '/' }],
      'BAD_REQUEST',
      /body\.pth: no such key/,
    );
    assert.deepEqual(errors, [{ message: 'no such key', path: 'body.pth' }]);
    await refused(['POST', invoke, {}], 'BAD_REQUEST', /body\.trigger: /);
    await refused(['POST', invoke, { trigger: 'smoke' }], 'BAD_REQUEST', /body\.trigger: /);
    await refused(['POST', invoke, { trigger: 'http', path: 'x' }], 'BAD_REQUEST', /body\.path: /);
    await refused(['GET', '/v1/audit?limit=0'], 'BAD_REQUEST', /query\.limit: /);
    await refused(['GET', '/v1/audit?limt=1'], 'BAD_REQUEST', /query\.limt: no such key/);
    await refused(['GET', '/v1/functions/hello/logs?follow=maybe'], 'BAD_REQUEST', /query\.follow: /);
    await refused(
      ['PUT', '/v1/functions/hello?activate=no', HELLO, { 'content-type': 'text/typescript' }],
      'BAD_REQUEST',
      /query\.activate: /,
    );
    await refused(['POST', '/v1/tokens', { scopes: ['write:x'] }], 'BAD_REQUEST', /body\.scopes\.0: /);
    await refused(['POST', '/v1/tokens', { scopes: [] }], 'BAD_REQUEST', /body\.scopes: /);
    await refused(['PUT', '/v1/queues/orders', { maxRetires: 3 }], 'BAD_REQUEST', /body\.maxRetires: no such key/);
    await refused(['PUT', '/v1/queues/orders', { maxRetries: -1 }], 'BAD_REQUEST', /body\.maxRetries: /);
    await refused(['POST', '/v1/functions/hello/invoke', { trigger: 'cron' }], 'BAD_REQUEST', /body\.cron: missing/);
    const http = { trigger: 'http', mode: 'async' };
    await refused(['POST', invoke, { ...http, mode: 'later' }], 'BAD_REQUEST', /body\.mode: /);
    await refused(['POST', invoke, { trigger: 'http', async: { retries: 1 } }], 'BAD_REQUEST', /body\.async: /);
    await refused(['POST', invoke, { ...http, async: { retries: -1 } }], 'BAD_REQUEST', /body\.async\.retries: /);
    await refused(
      ['POST', invoke, { ...http, async: { attempts: 1 } }],
      'BAD_REQUEST',
      /body\.async\.attempts: no such/,
    );
    await refused(['POST', invoke, { ...http, body: 'x' }], 'BAD_REQUEST', /a GET request has none/);
    await refused(
      ['POST', invoke, { ...http, method: 'POST', body: 'x'.repeat(1024 * 1024) }],
      'PAYLOAD_TOO_LARGE',
      /may have 1 MB/,
    );
    for (const url of ['http://2130706433/', 'http://0177.0.0.1/', 'http://[::ffff:7f00:1]/', 'http://10.0.0.1/']) {
      await refused(['POST', invoke, { ...http, async: { onSuccess: { url } } }], 'FORBIDDEN', /calls nobody back at/);
    }
    await refused(
      ['POST', '/v1/queues/async.hello/messages', { messages: [{ body: 1 }] }],
      'BAD_REQUEST',
      /own queues/,
    );
    await refused(['PUT', '/v1/queues/async.hello', { maxRetries: 1 }], 'BAD_REQUEST', /own queues/);
    await refused(['PUT', '/v1/queues/orders', { deadLetterQueue: 'async.hello' }], 'BAD_REQUEST', /own queues/);
  });

  test('deploys whose body is none of the three forms', async () => {
    const path = '/v1/functions/other';
    await refused(
      ['PUT', path, HELLO, { 'content-type': 'text/plain' }],
      'BAD_REQUEST',
      /does not take "text\/plain"; send text\/typescript/,
    );
    await refused(['PUT', path, '', { 'content-type': 'text/typescript' }], 'BAD_REQUEST', /The body is empty/);
    await refused(['PUT', path, '{"files":', json], 'BAD_REQUEST', /The body is not JSON/);
    await refused(['PUT', path, []], 'BAD_REQUEST', /\{manifest, files\}/);
    await refused(['PUT', path, { file: {} }], 'BAD_REQUEST', /body\.file: no such key/);
    await refused(['PUT', path, { files: {} }], 'BAD_REQUEST', /holds no file/);
    await refused(
      ['PUT', path, { files: { 'a.ts': 1 } }],
      'BAD_REQUEST',
      /body\.files\["a\.ts"\]: expected the file's text/,
    );
    await refused(
      ['PUT', path, 'x', { 'content-type': 'multipart/form-data' }],
      'BAD_REQUEST',
      /multipart body is malformed/,
    );
    const form = new FormData();
    form.append('file', new Blob([HELLO]), 'index.ts');
    await refused(['PUT', path, form], 'BAD_REQUEST', /The part "file" is neither/);
    assert.equal((await gateway.api('GET', path)).status, 404, 'nothing of it is there');
  });

  test('paths that lead out of the uploaded tree', async () => {
    for (const bad of [
      '../x.ts',
      'a/../../x.ts',
      '/etc/passwd',
      'C:\\x.ts',
      'a\\b.ts',
      'a//b.ts',
      'a/./b.ts',
      'x\u0000.ts',
      '',
    ]) {
      await refused(
        ['PUT', '/v1/functions/other', { files: { 'index.ts': HELLO, [bad]: 'x' } }],
        'BAD_REQUEST',
        /path/,
      );
    }
    const twice = new FormData();
    twice.append('files', new Blob([HELLO]), 'index.ts');
    twice.append('files', new Blob([HELLO]), './index.ts');
    await refused(['PUT', '/v1/functions/other', twice], 'BAD_REQUEST', /holds "index\.ts" twice/);
  });

  test('a manifest with an unknown key, with line and column where it is a file', async () => {
    const manifest = '{\n  "main": "index.ts",\n  "hearth": { "memory": 64 }\n}';
    const inTree = await refused(
      ['PUT', '/v1/functions/other', { files: { 'index.ts': HELLO, 'hearth.jsonc': manifest } }],
      'MANIFEST_INVALID',
      /./,
    );
    assert.deepEqual(
      inTree.errors?.map(({ file, line, column, path }) => ({ file, line, column, path })),
      [{ file: 'hearth.jsonc', line: 3, column: 15, path: 'hearth.memory' }],
    );
    const given = await refused(
      ['PUT', '/v1/functions/other', { manifest: { durable_objects: {} }, files: { 'index.ts': HELLO } }],
      'MANIFEST_INVALID',
      /./,
    );
    assert.match(given.errors?.[0]?.message ?? '', /Durable Objects/);
  });

  test('a manifest that asks for what there is not', async () => {
    for (const [manifest, path] of [
      [{ triggers: { crons: ['0 0 31 2 *'] } }, 'triggers.crons.0'],
      [{ triggers: { crons: ['* * * *'] } }, 'triggers.crons.0'],
      [{ hearth: { base: 'gpu' } }, 'hearth.base'],
      [{ hearth: { pool: 'gpu' } }, 'hearth.pool'],
      [{ hearth: { timezone: 'Mars/Olympus' } }, 'hearth.timezone'],
      [{ main: 'missing.ts' }, 'main'],
      [{ triggers: { crons: ['* * * * *'] } }, 'triggers.crons'],
      [{ queues: { consumers: [{ queue: 'orders' }] } }, 'queues.consumers'],
    ] as const) {
      const { errors } = await refused(
        ['PUT', '/v1/functions/other', { manifest, files: { 'index.ts': HELLO } }],
        'MANIFEST_INVALID',
        /./,
      );
      assert.equal(errors?.[0]?.path, path, JSON.stringify(errors));
    }
    const never = await refused(
      [
        'PUT',
        '/v1/functions/other',
        { manifest: { triggers: { crons: ['0 0 31 2 *'] } }, files: { 'index.ts': HELLO } },
      ],
      'MANIFEST_INVALID',
      /./,
    );
    assert.match(never.errors?.[0]?.message ?? '', /never due/);
  });

  test('code that does not build has file, line and column; code that throws is told so; the running version stays', async () => {
    const version = (await gateway.api<{ version: string }>('GET', '/v1/functions/hello')).body.version;
    const built = await refused(
      ['PUT', '/v1/functions/hello', 'export default {\n  fetch( {\n', { 'content-type': 'text/typescript' }],
      'BUILD_FAILED',
      /./,
    );
    assert.equal(built.errors?.[0]?.file, 'index.ts');
    assert.equal(typeof built.errors[0].line, 'number');
    assert.equal(typeof built.errors[0].column, 'number');
    await refused(
      ['PUT', '/v1/functions/hello', 'import "no-such-package";', { 'content-type': 'text/typescript' }],
      'BUILD_FAILED',
      /./,
    );
    await refused(
      ['PUT', '/v1/functions/hello', 'throw new Error("on purpose");', { 'content-type': 'text/typescript' }],
      'PROBE_FAILED',
      /on purpose/,
    );
    const idle = await refused(
      ['PUT', '/v1/functions/hello', 'export const x = 1;', { 'content-type': 'text/typescript' }],
      'PROBE_FAILED',
      /exports no handler/,
    );
    assert.deepEqual([idle.errors?.[0]?.file, idle.errors?.[0]?.line, idle.errors?.[0]?.column], ['index.ts', 1, 1]);
    const unready = {
      manifest: { hearth: { ready: '/up' } },
      files: { 'index.ts': 'export default { fetch: () => new Response("", { status: 500 }) }' },
    };
    await refused(['PUT', '/v1/functions/hello', unready], 'PROBE_FAILED', /\/up/);
    assert.equal((await gateway.api<{ version: string }>('GET', '/v1/functions/hello')).body.version, version);
    assert.equal(await (await fetch(`${gateway.url}/hello`)).text(), 'hello');
  });

  test('a route and a queue that belong to another function', async () => {
    const handlers = 'export default { fetch: () => new Response(""), queue() {} }';
    const manifest = { routes: ['claims.example/*'], queues: { consumers: [{ queue: 'claimed' }] } };
    await gateway.deploy('first', { 'index.ts': handlers }, { manifest });
    const files = { 'index.ts': handlers };
    await refused(
      ['PUT', '/v1/functions/second', { manifest: { routes: ['claims.example/*'] }, files }],
      'CONFLICT',
      /first/,
    );
    await refused(
      ['PUT', '/v1/functions/second', { manifest: { queues: { consumers: [{ queue: 'claimed' }] } }, files }],
      'CONFLICT',
      /first/,
    );
    await refused(['DELETE', '/v1/queues/claimed'], 'CONFLICT', /first/);
  });

  test('a deploy over its limit, and one with too many files', async () => {
    await refused(
      ['PUT', '/v1/functions/other', `//${'x'.repeat(1024 * 1024)}`, { 'content-type': 'text/typescript' }],
      'PAYLOAD_TOO_LARGE',
      /1 MB \(HEARTH_MAX_DEPLOY_MB\)/,
    );
    const files = Object.fromEntries(Array.from({ length: 20_001 }, (_, i) => [`f${i}.ts`, '']));
    await refused(['PUT', '/v1/functions/other', { files }], 'PAYLOAD_TOO_LARGE', /20001 files; 20000 are allowed/);
  });

  test('messages over 128 KB, too many at once, or that are not what they say', async () => {
    const path = '/v1/queues/inbox/messages';
    const limit = 128 * 1024;
    const send = (...messages: unknown[]) => ['POST', path, { messages }] as [string, string, unknown];
    // As encoded: a JSON string has its quotes.
    const most = await gateway.api('POST', path, { messages: [{ body: 'x'.repeat(limit - 2) }] });
    assert.equal(most.status, 202);
    await refused(send({ body: 'x'.repeat(limit - 1) }), 'PAYLOAD_TOO_LARGE', /131073 bytes; .*131072 \(128 KB\)/);
    await refused(send({ body: 'fits' }, { body: 'x'.repeat(limit) }), 'PAYLOAD_TOO_LARGE', /body\.messages\.1/);
    await refused(send(...Array.from({ length: 101 }, () => ({ body: 1 }))), 'BAD_REQUEST', /body\.messages: /);
    await refused(send(), 'BAD_REQUEST', /body\.messages: /);
    await refused(send({}), 'BAD_REQUEST', /body\.messages\.0\.body: missing/);
    await refused(send({ body: 5, contentType: 'text' }), 'BAD_REQUEST', /expected a string/);
    await refused(send({ body: '§', contentType: 'bytes' }), 'BAD_REQUEST', /expected base64/);
    await refused(send({ body: 1, delaySeconds: 86_401 }), 'BAD_REQUEST', /delaySeconds/);
    const queue = await gateway.api<{ depth: number }>('GET', '/v1/queues/inbox');
    assert.equal(queue.body.depth, 1, 'nothing of the refused ones is there');
  });

  test('no token, a wrong one, and a host name of somebody else', async () => {
    for (const headers of [
      { authorization: '' },
      { authorization: 'Bearer wrong' },
      { authorization: `Basic ${gateway.token}` },
    ]) {
      const answer = await gateway.api('GET', '/v1/functions', undefined, headers);
      problem(answer, 'UNAUTHORIZED');
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/);
    }
    // Before anything is said of what there is: also for paths that are none.
    problem(await gateway.api('GET', '/v1/nothing', undefined, { authorization: '' }), 'UNAUTHORIZED');
    for (const [host, status] of [
      ['evil.example', 403],
      ['localhost.evil.example', 403],
      ['localhost', 200],
      ['LOCALHOST:1', 200],
      ['127.0.0.1', 200],
      ['[::1]:8081', 200],
    ] as const) {
      assert.equal(await statusFor(host), status, host);
    }
  });

  /** fetch sets the host header itself. */
  function statusFor(host: string): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      request(`${gateway.adminUrl}/healthz`, { headers: { host } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
  }
});
