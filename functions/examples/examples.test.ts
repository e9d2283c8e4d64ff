/** Every example, deployed over HTTP into a real gateway process and triggered through its real ports. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Deployed, startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import { deployAsForm, deployAsJson, exampleNames, readExample } from './testing/deploy.ts';
import { until } from './testing/until.ts';

const json = { 'content-type': 'application/json' };

describe('the examples on a real gateway', { timeout: 120_000 }, () => {
  let gateway: TestGateway;
  const call = (path: string, init: RequestInit = {}) =>
    fetch(`${gateway.url}${path}`, { redirect: 'manual', ...init });
  const post = (path: string, body: unknown) =>
    call(path, { method: 'POST', headers: json, body: JSON.stringify(body) });

  before(async () => {
    gateway = await startGateway({ env: { HEARTH_WARM_BASES: '3' } });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
  });

  test('each of them deploys, in all three body forms', async () => {
    const deployed: Deployed[] = [];
    for (const name of await exampleNames()) {
      const answer = await deploy(name);
      assert.equal(answer.status, 201, `${name}: ${JSON.stringify(answer.body)}`);
      deployed.push(answer.body);
    }
    assert.ok(deployed.length >= 10);
    assert.ok(deployed.every(({ state }) => state === 'active'));
  });

  async function deploy(name: string) {
    if (name === 'express-site') return await deployAsForm(gateway, name);
    if (name === 'hello') {
      const source = (await readExample(name)).get('index.ts');
      return await gateway.api<Deployed>('PUT', '/v1/functions/hello', source, { 'content-type': 'text/typescript' });
    }
    return await deployAsJson(gateway, name);
  }

  test('hello greets by name, and says where its time went', async () => {
    const response = await call('/hello?name=Ada');
    assert.equal(await response.text(), 'Hello, Ada!\n');
    assert.match(response.headers.get('hearth-start') ?? '', /^(cold|warm)$/);
    assert.match(response.headers.get('server-timing') ?? '', /wait;dur=[\d.]+, run;dur=[\d.]+/);
  });

  describe('rpc-receipt', () => {
    test('has the calculator add up, print and refuse', async () => {
      const receipt = await call('/rpc-receipt/?cents=250&cents=1299');
      assert.equal(await receipt.text(), '1. 2.50\n2. 12.99\ntotal 15.49, with tip 17.04\n');
      const refused = await call('/rpc-receipt/?cents=none');
      assert.deepEqual([refused.status, await refused.json()], [400, { error: 'NaN is no number of cents.' }]);
      assert.equal((await call('/rpc-receipt/')).status, 400);
    });

    test('the calculator answers JSON-RPC as well', async () => {
      const ask = { jsonrpc: '2.0', id: 1, method: 'add', params: [2, 3] };
      const { body } = await gateway.api('POST', '/v1/rpc/rpc-calculator', ask);
      assert.deepEqual(body, { jsonrpc: '2.0', result: 5, id: 1 });
    });
  });

  describe('bff', () => {
    test('joins catalog and prices', async () => {
      const response = await call('/bff/products/tea');
      assert.equal(response.status, 200);
      assert.deepEqual(await response.json(), {
        id: 'tea',
        name: 'Darjeeling first flush',
        unit: '100 g',
        price: { cents: 1450, currency: 'EUR' },
        incomplete: [],
      });
    });

    test('answers without the price when the price service fails, and lets nobody cache that', async () => {
      const response = await call('/bff/products/lamp');
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('cache-control'), 'no-store');
      const { price, incomplete } = (await response.json()) as { price: unknown; incomplete: string[] };
      assert.deepEqual({ price, incomplete }, { price: null, incomplete: ['price'] });
    });

    test('answers without the price when the price service never answers', async () => {
      // It does hear that its caller has gone: else its base would stay busy and the gateway's drain would wait for it.
      await gateway.deploy(
        'slow-prices',
        `export default {
          fetch: (request, env, ctx) =>
            new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))),
        };`,
      );
      const answer = await deployAsJson(gateway, 'bff', {
        vars: { UPSTREAM_TIMEOUT_MS: '100' },
        services: [
          { binding: 'CATALOG', service: 'catalog' },
          { binding: 'PRICES', service: 'slow-prices' },
        ],
      });
      assert.equal(answer.status, 201);
      const response = await call('/bff/products/tea');
      assert.equal(response.status, 200);
      assert.deepEqual(((await response.json()) as { incomplete: string[] }).incomplete, ['price']);
    });

    test('knows no product that the catalog does not know', async () => {
      assert.equal((await call('/bff/products/unicorn')).status, 404);
      assert.equal((await call('/bff/nothing')).status, 404);
      assert.equal((await call('/bff/products/tea', { method: 'DELETE' })).status, 405);
    });
  });

  describe('rest-kv', () => {
    test('shortens a link, redirects to it, and forgets it', async () => {
      const created = await post('/rest-kv/links', { url: 'https://hono.dev/docs', slug: 'hono' });
      assert.equal(created.status, 201);
      assert.equal(((await created.json()) as { short: string }).short, `${gateway.url}/rest-kv/hono`);

      const redirect = await call('/rest-kv/hono');
      assert.equal(redirect.status, 302);
      assert.equal(redirect.headers.get('location'), 'https://hono.dev/docs');
      assert.equal((await post('/rest-kv/links', { url: 'https://example.com', slug: 'hono' })).status, 409);

      assert.equal((await call('/rest-kv/links/hono', { method: 'DELETE' })).status, 204);
      assert.equal((await call('/rest-kv/hono')).status, 404);
      assert.equal((await call('/rest-kv/links/hono', { method: 'DELETE' })).status, 404);
    });

    test('lists in pages by cursor, each link once', async () => {
      const slugs = ['page-a', 'page-b', 'page-c', 'page-d', 'page-e'];
      for (const slug of slugs) await post('/rest-kv/links', { url: `https://example.com/${slug}`, slug });
      const seen: string[] = [];
      let cursor: string | null = null;
      do {
        const more: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
        const page = (await (await call(`/rest-kv/links?limit=2${more}`)).json()) as {
          links: { slug: string; url: string }[];
          cursor: string | null;
        };
        assert.ok(page.links.length <= 2);
        assert.ok(page.links.every(({ slug, url }) => url === `https://example.com/${slug}`));
        seen.push(...page.links.map(({ slug }) => slug));
        cursor = page.cursor;
      } while (cursor !== null);
      assert.deepEqual(seen, slugs);
    });

    test('refuses bad input with what is wrong in it', async () => {
      const bad = [
        [{ url: 'javascript:alert(1)' }, /^url:/],
        [{ url: 'https://example.com', slug: 'No Spaces' }, /^slug:/],
        [{ url: 'https://example.com', expiresInSeconds: 1 }, /^expiresInSeconds:/],
        ['not an object', /JSON object/],
      ] as const;
      for (const [body, message] of bad) {
        const response = await post('/rest-kv/links', body);
        assert.equal(response.status, 400);
        assert.match(((await response.json()) as { error: string }).error, message);
      }
      assert.equal((await call('/rest-kv/links?limit=0')).status, 400);
    });
  });

  describe('cpu-job', () => {
    const portfolio = { positions: [{ value: 100_000, volatility: 0.2 }], days: 10, paths: 20_000 };

    test('gives the same risk for the same seed, and several callers each an instance', async () => {
      const answers = await Promise.all(
        [1, 1, 2].map(async (seed) => {
          const response = await post('/cpu-job', { ...portfolio, seed });
          assert.equal(response.status, 200);
          return (await response.json()) as { valueAtRisk: { p95: number; p99: number } };
        }),
      );
      assert.deepEqual(answers[0], answers[1]);
      assert.notDeepEqual(answers[0], answers[2]);
      for (const { valueAtRisk } of answers) {
        // Closed form: 100,000 × (1 − e^(−σ²T/2 − 1.645σ√T)) = 6,400, give or take the error of 20,000 paths.
        assert.ok(valueAtRisk.p95 > 6_000 && valueAtRisk.p95 < 6_800, `p95 ${valueAtRisk.p95}`);
        assert.ok(valueAtRisk.p99 > valueAtRisk.p95);
      }
    });

    test('refuses work without bounds', async () => {
      assert.equal((await post('/cpu-job', { ...portfolio, paths: 1e12 })).status, 400);
      assert.equal((await post('/cpu-job', { positions: [] })).status, 400);
      assert.equal((await call('/cpu-job')).status, 405);
    });
  });

  describe('cron-report', () => {
    interface Report {
      availability: number | null;
      runs: number;
      failures: number;
      recent: { ok: boolean; status: number }[];
    }
    const report = async () => (await (await call('/cron-report')).json()) as Report;

    test('a run by hand stands in the report', async () => {
      const before = await report();
      const answer = await gateway.api('POST', '/v1/functions/cron-report/invoke', { trigger: 'cron' });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      const now = await report();
      assert.ok(now.runs > before.runs);
      assert.equal(now.recent[0]?.status, 200);
      // A tick of its own may have come before its target was deployed.
      assert.equal(now.failures, before.failures);
      assert.equal(now.availability, 1 - now.failures / now.runs);
    });

    test('a cron of every second runs by itself and shows its last and next run', async () => {
      const answer = await deployAsJson(gateway, 'cron-report', { triggers: { crons: ['* * * * * *'] } });
      assert.equal(answer.status, 201);
      const begun = (await report()).runs;
      await until(async () => ((await report()).runs >= begun + 2 ? true : undefined), 'two ticks');
      const listed = await gateway.api('GET', '/v1/crons');
      assert.match(JSON.stringify(listed.body), /"\* \* \* \* \* \*"/);
    });
  });

  describe('orders', () => {
    const order = async (lines: { sku: string; quantity: number }[]) => {
      const response = await post('/orders/orders', { customer: 'Ada', lines });
      assert.equal(response.status, 202);
      return ((await response.json()) as { id: string }).id;
    };
    const state = async (id: string) =>
      (await (await call(`/orders/orders/${id}`)).json()) as { state: string; totalCents?: number };

    test('an order is accepted, priced and confirmed', async () => {
      const id = await order([{ sku: 'tea', quantity: 2 }]);
      const confirmed = await until(async () => {
        const now = await state(id);
        return now.state === 'confirmed' ? now : undefined;
      }, 'the order to be confirmed');
      assert.equal(confirmed.totalCents, 2900);
    });

    test('an order that cannot be priced is tried again, then found among the dead letters', async () => {
      const id = await order([{ sku: 'unicorn', quantity: 1 }]);
      const dead = await until(async () => {
        const answer = await gateway.api('GET', '/v1/queues/orders/dead');
        assert.equal(answer.status, 200);
        const text = JSON.stringify(answer.body);
        return text.includes(id) ? text : undefined;
      }, 'the order among the dead letters');
      assert.match(dead, /"attempts":3/);
      assert.equal((await state(id)).state, 'retrying');
    });

    test('a bad order is refused at the door', async () => {
      const response = await post('/orders/orders', { customer: 'Ada', lines: [{ sku: 'tea', quantity: 0 }] });
      assert.equal(response.status, 400);
      assert.match(((await response.json()) as { error: string }).error, /^lines\.0\.quantity/);
      assert.equal((await call('/orders/orders/00000000-0000-4000-8000-000000000000')).status, 404);
    });
  });

  describe('sse', () => {
    async function firstIds(headers: Record<string, string>, count: number): Promise<number[]> {
      const leave = new AbortController();
      const response = await call('/sse/events?everyMs=1000', { headers, signal: leave.signal });
      assert.equal(response.headers.get('content-type'), 'text/event-stream');
      const ids: number[] = [];
      let text = '';
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        ids.splice(0, ids.length, ...[...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id)));
        if (ids.length >= count) break;
      }
      leave.abort();
      return ids.slice(0, count);
    }

    test('streams numbered events as they happen', async () => {
      const [first, second] = await firstIds({}, 2);
      assert.equal(second, first! + 1);
    });

    test('sends what a returning client has missed', async () => {
      const seen = Math.floor(Date.now() / 1000) - 5;
      assert.deepEqual(
        await firstIds({ 'last-event-id': String(seen) }, 5),
        [1, 2, 3, 4, 5].map((n) => seen + n),
      );
    });

    test('ends its work when the client has gone', async () => {
      await firstIds({}, 1);
      await until(async () => {
        const pool = await gateway.api<{ hosts: { bases: { function: string | null; inFlight: number }[] }[] }>(
          'GET',
          '/v1/pool',
        );
        const busy = pool.body.hosts
          .flatMap(({ bases }) => bases)
          .filter((base) => base.function === 'sse' && base.inFlight > 0);
        return busy.length === 0 ? true : undefined;
      }, 'the stream to end');
    });
  });

  describe('express-site', () => {
    test('serves its static files', async () => {
      const page = await call('/express-site/');
      assert.equal(page.status, 200);
      assert.match(await page.text(), /Corner bakery/);
      const style = await call('/express-site/style.css');
      assert.match(style.headers.get('content-type') ?? '', /^text\/css/);
      assert.match(await style.text(), /max-width/);
    });

    test('answers its JSON API and its 404', async () => {
      const breads = (await (await call('/express-site/api/breads')).json()) as { breads: unknown[] };
      assert.equal(breads.breads.length, 3);
      assert.equal((await call('/express-site/api/breads/toast')).status, 404);
    });

    test('takes a form, and escapes what it shows of it', async () => {
      const form = new URLSearchParams({ name: '<b>Ada</b>', bread: 'rye', loaves: '2' });
      const response = await call('/express-site/reservations', { method: 'POST', body: form });
      assert.equal(response.status, 201);
      const text = await response.text();
      assert.match(text, /12\.40 €/);
      assert.doesNotMatch(text, /<b>Ada/);
    });

    test('refuses a form with something missing', async () => {
      const form = new URLSearchParams({ name: 'Ada' });
      assert.equal((await call('/express-site/reservations', { method: 'POST', body: form })).status, 422);
    });
  });
});
