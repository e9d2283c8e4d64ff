/** What the control API does beside deploying, through the real process: triggers by hand, queues, logs, tokens, docs. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ERRORS } from '../../functions/contract/errors.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

const WORKER = `
export default {
  async fetch(request) {
    if (new URL(request.url).pathname === '/boom') throw new Error('on purpose');
    console.log('fetched', new URL(request.url).pathname);
    const headers = new Headers({ 'x-method': request.method });
    headers.set('x-hearth', [...request.headers.keys()].filter((name) => name.startsWith('hearth-')).join());
    headers.set('x-mine', request.headers.get('x-own') ?? '');
    headers.append('set-cookie', 'a=1');
    headers.append('set-cookie', 'b=2');
    return new Response(await request.text(), { status: 203, headers });
  },
  scheduled(controller) {
    console.warn('tick', controller.cron, controller.scheduledTime);
    if (controller.cron === '1 1 1 1 *') controller.noRetry();
  },
  queue(batch) {
    for (const message of batch.messages) {
      if (message.body === 'later') message.retry({ delaySeconds: 7 });
      else if (message.body === 'bad') throw new Error('cannot');
      else message.ack();
    }
  },
};`;

interface Outcome {
  invocationId: string;
  start: string;
  status: number;
  headers: Record<string, string | string[]>;
  body: string;
  bodyEncoding: string;
  noRetry: boolean;
  verdicts: { id: string; verdict: string; delaySeconds?: number }[];
  error?: { name: string; message: string };
}

describe('the control API', { timeout: 120_000 }, () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway();
    await gateway.deploy('worker', WORKER, { manifest: { triggers: { crons: ['*/5 * * * *'] } } });
  });
  after(() => gateway[Symbol.asyncDispose]());

  const invoke = (body: unknown) => gateway.api<Outcome>('POST', '/v1/functions/worker/invoke', body);

  test("does not let whoever triggers one by hand speak in Hearth's name", async () => {
    const headers = { 'Hearth-Attempt': '7', 'hearth-invocation-id': 'x', 'x-own': 'mine' };
    const { body } = await invoke({ trigger: 'http', path: '/headers', headers });
    assert.deepEqual([body.headers['x-hearth'], body.headers['x-mine']], ['', 'mine']);
  });

  test('triggers an HTTP request by hand', async () => {
    const { status, body } = await invoke({ trigger: 'http', method: 'post', path: '/a?b=c', body: { hi: 1 } });
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body.status, 203);
    assert.equal(body.headers['x-method'], 'POST');
    assert.deepEqual(body.headers['set-cookie'], ['a=1', 'b=2']);
    assert.equal(body.body, '{"hi":1}');
    assert.equal(body.bodyEncoding, 'text');

    const known = await gateway.api<Record<string, unknown>>('GET', `/v1/invocations/${body.invocationId}`);
    assert.equal(known.status, 200);
    assert.deepEqual(
      [known.body.function, known.body.trigger, known.body.state, known.body.status],
      ['worker', 'http', 'ok', 203],
    );
  });

  test('an exception of the function comes back as its code, without its stack', async () => {
    const { status, body } = await invoke({ trigger: 'http', path: '/boom' });
    assert.equal(status, 500);
    const problem = body as unknown as { code: string; detail: string; instance: string };
    assert.equal(problem.code, 'FUNCTION_EXCEPTION');
    assert.match(problem.detail, /^Error: on purpose\. Read the function's log/);
    assert.ok(!JSON.stringify(problem).includes('index.ts'), 'no stack');
    const known = await gateway.api<{ state: string }>('GET', problem.instance);
    assert.deepEqual([known.status, known.body.state], [200, 'error']);
  });

  test('triggers a cron by hand, by default the first of the manifest', async () => {
    const first = await invoke({ trigger: 'cron', scheduledTime: '2026-01-02T03:04:05.000Z' });
    assert.equal(first.status, 200, JSON.stringify(first.body));
    assert.equal(first.body.noRetry, false);
    const named = await invoke({ trigger: 'cron', cron: '1 1 1 1 *' });
    assert.equal(named.body.noRetry, true);
    const { body } = await gateway.api<{ lines: { message: string; level: string; invocationId: string }[] }>(
      'GET',
      `/v1/functions/worker/logs?invocation=${first.body.invocationId}`,
    );
    assert.deepEqual(
      body.lines.map(({ message, level }) => [level, message]),
      [['warn', `tick */5 * * * * ${Date.UTC(2026, 0, 2, 3, 4, 5)}`]],
    );
  });

  test('tells what a function did in the last minutes, and its recent invocations with their phases', async () => {
    await gateway.deploy('counted', WORKER);
    const read = async <Body>(path: string) => (await gateway.api<Body>('GET', path)).body;
    interface Figures {
      name: string;
      calls: number;
      errors: number;
      p95Ms: number | null;
      callsByStep: number[];
    }
    const before = await read<Figures & { steps: unknown[] }>('/v1/functions/counted/metrics');
    assert.deepEqual([before.calls, before.p95Ms], [0, null]);
    assert.ok(before.steps.length > 0);

    const call = (path: string) => gateway.api('POST', '/v1/functions/counted/invoke', { trigger: 'http', path });
    for (const path of ['/a', '/boom', '/b']) await call(path);
    const after = await read<Figures>('/v1/functions/counted/metrics');
    assert.deepEqual([after.calls, after.errors, typeof after.p95Ms], [3, 1, 'number']);
    const { functions } = await read<{ functions: Figures[] }>('/v1/metrics');
    const row = functions.find(({ name }) => name === 'counted');
    assert.equal(
      row?.callsByStep.reduce((sum, calls) => sum + calls, 0),
      3,
    );

    interface Invocation {
      state: string;
      status: number;
      phases: Record<string, number>;
      error: { code: string } | null;
    }
    const path = '/v1/functions/counted/invocations';
    const { invocations } = await read<{ invocations: Invocation[] }>(path);
    assert.deepEqual(
      invocations.map(({ state, error }) => [state, error?.code]),
      [
        ['ok', undefined],
        ['error', 'FUNCTION_EXCEPTION'],
        ['ok', undefined],
      ],
    );
    assert.ok((invocations[0]?.phases.run ?? -1) >= 0);
    assert.equal((await read<{ invocations: unknown[] }>(`${path}?limit=1`)).invocations.length, 1);
    assert.equal((await gateway.api('GET', `${path}?limit=0`)).status, 400);
  });

  test('triggers a batch by hand and says what was decided, per message', async () => {
    const messages = [
      { id: 'one', body: 'fine' },
      { id: 'two', body: 'later' },
      { id: 'three', body: 'AAEC', contentType: 'bytes' },
    ];
    const { body } = await invoke({ trigger: 'queue', queue: 'jobs', messages });
    assert.deepEqual(body.verdicts, [
      { id: 'one', verdict: 'ack' },
      { id: 'two', verdict: 'retry', delaySeconds: 7 },
      { id: 'three', verdict: 'ack' },
    ]);
    const failed = await invoke({ trigger: 'queue', queue: 'jobs', messages: [{ id: 'x', body: 'bad' }] });
    assert.deepEqual(failed.body.error, { name: 'Error', message: 'cannot' });
    assert.deepEqual(failed.body.verdicts, [{ id: 'x', verdict: 'retry' }]);
  });

  test('streams a log as it is written', async () => {
    const response = await fetch(`${gateway.adminUrl}/v1/functions/worker/logs?follow=true&limit=0`, {
      headers: { authorization: `Bearer ${gateway.token}` },
    });
    assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    await fetch(`${gateway.url}/worker/followed`);
    let text = '';
    while (!text.includes('fetched /followed')) {
      const { done, value } = await reader.read();
      assert.ok(!done, text);
      text += value;
    }
    assert.match(text, /^event: line\ndata: \{.*"level":"info"/m);
    await reader.cancel();
  });

  test('pauses a cron and goes on with it', async () => {
    const { body } = await gateway.api<{ crons: { id: string; paused: boolean; nextAt: string | null }[] }>(
      'GET',
      '/v1/crons',
    );
    const [cron] = body.crons;
    assert.ok(cron?.nextAt != null && Date.parse(cron.nextAt) > Date.now() - 1000);
    const paused = await gateway.api<{ paused: boolean; nextAt: string | null }>('PATCH', `/v1/crons/${cron.id}`, {
      paused: true,
    });
    assert.deepEqual([paused.body.paused, paused.body.nextAt], [true, null]);
    const on = await gateway.api<{ paused: boolean; nextAt: string | null }>('PATCH', `/v1/crons/${cron.id}`, {
      paused: false,
    });
    assert.equal(on.body.paused, false);
    assert.notEqual(on.body.nextAt, null);
  });

  test('keeps messages until somebody consumes them; the same id is taken once', async () => {
    const made = await gateway.api<{ settings: { maxRetries: number; deadLetterQueue: string } }>(
      'PUT',
      '/v1/queues/letters',
      { maxRetries: 0 },
    );
    assert.deepEqual([made.body.settings.maxRetries, made.body.settings.deadLetterQueue], [0, 'letters.dead']);
    const send = () =>
      gateway.api<{ ids: string[]; duplicates: string[] }>('POST', '/v1/queues/letters/messages', {
        messages: [
          { id: 'a', body: 1 },
          { id: 'b', body: 2, delaySeconds: 60 },
        ],
      });
    assert.deepEqual([(await send()).status, (await send()).body], [202, { ids: ['a', 'b'], duplicates: ['a', 'b'] }]);
    const queue = await gateway.api<Record<string, unknown>>('GET', '/v1/queues/letters');
    assert.deepEqual([queue.body.depth, queue.body.delayed, queue.body.inFlight, queue.body.consumer], [2, 1, 0, null]);
    assert.deepEqual((await gateway.api('POST', '/v1/queues/letters/purge')).body, { purged: 2 });
    const paused = await gateway.api<{ settings: { paused: boolean } }>('POST', '/v1/queues/letters/pause');
    assert.equal(paused.body.settings.paused, true);
    const resumed = await gateway.api<{ settings: { paused: boolean } }>('POST', '/v1/queues/letters/pause', {
      paused: false,
    });
    assert.equal(resumed.body.settings.paused, false);
    assert.deepEqual((await gateway.api('GET', '/v1/queues/letters/dead')).body, { messages: [], cursor: null });
    assert.deepEqual((await gateway.api('POST', '/v1/queues/letters/redrive')).body, { redriven: 0 });
    assert.equal((await gateway.api('DELETE', '/v1/queues/letters')).status, 204);
    assert.equal((await gateway.api('GET', '/v1/queues/letters')).status, 404);
  });

  test('a scoped token does what its scopes say, and nothing else', async () => {
    const grants = {
      scopes: ['enqueue:orders', 'invoke:worker', 'deploy:shop-*'],
      trustGroups: ['shop'],
      routes: ['shop.example/*'],
    };
    const made = await gateway.api<{ id: string; token: string }>('POST', '/v1/tokens', grants);
    assert.equal(made.status, 201);
    const as = (method: string, path: string, body?: unknown) =>
      gateway.api<{ code: string }>(method, path, body, { authorization: `Bearer ${made.body.token}` });
    const deploy = (name: string, manifest: unknown) =>
      as('PUT', `/v1/functions/${name}`, { manifest, files: { 'index.ts': WORKER } });
    const shop = { hearth: { trustGroup: 'shop' } };

    for (const [call, status] of [
      [await as('POST', '/v1/queues/orders/messages', { messages: [{ body: 1 }] }), 202],
      [await as('POST', '/v1/queues/others/messages', { messages: [{ body: 1 }] }), 403],
      [await as('POST', '/v1/queues/orders/purge'), 403],
      [await as('POST', '/v1/functions/worker/invoke', { trigger: 'http' }), 200],
      [await as('POST', '/v1/functions/worker/invoke', { trigger: 'rpc', method: 'x' }), 403],
      [await as('GET', '/v1/functions'), 403],
      [await as('GET', '/v1/audit'), 403],
      [await as('GET', '/v1/tokens'), 403],
      [await as('POST', '/v1/tokens', { scopes: ['read'] }), 403],
      [await as('DELETE', '/v1/functions/worker'), 403],
      [await deploy('worker', shop), 403],
      [await deploy('shop-cart', {}), 403],
      [await deploy('shop-cart', { ...shop, routes: ['bank.example/*'] }), 403],
      [await deploy('shop-cart', { ...shop, routes: ['shop.example/cart/*'] }), 201],
      [await as('GET', '/v1/functions/shop-cart'), 200],
      [await as('PUT', '/v1/functions/shop-cart/secrets/KEY', { value: 'x' }), 204],
      [await as('DELETE', '/v1/functions/shop-cart'), 204],
    ] as const) {
      assert.equal(call.status, status, JSON.stringify(call.body));
      if (status === 403) assert.equal(call.body.code, 'FORBIDDEN');
    }
    // The name fits its scope; the trust group in which the function already stands does not.
    await gateway.deploy('shop-bank', WORKER, { manifest: { hearth: { trustGroup: 'bank' } } });
    assert.equal((await as('DELETE', '/v1/functions/shop-bank')).status, 403);

    assert.equal((await gateway.api('DELETE', `/v1/tokens/${made.body.id}`)).status, 204);
    assert.equal((await as('GET', '/v1/functions/shop-cart')).status, 401);
  });

  test('says who changed what', async () => {
    const { body } = await gateway.api<{ records: { actor: string; action: string; subject: string }[] }>(
      'GET',
      '/v1/audit?limit=1000',
    );
    assert.ok(
      body.records.some(
        ({ actor, action, subject }) => actor === 'admin' && action === 'deploy' && subject === 'worker',
      ),
    );
    assert.ok(
      body.records.some(
        ({ actor, action, subject }) => actor.startsWith('tok_') && action === 'deploy' && subject === 'shop-cart',
      ),
    );
  });

  test('shows the pool and what happened in it', async () => {
    const pool = await gateway.api<{ hosts: { pid: number; bases: unknown[] }[]; bases: Record<string, number> }>(
      'GET',
      '/v1/pool',
    );
    assert.ok(pool.body.hosts.every(({ pid }) => pid > 0));
    assert.ok((pool.body.bases.leased ?? 0) >= 1);
    const events = await gateway.api<{ events: { what: string; why: string; function?: string }[] }>(
      'GET',
      '/v1/pool/events',
    );
    assert.ok(events.body.events.some((event) => event.what === 'leased' && event.function === 'worker'));
  });

  test('is described: every route in openapi.json and docs, every code in the page of errors', async () => {
    const text = async (path: string) => {
      const response = await fetch(`${gateway.adminUrl}${path}`);
      assert.equal(response.status, 200);
      return response.text();
    };
    const document = JSON.parse(await text('/openapi.json')) as {
      openapi: string;
      paths: Record<string, Record<string, unknown>>;
    };
    assert.match(document.openapi, /^3\.1\./);
    const calls = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    for (const call of [
      'PUT /v1/functions/{name}',
      'POST /v1/functions/{name}/invoke',
      'POST /v1/functions/{name}/evict',
      'POST /v1/queues/{name}/messages',
      'PATCH /v1/crons/{id}',
      'GET /v1/pool/events',
      'POST /v1/pool/hosts/{id}/move',
      'PATCH /v1/pool/pools/{name}',
      'POST /v1/tokens',
    ]) {
      assert.ok(calls.includes(call), call);
    }
    const docs = await text('/docs');
    for (const path of Object.keys(document.paths)) assert.ok(docs.includes(path), path);
    // Works offline: nothing is fetched from elsewhere.
    assert.doesNotMatch(docs, /(src|href)="https?:/);
    const errors = await text('/docs/errors');
    for (const code of Object.keys(ERRORS)) assert.ok(errors.includes(`id="${code.toLowerCase()}"`), code);
  });
});
