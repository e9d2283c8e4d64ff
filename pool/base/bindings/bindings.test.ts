import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BindingCallHead, BindingSpec } from '../../../functions/contract/invocation.ts';
import type { Exchange } from '../../link/link.ts';
import { concat } from '../body.ts';
import { silent, TestBase } from '../testing/harness.ts';

interface Received {
  call: BindingCallHead;
  body: Buffer;
}

/** A gateway that keeps what it is asked and answers as told. Answers are given when the call's body is complete. */
function gateway(answer: (received: Received, exchange: Exchange) => void) {
  const received: Received[] = [];
  const binding = (call: BindingCallHead, exchange: Exchange) => {
    const chunks: Uint8Array[] = [];
    exchange.handler = {
      ...silent(),
      data: (chunk) => {
        chunks.push(new Uint8Array(chunk));
        exchange.consumed(chunk.length);
      },
      end: () => {
        const one = { call, body: Buffer.from(concat(chunks)) };
        received.push(one);
        answer(one, exchange);
      },
    };
  };
  return { binding, received };
}

async function evaluate(
  specs: BindingSpec[],
  answer: (received: Received, exchange: Exchange) => void,
  expressions: string[],
): Promise<{ results: string[]; received: Received[] }> {
  const { binding, received } = gateway(answer);
  await using base = await TestBase.start({ binding });
  const results: string[] = [];
  for (const expression of expressions) results.push(await base.evaluate(expression, { bindings: specs }));
  return { results, received };
}

const KV: BindingSpec[] = [{ kind: 'kv', name: 'KV', namespace: 'n1' }];
const found =
  (body: string | Uint8Array, metadata: unknown = null) =>
  (_: Received, exchange: Exchange) => {
    exchange.sendHead({ found: true, metadata, expiration: null }, Buffer.from(body), true);
  };

test('KV get gives text, JSON, bytes or a stream; what is not there is null', async () => {
  const { results, received } = await evaluate(KV, found('{"a":1}', { tag: 'x' }), [
    "await env.KV.get('k')",
    "(await env.KV.get('k', 'json')).a",
    "(await env.KV.get('k', { type: 'arrayBuffer', cacheTtl: 60 })).byteLength",
    "await new Response(await env.KV.get('k', 'stream')).text()",
    "JSON.stringify(await env.KV.getWithMetadata('k', 'json'))",
    "JSON.stringify([...await env.KV.get(['a', 'b'])])",
  ]);
  assert.deepEqual(results, [
    '{"a":1}',
    '1',
    '7',
    '{"a":1}',
    '{"value":{"a":1},"metadata":{"tag":"x"},"cacheStatus":null}',
    '[["a","{\\"a\\":1}"],["b","{\\"a\\":1}"]]',
  ]);
  const { call } = received[0]!;
  assert.equal(call.binding, 'KV');
  assert.match(call.invocationId ?? '', /^i-/);
  assert.deepEqual(call.call, { op: 'kv.get', key: 'k' });
  const missing = (_: Received, exchange: Exchange) =>
    exchange.sendHead({ found: false, metadata: null, expiration: null }, null, true);
  const { results: none } = await evaluate(KV, missing, [
    "JSON.stringify(await env.KV.getWithMetadata('k'))",
    "String(await env.KV.get('k', 'json'))",
  ]);
  assert.deepEqual(none, ['{"value":null,"metadata":null,"cacheStatus":null}', 'null']);
});

test('KV put sends strings, bytes and streams with metadata and expiration', async () => {
  const { results, received } = await evaluate(KV, (_, exchange) => exchange.sendHead({}, null, true), [
    "await env.KV.put('a', 'text', { metadata: { m: 1 }, expiration: 99999999999 })",
    "await env.KV.put('b', new Uint8Array([1, 2, 3]).subarray(1))",
    "await env.KV.put('c', new Blob(['x'.repeat(400000)]).stream())",
    "await env.KV.put('d', new Uint8Array(1000000))",
    "await env.KV.delete('d')",
  ]);
  assert.deepEqual(results, Array(5).fill('undefined'));
  assert.deepEqual(
    received.map(({ call, body }) => [call.call, body.length]),
    [
      [{ op: 'kv.put', key: 'a', expiration: 99_999_999_999, metadata: { m: 1 } }, 4],
      [{ op: 'kv.put', key: 'b', expiration: null, metadata: null }, 2],
      [{ op: 'kv.put', key: 'c', expiration: null, metadata: null }, 400_000],
      [{ op: 'kv.put', key: 'd', expiration: null, metadata: null }, 1_000_000],
      [{ op: 'kv.delete', key: 'd' }, 0],
    ],
  );
  assert.deepEqual([...received[1]!.body], [2, 3]);
});

test('KV list passes prefix, limit and cursor', async () => {
  const answer = { keys: [{ name: 'a', expiration: 5 }], list_complete: false, cursor: 'next' };
  const { results, received } = await evaluate(KV, (_, exchange) => exchange.sendHead(answer, null, true), [
    "JSON.stringify(await env.KV.list({ prefix: 'a', limit: 1, cursor: 'c' }))",
    'JSON.stringify(await env.KV.list())',
  ]);
  assert.deepEqual(JSON.parse(results[0]!), { ...answer, cacheStatus: null });
  assert.deepEqual(
    received.map(({ call }) => call.call),
    [
      { op: 'kv.list', prefix: 'a', limit: 1, cursor: 'c' },
      { op: 'kv.list', prefix: '', limit: 1000, cursor: null },
    ],
  );
});

test('KV refuses bad arguments in the words of Workers, without asking the gateway', async () => {
  const { results, received } = await evaluate(KV, found('x'), [
    "await env.KV.get('')",
    "await env.KV.get('..')",
    "await env.KV.put('k'.repeat(513), 'v')",
    "await env.KV.put('k', 'v', { expirationTtl: 59 })",
    "await env.KV.put('k', 'v', { expirationTtl: 1.5 })",
    "await env.KV.put('k', 'v', { expiration: 1000 })",
    "await env.KV.put('k', 'v', { metadata: 'm'.repeat(1030) })",
    "await env.KV.put('k', 7)",
    "await env.KV.put('k', new Uint8Array(26214401))",
    "await env.KV.get('k', 'xml')",
    'await env.KV.list({ limit: 1001 })',
    'await env.KV.list({ limit: 0 })',
  ]);
  assert.deepEqual(results, [
    'TypeError: Key name cannot be empty.',
    'TypeError: ".." is not allowed as a key name.',
    'Error: KV PUT failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512.',
    'Error: KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60.',
    'Error: KV PUT failed: 400 Invalid expiration_ttl of 1.5. Please specify integer greater than 0.',
    'Error: KV PUT failed: 400 Invalid expiration of 1000. Expiration times must be at least 60 seconds in the future.',
    'Error: KV PUT failed: 413 Metadata length of 1032 exceeds limit of 1024.',
    'TypeError: KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.',
    'Error: KV PUT failed: 413 Value length of 26214401 exceeds limit of 26214400.',
    'TypeError: Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".',
    'Error: KV GET failed: 400 Invalid key_count_limit of 1001. Please specify an integer less than 1000.',
    'Error: KV GET failed: 400 Invalid key_count_limit of 0. Please specify an integer greater than 0.',
  ]);
  assert.equal(received.length, 0);
});

test('what the gateway refuses is an error with its code', async () => {
  const refuse = (_: Received, exchange: Exchange) =>
    exchange.cancel({ code: 'NO_CAPACITY', message: 'The store is away.' });
  const { results } = await evaluate(KV, refuse, [
    "await env.KV.get('k').catch((error) => error.name + ' ' + error.code + ' ' + error.message)",
  ]);
  assert.deepEqual(results, ['BindingError NO_CAPACITY The store is away.']);
});

const QUEUE: BindingSpec[] = [{ kind: 'queue', name: 'Q', queue: 'orders', deliveryDelayS: 7 }];

test('a queue producer sends each content type, alone and in batches', async () => {
  const { results, received } = await evaluate(QUEUE, (_, exchange) => exchange.sendHead({ ids: ['1'] }, null, true), [
    'await env.Q.send({ a: 1 })',
    "await env.Q.send('t', { contentType: 'text', delaySeconds: 0 })",
    "await env.Q.sendBatch([{ body: new Uint8Array([9]), contentType: 'bytes' }, { body: new Map(), contentType: 'v8', delaySeconds: 3 }], { delaySeconds: 5 })",
  ]);
  assert.deepEqual(results, ['undefined', 'undefined', 'undefined']);
  const v8Bytes = received[2]!.body.length - 1;
  assert.deepEqual(
    received.map(({ call }) => call.call),
    [
      { op: 'queue.send', messages: [{ contentType: 'json', bytes: 7, delayS: 7 }] },
      { op: 'queue.send', messages: [{ contentType: 'text', bytes: 1, delayS: 0 }] },
      {
        op: 'queue.send',
        messages: [
          { contentType: 'bytes', bytes: 1, delayS: 5 },
          { contentType: 'v8', bytes: v8Bytes, delayS: 3 },
        ],
      },
    ],
  );
  assert.equal(received[0]!.body.toString(), '{"a":1}');
});

test('a queue producer refuses what is too large or no message', async () => {
  const { results, received } = await evaluate(QUEUE, () => assert.fail('asked'), [
    'await env.Q.send("x".repeat(131073))',
    'await env.Q.send(undefined)',
    "await env.Q.send(1, { contentType: 'text' })",
    "await env.Q.send(1, { contentType: 'xml' })",
    'await env.Q.send(1, { delaySeconds: 86401 })',
    'await env.Q.sendBatch([])',
    'await env.Q.sendBatch(Array(101).fill({ body: 1 }))',
    'await env.Q.sendBatch(Array(3).fill({ body: "x".repeat(100000) }))',
  ]);
  for (const [at, expected] of [
    /exceeds limit of 131072/,
    /has to be a JSON value/,
    /has to be a string/,
    /Unsupported queue message content type/,
    /whole number from 0 to 86400/,
    /at least one message/,
    /limit of 100/,
    /limit of 262144/,
  ].entries())
    assert.match(results[at]!, expected);
  assert.equal(received.length, 0);
});

const SERVICE: BindingSpec[] = [{ kind: 'service', name: 'OTHER', service: 'other' }];

test('a service binding passes the request on and gives the response back, streamed', async () => {
  const answer = ({ body }: Received, exchange: Exchange) => {
    exchange.sendHead({
      kind: 'response',
      status: 201,
      statusText: 'Made',
      headers: [
        ['x-a', 'b'],
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
      ],
      calledAt: 0,
      waiting: false,
      webSocket: false,
    });
    exchange.write(Buffer.from('echo '));
    exchange.write(body);
    exchange.end();
  };
  const { results, received } = await evaluate(SERVICE, answer, [
    "await env.OTHER.fetch('http://other/p?q', { method: 'PUT', body: 'in', headers: { 'x-h': '1' } }).then(async (r) => JSON.stringify([r.status, r.statusText, r.headers.getSetCookie(), await r.text()]))",
    "await env.OTHER.fetch(new Request('http://other/')).then((r) => r.text())",
  ]);
  assert.deepEqual(JSON.parse(results[0]!), [201, 'Made', ['a=1', 'b=2'], 'echo in']);
  assert.equal(results[1], 'echo ');
  const call = received[0]!.call.call;
  assert.equal(call.op, 'service.fetch');
  assert.deepEqual([call.method, call.url, call.hasBody], ['PUT', 'http://other/p?q', true]);
  assert.ok(call.headers.some(([name, value]) => name === 'x-h' && value === '1'));
});

test('a service binding works without a network, and gives up at its signal', async () => {
  const { binding } = gateway((_, exchange) =>
    exchange.sendHead(
      { kind: 'response', status: 204, statusText: '', headers: [], calledAt: 0, waiting: false, webSocket: false },
      null,
      true,
    ),
  );
  await using base = await TestBase.start({ binding });
  const none = { bindings: SERVICE, network: 'none' as const };
  assert.equal(await base.evaluate("(await env.OTHER.fetch('http://other/')).status", none), '204');
});

test('a service call is given up at its signal, and the gateway hears of it', async () => {
  const aborted = Promise.withResolvers<string | undefined>();
  await using base = await TestBase.start({
    binding: (_call, exchange) => {
      exchange.handler = { ...silent(), closed: (error) => aborted.resolve(error?.message) };
      exchange.sendHead(
        { kind: 'response', status: 200, statusText: '', headers: [], calledAt: 0, waiting: false, webSocket: false },
        Buffer.from('some'),
      );
    },
  });
  const text = await base.evaluate(
    `(async () => { const c = new AbortController(); const r = await env.OTHER.fetch('http://other/', { signal: c.signal });
      c.abort(new Error('enough')); return await r.text() })()`,
    { bindings: SERVICE },
  );
  assert.equal(text, 'Error: enough');
  assert.equal(await aborted.promise, 'The caller aborted.');
  const refused = `await env.OTHER.fetch('http://other/', { signal: AbortSignal.abort(new Error('before')) })`;
  assert.equal(await base.evaluate(refused, { bindings: SERVICE }), 'Error: before');
});
