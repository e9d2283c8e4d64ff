/** Asynchronous invocations and idempotency keys through the real process, and through its death. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { scheduler } from 'node:timers/promises';
import { REDIS_MISSING, startRedis } from '../store/redis/testing/server.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

/** Far above a lease and a start together, on a loaded machine. */
const GIVE_UP_MS = 60_000;

const WORK = `
import { WorkerEntrypoint } from 'cloudflare:workers';
export class Sums extends WorkerEntrypoint {
  add(a, b) { return { sum: a + b }; }
  fail() { throw new RangeError('too far'); }
}
export default {
  async fetch(request, env, ctx) {
    const path = new URL(request.url).pathname;
    const attempt = request.headers.get('hearth-attempt');
    console.log('ran', path, attempt);
    if (path === '/throw') throw new Error('on purpose');
    if (path === '/busy') return new Response('busy', { status: 503 });
    if (path === '/hang' && attempt === '1') await new Promise(() => {});
    if (path === '/large') return new Response('x'.repeat(2 * 2 ** 20));
    return new Response(await request.text(), { status: 201, headers: { 'x-attempt': attempt ?? 'none' } });
  },
  scheduled() { console.log('ticked'); },
  queue(batch) { for (const message of batch.messages) message.ack(); },
};`;

const LISTENER = `
export default {
  async fetch(request, env) {
    const { requestContext, response } = await request.json();
    await env.SEEN.put(requestContext.invocationId, JSON.stringify({ requestContext, response }));
    return new Response('thanks');
  },
};`;

interface Invocation {
  mode: string;
  state: string;
  attempts: number;
  version: string | null;
  phases: Record<string, number> | null;
  result: { status?: number; headers?: Record<string, string>; body?: string; verdicts?: unknown } | null;
  error: { code: string; message: string } | null;
  destination: { target: string; outcome: string; error: string | null } | null;
  omittedBytes: number | null;
}

interface Outcome {
  invocationId: string;
  status: number;
  body: string;
}

const HANGING = { retries: 0, maxAgeSeconds: 3600 };

async function until<Found>(what: string, ask: () => Promise<Found | undefined>): Promise<Found> {
  const end = performance.now() + GIVE_UP_MS;
  while (performance.now() < end) {
    const found = await ask();
    if (found !== undefined) return found;
    await scheduler.wait(25);
  }
  throw new Error(`waited in vain for ${what}`);
}

async function invocation(gateway: TestGateway, id: string): Promise<Invocation> {
  const { status, body } = await gateway.api<Invocation>('GET', `/v1/invocations/${id}`);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

function inState(gateway: TestGateway, id: string, ...states: string[]): Promise<Invocation> {
  return until(`${id} to be ${states.join(' or ')}`, async () => {
    const found = await invocation(gateway, id);
    return states.includes(found.state) ? found : undefined;
  });
}

async function start(gateway: TestGateway, request: Record<string, unknown>): Promise<string> {
  const answer = await gateway.api<{ invocationId: string; location: string }>('POST', '/v1/functions/job/invoke', {
    mode: 'async',
    ...request,
  });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  assert.equal(answer.headers.get('location'), answer.body.location);
  assert.equal(answer.body.location, `/v1/invocations/${answer.body.invocationId}`);
  return answer.body.invocationId;
}

describe('asynchronous invocations', { timeout: 180_000 }, () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway();
    await gateway.deploy('job', WORK, { manifest: { triggers: { crons: ['0 0 1 1 *'] } } });
    await gateway.deploy('listener', LISTENER, {
      manifest: { kv_namespaces: [{ binding: 'SEEN', id: 'seen' }], hearth: { publish: false } },
    });
  });
  after(() => gateway[Symbol.asyncDispose]());

  test('each trigger is accepted, runs, and its outcome is read', async () => {
    const http = await start(gateway, { trigger: 'http', method: 'POST', path: '/a', body: { hi: 1 } });
    const cron = await start(gateway, { trigger: 'cron' });
    const queue = await start(gateway, { trigger: 'queue', queue: 'jobs', messages: [{ id: 'm', body: 1 }] });
    const rpc = await start(gateway, { trigger: 'rpc', entrypoint: 'Sums', method: 'add', args: [1, 2] });
    const answered = await inState(gateway, http, 'ok', 'error');
    assert.deepEqual([answered.state, answered.mode, answered.attempts], ['ok', 'async', 1]);
    assert.deepEqual([answered.result?.status, answered.result?.body], [201, '{"hi":1}']);
    assert.equal(answered.result?.headers?.['x-attempt'], '1');
    assert.equal(typeof answered.phases?.run, 'number');
    const ticked = await inState(gateway, cron, 'ok', 'error');
    assert.deepEqual([ticked.state, ticked.result], ['ok', null]);
    const acked = await inState(gateway, queue, 'ok', 'error');
    assert.deepEqual(acked.result, { verdicts: [{ id: 'm', verdict: 'ack' }] });
    const summed = await inState(gateway, rpc, 'ok', 'error');
    assert.deepEqual([summed.error, summed.result], [null, { result: { sum: 3 } }]);
  });

  test('what fails for good says why, and stands among the dead letters of a queue that can be redriven', async () => {
    const thrown = await start(gateway, { trigger: 'http', path: '/throw', async: { retries: 0 } });
    const busy = await start(gateway, {
      trigger: 'http',
      path: '/busy',
      async: { retries: 1, retryDelaysSeconds: [0] },
    });
    const far = { trigger: 'rpc', entrypoint: 'Sums', method: 'fail', async: { retries: 0 } };
    const { error } = await inState(gateway, await start(gateway, far), 'ok', 'error');
    assert.equal(error?.code, 'FUNCTION_EXCEPTION');
    assert.match(error?.message ?? '', /too far/);
    const failed = await inState(gateway, thrown, 'ok', 'error');
    assert.deepEqual(failed.error, { code: 'FUNCTION_EXCEPTION', message: 'Error: on purpose' });
    const refused = await inState(gateway, busy, 'ok', 'error');
    assert.deepEqual([refused.state, refused.attempts, refused.result?.body], ['error', 2, 'busy']);
    const dead = await until('the dead letters', async () => {
      const { body } = await gateway.api<{ messages: { id: string; reason: string }[] }>(
        'GET',
        '/v1/queues/async.job/dead',
      );
      return body.messages.length === 3 ? body.messages : undefined;
    });
    for (const id of [thrown, busy]) assert.ok(dead.some((letter) => letter.id === id));
    await gateway.deploy('job', WORK.replace("throw new Error('on purpose')", "return new Response('mended')"), {
      manifest: { triggers: { crons: ['0 0 1 1 *'] } },
    });
    const redriven = await gateway.api('POST', '/v1/queues/async.job/redrive', { ids: [thrown] });
    assert.deepEqual(redriven.body, { redriven: 1 });
    assert.equal((await inState(gateway, thrown, 'ok')).result?.body, 'mended');
  });

  test('a function is told of the outcome, and the record says that it was', async () => {
    const id = await start(gateway, {
      trigger: 'http',
      method: 'POST',
      body: 'fine',
      async: { onSuccess: { function: 'listener' } },
    });
    const { destination } = await until('the destination', async () => {
      const found = await invocation(gateway, id);
      return found.destination === null ? undefined : found;
    });
    assert.deepEqual(destination, { target: 'function listener', outcome: 'delivered', error: null });
  });

  test('a callback to this machine fails and says so', async () => {
    const { port } = new URL(gateway.adminUrl);
    const id = await start(gateway, {
      trigger: 'http',
      async: { onSuccess: { url: `http://localhost:${port}/v1/functions` } },
    });
    const { destination } = await until('the destination', async () => {
      const found = await invocation(gateway, id);
      return found.destination === null ? undefined : found;
    });
    assert.deepEqual(
      [destination?.target, destination?.outcome],
      [`url http://localhost:${port}/v1/functions`, 'failed'],
    );
    assert.match(destination?.error ?? '', /^FORBIDDEN: localhost is at /);
  });

  test('a token starts and reads what it may invoke, and sends nothing where it may not', async () => {
    const { body: made } = await gateway.api<{ token: string }>('POST', '/v1/tokens', {
      scopes: ['invoke:job', 'enqueue:mine'],
    });
    const { body: stranger } = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['invoke:other'] });
    const headers = { authorization: `Bearer ${made.token}` };
    const invoke = (settings: Record<string, unknown>) =>
      gateway.api<{ invocationId: string }>(
        'POST',
        '/v1/functions/job/invoke',
        { trigger: 'http', mode: 'async', async: settings },
        headers,
      );
    const { status, body } = await invoke({ onSuccess: { queue: 'mine' } });
    assert.equal(status, 202);
    const path = `/v1/invocations/${body.invocationId}`;
    assert.equal((await gateway.api('GET', path, undefined, headers)).status, 200);
    assert.equal(
      (await gateway.api('GET', path, undefined, { authorization: `Bearer ${stranger.token}` })).status,
      403,
    );
    assert.equal((await invoke({ onSuccess: { queue: 'orders' } })).status, 403);
    assert.equal((await invoke({ onFailure: { function: 'listener' } })).status, 403);
  });

  test('kill -9 in the middle: nothing that was accepted is lost, and it runs again under the same id', async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'hearth-async-'));
    t.after(() => rm(dataDir, { recursive: true, force: true, maxRetries: 3 }));
    const ids: string[] = [];
    {
      await using first = await startGateway({ dataDir });
      await first.deploy('job', WORK);
      // One runs and does not end; the others wait for their time, or were accepted a moment before.
      ids.push(await start(first, { trigger: 'http', method: 'POST', path: '/hang', body: 'a', async: HANGING }));
      await inState(first, ids[0] ?? '', 'running');
      const more = Array.from({ length: 20 }, (_, i) =>
        start(first, { trigger: 'http', method: 'POST', path: '/a', body: String(i), async: HANGING }),
      );
      ids.push(...(await Promise.all(more)));
      await first.kill9();
    }
    await using second = await startGateway({ dataDir });
    for (const [i, id] of ids.entries()) {
      const { state, result } = await inState(second, id, 'ok', 'error');
      assert.deepEqual([state, result?.body], ['ok', i === 0 ? 'a' : String(i - 1)]);
    }
    assert.equal((await invocation(second, ids[0] ?? '')).attempts, 2);
    const { body } = await second.api<{ depth: number; dead: number }>('GET', '/v1/queues/async.job');
    assert.equal(body.dead, 0);
  });
});

describe('several gateways on one Redis', { timeout: 120_000, skip: REDIS_MISSING }, () => {
  test('what one has accepted another tells, and takes up when the first is killed; a key is one for both', async () => {
    await using redis = await startRedis();
    const env = { HEARTH_STORE: 'redis', REDIS_URL: redis.url, HEARTH_SECRET_KEY: 'one key for both gateways' };
    await using first = await startGateway({ env: { ...env, HEARTH_ADMIN_TOKEN: 'one-token-for-both' } });
    await first.deploy('job', WORK);
    const hangs = await start(first, { trigger: 'http', method: 'POST', path: '/hang', body: 'a', async: HANGING });
    await inState(first, hangs, 'running');
    const keyed = (gateway: TestGateway) =>
      gateway.api<Outcome>(
        'POST',
        '/v1/functions/job/invoke',
        { trigger: 'http', mode: 'async', method: 'POST', body: 'b' },
        { 'idempotency-key': 'once' },
      );
    const accepted = await keyed(first);
    assert.equal(accepted.status, 202);
    await inState(first, accepted.body.invocationId, 'ok');

    await using second = await startGateway({ env: { ...env, HEARTH_ADMIN_TOKEN: 'one-token-for-both' } });
    assert.equal((await invocation(second, hangs)).state, 'running');
    assert.equal((await invocation(second, accepted.body.invocationId)).result?.body, 'b');
    const again = await keyed(second);
    assert.deepEqual([again.body, again.headers.get('idempotent-replayed')], [accepted.body, 'true']);
    await first.kill9();
    const { state, attempts, result } = await inState(second, hangs, 'ok', 'error');
    assert.deepEqual([state, attempts, result?.body], ['ok', 2, 'a']);
  });
});

describe('idempotency keys', { timeout: 120_000 }, () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway();
    await gateway.deploy('job', WORK, { manifest: { hearth: { timeoutMs: 60_000 } } });
  });
  after(() => gateway[Symbol.asyncDispose]());

  const keyed = (key: string, body: unknown, more: Record<string, string> = {}) =>
    gateway.api<Outcome>('POST', '/v1/functions/job/invoke', body, { 'idempotency-key': key, ...more });

  test('the same call under the same key is made once, synchronous or not, and answered alike', async () => {
    const sync = { trigger: 'http', method: 'POST', body: 'one' };
    const first = await keyed('sync', sync);
    const second = await keyed('sync', sync);
    assert.equal(first.status, 200);
    assert.equal(first.headers.get('idempotent-replayed'), null);
    assert.deepEqual([second.status, second.headers.get('idempotent-replayed')], [200, 'true']);
    assert.deepEqual(second.body, first.body);
    assert.equal(second.headers.get('content-type'), first.headers.get('content-type'));

    const accepted = await keyed('async', { ...sync, mode: 'async' });
    const again = await keyed('async', { ...sync, mode: 'async' });
    assert.deepEqual([accepted.status, again.status], [202, 202]);
    assert.deepEqual(again.body, accepted.body);
    assert.equal(again.headers.get('location'), accepted.headers.get('location'));

    assert.equal((await keyed('cron', { trigger: 'cron', cron: '* * * * *' })).status, 200);
    assert.equal(
      (await keyed('cron', { trigger: 'cron', cron: '* * * * *' })).headers.get('idempotent-replayed'),
      'true',
    );
  });

  test('what the function failed with is kept; what was refused is not', async () => {
    const failing = { trigger: 'http', path: '/throw' };
    const [first, second] = [await keyed('thrown', failing), await keyed('thrown', failing)];
    assert.deepEqual([first.status, second.status], [500, 500]);
    assert.deepEqual(second.body, first.body, 'the same invocation');
    assert.equal(second.headers.get('content-type'), 'application/problem+json');
    assert.equal((await keyed('mended', { trigger: 'smoke' })).status, 400);
    assert.equal((await keyed('mended', { trigger: 'http' })).status, 200);
  });

  test('another request under the key, and a key that is none, are refused', async () => {
    await keyed('taken', { trigger: 'http' });
    const other = await keyed('taken', { trigger: 'http', path: '/other' });
    assert.equal(other.status, 400);
    assert.match(JSON.stringify(other.body), /used for another request/);
    assert.equal((await keyed('k'.repeat(256), { trigger: 'http' })).status, 400);
  });

  test("a key is its token's own", async () => {
    const { body } = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['invoke:job'] });
    const mine = await keyed('shared', { trigger: 'http' });
    const theirs = await keyed('shared', { trigger: 'http' }, { authorization: `Bearer ${body.token}` });
    assert.equal(theirs.headers.get('idempotent-replayed'), null);
    assert.notEqual(theirs.body.invocationId, mine.body.invocationId);
  });

  test('an answer over a megabyte goes out whole and says that it is not kept', async () => {
    const large = { trigger: 'http', path: '/large' };
    const first = await keyed('large', large);
    assert.equal(first.body.body.length, 2 * 2 ** 20);
    assert.equal(first.headers.get('idempotent-kept'), 'false');
    const second = await keyed('large', large);
    assert.equal(second.status, 409);
    assert.match(JSON.stringify(second.body), /is not kept/);
  });

  test('whoever goes away finds the answer when it comes back, and meets 409 before that', async () => {
    const request = {
      method: 'POST',
      headers: {
        authorization: `Bearer ${gateway.token}`,
        'content-type': 'application/json',
        'idempotency-key': 'left',
      },
      body: JSON.stringify({ trigger: 'http', path: '/slow' }),
    };
    await gateway.deploy(
      'slow',
      `let go;
      const gate = new Promise((resolve) => { go = resolve; });
      export default { async fetch(request) {
        if (new URL(request.url).pathname === '/go') { go(); return new Response('went'); }
        console.log('in the middle');
        await gate;
        return new Response('late');
      } };`,
    );
    const url = `${gateway.adminUrl}/v1/functions/slow/invoke`;
    const leaving = new AbortController();
    const left = fetch(url, { ...request, signal: leaving.signal });
    await until('the function to run', async () => {
      const { body } = await gateway.api<{ lines: unknown[] }>('GET', '/v1/functions/slow/logs');
      return body.lines.length > 0 ? true : undefined;
    });
    leaving.abort();
    await assert.rejects(left, { name: 'AbortError' });
    const early = await fetch(url, request);
    assert.deepEqual([early.status, early.headers.get('retry-after')], [409, '1']);
    await early.body?.cancel();
    await gateway.api('POST', '/v1/functions/slow/invoke', { trigger: 'http', path: '/go' });
    const kept = await until('the answer', async () => {
      const answer = await fetch(url, request);
      const body = (await answer.json()) as Outcome;
      return answer.status === 200 ? body : undefined;
    });
    assert.equal(kept.body, 'late');
    const { body } = await gateway.api<{ lines: unknown[] }>('GET', '/v1/functions/slow/logs');
    assert.equal(body.lines.length, 1, 'it ran once');
  });

  test('a method is called once under one key', async () => {
    const call = () =>
      gateway.api(
        'POST',
        '/v1/rpc/job?entrypoint=Sums',
        { jsonrpc: '2.0', id: 7, method: 'add', params: [2, 3] },
        { 'idempotency-key': 'sum' },
      );
    const [first, second] = [await call(), await call()];
    assert.deepEqual(first.body, { jsonrpc: '2.0', id: 7, result: { sum: 5 } });
    assert.deepEqual(second.body, first.body);
    assert.equal(second.headers.get('idempotent-replayed'), 'true');
  });

  test('messages are enqueued once under one key', async () => {
    const send = () =>
      gateway.api<{ ids: string[] }>(
        'POST',
        '/v1/queues/orders/messages',
        { messages: [{ body: 1 }, { body: 2 }] },
        { 'idempotency-key': 'order-1' },
      );
    const [first, second] = [await send(), await send()];
    assert.deepEqual([first.status, second.status], [202, 202]);
    assert.deepEqual(second.body.ids, first.body.ids);
    assert.equal((await gateway.api<{ depth: number }>('GET', '/v1/queues/orders')).body.depth, 2);
  });
});
