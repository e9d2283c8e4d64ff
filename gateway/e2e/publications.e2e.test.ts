/** Deploying and publishing as two acts, through the real gateway: routes, crons and queues come and go under load. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Answer, startGateway, type TestGateway } from '../testing/gateway.ts';

/** Counts what reaches it, and tells whoever waits for a count. */
const SHOP = `
const instance = crypto.randomUUID();
const counts = { held: 0, ticks: 0, messages: 0 };
const waiting = [];
let release;
const gate = new Promise((resolve) => { release = resolve; });
function count(what) {
  counts[what] += 1;
  for (const each of waiting) if (counts[each.what] >= each.n) each.resolve();
}
function reached(what, n) {
  return new Promise((resolve) => {
    if (counts[what] >= n) resolve();
    else waiting.push({ what, n, resolve });
  });
}
export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname.split('/').at(-1)) {
      case 'hold': count('held'); await gate; return new Response('held');
      case 'release': release(); return new Response('released');
      case 'reached': await reached(searchParams.get('what'), Number(searchParams.get('n'))); return new Response('reached');
      case 'begun': {
        const { readable, writable } = new TransformStream();
        const writer = writable.getWriter();
        writer.write(new TextEncoder().encode('begun'));
        request.text().then(() => writer.write(new TextEncoder().encode(' by ' + instance))).then(() => writer.close());
        return new Response(readable);
      }
      case 'read': return Response.json({ instance, body: await request.text() });
      default: return new Response(instance);
    }
  },
  scheduled() { count('ticks'); },
  queue(batch) { for (const message of batch.messages) { message.ack(); count('messages'); } },
};`;

const MANIFEST = {
  triggers: { crons: ['* * * * * *'] },
  queues: { consumers: [{ queue: 'orders', max_batch_timeout: 0 }] },
  hearth: { publish: false, maxInstances: 1 },
};

interface Problem {
  code: string;
  detail: string;
}
interface View {
  name: string;
  function: string;
  routes: string[];
  byName: boolean;
  crons: string[];
  implied: boolean;
  tag: string | null;
}

describe('publications', { timeout: 120_000 }, () => {
  let dataDir: string;
  let gateway: TestGateway;
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'hearth-publications-'));
    gateway = await startGateway({ dataDir });
    await gateway.deploy('shop', SHOP, { manifest: MANIFEST });
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });

  const get = (path: string, headers: Record<string, string> = {}) => fetch(`${gateway.url}${path}`, { headers });
  const put = (name: string, body: unknown, token?: string) =>
    gateway.api<View & Problem>('PUT', `/v1/publications/${name}`, body, bearer(token));
  const remove = (name: string, token?: string) =>
    gateway.api<Problem>('DELETE', `/v1/publications/${name}`, undefined, bearer(token));
  const bearer = (token?: string): Record<string, string> =>
    token === undefined ? {} : { authorization: `Bearer ${token}` };

  async function noRoute(path: string, headers: Record<string, string> = {}): Promise<void> {
    const answer = await get(path, headers);
    assert.equal(answer.status, 404);
    assert.equal(((await answer.json()) as Problem).code, 'NO_ROUTE');
  }

  /** Through the control API, which reaches what is not published. */
  async function byHand(path: string, name = 'shop'): Promise<string> {
    const request = { trigger: 'http', path };
    const answer = await gateway.api<{ body: string }>('POST', `/v1/functions/${name}/invoke`, request);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body.body;
  }

  async function cronsOf(name: string): Promise<string[]> {
    const { body } = await gateway.api<{ crons: { function: string; expression: string }[] }>('GET', '/v1/crons');
    return body.crons.filter((cron) => cron.function === name).map(({ expression }) => expression);
  }

  async function queue(name: string): Promise<{ consumer: string | null; depth: number }> {
    const { body } = await gateway.api<{ consumer: string | null; depth: number }>('GET', `/v1/queues/${name}`);
    return { consumer: body.consumer, depth: body.depth };
  }

  async function send(name: string, count: number): Promise<void> {
    const messages = Array.from({ length: count }, (_, i) => ({ body: i }));
    assert.equal((await gateway.api('POST', `/v1/queues/${name}/messages`, { messages })).status, 202);
  }

  test('a function that is only deployed runs by hand, and has no route, no cron and no consumer', async () => {
    await noRoute('/shop');
    await noRoute('/shop/x');
    assert.match(await byHand('/'), /^[\da-f-]{36}$/);
    assert.deepEqual(await cronsOf('shop'), []);
    await send('orders', 2);
    assert.deepEqual(await queue('orders'), { consumer: null, depth: 2 });
    const view = await gateway.api<{ published: boolean }>('GET', '/v1/functions/shop');
    assert.equal(view.body.published, false);
    assert.equal((await gateway.api('GET', '/v1/publications/shop')).status, 404);
  });

  test('a publication gives it its routes, its crons and what waited in its queue', async () => {
    const made = await put('web', { function: 'shop', routes: ['/s/*'] });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    assert.deepEqual([made.body.routes, made.body.crons, made.body.implied], [['*/s/*'], ['* * * * * *'], false]);
    const answer = await get('/s/x');
    assert.deepEqual([answer.status, await answer.text()], [200, await byHand('/')]);
    await noRoute('/shop');
    await noRoute('/web');
    assert.deepEqual(await cronsOf('shop'), ['* * * * * *']);
    await byHand('/reached?what=ticks&n=1');
    await byHand('/reached?what=messages&n=2');
    assert.equal((await queue('orders')).consumer, 'shop');
    const view = await gateway.api<{ published: boolean }>('GET', '/v1/functions/shop');
    assert.equal(view.body.published, true);
    assert.equal((await put('web', { function: 'shop', routes: ['/s/*'] })).status, 200);
  });

  test('taken back under load it fails no request that was let in, and lets no other in', async () => {
    const held = Array.from({ length: 20 }, () => get('/s/hold'));
    await byHand('/reached?what=held&n=20');
    let takenBack = false;
    const seen: { after: boolean; status: number; code: string | null }[] = [];
    const loops = Array.from({ length: 8 }, () => Promise.withResolvers<void>());
    const load = loops.map(async (first) => {
      for (let status = 200; status === 200; ) {
        const after = takenBack;
        const answer = await get('/s/x');
        const text = await answer.text();
        status = answer.status;
        seen.push({ after, status, code: status === 200 ? null : (JSON.parse(text) as Problem).code });
        first.resolve();
      }
    });
    await Promise.all(loops.map(({ promise }) => promise));
    assert.equal((await remove('web')).status, 204);
    takenBack = true;
    await Promise.all(load);
    for (const { after, status, code } of seen) {
      if (after) assert.equal(status, 404);
      if (status !== 200) assert.deepEqual([status, code], [404, 'NO_ROUTE']);
    }
    assert.ok(seen.filter(({ status }) => status === 200).length >= loops.length);
    await noRoute('/s/hold');

    await byHand('/release');
    const answers = await Promise.all(held);
    assert.deepEqual(
      new Set(await Promise.all(answers.map(async (each) => `${each.status} ${await each.text()}`))),
      new Set(['200 held']),
    );
    assert.equal((await remove('web')).status, 404);
  });

  test('its messages wait while nobody consumes them, and are delivered to whoever is published next', async () => {
    assert.deepEqual(await cronsOf('shop'), []);
    await send('orders', 1);
    assert.deepEqual(await queue('orders'), { consumer: null, depth: 1 });
    assert.equal((await put('sub', { function: 'shop', routes: [], crons: [] })).status, 201);
    await byHand('/reached?what=messages&n=3');
    assert.deepEqual(await cronsOf('shop'), []);
    assert.equal((await remove('sub')).status, 204);
  });

  test('publishing and taking back disturbs no other publication, of the same function or another', async () => {
    await put('stays', { function: 'shop', routes: ['/stays/*'], crons: [], queues: [] });
    let changing = true;
    const failed: number[] = [];
    let served = 0;
    const load = Array.from({ length: 4 }, async () => {
      while (changing) {
        const answer = await get('/stays/x');
        await answer.arrayBuffer();
        if (answer.status === 200) served += 1;
        else failed.push(answer.status);
      }
    });
    for (let i = 0; i < 10; i++) {
      await put('comes', { function: 'shop', routes: [`/comes/${i}/*`, '/comes/all/*'] });
      await put('comes', { function: 'shop', routes: ['/comes/all/*'], crons: [], queues: [] });
      assert.equal((await get('/comes/all/x')).status, 200);
      await noRoute(`/comes/${i}/x`);
      assert.equal((await remove('comes')).status, 204);
      await noRoute('/comes/all/x');
    }
    changing = false;
    await Promise.all(load);
    assert.deepEqual(failed, []);
    assert.ok(served > 0);
    await remove('stays');
  });

  test('what a manifest publishes is taken back and given again by the name of the function', async () => {
    await gateway.deploy('open', SHOP);
    const shown = await gateway.api<View>('GET', '/v1/publications/open');
    assert.deepEqual([shown.body.implied, shown.body.byName], [true, true]);
    assert.equal((await get('/open')).status, 200);
    assert.equal((await remove('open')).status, 204);
    await noRoute('/open');
    await gateway.deploy('open', `${SHOP} // again`);
    await noRoute('/open');
    assert.equal((await put('open', { function: 'open' })).status, 201);
    assert.equal((await get('/open')).status, 200);
  });

  test('a tag in header or query chooses among the publications of one route', async () => {
    await gateway.deploy('spring', SHOP, { manifest: { hearth: { publish: false } } });
    await gateway.deploy('plain', SHOP, { manifest: { hearth: { publish: false } } });
    await put('plain-web', { function: 'plain', routes: ['/t/*'] });
    assert.equal((await put('spring-web', { function: 'spring', routes: ['/t/*'], tag: 'spring' })).status, 201);
    const clash = await put('spring-two', { function: 'spring', routes: ['/t/*'], tag: 'spring' });
    assert.deepEqual([clash.status, clash.body.code], [409, 'CONFLICT']);
    assert.match(clash.body.detail, /spring-web/);

    const [spring, plain] = [await byHand('/', 'spring'), await byHand('/', 'plain')];
    const asked = async (path: string, tag?: string) =>
      (await get(path, tag === undefined ? {} : { 'x-hearth-tag': tag })).text();
    assert.equal(await asked('/t/x'), plain);
    assert.equal(await asked('/t/x', 'spring'), spring);
    assert.equal(await asked('/t/x?hearth-tag=spring'), spring);
    assert.equal(await asked('/t/x', 'autumn'), plain);
    await remove('plain-web');
    await noRoute('/t/x');
    assert.equal(await asked('/t/x', 'spring'), spring);
  });

  test('a split has instances and limits of its own, and the caller sees one function', async () => {
    await gateway.deploy('job', SHOP, { manifest: { hearth: { publish: false, maxInstances: 1 } } });
    const settings = {
      function: 'job',
      routes: ['/w/*'],
      splits: [
        { name: 'batch', when: { header: { 'x-from': 'batch' } }, maxInstances: 1, concurrency: 1 },
        { name: 'tagged', tag: 'own' },
        { name: 'large', when: { json: { '/kind': 'large' } } },
      ],
    };
    assert.equal((await put('job-web', settings)).status, 201);
    const read = async (init: RequestInit = {}) => {
      const answer = await fetch(`${gateway.url}/w/read`, { method: 'POST', body: 'text', ...init });
      assert.equal(answer.status, 200);
      return (await answer.json()) as { instance: string; body: string };
    };
    const large = JSON.stringify({ kind: 'large', filling: 'x'.repeat(200_000) });
    const whole = await read();
    const batch = await read({ headers: { 'x-from': 'batch' } });
    const tagged = await read({ headers: { 'x-hearth-tag': 'own' } });
    const json = await read({ body: large });
    assert.equal(new Set([whole, batch, tagged, json].map(({ instance }) => instance)).size, 4);
    assert.equal(json.body, large);
    assert.equal((await read({ body: '{"kind":"small"}' })).instance, whole.instance);
    assert.equal((await read({ headers: { 'x-from': 'batch' } })).instance, batch.instance);
    assert.equal(await byHand('/', 'job'), whole.instance);

    // One runs, one waits, and the third is too many; the rest of the function has all its slots.
    const bodies = [upload(), upload(), upload()];
    const answers = bodies.map(({ body }) =>
      fetch(`${gateway.url}/w/read`, { method: 'POST', headers: { 'x-from': 'batch' }, body, duplex: 'half' }),
    );
    const refused = await Promise.race(answers);
    assert.deepEqual([refused.status, ((await refused.json()) as Problem).code], [429, 'OVERLOADED']);
    assert.equal((await read()).instance, whole.instance);
    for (const { end } of bodies) end();
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    assert.deepEqual(statuses.sort(), [200, 200, 429]);
    for (const answer of await Promise.all(answers)) if (!answer.bodyUsed) await answer.text();

    // Other limits hold from the next request on; what is not split keeps its instance.
    const [first, ...others] = settings.splits;
    await put('job-web', { ...settings, splits: [{ ...first, concurrency: 4 }, ...others] });
    const changed = await read({ headers: { 'x-from': 'batch' } });
    assert.notEqual(changed.instance, batch.instance);
    assert.equal((await read()).instance, whole.instance);

    // With the publication go the instances of its splits, once they have done what they were given.
    const last = upload();
    const headers = { 'x-from': 'batch' };
    const answering = fetch(`${gateway.url}/w/begun`, { method: 'POST', headers, body: last.body, duplex: 'half' });
    assert.equal((await answering).status, 200);
    await remove('job-web');
    await noRoute('/w/x', headers);
    last.end();
    assert.equal(await (await answering).text(), `begun by ${changed.instance}`);
    await put('job-web', settings);
    assert.notEqual((await read({ headers })).instance, changed.instance);

    // So they do when it is another function's from then on, with the very same splits.
    await gateway.deploy('heir', SHOP, { manifest: { hearth: { publish: false } } });
    const before = (await read({ headers })).instance;
    assert.equal((await put('job-web', { ...settings, function: 'heir' })).status, 200);
    await put('job-web', settings);
    assert.notEqual((await read({ headers })).instance, before);
  });

  describe('of a scoped token', () => {
    let token: string;
    before(async () => {
      const grants = { scopes: ['deploy:team-*', 'read'], trustGroups: ['team'], routes: ['team.test/*'] };
      token = (await gateway.api<{ token: string }>('POST', '/v1/tokens', grants)).body.token;
      const hearth = { publish: false };
      await gateway.deploy('team-a', SHOP, { manifest: { hearth: { ...hearth, trustGroup: 'team' } } });
      await gateway.deploy('team-other', SHOP, { manifest: { hearth } });
      const routed = { routes: ['elsewhere.test/*'], hearth: { ...hearth, trustGroup: 'team' } };
      await gateway.deploy('team-routed', SHOP, { manifest: routed });
      await put('team-taken', { function: 'shop', routes: ['/taken/*'], crons: [], queues: [] });
    });

    const allowed = { function: 'team-a', routes: ['team.test/a/*'] };

    test('stay within its names, trust groups and routes', async () => {
      const forbidden = async (answer: Promise<Answer<Problem>>, why: RegExp) => {
        const { status, body } = await answer;
        assert.deepEqual([status, body.code], [403, 'FORBIDDEN'], JSON.stringify(body));
        assert.match(body.detail, why);
      };
      assert.equal((await put('team-web', allowed, token)).status, 201);
      await forbidden(put('team-web', { ...allowed, routes: ['other.test/*'] }, token), /other\.test/);
      await forbidden(put('team-web', { ...allowed, routes: ['*/*'] }, token), /\*\/\*/);
      await forbidden(put('team-routed', { function: 'team-routed' }, token), /elsewhere\.test/);
      await forbidden(put('team-x', { ...allowed, function: 'team-other' }, token), /default/);
      await forbidden(put('team-x', { ...allowed, function: 'shop' }, token), /deploy:shop/);
      await forbidden(put('web', allowed, token), /deploy:web/);
      await forbidden(put('team-taken', allowed, token), /deploy:shop/);
      await forbidden(remove('team-taken', token), /deploy:shop/);
      await forbidden(remove('spring-web', token), /deploy:spring-web/);
      assert.equal((await get('/taken/x')).status, 200);
      assert.equal((await remove('team-web', token)).status, 204);
    });

    test('are in the audit with who made them', async () => {
      const { body } = await gateway.api<{ records: { action: string; subject: string; actor: string }[] }>(
        'GET',
        '/v1/audit',
      );
      const entries = body.records.filter(({ subject }) => subject === 'team-web');
      assert.deepEqual(
        entries.map(({ action }) => action),
        ['unpublish', 'publish'],
      );
      assert.ok(entries.every(({ actor }) => actor.startsWith('tok_')));
    });
  });

  test('what cannot be published is refused with what is wrong', async () => {
    for (const [body, status, detail] of [
      [{ routes: ['/x/*'] }, 400, /function: missing/],
      [{ function: 'none' }, 404, /no function "none"/],
      [{ function: 'shop', routes: ['https://x.test/'] }, 400, /routes\.0.*scheme/],
      [{ function: 'shop', crons: ['never'] }, 400, /crons\.0/],
      [{ function: 'shop', queues: ['A B'] }, 400, /queues\.0/],
      [{ function: 'shop', tag: 'a b' }, 400, /tag/],
      [{ function: 'shop', splits: [{ name: 'x' }] }, 400, /splits\.0/],
      [{ function: 'shop', unknown: 1 }, 400, /unknown: no such key/],
      ['not json', 400, /./],
    ] as const) {
      const answer = await gateway.api<Problem>('PUT', '/v1/publications/bad', body, {
        'content-type': 'application/json',
      });
      assert.equal(answer.status, status, JSON.stringify([body, answer.body]));
      assert.match(answer.body.detail, detail);
    }
    await gateway.deploy('deaf', 'export default { fetch: () => new Response() }');
    const deaf = await put('bad', { function: 'deaf', crons: ['* * * * *'] });
    assert.deepEqual([deaf.status, deaf.body.code], [400, 'BAD_REQUEST']);
    assert.match(deaf.body.detail, /no scheduled handler/);
    const named = await put('open', { function: 'shop' });
    assert.deepEqual([named.status, named.body.code], [409, 'CONFLICT']);
    assert.equal((await put('Bad', { function: 'shop' })).status, 400);
    assert.equal((await gateway.api('GET', '/v1/publications/bad')).status, 404);
  });

  test('all of it is the same after a restart', async () => {
    await remove('open');
    const list = async () => (await gateway.api<{ publications: View[] }>('GET', '/v1/publications')).body.publications;
    const before_ = await list();
    assert.deepEqual(
      before_.map(({ name }) => name),
      ['deaf', 'job-web', 'spring-web', 'team-taken'],
    );
    assert.equal(await gateway.stop(), 0);
    gateway = await startGateway({ dataDir });
    assert.deepEqual(await list(), before_);
    await noRoute('/open');
    await noRoute('/shop');
    await noRoute('/t/x');
    assert.equal((await get('/t/x', { 'x-hearth-tag': 'spring' })).status, 200);
    assert.equal((await get('/taken/x')).status, 200);
    const whole = await (await get('/w/x')).text();
    assert.notEqual(await (await get('/w/x', { 'x-from': 'batch' })).text(), whole);
  });
});

/** A body that lasts until it is ended. */
function upload(): { body: ReadableStream<Uint8Array>; end(): void } {
  let end: () => void = () => undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('begun'));
      end = () => {
        try {
          controller.close();
        } catch (error) {
          // Of a request that was refused the body has been given up already.
          if (!(error instanceof TypeError)) throw error;
        }
      };
    },
  });
  return { body, end: () => end() };
}
