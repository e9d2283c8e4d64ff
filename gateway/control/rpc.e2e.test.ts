/** Methods of functions for the world outside, over a real gateway: JSON-RPC by hand, Cap'n Web with its public client. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { newHttpBatchRpcSession, newWebSocketRpcSession, type RpcTarget } from 'capnweb';
import { WebSocket as Socket } from 'ws';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

const LIMIT = { timeout: 120_000 };

const SOURCE = `
import { RpcTarget, WorkerEntrypoint } from 'hearth';
class Basket extends RpcTarget {
  #items = [];
  put(item) { this.#items.push(item); return this; }
  get items() { return this.#items; }
}
export default class extends WorkerEntrypoint {
  fetch() { return new Response('http'); }
  add(a, b) { return a + b; }
  named(given) { return given; }
  nothing() {}
  kinds() { return { map: new Map([['a', 1n]]), set: new Set([1]), date: new Date(0), bytes: new Uint8Array([1, 2]) }; }
  map() { return new Map(); }
  basket() { return new Basket(); }
  fail() { throw Object.assign(new RangeError('out of range'), { secret: 'a query' }); }
  call(back) { return back('called back'); }
  stop() { process.exit(1); }
  forever() { return new Promise(() => undefined); }
  stream() { return ReadableStream.from(['a', 'b'].map((text) => new TextEncoder().encode(text))); }
  long() { return 'x'.repeat(9_000_000); }
}
export class Admin extends WorkerEntrypoint { who() { return 'admin'; } }
export class NotOne { who() { return 'never'; } }`;

let gateway: TestGateway;
let rpcToken = '';

before(async () => {
  gateway = await startGateway();
  await gateway.deploy('calc', { 'index.ts': SOURCE }, { manifest: { hearth: { timeoutMs: 2_000 } } });
  await gateway.deploy('patient', { 'index.ts': SOURCE });
  await gateway.deploy('plain', 'export default { fetch: () => new Response("plain") }');
  const made = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['rpc:calc'] });
  rpcToken = made.body.token;
}, LIMIT);
after(() => gateway?.[Symbol.asyncDispose]());

interface JsonRpc {
  jsonrpc: '2.0';
  id: string | number | null;
  result?: unknown;
  error?: { code: number; message: string; data: { code: string; status: number } };
}

async function post(body: unknown, path = '/v1/rpc/calc') {
  return gateway.api<JsonRpc>('POST', path, typeof body === 'string' ? body : JSON.stringify(body), {
    'content-type': 'application/json',
  });
}

function call(method: string, params?: unknown, id: unknown = 1) {
  return { jsonrpc: '2.0', method, ...(params === undefined ? {} : { params }), ...(id === undefined ? {} : { id }) };
}

test('JSON-RPC: a call is answered with its result under its id', LIMIT, async () => {
  const { status, headers, body } = await post(call('add', [2, 3], 'a "quoted" id'));
  assert.equal(status, 200);
  assert.equal(headers.get('content-type'), 'application/json');
  assert.deepEqual(body, { jsonrpc: '2.0', result: 5, id: 'a "quoted" id' });
  assert.deepEqual((await post(call('named', { by: 'name' }))).body.result, { by: 'name' });
  assert.deepEqual((await post(call('nothing'))).body, { jsonrpc: '2.0', result: null, id: 1 });
  assert.deepEqual((await post(call('kinds'))).body.result, {
    map: { a: '1' },
    set: [1],
    date: '1970-01-01T00:00:00.000Z',
    bytes: 'AQI=',
  });
  assert.equal((await post(call('who'), '/v1/rpc/calc?entrypoint=Admin')).body.result, 'admin');
  assert.equal((await post(call('add', [1, 1], null))).body.id, null);
});

test('JSON-RPC: what is wrong has the code that the specification gives it, and ours in data', LIMIT, async () => {
  const cases: [unknown, number, string][] = [
    ['{not json', -32_700, 'BAD_REQUEST'],
    [[], -32_600, 'BAD_REQUEST'],
    [1, -32_600, 'BAD_REQUEST'],
    [{ method: 'add', id: 1 }, -32_600, 'BAD_REQUEST'],
    [{ jsonrpc: '2.0', method: 1, params: 'bar' }, -32_600, 'BAD_REQUEST'],
    [call('add', 'text'), -32_600, 'BAD_REQUEST'],
    [call('add', [], {}), -32_600, 'BAD_REQUEST'],
    [Array.from({ length: 101 }, () => call('add')), -32_600, 'BAD_REQUEST'],
    [call('nope'), -32_601, 'NOT_FOUND'],
    [call('fetch'), -32_601, 'NOT_FOUND'],
    [call('constructor'), -32_601, 'NOT_FOUND'],
    [call('env'), -32_601, 'NOT_FOUND'],
    [call('__proto__'), -32_601, 'NOT_FOUND'],
    [call('fail'), -32_000, 'FUNCTION_EXCEPTION'],
    [call('basket'), -32_000, 'FUNCTION_EXCEPTION'],
    [call('forever'), -32_000, 'FUNCTION_TIMEOUT'],
  ];
  for (const [request, code, own] of cases) {
    const { body } = await post(request);
    assert.deepEqual([body.error?.code, body.error?.data.code], [code, own], JSON.stringify(request).slice(0, 100));
  }
  const { message } = (await post(call('fail'))).body.error ?? assert.fail();
  assert.equal(message, 'RangeError: out of range');
  const noClass = await post(call('add'), '/v1/rpc/plain');
  assert.deepEqual([noClass.body.error?.code, noClass.body.error?.data.code], [-32_601, 'NOT_FOUND']);
  assert.equal((await post(call('who'), '/v1/rpc/calc?entrypoint=NotOne')).body.error?.code, -32_601);
  assert.equal((await post(call('who'), '/v1/rpc/calc?entrypoint=Nobody')).body.error?.code, -32_601);
});

test('JSON-RPC: a batch is answered call by call, notifications not at all', LIMIT, async () => {
  const { body } = await post([call('add', [1, 2], 'one'), { jsonrpc: '2.0', method: 'add' }, 7, call('nope', [], 3)]);
  const answers = body as unknown as JsonRpc[];
  assert.deepEqual(
    answers.map(({ id, result, error }) => [id, result ?? error?.code]),
    [
      ['one', 3],
      [null, -32_600],
      [3, -32_601],
    ],
  );
  const silent = await post({ jsonrpc: '2.0', method: 'add', params: [1, 2] });
  assert.deepEqual([silent.status, silent.body], [204, '']);
  const longs = [1, 2, 3, 4].map((id) => call('long', [], id));
  const long = (await post(longs, '/v1/rpc/patient')).body as unknown as JsonRpc[];
  assert.deepEqual(long.map(({ error }) => error?.data.code ?? 'ok').sort(), ['PAYLOAD_TOO_LARGE', 'ok', 'ok', 'ok']);
});

test('only who may, and only where there is something', LIMIT, async () => {
  const as = (token: string | null, path: string, type = 'application/json') =>
    fetch(`${gateway.adminUrl}${path}`, {
      method: 'POST',
      headers: { 'content-type': type, ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(call('add', [1, 2])),
    });
  assert.equal((await as(null, '/v1/rpc/calc')).status, 401);
  assert.equal((await as(rpcToken, '/v1/rpc/plain')).status, 403);
  assert.equal((await as(rpcToken, '/v1/rpc/calc')).status, 200);
  assert.equal((await as(gateway.token, '/v1/rpc/nobody')).status, 404);
  assert.equal((await as(gateway.token, '/v1/rpc/calc?entrypoint=a.b')).status, 400);
  assert.equal((await as(gateway.token, '/v1/rpc/calc', 'application/x-www-form-urlencoded')).status, 400);
});

test('a method is invoked by hand', LIMIT, async () => {
  const invoke = (body: object) =>
    gateway.api<{ result?: unknown; code?: string }>('POST', '/v1/functions/calc/invoke', body);
  const { status, body } = await invoke({ trigger: 'rpc', method: 'add', args: [20, 22] });
  assert.deepEqual([status, body.result], [200, 42]);
  assert.equal((await invoke({ trigger: 'rpc', method: 'who', entrypoint: 'Admin' })).body.result, 'admin');
  assert.deepEqual(Object.values(await invoke({ trigger: 'rpc', method: 'fail' })).slice(0, 1), [500]);
  assert.equal((await invoke({ trigger: 'rpc', method: 'nope' })).body.code, 'NOT_FOUND');
});

interface Calc {
  add(a: number, b: number): number;
  nothing(): undefined;
  basket(): Basket;
  fail(): never;
  call(back: (text: string) => string): string;
  kinds(): unknown;
  map(): unknown;
  stop(): void;
  forever(): void;
  stream(): ReadableStream;
  env: unknown;
}
interface Basket extends RpcTarget {
  put(item: string): Basket;
  items: string[];
}

function batch(path = '/v1/rpc/calc', token = rpcToken) {
  const headers = { authorization: `Bearer ${token}` };
  return newHttpBatchRpcSession<Calc>(new Request(`${gateway.adminUrl}${path}`, { headers }));
}

test("Cap'n Web in a batch: calls go out together, results before they have come among them", LIMIT, async () => {
  const session = batch();
  const [sum, items] = await Promise.all([session.add(1, 2), session.basket().put('pear').put('fig').items]);
  assert.deepEqual([sum, items], [3, ['pear', 'fig']]);
  await assert.rejects(async () => await batch().fail(), { message: 'out of range' });
  await assert.rejects(async () => await batch().env, /private/);
  await assert.rejects(async () => await batch().forever(), /504/);
  await assert.rejects(async () => await batch('/v1/rpc/plain').add(1, 2), /403/);
  await assert.rejects(async () => await batch('/v1/rpc/plain', gateway.token).add(1, 2), /404/);
});

test("what is no message of Cap'n Web is refused", LIMIT, async () => {
  for (const body of ['nonsense', '["nonsense"]', '["push",["import",-7]]', '["release",0,100]']) {
    const { status } = await gateway.api('POST', '/v1/rpc/calc', body, { 'content-type': 'text/plain' });
    assert.equal(status, 400, body);
  }
  const empty = await gateway.api('POST', '/v1/rpc/calc', '', { 'content-type': 'text/plain' });
  assert.deepEqual([empty.status, empty.body], [200, '']);
});

test("what is not for callers is not reached by any spelling of Cap'n Web's", LIMIT, async () => {
  const names = ['env', 'ctx', 'fetch', 'constructor', 'toString', '__proto__', 'then', 'dup', 'isPrototypeOf'];
  const paths = [...names, ...names.map((name) => `\u0000${name}`)].map((name) => [name]);
  paths.push(['add', 'constructor'], ['add', 'call'], ['add', 'prototype'], ['basket', 'arguments']);
  const calls = paths.flatMap((path) => [
    ['pipeline', 0, path],
    ['pipeline', 0, path, []],
  ]);
  const messages = [...calls.map((call) => ['push', call]), ...calls.map((_, i) => ['pull', i + 1])];
  const body = messages.map((message) => JSON.stringify(message)).join('\n');
  const answer = await gateway.api('POST', '/v1/rpc/calc', body, { 'content-type': 'text/plain' });
  const answers = String(answer.body).split('\n');
  assert.equal(answers.length, calls.length);
  for (const line of answers) {
    const [kind, id, value] = JSON.parse(line) as [string, number, unknown[]];
    const said = JSON.stringify(value);
    assert.ok(kind === 'reject' || said === '["undefined"]', `${JSON.stringify(calls[id - 1])}: ${said}`);
    assert.doesNotMatch(said, /\n\s+at |\.js:\d/);
  }
});

test('what a client dresses up as a value between bases is data to the function', LIMIT, async () => {
  const graph = { '\u0000hearth': 'graph', v: [[[[{ '\u0000hearth': 'at', v: 1 }]], [[1]]]] };
  const push = ['push', ['pipeline', 0, ['named'], [graph]]];
  const body = [push, ['pull', 1]].map((message) => JSON.stringify(message)).join('\n');
  const answer = await gateway.api('POST', '/v1/rpc/calc', body, { 'content-type': 'text/plain' });
  assert.deepEqual([answer.status, JSON.parse(String(answer.body))], [200, ['resolve', 1, graph]]);
});

const socketUrl = (query = '') => `${gateway.adminUrl.replace('http', 'ws')}/v1/rpc/calc${query}`;

async function connect(query = '', token = rpcToken): Promise<Socket> {
  const socket = new Socket(socketUrl(query), { headers: { authorization: `Bearer ${token}` } });
  await once(socket, 'open');
  return socket;
}

test("Cap'n Web over a WebSocket: callbacks, targets, streams, errors", LIMIT, async () => {
  const socket = await connect();
  const api = newWebSocketRpcSession<Calc>(socket as unknown as WebSocket);
  assert.equal(await api.add(1, 2), 3);
  assert.equal(await api.nothing(), undefined);
  assert.equal(await api.call((text) => `${text} here`), 'called back here');
  using basket = await api.basket();
  await basket.put('pear');
  assert.deepEqual(await basket.items, ['pear']);
  await assert.rejects(
    async () => await api.fail(),
    (error: Error & { secret?: string }) => {
      assert.deepEqual([error.name, error.message, error.secret], ['RangeError', 'out of range', undefined]);
      return true;
    },
  );
  // Of what only bases of Hearth understand.
  await assert.rejects(async () => await api.kinds(), /Map cannot be sent/);
  let text = '';
  for await (const chunk of (await api.stream()) as ReadableStream) text += Buffer.from(chunk).toString();
  assert.equal(text, 'ab');
  api[Symbol.dispose]();
  await once(socket, 'close');
});

test('a token may stand among the protocols that are offered', LIMIT, async () => {
  const socket = new WebSocket(socketUrl('?entrypoint=Admin'), ['hearth-rpc', `bearer.${rpcToken}`]);
  await once(socket, 'open');
  assert.equal(socket.protocol, 'hearth-rpc');
  const api = newWebSocketRpcSession<{ who(): string }>(socket);
  assert.equal(await api.who(), 'admin');
  api[Symbol.dispose]();
});

test('WebSockets of those who may not, or to where nothing is, are refused as any request', LIMIT, async () => {
  const status = async (url: string, headers: Record<string, string>) => {
    const socket = new Socket(url, { headers });
    const [error] = (await once(socket, 'error')) as [Error];
    return /: (\d+)$/.exec(error.message)?.[1];
  };
  const admin = { authorization: `Bearer ${gateway.token}` };
  assert.equal(await status(socketUrl(), {}), '401');
  assert.equal(await status(socketUrl().replace('calc', 'plain'), { authorization: `Bearer ${rpcToken}` }), '403');
  assert.equal(await status(socketUrl().replace('calc', 'nobody'), admin), '404');
  assert.equal(await status(socketUrl().replace('calc', 'plain'), admin), '404');
  assert.equal(await status(socketUrl().replace('/rpc/calc', '/queues'), admin), '404');
  assert.equal(await status(socketUrl('?entrypoint=a.b'), admin), '400');
  assert.equal(await status(socketUrl(), { ...admin, host: 'evil.example' }), '403');
});

test('hostile frames end their session and nothing else', LIMIT, async () => {
  for (const frame of ['nonsense', '["nonsense"]', '["push",["import",-7]]', '["release",0,9]', Buffer.from([1, 2])]) {
    const socket = await connect();
    socket.send(frame);
    const [code] = await once(socket, 'close');
    assert.equal(code, 1011, String(frame));
  }
  const many = await connect();
  for (let i = 0; i < 11_000; i++) many.send('["push",["pipeline",0,["basket"],[]]]');
  assert.equal((await once(many, 'close'))[0], 1011);
  const large = await connect();
  large.send(`["push",["pipeline",0,["named"],["${'x'.repeat(9_000_000)}"]]]`);
  assert.equal((await once(large, 'close'))[0], 1011);
  assert.equal((await post(call('add', [1, 2]))).body.result, 3);
});

test('a call that outruns its time ends the session; a base that dies ends it too', LIMIT, async () => {
  const late = await connect();
  const api = newWebSocketRpcSession<Calc>(late as unknown as WebSocket);
  await assert.rejects(async () => await api.forever());
  const dying = await connect();
  const other = newWebSocketRpcSession<Calc>(dying as unknown as WebSocket);
  assert.equal(await other.add(1, 2), 3);
  await assert.rejects(async () => await other.stop());
  assert.equal((await post(call('add', [1, 2]))).body.result, 3);
});

test('sessions are asked to go when the gateway ends', LIMIT, async () => {
  await using own = await startGateway();
  await own.deploy('calc', { 'index.ts': SOURCE });
  const socket = new Socket(`${own.adminUrl.replace('http', 'ws')}/v1/rpc/calc`, {
    headers: { authorization: `Bearer ${own.token}` },
  });
  await once(socket, 'open');
  const [[code], exit] = await Promise.all([once(socket, 'close'), own.stop()]);
  assert.deepEqual([code, exit], [1001, 0]);
});
