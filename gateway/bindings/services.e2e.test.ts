/** What a function expects to be there, through deployed functions of a real gateway. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startGateway, type TestGateway } from '../testing/gateway.ts';

interface Problem {
  code: string;
  detail: string;
  errors?: { path?: string; message: string }[];
}

describe('services of a function', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway({ env: { HEARTH_MAX_BODY_MB: '10' } });
  });
  after(() => gateway[Symbol.asyncDispose]());

  const refused = async (name: string, manifest: Record<string, unknown>, source = 'export default { fetch() {} }') => {
    const answer = await gateway.api<Problem>('PUT', `/v1/functions/${name}`, {
      manifest,
      files: { 'index.ts': source },
    });
    assert.equal(answer.status, 422, JSON.stringify(answer.body));
    return answer.body;
  };

  /** Deploys a function whose fetch is this, and calls it: what it returns, as JSON. */
  const run = async (name: string, manifest: Record<string, unknown>, body: string, query = '') => {
    const source = `export default { async fetch(request: Request, env: any, ctx: any) {
      const result = await (async () => { ${body} })();
      return result instanceof Response ? result : Response.json(result ?? null);
    } }`;
    await gateway.deploy(name, source, { manifest });
    const response = await fetch(`${gateway.url}/${name}${query}`);
    const text = await response.text();
    assert.equal(response.status, 200, `${text}\n${gateway.output().slice(-3000)}`);
    return JSON.parse(text);
  };

  it('auth: a function is locked until its secret is set, and says who has to do what', async () => {
    await gateway.deploy('locked', 'export default { fetch: () => new Response("in") }', {
      manifest: { hearth: { auth: { bearer: 'TOKEN' } } },
    });
    const call = async (token: string) => {
      const response = await fetch(`${gateway.url}/locked`, { headers: { authorization: `Bearer ${token}` } });
      return { status: response.status, text: await response.text() };
    };
    const before = await call('x');
    assert.equal(before.status, 403);
    const { detail } = JSON.parse(before.text) as Problem;
    assert.match(
      detail,
      /its secret TOKEN is not set\. Its owner sets it: PUT \/v1\/functions\/locked\/secrets\/TOKEN/,
    );
    assert.doesNotMatch(detail, /scope/);
    await gateway.api('PUT', '/v1/functions/locked/secrets/TOKEN', { value: 's3cret' });
    assert.deepEqual(await call('s3cret'), { status: 200, text: 'in' });
    assert.equal((await call('other')).status, 401);
  });

  it('auth: keys are never fetched from this machine', async () => {
    for (const jwks of [
      'http://127.0.0.1:9/',
      'http://[::1]/keys',
      'http://169.254.169.254/keys',
      'http://2130706433/',
    ]) {
      const problem = await refused('jwks', { hearth: { auth: { jwks, audience: 'a' } } });
      assert.equal(problem.code, 'MANIFEST_INVALID');
      assert.equal(problem.errors?.[0]?.path, 'hearth.auth.jwks');
      assert.match(problem.detail, /fetches no keys from/);
    }
    await refused('jwks', { hearth: { auth: { jwks: 'https://user:pass@issuer.example/', audience: 'a' } } });
  });

  const FILES = { r2_buckets: [{ binding: 'FILES', bucket_name: 'photos' }] };

  it('files: what is put is got, headed, listed and deleted, with its metadata', async () => {
    const result = await run(
      'files-basic',
      FILES,
      `const put = await env.FILES.put('a/1.txt', 'grüße', {
        httpMetadata: { contentType: 'text/plain', cacheExpiry: new Date(1e12) }, customMetadata: { by: 'me' } });
      await env.FILES.put('a/2.bin', new Uint8Array([1, 2, 3]).buffer);
      await env.FILES.put('b.txt', new Blob(['blob']).stream(), { httpMetadata: new Headers({ 'content-type': 'x/y' }) });
      await env.FILES.put('empty', null);
      const got = await env.FILES.get('a/1.txt');
      const headers = new Headers();
      got.writeHttpMetadata(headers);
      const list = await env.FILES.list({ delimiter: '/' });
      const page = await env.FILES.list({ prefix: 'a/', limit: 1 });
      const rest = await env.FILES.list({ prefix: 'a/', cursor: page.cursor });
      await env.FILES.delete(['a/1.txt', 'never']);
      return {
        text: await got.text(), used: got.bodyUsed, size: put.size, etag: put.etag, same: got.httpEtag === '"' + put.etag + '"',
        md5: put.checksums.toJSON().md5, custom: got.customMetadata, headers: [...headers], uploaded: got.uploaded instanceof Date,
        bytes: [...await (await env.FILES.get('a/2.bin')).bytes()],
        type: (await env.FILES.head('b.txt')).httpMetadata.contentType,
        empty: await (await env.FILES.get('empty')).text(),
        listed: list.objects.map((each) => each.key), prefixes: list.delimitedPrefixes, truncated: list.truncated,
        pages: [page.objects.map((each) => each.key), page.truncated, rest.objects.map((each) => each.key), rest.truncated],
        gone: await env.FILES.get('a/1.txt'),
        multipart: (() => { try { env.FILES.createMultipartUpload('k') } catch (error) { return error.message } })(),
      };`,
    );
    assert.equal(result.text, 'grüße');
    assert.equal(result.md5, result.etag);
    assert.equal(result.etag, createHash('md5').update('grüße').digest('hex'));
    assert.deepEqual(result.headers, [
      ['content-type', 'text/plain'],
      ['expires', new Date(1e12).toUTCString()],
    ]);
    assert.deepEqual([result.used, result.size, result.same, result.uploaded], [true, 7, true, true]);
    assert.deepEqual(result.custom, { by: 'me' });
    assert.deepEqual([result.bytes, result.type, result.empty, result.gone], [[1, 2, 3], 'x/y', '', null]);
    assert.deepEqual([result.listed, result.prefixes, result.truncated], [['b.txt', 'empty'], ['a/'], false]);
    assert.deepEqual(result.pages, [['a/1.txt'], true, ['a/2.bin'], false]);
    assert.match(result.multipart, /no multipart uploads/);
  });

  it('files: ranges, conditions and digests are as R2 has them', async () => {
    const result = await run(
      'files-options',
      FILES,
      `const { etag } = await env.FILES.put('k', '0123456789');
      const text = async (options) => (await env.FILES.get('k', options)).text();
      const header = (name, value) => new Headers({ [name]: value });
      const fails = async (work) => { try { await work(); return null } catch (error) { return error.code ?? error.name } };
      const first = await env.FILES.put('once', '1', { onlyIf: { etagDoesNotMatch: '*' } });
      return {
        ranges: [await text({ range: { offset: 2, length: 3 } }), await text({ range: { suffix: 2 } }),
          await text({ range: { offset: 8 } }), await text({ range: header('range', 'bytes=1-2') }),
          await text({ range: header('range', 'bytes=-1') }), await text({ range: { offset: 5, length: 500 } })],
        range: (await env.FILES.get('k', { range: { suffix: 3 } })).range,
        beyond: await fails(() => env.FILES.get('k', { range: { offset: 11 } })),
        unmatched: 'body' in await env.FILES.get('k', { onlyIf: { etagMatches: 'other' } }),
        matched: 'body' in await env.FILES.get('k', { onlyIf: { etagMatches: etag } }),
        fresh: 'body' in await env.FILES.get('k', { onlyIf: header('if-none-match', '"' + etag + '"') }),
        put: [await env.FILES.put('k', 'no', { onlyIf: { etagMatches: 'other' } }),
          (await env.FILES.put('k', 'yes', { onlyIf: { etagMatches: etag } })).size],
        once: [first.size, await env.FILES.put('once', '2', { onlyIf: { etagDoesNotMatch: '*' } })],
        kept: await (await env.FILES.get('once')).text(),
        digest: await fails(() => env.FILES.put('d', 'abc', { sha256: '00'.repeat(32) })),
        notThere: await env.FILES.head('d'),
        right: (await env.FILES.put('d', 'abc', { sha1: 'a9993e364706816aba3e25717850c26c9cd0d89d' })).checksums.toJSON().sha1,
        bad: [await fails(() => env.FILES.put('', 'x')), await fails(() => env.FILES.put('k'.repeat(1025), 'x')),
          await fails(() => env.FILES.put('k', 'x', { customMetadata: { a: 'x'.repeat(9000) } })),
          await fails(() => env.FILES.list({ limit: 1001 })), await fails(() => env.FILES.list({ cursor: '!' }))],
      };`,
    );
    assert.deepEqual(result.ranges, ['234', '89', '89', '12', '9', '56789']);
    assert.deepEqual(result.range, { offset: 7, length: 3 });
    assert.deepEqual(
      [result.beyond, result.unmatched, result.matched, result.fresh],
      ['BAD_REQUEST', false, true, false],
    );
    assert.deepEqual([result.put, result.once, result.kept], [[null, 3], [1, null], '1']);
    assert.deepEqual([result.digest, result.notThere], ['BAD_REQUEST', null]);
    assert.equal(result.right, 'a9993e364706816aba3e25717850c26c9cd0d89d');
    assert.deepEqual(result.bad, ['BAD_REQUEST', 'BAD_REQUEST', 'PAYLOAD_TOO_LARGE', 'BAD_REQUEST', 'BAD_REQUEST']);
  });

  it('files: large ones stream both ways, are bounded, and are those of one trust group', async () => {
    const source = `export default { async fetch(request: Request, env: any) {
      const key = new URL(request.url).pathname;
      if (request.method === 'PUT') {
        try { return Response.json(await env.FILES.put(key, request.body)) }
        catch (error: any) { return new Response(error.code, { status: 500 }) }
      }
      const file = await env.FILES.get(key);
      return file === null ? new Response(null, { status: 404 }) : new Response(file.body);
    } }`;
    await gateway.deploy('files-large', source, { manifest: FILES });
    await gateway.deploy('files-other', source, { manifest: { ...FILES, hearth: { trustGroup: 'others' } } });
    const bytes = randomBytes(5_000_001);
    const put = await fetch(`${gateway.url}/files-large/big`, { method: 'PUT', body: bytes });
    const { size, etag } = (await put.json()) as { size: number; etag: string };
    assert.deepEqual([size, etag], [bytes.length, createHash('md5').update(bytes).digest('hex')]);
    const got = Buffer.from(await (await fetch(`${gateway.url}/files-large/big`)).arrayBuffer());
    assert.ok(got.equals(bytes));
    assert.equal((await fetch(`${gateway.url}/files-other/big`)).status, 404);
    const over = await run(
      'files-over',
      FILES,
      `const chunk = new Uint8Array(1024 * 1024);
      let left = 12;
      const body = new ReadableStream({ pull(controller) { if (left-- > 0) controller.enqueue(chunk); else controller.close() } });
      try { await env.FILES.put('over', body) } catch (error) { return [error.code, await env.FILES.head('over')] }`,
    );
    assert.deepEqual(over, ['PAYLOAD_TOO_LARGE', null]);
  });

  const LOCKS = { hearth: { locks: [{ binding: 'LOCKS', namespace: 'orders' }] } };

  it('locks: one holder at a time, fences that rise, a signal when it is lost', async () => {
    const result = await run(
      'locks-basic',
      LOCKS,
      `const first = await env.LOCKS.acquire('a', { ttlMs: 60_000 });
      const second = await env.LOCKS.acquire('a');
      const waiting = env.LOCKS.acquire('a', { waitMs: 60_000 });
      const renewed = await first.renew(90_000);
      const released = await first.release();
      const third = await waiting;
      const short = await env.LOCKS.acquire('short', { ttlMs: 100 });
      await new Promise((resolve) => short.signal.addEventListener('abort', resolve));
      const late = await short.renew();
      const total = [];
      let inside = 0, most = 0;
      await Promise.all(Array.from({ length: 8 }, (_, i) => env.LOCKS.withLock('w', async (lock) => {
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, 1));
        inside--;
        total.push(lock.fencing);
      })));
      const refused = await env.LOCKS.withLock('a', () => 'never', { waitMs: 0 }).catch((error) => error.name);
      const thrown = await env.LOCKS.withLock('t', () => { throw new Error('mine') }).catch((error) => error.message);
      const after = await env.LOCKS.acquire('t');
      await third.release();
      return { second, renewed, released, rises: third.fencing > first.fencing, aborted: first.signal.aborted, late, most,
        rising: total.every((fence, i) => i === 0 || fence > total[i - 1]), refused, thrown, after: after !== null };`,
    );
    assert.deepEqual(result, {
      second: null,
      renewed: true,
      released: true,
      rises: true,
      aborted: true,
      late: false,
      most: 1,
      rising: true,
      refused: 'LockError',
      thrown: 'mine',
      after: true,
    });
  });

  it('locks: one whose base dies is free at once', async () => {
    await gateway.deploy(
      'locks-dying',
      `export default { async fetch(_: Request, env: any) {
        const lock = await env.LOCKS.acquire('dying', { ttlMs: 3_600_000 });
        // An uncaught exception: the base is retired.
        setTimeout(() => { throw new Error('over') }, 0);
        return new Response(String(lock.fencing));
      } }`,
      { manifest: LOCKS },
    );
    const fence = Number(await (await fetch(`${gateway.url}/locks-dying`)).text());
    const next = await run(
      'locks-next',
      LOCKS,
      `return (await env.LOCKS.acquire('dying', { waitMs: 60_000 })).fencing`,
    );
    assert.ok(next > fence);
  });

  it('counters: each counts once, and sequences never give a number twice', async () => {
    const result = await run(
      'counting',
      { hearth: { counters: [{ binding: 'COUNT', namespace: 'shop' }, { binding: 'OWN' }] } },
      `await Promise.all(Array.from({ length: 50 }, () => env.COUNT.increment('a')));
      const ids = await Promise.all(Array.from({ length: 50 }, () => env.COUNT.next('a')));
      const down = await env.COUNT.increment('a', -8);
      const own = await env.OWN.get('a');
      const bad = await env.COUNT.increment('a', 0.5).catch((error) => error.name);
      const long = await env.COUNT.get('x'.repeat(513)).catch((error) => error.code);
      await env.COUNT.reset('a');
      return { down, ids: new Set(ids).size, own, bad, long, reset: await env.COUNT.get('a'), next: await env.COUNT.next('a') };`,
    );
    assert.deepEqual(result, { down: 42, ids: 50, own: 0, bad: 'TypeError', long: 'BAD_REQUEST', reset: 0, next: 51 });
  });

  const putConfig = (namespace: string, values: unknown, more: object = {}, query = '') =>
    gateway.api<{ version: number; code?: string }>('PUT', `/v1/config/${namespace}${query}`, { values, ...more });

  it('config: is there before the code runs, and a change reaches what runs without a deploy', async () => {
    assert.equal((await putConfig('shop', { theme: 'dark', list: [1] })).body.version, 1);
    const source = (name: string) => `import { env } from 'hearth';
      const atStart = (env as any).CONFIG.get('theme');
      const heard: unknown[] = [];
      (env as any).CONFIG.onChange(({ version }: any) => { heard.push(version) });
      let iterated = 0;
      (async () => { for await (const _ of (env as any).CONFIG) iterated++ })();
      export default { async fetch(request: Request, env: any) {
        const wanted = Number(new URL(request.url).searchParams.get('until') ?? 0);
        for await (const { version } of env.CONFIG) if (version >= wanted) break;
        return Response.json({ name: '${name}', atStart, heard, iterated: iterated > 0, version: env.CONFIG.version,
          theme: env.CONFIG.get('theme') ?? null, proto: env.CONFIG.get('constructor') ?? null, frozen: Object.isFrozen(env.CONFIG.get('list') ?? Object.freeze([])) });
      } }`;
    const manifest = (more: object = {}) => ({
      hearth: { config: [{ binding: 'CONFIG', namespace: 'shop' }], ...more },
    });
    await gateway.deploy('config-a', source('a'), { manifest: manifest() });
    await gateway.deploy('config-grouped', source('g'), { manifest: manifest({ group: 'configured' }) });
    await gateway.deploy('config-other', source('o'), { manifest: manifest({ trustGroup: 'others' }) });
    const ask = async (name: string, until = 0) =>
      (await (await fetch(`${gateway.url}/${name}?until=${until}`)).json()) as Record<string, unknown>;
    for (const name of ['config-a', 'config-grouped']) {
      const first = await ask(name);
      assert.deepEqual([first.atStart, first.theme, first.heard, first.version], ['dark', 'dark', [], 1]);
      assert.deepEqual([first.proto, first.frozen, first.iterated], [null, true, true]);
    }
    assert.equal((await putConfig('shop', { theme: 'light' })).body.version, 2);
    for (const name of ['config-a', 'config-grouped']) {
      const second = await ask(name, 2);
      assert.deepEqual([second.atStart, second.theme, second.heard, second.version], ['dark', 'light', [2], 2]);
    }
    assert.deepEqual((await ask('config-other')).theme, null, 'of another trust group');
    await putConfig('shop', { theme: 'own' }, {}, '?trustGroup=others');
    assert.equal((await ask('config-other', 1)).theme, 'own');
    assert.equal((await ask('config-a')).theme, 'light');
  });

  it('config: is versioned, audited, scoped and bounded', async () => {
    await putConfig('guarded', { a: 1 });
    const stale = await putConfig('guarded', { a: 2 }, { expectedVersion: 0 });
    assert.deepEqual([stale.status, stale.body.code], [409, 'CONFLICT']);
    const read = await gateway.api<{ values: object; version: number }>('GET', '/v1/config/guarded');
    assert.deepEqual([read.body.values, read.body.version], [{ a: 1 }, 1]);
    assert.equal((await gateway.api<{ version: number }>('GET', '/v1/config/never')).body.version, 0);
    const audit = await gateway.api<{ entries: { action: string; target: string }[] }>('GET', '/v1/audit');
    assert.ok(JSON.stringify(audit.body).includes('config.put'));
    const made = await gateway.api<{ token: string }>('POST', '/v1/tokens', { scopes: ['config:guard*'] });
    const headers = { authorization: `Bearer ${made.body.token}` };
    const status = async (method: string, path: string) =>
      (await gateway.api(method, path, method === 'PUT' ? { values: {} } : undefined, headers)).status;
    assert.equal(await status('PUT', '/v1/config/guarded'), 200);
    assert.equal(await status('GET', '/v1/config/guarded'), 200);
    assert.equal(await status('PUT', '/v1/config/shop'), 403);
    assert.equal(await status('GET', '/v1/config/shop'), 403);
    assert.equal(await status('PUT', '/v1/config/guarded?trustGroup=others'), 403);
    assert.equal((await putConfig('guarded', { a: 'x'.repeat(300_000) })).status, 413);
    const deep = JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`);
    assert.equal((await putConfig('guarded', { deep })).status, 400);
    assert.equal((await putConfig('guarded', [])).status, 400);
    assert.equal((await putConfig('no%20name', {})).status, 400);
  });

  it('rates: a binding counts each key, and the manifest limits who calls', async () => {
    const result = await run(
      'rates',
      { ratelimits: [{ name: 'LIMIT', namespace_id: '1001', simple: { limit: 2, period: 60 } }] },
      `const take = async (key) => (await env.LIMIT.limit({ key })).success;
      return [await take('a'), await take('a'), await take('a'), await take('b'),
        await env.LIMIT.limit({}).catch((error) => error.name)];`,
    );
    assert.deepEqual(result, [true, true, false, true, 'TypeError']);
    await gateway.deploy('rates-called', 'export default { fetch: () => new Response("in") }', {
      manifest: { hearth: { rateLimit: { limit: 2, periodSeconds: 3600, by: { header: 'X-Key' } } } },
    });
    const call = (key: string) => fetch(`${gateway.url}/rates-called`, { headers: { 'x-key': key } });
    const statuses = [];
    for (const key of ['a', 'a', 'a', 'b']) statuses.push((await call(key)).status);
    assert.deepEqual(statuses, [200, 200, 429, 200]);
    await refused('rates-bad', { hearth: { rateLimit: { limit: 0, periodSeconds: 1, by: 'ip' } } });
    await refused('rates-bad', { hearth: { rateLimit: { limit: 1, periodSeconds: 1, by: { header: 'a b' } } } });
  });

  it('topics: each subscriber of the trust group gets each message, retried and redriven for itself', async () => {
    const subscriber = `const got: unknown[] = []; let failing = true;
      export default {
        async fetch(request: Request) {
          if (new URL(request.url).pathname === '/mend') failing = false;
          return Response.json(got);
        },
        async queue(batch: any) {
          for (const { body } of batch.messages) {
            if (body.bad === true && failing && batch.queue.endsWith('.sub-b')) throw new Error('not yet');
            got.push(body);
          }
        },
      }`;
    const subscription = { topic: 'news', max_batch_timeout: 0, max_retries: 0 };
    const manifest = (more: object = {}) => ({
      hearth: { topics: { subscriptions: [subscription] }, maxInstances: 1, ...more },
    });
    for (const name of ['sub-a', 'sub-b']) await gateway.deploy(name, subscriber, { manifest: manifest() });
    await gateway.deploy('sub-other', subscriber, { manifest: manifest({ trustGroup: 'others' }) });
    const publishers = { hearth: { topics: { publishers: [{ binding: 'NEWS', topic: 'news' }] } } };
    const got = async (name: string, path = '') => (await fetch(`${gateway.url}/${name}${path}`)).json();
    const until = async (name: string, count: number) => {
      for (;;) {
        const messages = (await got(name)) as object[];
        if (messages.length >= count) return messages;
      }
    };
    await run(
      'publisher',
      publishers,
      `await env.NEWS.publish({ n: 1 }); await env.NEWS.publishBatch([{ body: { n: 2 } }])`,
    );
    const order = (messages: object[]) => JSON.stringify(messages.map((each) => JSON.stringify(each)).sort());
    for (const name of ['sub-a', 'sub-b']) assert.equal(order(await until(name, 2)), order([{ n: 1 }, { n: 2 }]));
    assert.deepEqual(await got('sub-other'), []);

    const answer = await gateway.api<{ ids: string[]; subscribers: string[] }>('POST', '/v1/topics/news/messages', {
      messages: [{ body: { bad: true } }],
    });
    assert.equal(answer.status, 202);
    assert.deepEqual(answer.body.subscribers, ['sub-a', 'sub-b']);
    await until('sub-a', 3);
    const dead = () => gateway.api<{ messages: { id: string }[] }>('GET', '/v1/queues/topic.news.sub-b/dead');
    let letters = (await dead()).body.messages;
    while (letters.length === 0) letters = (await dead()).body.messages;
    assert.deepEqual(
      letters.map(({ id }) => id),
      answer.body.ids,
    );
    await got('sub-b', '/mend');
    await gateway.api('POST', '/v1/queues/topic.news.sub-b/redrive');
    assert.deepEqual((await until('sub-b', 3)).at(-1), { bad: true });

    const seen = await gateway.api<{ subscribers: object[] }>('GET', '/v1/topics/news');
    assert.deepEqual(seen.body.subscribers[0], { function: 'sub-a', queue: 'topic.news.sub-a' });
    const direct = await gateway.api<Problem>('POST', '/v1/queues/topic.news.sub-a/messages', {
      messages: [{ body: 1 }],
    });
    assert.equal(direct.status, 400);
    assert.match(direct.body.detail, /what is published to its topic is put into it/);
    await refused('taker', { queues: { consumers: [{ queue: 'topic.news.sub-a' }] } });
    await refused('twice', { hearth: { topics: { subscriptions: [subscription, subscription] } } });
    await gateway.api('DELETE', '/v1/functions/sub-a');
    const after = await gateway.api<{ subscribers: string[] }>('POST', '/v1/topics/news/messages', {
      messages: [{ body: 1 }],
    });
    assert.deepEqual(after.body.subscribers, ['sub-b']);
  });

  it('outbound: one origin, with headers of secrets, retries, a timeout and a breaker', async (t) => {
    const seen: { method: string | undefined; url: string | undefined; auth: string | undefined }[] = [];
    const failures = new Map<string, number>([['/twice', 2]]);
    const server = createServer((req, res) => {
      seen.push({ method: req.method, url: req.url, auth: req.headers.authorization });
      const path = req.url ?? '';
      const left = failures.get(path) ?? 0;
      failures.set(path, left - 1);
      if (path === '/silent') return;
      if (path === '/moved') res.writeHead(302, { location: 'http://elsewhere.example/' }).end();
      else res.writeHead(path === '/down' || left > 0 ? 503 : 200).end(`${req.method} ${path}`);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const pay = {
      binding: 'PAY',
      origin,
      timeoutMs: 60_000,
      retries: 2,
      // biome-ignore lint/suspicious/noTemplateCurlyInString: filled in by Hearth
      headers: { authorization: 'Bearer ${KEY}' },
      breaker: { failures: 3, openSeconds: 3600, windowSeconds: 3600 },
    };
    const manifest = { hearth: { outbound: [pay, { binding: 'QUICK', origin, timeoutMs: 50, retries: 0 }] } };
    const locked = await run('outbound', manifest, `return env.PAY.fetch('/').catch((error) => error.message)`);
    assert.equal(locked, 'env.PAY needs the secret KEY, which is not set.');
    await gateway.api('PUT', '/v1/functions/outbound/secrets/KEY', { value: 's3cret' });
    const result = await run(
      'outbound',
      manifest,
      `const text = async (response) => (await response).text();
      const fails = async (work) => { try { await work(); return null } catch (error) { return error.code || error.name } };
      return {
        twice: await text(env.PAY.fetch('/twice')),
        moved: (await env.PAY.fetch('/moved')).status,
        elsewhere: [await fails(() => env.PAY.fetch('http://elsewhere.example/')), await fails(() => env.PAY.fetch('//elsewhere.example/')),
          await fails(() => env.PAY.fetch(new Request('https://127.0.0.1/')))],
        request: await text(env.PAY.fetch(new Request('${origin}/asked', { method: 'PUT', body: 'b' }))),
        open: [(await env.PAY.fetch('/down', { method: 'POST', body: 'x' })).status,
          await env.PAY.fetch('/fine').catch((error) => [error.code, error.name, error.retryAfterMs > 0])],
        timeout: await env.QUICK.fetch('/silent').catch((error) => error.name),
      };`,
    );
    assert.equal(result.twice, 'GET /twice');
    assert.deepEqual([result.moved, result.request], [302, 'PUT /asked']);
    assert.deepEqual(result.elsewhere, ['TypeError', 'TypeError', 'TypeError']);
    // With two of /twice that makes three failures.
    assert.deepEqual(result.open, [503, ['CIRCUIT_OPEN', 'CircuitOpenError', true]]);
    assert.equal(result.timeout, 'TimeoutError');
    assert.deepEqual(
      seen.map(({ method, url }) => `${method} ${url}`),
      ['GET /twice', 'GET /twice', 'GET /twice', 'GET /moved', 'PUT /asked', 'POST /down', 'GET /silent'],
    );
    assert.equal(seen[0]?.auth, 'Bearer s3cret');
    await refused('outbound-none', { hearth: { ...manifest.hearth, network: 'none' } });
    await refused('outbound-path', { hearth: { outbound: [{ binding: 'PAY', origin: `${origin}/path` }] } });
  });

  it('breakers: a service that fails is not called for a while', async () => {
    await gateway.deploy(
      'failing',
      `let calls = 0; export default { fetch: (request: Request) =>
      new Response(String(++calls), { status: new URL(request.url).pathname === '/calls' ? 200 : 500 }) }`,
    );
    const services = [{ binding: 'FAILING', service: 'failing' }];
    const breakers = { FAILING: { failures: 2, openSeconds: 3600, windowSeconds: 3600 } };
    const result = await run(
      'breaking',
      { services, hearth: { breakers } },
      `const call = (path = '/') => env.FAILING.fetch('http://failing' + path).then((it) => it.status, (error) => error.code);
      return [await call(), await call(), await call(), await call('/calls')];`,
    );
    assert.deepEqual(result, [500, 500, 'CIRCUIT_OPEN', 'CIRCUIT_OPEN']);
    assert.equal(await (await fetch(`${gateway.url}/failing/calls`)).text(), '3');
    await refused('breaking', { services, hearth: { breakers: { OTHER: breakers.FAILING } } });
  });
});
