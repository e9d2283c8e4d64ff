import type { ExecutionContext, Fetcher } from 'hearth';

interface Env {
  CATALOG: Fetcher;
  PRICES: Fetcher;
  UPSTREAM_TIMEOUT_MS: string;
}

interface Product {
  id: string;
  name: string;
  unit: string;
}

interface Price {
  cents: number;
  currency: string;
}

/** What an upstream said: its data, that it has none (404), or that it could not be asked. */
type Answer<T> = { state: 'ok'; data: T } | { state: 'missing' } | { state: 'failed'; reason: string };

export default {
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    const id = new URL(request.url).pathname.match(/^\/products\/([a-z0-9-]{1,40})$/)?.[1];
    if (id === undefined) return Response.json({ error: 'ask for /products/{id}' }, { status: 404 });
    if (request.method !== 'GET') {
      return Response.json({ error: 'only GET' }, { status: 405, headers: { allow: 'GET' } });
    }

    const timeoutMs = Number(env.UPSTREAM_TIMEOUT_MS);
    const [product, price] = await Promise.all([
      ask<Product>(env.CATALOG, `http://catalog/products/${id}`, ctx, timeoutMs),
      ask<Price>(env.PRICES, `http://prices/prices/${id}`, ctx, timeoutMs),
    ]);

    // Without the product there is no page. Without the price there is one, and it says so.
    if (product.state === 'missing') return Response.json({ error: `no product ${id}` }, { status: 404 });
    if (product.state === 'failed') {
      return Response.json({ error: 'the catalog is not available' }, { status: 502, headers: { 'retry-after': '5' } });
    }
    return Response.json(
      {
        ...product.data,
        price: price.state === 'ok' ? { cents: price.data.cents, currency: price.data.currency } : null,
        incomplete: price.state === 'failed' ? ['price'] : [],
      },
      // A half answer must not stand in a cache when the price is back.
      { headers: { 'cache-control': price.state === 'failed' ? 'no-store' : 'public, max-age=30' } },
    );
  },
};

/** Asks one upstream. Never throws: a slow or broken one costs its part of the page, not the page. */
async function ask<T>(upstream: Fetcher, url: string, ctx: ExecutionContext, timeoutMs: number): Promise<Answer<T>> {
  // ctx.signal ends the call when the visitor has gone or this invocation's own time is up.
  const signal = AbortSignal.any([ctx.signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const response = await upstream.fetch(url, { signal });
    if (response.status === 404) return { state: 'missing' };
    if (!response.ok) return failed(ctx, url, `status ${response.status}`);
    return { state: 'ok', data: (await response.json()) as T };
  } catch (error) {
    return failed(ctx, url, error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
}

function failed(ctx: ExecutionContext, url: string, reason: string): { state: 'failed'; reason: string } {
  ctx.log.warn(`${url} failed: ${reason}`);
  return { state: 'failed', reason };
}
