/** What is left when processes are killed: of messages everything, of processes nothing. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../functions/examples/testing/until.ts';
import { alive } from '../../pool/keeper/testing/processes.ts';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

/** Notes each message in KV under its id. */
const CONSUMER = `
export default {
  async fetch(request, env) {
    const ids = [];
    let cursor;
    do {
      const page = await env.SEEN.list({ cursor });
      ids.push(...page.keys.map(({ name }) => name));
      cursor = page.cursor;
    } while (cursor !== undefined);
    return Response.json(ids);
  },
  async queue(batch, env) {
    for (const message of batch.messages) {
      await env.SEEN.put(message.id, String(message.attempts));
      message.ack();
    }
  },
};`;

const MANIFEST = {
  name: 'consumer',
  main: 'index.ts',
  kv_namespaces: [{ binding: 'SEEN', id: 'seen' }],
  queues: { consumers: [{ queue: 'jobs', max_batch_size: 10, max_batch_timeout: 0 }] },
};

async function seen(gateway: TestGateway): Promise<string[]> {
  return (await (await fetch(`${gateway.url}/consumer`)).json()) as string[];
}

/** All processes that descend from this one, as the kernel tells it. */
async function descendants(pid: number): Promise<number[]> {
  const parents = new Map<number, number[]>();
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => null);
    if (stat === null) continue;
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    parents.set(parent, [...(parents.get(parent) ?? []), Number(entry)]);
  }
  const found: number[] = [];
  const queue = [pid];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const children = parents.get(next) ?? [];
    found.push(...children);
    queue.push(...children);
  }
  return found;
}

test('kill -9 of the gateway amid a thousand messages loses none of them and leaves no process', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-crash-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const accepted: string[] = [];
  {
    await using gateway = await startGateway({ dataDir });
    await gateway.deploy('consumer', { 'index.ts': CONSUMER }, { manifest: MANIFEST });
    const sending = (async () => {
      for (let batch = 0; batch < 100; batch++) {
        const messages = Array.from({ length: 10 }, (_, n) => ({ id: `m-${batch}-${n}`, body: { batch, n } }));
        const answer = await gateway.api('POST', '/v1/queues/jobs/messages', { messages });
        assert.equal(answer.status, 202);
        accepted.push(...messages.map(({ id }) => id));
      }
    })();
    // In the middle: some are handled, and most are not even sent.
    await until(async () => ((await seen(gateway)).length >= 100 ? true : undefined));
    const children = await descendants(gateway.pid);
    assert.ok(children.length >= 2, 'hosts and builder are there');
    await Promise.all([gateway.kill9(), sending.catch(() => undefined)]);
    for (const pid of children) {
      await until(async () => ((await alive(pid)) ? undefined : true));
    }
  }
  assert.ok(accepted.length >= 100, 'many were accepted before the kill');
  await using again = await startGateway({ dataDir });
  const missing = await until(async () => {
    const ids = new Set(await seen(again));
    const left = accepted.filter((id) => !ids.has(id));
    return left.length === 0 ? left : undefined;
  });
  assert.deepEqual(missing, []);
});

test('kill -9 of a host under load: what had not started is answered, the rest is told, the pool is full again', async () => {
  await using gateway = await startGateway({ env: { HEARTH_WARM_BASES: '4' } });
  await gateway.deploy(
    'slow',
    `export default { async fetch(request) {
       if (request.url.endsWith('/hold')) { console.log('holding'); await new Promise((resolve) => setTimeout(resolve, 60_000)); }
       return new Response('ok');
     } }`,
  );
  type Pool = {
    stock: { warm: number; target: number }[];
    hosts: { pid: number; bases: { function: string | null }[] }[];
  };
  const isFull = ({ stock }: Pool) => stock.every(({ warm, target }) => target >= 4 && warm >= target);
  const pool = async () => (await gateway.api<Pool>('GET', '/v1/pool')).body;
  await until(async () => (isFull(await pool()) ? true : undefined));
  const held = Array.from({ length: 5 }, () => fetch(`${gateway.url}/slow/hold`));
  await gateway.said(/(?:holding[\s\S]*){5}/);
  const load = Array.from({ length: 8 }, async () => {
    const statuses: number[] = [];
    for (let n = 0; n < 60; n++) {
      const response = await fetch(`${gateway.url}/slow/`);
      await response.arrayBuffer();
      statuses.push(response.status);
    }
    return statuses;
  });
  const host = (await pool()).hosts.find(({ bases }) => bases.some((base) => base.function === 'slow'));
  assert.ok(host);
  process.kill(host.pid, 'SIGKILL');
  for (const response of await Promise.all(held)) {
    assert.equal(response.status, 502);
    assert.equal(((await response.json()) as { code: string }).code, 'FUNCTION_CRASHED');
  }
  const statuses = (await Promise.all(load)).flat();
  assert.equal(statuses.length, 480);
  // Handlers that had begun when the host died are told so; nobody gets anything else.
  assert.deepEqual(
    [...new Set(statuses)].filter((status) => status !== 502),
    [200],
  );
  assert.ok(statuses.filter((status) => status === 502).length <= 8, 'at most what was in flight');
  const full = await until(async () => {
    const now = await pool();
    return isFull(now) && now.hosts.every(({ pid }) => pid !== host.pid) ? now : undefined;
  });
  assert.ok(full.hosts.length > 0);
});
