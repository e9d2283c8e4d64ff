import type { ExecutionContext } from 'hearth';
import { parseOrder, type RiskOrder } from './input.ts';
import { createRandom, normal } from './random.ts';

/** Paths simulated before looking up: often enough that a caller who has gone stops the work within milliseconds. */
const CHUNK = 20_000;

export default {
  async fetch(request: Request, _env: unknown, ctx: ExecutionContext): Promise<Response> {
    if (request.method !== 'POST') {
      return Response.json({ error: 'POST a portfolio' }, { status: 405, headers: { allow: 'POST' } });
    }
    const order = parseOrder(await request.json().catch(() => null));
    if ('error' in order) return Response.json(order, { status: 400 });

    const losses = await simulate(order, ctx.signal);
    return Response.json({
      paths: order.paths,
      days: order.days,
      valueAtRisk: { p95: quantile(losses, 0.95), p99: quantile(losses, 0.99) },
      expectedShortfall: { p95: shortfall(losses, 0.95), p99: shortfall(losses, 0.99) },
    });
  },
};

/** Losses of the whole portfolio, one per path, sorted. Throws when the signal is aborted. */
async function simulate(order: RiskOrder, signal: AbortSignal): Promise<Float64Array> {
  const random = createRandom(order.seed);
  const losses = new Float64Array(order.paths);
  const years = order.days / 252;
  for (let start = 0; start < order.paths; start += CHUNK) {
    const end = Math.min(start + CHUNK, order.paths);
    for (let path = start; path < end; path++) {
      let worth = 0;
      for (const { value, volatility } of order.positions) {
        const drift = -0.5 * volatility * volatility * years;
        worth += value * Math.exp(drift + volatility * Math.sqrt(years) * normal(random));
      }
      losses[path] = order.total - worth;
    }
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  }
  return losses.sort();
}

function quantile(sorted: Float64Array, p: number): number {
  return round(sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? 0);
}

/** The mean of what lies beyond the quantile: how bad a bad day is. */
function shortfall(sorted: Float64Array, p: number): number {
  const tail = sorted.subarray(Math.floor(p * sorted.length));
  return round(tail.reduce((sum, loss) => sum + loss, 0) / Math.max(tail.length, 1));
}

function round(amount: number): number {
  return Math.round(amount * 100) / 100;
}
