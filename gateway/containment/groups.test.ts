import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Rig, startRig } from './testing/rig.ts';

describe('what belongs to another trust group', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
    const kv_namespaces = [{ binding: 'KV', id: 'shared-id' }];
    await rig.deployAttacker('owner', { kv_namespaces, hearth: { trustGroup: 'owners' } });
    await rig.deployAttacker('hidden', { hearth: { trustGroup: 'owners', publish: false } });
    await rig.deployAttacker('locked', { hearth: { trustGroup: 'owners', auth: { bearer: 'constructor' } } });
    await rig.deployAttacker('sister', { hearth: { trustGroup: 'attackers', publish: false } });
    const service = (binding: string, name: string, more = {}) => ({ binding, service: name, ...more });
    await rig.deployAttacker('thief', {
      kv_namespaces,
      services: [
        service('OPEN', 'owner'),
        service('NAMED', 'owner', { entrypoint: 'default' }),
        service('PROPS', 'owner', { props: { admin: true } }),
        service('HIDDEN', 'hidden'),
        service('LOCKED', 'locked'),
        service('SISTER', 'sister', { props: { a: 1 } }),
      ],
    });
  });
  after(() => rig[Symbol.asyncDispose]());

  test('is no KV namespace by its id', async () => {
    assert.equal(await rig.result("await env.KV.put('k', 'mine'); return env.KV.get('k')", 'owner'), 'mine');
    const seen = await rig.result(
      "const v = await env.KV.get('k'); await env.KV.put('k', 'theirs'); await env.KV.delete('k'); return [v, (await env.KV.list()).keys]",
      'thief',
    );
    assert.deepEqual(seen, [null, []]);
    assert.equal(await rig.result("return env.KV.get('k')", 'owner'), 'mine');
  });

  test("is the gateway's memory: values that are asked for and never read are held up to a limit", async () => {
    const rssMb = () => Number(readFileSync(`/proc/${rig.gateway.pid}/statm`, 'utf8').split(' ')[1]) / 256;
    const before = rssMb();
    const said = (await rig.result(
      `await env.KV.put('big', new Uint8Array(20 * 1024 * 1024));
       const streams = await Promise.all(Array.from({ length: 60 }, () => attempt(() => env.KV.get('big', 'stream'))));
       return streams.map((s) => typeof s === 'string' ? s : 'a stream');`,
      'thief',
    )) as string[];
    const grownMb = rssMb() - before;
    assert.ok(said.filter((line) => line === 'a stream').length < 20, String(said));
    assert.ok(said.some((line) => /Too many values wait/.test(line)));
    // All of them would be 1,200.
    assert.ok(grownMb < 600, `${grownMb} MB more`);
    assert.equal(
      await rig.result("return (await env.KV.get('big', 'arrayBuffer')).byteLength", 'thief'),
      20 * 1024 * 1024,
    );
  });

  test('is called over a service binding only as far as any HTTP client may', async () => {
    const said = (await rig.result(
      "const out = {}; for (const name of ['OPEN', 'SISTER', 'NAMED', 'PROPS', 'HIDDEN', 'LOCKED']) out[name] = await attempt(async () => (await env[name].fetch('http://x/', { method: 'POST', body: \"return 'answered'\" })).status); return out",
      'thief',
    )) as Record<string, unknown>;
    assert.equal(said.OPEN, 200);
    assert.equal(said.SISTER, 200, 'within the group everything goes');
    for (const name of ['NAMED', 'PROPS', 'HIDDEN', 'LOCKED'])
      assert.match(String(said[name]), /of another trust group/, name);
  });

  test('is called over a service binding while it is published so, and not before or after', async () => {
    const call = () =>
      rig.result(
        "return attempt(async () => (await env.HIDDEN.fetch('http://x/', { method: 'POST', body: \"return 1\" })).status)",
        'thief',
      );
    const publish = (rpc: boolean) =>
      rig.gateway.api('PUT', '/v1/publications/hidden-rpc', { function: 'hidden', routes: [], rpc });
    assert.equal((await publish(false)).status, 201);
    assert.match(String(await call()), /of another trust group/);
    assert.equal((await publish(true)).status, 200);
    assert.equal(await call(), 200);
    assert.equal((await rig.gateway.api('DELETE', '/v1/publications/hidden-rpc')).status, 204);
    assert.match(String(await call()), /of another trust group/);
  });

  test('is no queue: neither to send to nor to take from, before or after an activation', async () => {
    const deploy = (name: string, trustGroup: string, queues: object, query = '') =>
      rig.gateway.api<{ code: string; detail: string }>('PUT', `/v1/functions/${name}${query}`, {
        manifest: { name, main: 'index.ts', queues, hearth: { trustGroup } },
        files: { 'index.ts': 'export default { fetch: () => new Response(), queue() {} }' },
      });
    const consumer = { consumers: [{ queue: 'orders' }] };
    const producer = (queue: string) => ({ producers: [{ binding: 'Q', queue }] });
    assert.equal((await deploy('orders-in', 'owners', consumer)).status, 201);
    assert.equal((await deploy('orders-out', 'owners', producer('orders'))).status, 201);
    for (const [queues, query] of [
      [producer('orders'), ''],
      [producer('orders.dead'), ''],
      [{ consumers: [{ queue: 'orders.dead' }] }, ''],
      [{ consumers: [{ queue: 'other', dead_letter_queue: 'orders' }] }, ''],
      [consumer, '?activate=false'],
    ] as const) {
      const { status, body } = await deploy('queue-thief', 'attackers', queues, query);
      assert.equal(status, 409, JSON.stringify(body));
      assert.match(body.detail, /belongs to the trust group owners/);
    }
    assert.equal((await deploy('queue-thief', 'attackers', {})).status, 201);
    for (const [queue, why] of [
      ['orders', /consumed by the function orders-in/],
      ['orders.dead', /belongs to the trust group owners/],
    ] as const) {
      const settings = { function: 'queue-thief', queues: [queue] };
      const { status, body } = await rig.gateway.api<{ detail: string }>(
        'PUT',
        '/v1/publications/queue-thief',
        settings,
      );
      assert.equal(status, 409, JSON.stringify(body));
      assert.match(body.detail, why);
    }
  });

  test('is no secret that is named like a property of every object', async () => {
    for (const token of ['', 'Bearer constructor', 'Bearer function Object() { [native code] }']) {
      const response = await fetch(`${rig.gateway.url}/locked`, { headers: { authorization: token } });
      assert.equal(response.status, 403);
      assert.match(await response.text(), /is not set/);
    }
  });
});
