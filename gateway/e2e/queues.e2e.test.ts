/** Queues as their users have them: a producer of its own, messages of every kind, one that takes down its base. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { until } from '../../functions/examples/testing/until.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

/** Knows nothing of Hearth but its address and a token. Prints the status and the answer of each request. */
const PRODUCER = `
const [url, token, ...bodies] = process.argv.slice(2);
for (const body of bodies) {
  const headers = { authorization: 'Bearer ' + token, 'content-type': 'application/json' };
  const answer = await fetch(url, { method: 'POST', headers, body });
  console.log(JSON.stringify([answer.status, await answer.json()]));
}`;

const WORKER = `export default {
  async queue(batch, env) {
    for (const { id, body, attempts } of batch.messages) {
      const shown = body instanceof ArrayBuffer ? [...new Uint8Array(body)] : body instanceof Map ? [...body] : body;
      await env.SEEN.put(id, JSON.stringify([shown, attempts]));
    }
  },
  async fetch(request, env) {
    if (request.method === 'POST') {
      await env.Q.send(new Map([['a', 1]]), { contentType: 'v8' });
      await env.Q.send(new Uint8Array([0, 255]), { contentType: 'bytes' });
    }
    const { keys } = await env.SEEN.list();
    return Response.json(await Promise.all(keys.map(async ({ name }) => [name, await env.SEEN.get(name, 'json')])));
  },
};`;

/** Notes what it is given, then may go down with all of it. */
const RISKY = `export default {
  async queue(batch, env) {
    for (const { id, attempts } of batch.messages) {
      const seen = (await env.TRIED.get(id, 'json')) ?? [];
      await env.TRIED.put(id, JSON.stringify([...seen, attempts]));
    }
    if (batch.messages.some(({ body }) => body === 'poison')) process.exit(1);
  },
  async fetch(request, env) {
    const { keys } = await env.TRIED.list();
    return Response.json(Object.fromEntries(await Promise.all(keys.map(async ({ name }) => [name, await env.TRIED.get(name, 'json')]))));
  },
};`;

interface Dead {
  messages: { id: string; attempts: number; reason: string; failures: { at: string; reason: string }[] }[];
}
interface Stats {
  depth: number;
  dead: number;
}

describe('queues', () => {
  let gateway: TestGateway;
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hearth-producer-'));
    await writeFile(join(dir, 'producer.mjs'), PRODUCER);
    gateway = await startGateway();
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });

  const produce = async (queue: string, token: string, ...bodies: string[]) => {
    const url = `${gateway.adminUrl}/v1/queues/${queue}/messages`;
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, ['producer.mjs', url, token, ...bodies], {
      cwd: dir,
      timeout: 60_000,
    });
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as [number, Record<string, unknown>]);
  };
  const stats = async (queue: string) => (await gateway.api<Stats>('GET', `/v1/queues/${queue}`)).body;

  test('a producer with a token of its own fills its queue and no other; what it sends arrives as it was', async () => {
    await gateway.deploy('worker', WORKER, {
      manifest: {
        kv_namespaces: [{ binding: 'SEEN', id: 'seen' }],
        queues: {
          producers: [{ binding: 'Q', queue: 'orders' }],
          consumers: [{ queue: 'orders', max_batch_timeout: 0 }],
        },
      },
    });
    const made = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['enqueue:orders'] });
    const { token } = made.body;
    const messages = [
      { id: 'json', body: { n: [1, null, 'ü'] } },
      { id: 'text', body: 'plain "text"\n', contentType: 'text' },
      { id: 'bytes', body: 'AAH/', contentType: 'bytes' },
    ];
    const [first, again] = await produce('orders', token, JSON.stringify({ messages }), JSON.stringify({ messages }));
    const ids = messages.map(({ id }) => id);
    assert.deepEqual(first, [202, { ids, duplicates: [] }]);
    assert.deepEqual(again, [202, { ids, duplicates: ids }]);
    assert.equal((await fetch(`${gateway.url}/worker`, { method: 'POST' })).status, 200);
    await until(async () => ((await stats('orders')).depth === 0 ? true : undefined), 'an empty queue');
    const seen = (await (await fetch(`${gateway.url}/worker`)).json()) as [string, [unknown, number]][];
    const bySender = Object.fromEntries(seen);
    assert.deepEqual(
      ids.map((id) => bySender[id]),
      [
        [{ n: [1, null, 'ü'] }, 1],
        ['plain "text"\n', 1],
        [[0, 1, 255], 1],
      ],
    );
    const byFunction = seen.filter(([id]) => !ids.includes(id)).map(([, [body]]) => JSON.stringify(body));
    assert.deepEqual(byFunction.toSorted(), ['[0,255]', '[["a",1]]']);

    const refused = await produce(
      'orders',
      token,
      '{"messages":[{"body":',
      '{"messages":[]}',
      '{"messages":[{"body":1,"contentType":"text"}]}',
      '{"messages":[{"body":"?","contentType":"bytes"}]}',
      '{"messages":[{"body":"AA==","contentType":"v8"}]}',
      '{"messages":[{"id":"no body"}]}',
    );
    assert.deepEqual(
      refused.map(([status, { code }]) => [status, code]),
      refused.map(() => [400, 'BAD_REQUEST']),
    );
    assert.equal(refused.length, 6);
    const [[elsewhere] = []] = await produce('letters', token, '{"messages":[{"body":1}]}');
    assert.equal(elsewhere, 403);
    const [[unknown] = []] = await produce('orders', `${token}x`, '{"messages":[{"body":1}]}');
    assert.equal(unknown, 401);
    const as = { authorization: `Bearer ${token}` };
    for (const [method, path] of [
      ['GET', '/v1/queues/orders'],
      ['GET', '/v1/queues/orders/dead'],
      ['POST', '/v1/queues/orders/purge'],
    ] as const) {
      assert.equal((await gateway.api(method, path, undefined, as)).status, 403, path);
    }
  });

  test('a message that takes down its base ends among the dead letters, its neighbours lose no attempt', async () => {
    const manifest = {
      kv_namespaces: [{ binding: 'TRIED', id: 'tried' }],
      queues: { consumers: [{ queue: 'risky', max_batch_timeout: 0, max_retries: 9 }] },
    };
    await gateway.api('POST', '/v1/queues/risky/messages', {
      messages: ['a', 'b', 'poison', 'c', 'd'].map((body) => ({ id: body, body })),
    });
    await gateway.deploy('risky', RISKY, { manifest });
    const { dead } = await until(async () => {
      const found = await stats('risky');
      return found.depth === 0 ? found : undefined;
    }, 'an empty queue');
    assert.equal(dead, 1);
    const tried = (await (await fetch(`${gateway.url}/risky`)).json()) as Record<string, number[]>;
    assert.deepEqual(tried, { a: [1, 1], b: [1, 1], c: [1, 1], d: [1, 1], poison: [1, 1, 2] });
    const { messages } = (await gateway.api<Dead>('GET', '/v1/queues/risky/dead')).body;
    const [letter] = messages;
    assert.deepEqual([letter?.id, letter?.failures.length], ['poison', 3]);
    assert.match(letter?.reason ?? '', /^it took down its base 3 times; FUNCTION_CRASHED: /);
    for (const { reason } of letter?.failures ?? []) assert.match(reason, /FUNCTION_CRASHED/);

    await gateway.deploy('risky', RISKY.replace('process.exit(1)', 'null'), { manifest });
    const redriven = await gateway.api('POST', '/v1/queues/risky/redrive');
    assert.deepEqual(redriven.body, { redriven: 1 });
    await until(async () => {
      const now = await stats('risky');
      return now.depth + now.dead === 0 ? true : undefined;
    }, 'the redriven message');
  });
});
