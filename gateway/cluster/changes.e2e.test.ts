/** What is changed at one gateway is soon so at another; each look is a real request there. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { REDIS_MISSING } from '../store/redis/testing/server.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { answers, type Cluster, startCluster, until } from './testing/cluster.ts';

const says = (text: string) => `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;

interface Versions {
  versions: { version: string }[];
}

describe('two gateways on one Redis', { skip: REDIS_MISSING }, () => {
  let cluster: Cluster;
  let a: TestGateway;
  let b: TestGateway;
  before(async () => {
    cluster = await startCluster(2);
    [a, b] = cluster.gateways as [TestGateway, TestGateway];
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  const done = async (gateway: TestGateway, method: string, path: string, body?: unknown) => {
    const answer = await gateway.api(method, path, body);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };

  it('serve what was deployed at either, in its last version', async () => {
    await a.deploy('turns', says('one'));
    await answers(`${b.url}/turns`, 'one');
    await b.deploy('turns', says('two'));
    await answers(`${a.url}/turns`, 'two');
    await a.deploy('turns', says('three'));
    await answers(`${b.url}/turns`, 'three');
    const { body } = await b.api<{ versions: unknown[] }>('GET', '/v1/functions/turns/versions');
    assert.equal(body.versions.length, 3);
  });

  it('follow traffic, its rules and a rollback', async () => {
    const one = await a.deploy('moves', says('one'));
    const two = await a.deploy('moves', says('two'));
    await answers(`${b.url}/moves`, 'two');
    const beta = { 'x-beta': 'yes' };
    await done(a, 'PUT', '/v1/functions/moves/traffic', {
      split: [{ version: one.version, percent: 100 }],
      rules: [{ when: { header: beta }, version: two.version }],
    });
    await answers(`${b.url}/moves`, 'one');
    await answers(`${b.url}/moves`, 'two', { headers: beta });
    await done(b, 'POST', '/v1/functions/moves/rollback');
    await answers(`${a.url}/moves`, 'two');
  });

  it('choose the same version for the same caller of a split', async () => {
    const one = await a.deploy('split', says('one'));
    const two = await a.deploy('split', says('two'));
    await done(a, 'PUT', '/v1/functions/split/traffic', {
      split: [
        { version: one.version, percent: 50 },
        { version: two.version, percent: 50 },
      ],
      stickyBy: { header: 'x-user' },
    });
    const chosen = async ({ url }: TestGateway) => {
      const texts: string[] = [];
      for (let user = 0; user < 40; user++) {
        texts.push(await (await fetch(`${url}/split`, { headers: { 'x-user': `user ${user}` } })).text());
      }
      return texts.join(' ');
    };
    const atA = await chosen(a);
    assert.match(atA, /one/);
    assert.match(atA, /two/);
    await until(async () => (await chosen(b)) === atA);
  });

  it('give a route to one of two functions that claim it at both in the same moment, and tell the other', async () => {
    await a.deploy('left', says('left'), { manifest: { hearth: { publish: false } } });
    await a.deploy('right', says('right'), { manifest: { hearth: { publish: false } } });
    await until(async () => (await b.api('GET', '/v1/functions/right')).status === 200);
    for (let n = 0; n < 20; n++) {
      const claim = (gateway: TestGateway, name: string) =>
        gateway.api('PUT', `/v1/publications/${name}-${n}`, { function: name, routes: [`/claimed/${n}/*`] });
      const taken = (await Promise.all([claim(a, 'left'), claim(b, 'right')])).map(({ status }) => status);
      assert.deepEqual(taken.toSorted(), [201, 409]);
      await answers(`${a.url}/claimed/${n}/`, taken[0] === 201 ? 'left' : 'right');
      await answers(`${b.url}/claimed/${n}/`, taken[0] === 201 ? 'left' : 'right');
    }
  });

  it('keep both versions of a function that is deployed at both in the same moment', async () => {
    for (let n = 0; n < 5; n++) {
      const both = await Promise.all([a.deploy('twins', says(`a${n}`)), b.deploy('twins', says(`b${n}`))]);
      for (const gateway of [a, b]) {
        await until(async () => {
          const { body } = await gateway.api<Versions>('GET', '/v1/functions/twins/versions');
          const kept = new Set(body.versions.map(({ version }) => version));
          return both.every(({ version }) => kept.has(version)) && kept.size === 2 * (n + 1);
        });
      }
    }
    const said = async ({ url }: TestGateway) => (await fetch(`${url}/twins`)).text();
    await until(async () => (await said(a)) === (await said(b)));
  });

  it('publish and unpublish for each other', async () => {
    await a.deploy('shown', says('shown'), { manifest: { hearth: { publish: false } } });
    await done(a, 'PUT', '/v1/publications/window', { function: 'shown', routes: ['/window/*'] });
    await answers(`${b.url}/window/pane`, 'shown');
    await done(b, 'PUT', '/v1/publications/window', { function: 'shown', routes: ['/door/*'] });
    await answers(`${a.url}/door/handle`, 'shown');
    assert.equal((await fetch(`${a.url}/window/pane`)).status, 404);
    await done(b, 'DELETE', '/v1/publications/window');
    await until(async () => (await fetch(`${a.url}/door/handle`)).status === 404);
    await a.deploy('plain', says('plain'));
    await answers(`${b.url}/plain`, 'plain');
    await done(b, 'DELETE', '/v1/publications/plain');
    await until(async () => (await fetch(`${a.url}/plain`)).status === 404);
  });

  it('take new values of secrets, and let go of instances that have the old ones', async () => {
    const secret = 'export default { fetch: () => new Response(process.env.PASS ?? "none") };';
    await a.deploy('vault', secret);
    await answers(`${b.url}/vault`, 'none');
    await done(a, 'PUT', '/v1/functions/vault/secrets/PASS', { value: 'open sesame' });
    await answers(`${b.url}/vault`, 'open sesame');
    await done(b, 'PUT', '/v1/functions/vault/secrets/PASS', { value: 'shut' });
    await answers(`${a.url}/vault`, 'shut');
    await done(a, 'DELETE', '/v1/functions/vault/secrets/PASS');
    await answers(`${b.url}/vault`, 'none');
    await until(async () => {
      const { body } = await b.api('GET', '/v1/pool');
      return (JSON.stringify(body).match(/"vault"/g) ?? []).length <= 1;
    });
  });

  it('know no function and no version that was deleted at another, also in a later life of its name', async () => {
    const one = await a.deploy('gone', says('one'));
    await a.deploy('gone', says('two'));
    const three = await a.deploy('gone', says('three'));
    await answers(`${b.url}/gone`, 'three');
    await done(a, 'DELETE', `/v1/functions/gone/versions/${one.version}`);
    await until(async () => (await b.api('GET', `/v1/functions/gone/versions/${one.version}`)).status === 404);
    await done(a, 'DELETE', '/v1/functions/gone');
    await until(async () => (await fetch(`${b.url}/gone`)).status === 404);
    assert.equal((await b.api('GET', '/v1/functions/gone')).status, 404);
    await b.deploy('gone', says('three'));
    await answers(`${a.url}/gone`, 'three');
    const { body } = await a.api<{ versions: { version: string }[] }>('GET', '/v1/functions/gone/versions');
    assert.deepEqual(
      body.versions.map(({ version }) => version),
      [three.version],
    );
  });

  it('take tokens that were made at another, until they are revoked there', async () => {
    const made = (await done(a, 'POST', '/v1/tokens', { scopes: ['read'] })) as { id: string; token: string };
    const asked = async () => {
      const headers = { authorization: `Bearer ${made.token}` };
      return (await fetch(`${b.adminUrl}/v1/functions`, { headers })).status;
    };
    await until(async () => (await asked()) === 200);
    await done(a, 'DELETE', `/v1/tokens/${made.id}`);
    await until(async () => (await asked()) === 401);
  });

  it('pause and resume a queue for each other', async () => {
    const consumer = 'export default { fetch: () => new Response("up"), queue: () => undefined };';
    const queues = { consumers: ['held', 'open'].map((queue) => ({ queue, max_batch_timeout: 0 })) };
    await a.deploy('consumer', consumer, { manifest: { queues } });
    await answers(`${b.url}/consumer`, 'up');
    const at = async (gateway: TestGateway, queue: string) =>
      (await gateway.api<{ depth: number; settings: { paused: boolean } }>('GET', `/v1/queues/${queue}`)).body;
    const send = (gateway: TestGateway, queue: string) =>
      done(gateway, 'POST', `/v1/queues/${queue}/messages`, { messages: [{ body: 1 }] });
    await until(async () => (await at(b, 'held')).settings.paused === false);
    await done(a, 'POST', '/v1/queues/held/pause', { paused: true });
    await until(async () => (await at(b, 'held')).settings.paused);
    await send(b, 'held');
    await send(b, 'open');
    await until(async () => (await at(b, 'open')).depth === 0);
    assert.equal((await at(a, 'held')).depth, 1);
    await done(b, 'POST', '/v1/queues/held/pause', { paused: false });
    await until(async () => (await at(a, 'held')).depth === 0);
    assert.equal((await at(a, 'held')).settings.paused, false);
  });

  it('share the messages that one of them was given', async () => {
    // Each waits for the other, and neither gateway takes two.
    const pair = `export default {
      fetch: () => new Response('up'),
      async queue(batch, env) {
        await env.KV.put('began/' + batch.messages[0].id, '');
        while ((await env.KV.list({ prefix: 'began/' })).keys.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
      },
    };`;
    const consumers = [{ queue: 'pairs', max_batch_size: 1, max_batch_timeout: 0, max_concurrency: 2 }];
    await a.deploy('pair', pair, {
      manifest: {
        kv_namespaces: [{ binding: 'KV', id: 'pair' }],
        queues: { consumers },
        hearth: { concurrency: 1, maxInstances: 1 },
      },
    });
    await answers(`${b.url}/pair`, 'up');
    for (const id of ['one', 'two'])
      await done(a, 'POST', '/v1/queues/pairs/messages', { messages: [{ id, body: 1 }] });
    const depth = async () => (await b.api<{ depth: number }>('GET', '/v1/queues/pairs')).body.depth;
    await until(async () => (await depth()) === 0);
  });

  it('have no more batches of a queue in flight than max_concurrency, both together', async () => {
    let inFlight = 0;
    let most = 0;
    let handled = 0;
    // Each batch lasts until both gateways have been asked for more than once, so that another had time to begin.
    const server = createServer(async (_, response) => {
      most = Math.max(most, ++inFlight);
      for (let n = 0; n < 5; n++) for (const gateway of [a, b]) await gateway.api('GET', '/v1/queues/ones');
      inFlight -= 1;
      handled += 1;
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const one = `export default {
      fetch: () => new Response('up'),
      async queue() { await (await fetch('http://127.0.0.1:${port}/')).text(); },
    };`;
    const consumers = [{ queue: 'ones', max_batch_size: 1, max_batch_timeout: 0, max_concurrency: 1 }];
    try {
      await a.deploy('one', one, { manifest: { queues: { consumers } } });
      await answers(`${b.url}/one`, 'up');
      const messages = Array.from({ length: 10 }, (_, body) => ({ body }));
      await Promise.all([a, b].map((gateway) => done(gateway, 'POST', '/v1/queues/ones/messages', { messages })));
      await until(async () => (await b.api<{ depth: number }>('GET', '/v1/queues/ones')).body.depth === 0);
      assert.deepEqual([most, handled], [1, 20]);
    } finally {
      server.close();
    }
  });
});
