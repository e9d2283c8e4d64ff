/** Named pools through the real gateway: hearth.config.jsonc, deploys, load over HTTP, what operators call. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startGateway, type TestGateway } from '../testing/gateway.ts';
import { assertRefused } from '../testing/refused-start.ts';

const CONFIG = `{
  "pools": {
    "default": { "maxBases": 3, "warm": 1 },
    "batch": { "maxBases": 2, "memoryMb": 700, "warm": 0, "placement": "spread" },
    // Lent two by two.
    "buffer": { "maxBases": 2, "warm": 2 },
  },
}`;
const ENV = { HEARTH_MAX_BASES: '10', HEARTH_BASES_PER_HOST: '2', HEARTH_MEMORY_MB: '4000' };

/** Takes its time without a core. */
const SLOW = `export default { async fetch() {
  await new Promise((resolve) => setTimeout(resolve, 40));
  return new Response('slow');
} }`;
const QUICK = `export default { fetch: () => new Response('quick') }`;

interface Pool {
  hosts: { id: string; pid: number; pool: string; lentBy: string | null; trustGroup: string | null }[];
  pools: {
    name: string;
    maxBases: number;
    memoryMb: number;
    placement: string;
    pressure: string;
    borrowed: number;
    lent: number;
    bases: Record<string, number>;
  }[];
  stock: { pool: string; base: string; target: number }[];
}
interface Event {
  subject: string;
  id: string;
  what: string;
  why: string;
  pool?: string;
}
interface Problem {
  code: string;
  detail: string;
}

describe('named pools', { timeout: 60_000 }, () => {
  let cwd: string;
  let gateway: TestGateway;
  before(async () => {
    cwd = await mkdtemp(join(tmpdir(), 'hearth-pools-'));
    await writeFile(join(cwd, 'hearth.config.jsonc'), CONFIG);
    gateway = await startGateway({ cwd, env: ENV });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await rm(cwd, { recursive: true, force: true });
  });

  const pool = async () => (await gateway.api<Pool>('GET', '/v1/pool')).body;
  const named = async (name: string) => (await pool()).pools.find((one) => one.name === name);
  const events = async () => (await gateway.api<{ events: Event[] }>('GET', '/v1/pool/events?limit=1000')).body.events;
  /** Resolves when the pool has come to this; each look is a call that takes its turn behind what happens. */
  const until = async (is: (now: Pool) => boolean) => {
    let now = await pool();
    while (!is(now)) now = await pool();
    return now;
  };
  const inPool = (name: string, limits: object = {}) => ({ manifest: { hearth: { pool: name, ...limits } } });
  const ask = async (name: string) => {
    const response = await fetch(`${gateway.url}/${name}`);
    return `${response.status} ${await response.text()}`;
  };

  test('each has the size of its own that the file says', async () => {
    const { pools, stock } = await pool();
    assert.deepEqual(
      pools.map(({ name, maxBases, memoryMb, placement }) => [name, maxBases, memoryMb, placement]),
      [
        ['default', 3, 1650, 'pack'],
        ['batch', 2, 700, 'spread'],
        ['buffer', 2, 1650, 'pack'],
      ],
    );
    const targets = stock.map(({ pool: of, target }) => `${of} ${target}`);
    assert.deepEqual(targets.sort(), ['batch 0', 'buffer 2', 'default 1']);
  });

  test('a manifest that asks for another is refused, and told which there are; so is one that asks for the buffer', async () => {
    for (const [name, detail] of [
      ['bacth', /There is no pool "bacth"; there are: default, batch\./],
      ['buffer', /"buffer" lends to other pools only; there are: default, batch\./],
    ] as const) {
      const body = { manifest: { hearth: { pool: name } }, files: { 'index.ts': QUICK } };
      const refused = await gateway.api<Problem>('PUT', '/v1/functions/lost', body);
      assert.equal(refused.status, 422);
      assert.equal(refused.body.code, 'MANIFEST_INVALID');
      assert.match(refused.body.detail, detail);
    }
  });

  test('under a load that fills one pool it borrows, no request fails, and the other pool answers as ever', async () => {
    await gateway.deploy('slow', SLOW, inPool('batch', { concurrency: 1, maxInstances: 4 }));
    await gateway.deploy('quick', QUICK);
    const before = await until(({ pools }) => pools.find(({ name }) => name === 'buffer')?.bases.warm === 2);
    const known = new Set((await events()).filter(({ what }) => what === 'started').map(({ id }) => id));
    let stop = false;
    const load = Array.from({ length: 4 }, async () => {
      const answers = new Set<string>();
      while (!stop) answers.add(await ask('slow'));
      return answers;
    });
    const full = await until(({ pools }) => {
      const batch = pools.find(({ name }) => name === 'batch');
      return batch?.borrowed === 2 && batch.bases.leased === 4;
    });
    const lent = full.hosts.find(({ lentBy }) => lentBy === 'buffer');
    assert.equal(lent?.pool, 'batch');
    // The very process that stood in the buffer.
    assert.equal(before.hosts.find(({ id }) => id === lent.id)?.pid, lent.pid);
    assert.equal(before.hosts.find(({ id }) => id === lent.id)?.pool, 'buffer');
    for (let n = 0; n < 100; n++) assert.equal(await ask('quick'), '200 quick');
    stop = true;
    for (const answers of await Promise.all(load)) assert.deepEqual([...answers], ['200 slow']);

    const happened = await events();
    const told = happened.find(({ what }) => what === 'lent');
    assert.deepEqual([told?.id, told?.pool], [lent.id, 'batch']);
    assert.match(told?.why ?? '', /"batch" is full/);
    const hostsStarted = happened.filter(
      ({ subject, what, pool: of, id }) =>
        subject === 'host' && what === 'started' && of !== 'default' && !known.has(id),
    );
    assert.deepEqual(hostsStarted, []);
  });

  test('a host is moved by an operator, and what cannot be is refused with the reason', async () => {
    const { hosts } = await until(({ hosts: all }) =>
      all.some((host) => host.pool === 'default' && host.trustGroup === null),
    );
    const free = hosts.find((host) => host.pool === 'default' && host.trustGroup === null);
    assert.ok(free);
    const move = (id: string, body: unknown) => gateway.api<Problem>('POST', `/v1/pool/hosts/${id}/move`, body);
    for (const [id, body, status, detail] of [
      ['host-none', { pool: 'batch' }, 404, /There is no host "host-none"/],
      [free.id, { pool: 'none' }, 400, /There is no pool "none"; there are: default, batch, buffer/],
      [free.id, { to: 'batch' }, 400, /./],
    ] as const) {
      const refused = await move(id, body);
      assert.equal(refused.status, status, JSON.stringify(refused.body));
      assert.match(refused.body.detail, detail);
    }
    const { status, body } = await gateway.api('POST', `/v1/pool/hosts/${free.id}/move`, { pool: 'batch' });
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(body, { id: free.id, pool: 'batch', state: 'moved' });
    const moved = (await pool()).hosts.find(({ id }) => id === free.id);
    assert.deepEqual([moved?.pool, moved?.pid], ['batch', free.pid]);
    assert.equal((await named('default'))?.maxBases, 2);
    assert.equal((await named('batch'))?.maxBases, 3);
    assert.ok((await events()).some(({ what, id }) => what === 'moved' && id === free.id));
  });

  test('a pool is made larger, but not beyond what the others leave', async () => {
    const change = (name: string, body: unknown) => gateway.api<Problem>('PATCH', `/v1/pool/pools/${name}`, body);
    const { status, body } = await gateway.api<{ maxBases: number; placement: string }>(
      'PATCH',
      '/v1/pool/pools/batch',
      {
        maxBases: 5,
        placement: 'pack',
      },
    );
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual([body.maxBases, body.placement], [5, 'pack']);
    const more = await change('batch', { maxBases: 7 });
    assert.equal(more.status, 409);
    assert.match(more.body.detail, /"batch" can have 6 bases at most: HEARTH_MAX_BASES less the other pools/);
    assert.equal((await change('none', { maxBases: 1 })).status, 404);
    assert.equal((await change('batch', { maxBases: 0 })).status, 400);
    assert.equal((await change('batch', { size: 3 })).status, 400);
  });

  test('both are for the admin alone, and in the audit', async () => {
    const made = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['read', 'deploy:*'] });
    const headers = { authorization: `Bearer ${made.body.token}` };
    assert.equal((await gateway.api('GET', '/v1/pool', undefined, headers)).status, 200);
    for (const [method, path, body] of [
      ['POST', '/v1/pool/hosts/host-1/move', { pool: 'batch' }],
      ['PATCH', '/v1/pool/pools/batch', { maxBases: 1 }],
    ] as const) {
      assert.equal((await gateway.api(method, path, body, headers)).status, 403, path);
    }
    const { body } = await gateway.api<{ records: { action: string }[] }>('GET', '/v1/audit');
    const actions = body.records.map(({ action }) => action);
    assert.ok(actions.includes('pool.move') && actions.includes('pool.change'), actions.join(' '));
  });

  test('metrics are told by pool', async () => {
    const { body } = await gateway.api<string>('GET', '/metrics');
    assert.match(body, /^hearth_pool_bases\{hearth_pool="batch",hearth_base_state="leased"\} \d+$/m);
    assert.match(body, /^hearth_pool_size\{hearth_pool="batch"\} 5$/m);
    assert.match(body, /^hearth_pool_borrowed\{hearth_pool="batch"\} \d+$/m);
  });
});

describe('a start with pools that cannot be ends with a sentence', { timeout: 60_000 }, () => {
  for (const [what, config, sentence] of [
    [
      'together more than there is',
      '{ "pools": { "batch": { "maxBases": 200 }, "buffer": { "maxBases": 100 } } }',
      /pools: together they have 300 bases, and HEARTH_MAX_BASES allows 256\./,
    ],
    [
      'nothing left for the functions that name none',
      '{ "pools": { "batch": { "maxBases": 256 } } }',
      /pools: of HEARTH_MAX_BASES \(256\) too little is left for "default", which name no maxBases: 0 bases\./,
    ],
  ] as const) {
    test(what, () => assertRefused(config, {}, sentence));
  }
});
