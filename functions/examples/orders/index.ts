import type { ExecutionContext, KVNamespace, MessageBatch, Queue } from 'hearth';
import { type Order, orderProblem, price } from './order.ts';

interface Env {
  STATE: KVNamespace;
  QUEUE: Queue<Order>;
}

interface OrderState {
  state: 'accepted' | 'retrying' | 'confirmed';
  totalCents?: number;
  problem?: string;
}

export default {
  /** Takes the order in and answers at once: 202 means that it is on disk and will be handled. */
  async fetch(request: Request, env: Env): Promise<Response> {
    const path = new URL(request.url).pathname;
    if (path === '/orders' && request.method === 'POST') return await accept(request, env);

    const id = path.match(/^\/orders\/([0-9a-f-]{36})$/)?.[1];
    if (id === undefined || request.method !== 'GET') {
      return Response.json({ error: 'POST /orders, or GET /orders/{id}' }, { status: 404 });
    }
    const state = await env.STATE.get<OrderState>(id, 'json');
    return state === null
      ? Response.json({ error: `no order ${id}` }, { status: 404 })
      : Response.json({ id, ...state }, { headers: { 'cache-control': 'no-store' } });
  },

  /** Handles orders. Each is settled by itself: one bad order holds up none of the others in its batch. */
  async queue(batch: MessageBatch<Order>, env: Env, ctx: ExecutionContext): Promise<void> {
    for (const message of batch.messages) {
      const order = message.body;
      try {
        await confirm(order, env);
        message.ack();
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error);
        ctx.log.warn(`order ${order.id}, attempt ${message.attempts}: ${problem}`);
        await save(env, order.id, { state: 'retrying', problem });
        // After max_retries it goes to orders-dead, where it waits for a person and a redrive.
        message.retry();
      }
    }
  },
};

async function accept(request: Request, env: Env): Promise<Response> {
  const body: unknown = await request.json().catch(() => null);
  const problem = orderProblem(body);
  if (problem !== null) return Response.json({ error: problem }, { status: 400 });

  const order: Order = { ...(body as Omit<Order, 'id'>), id: crypto.randomUUID() };
  // State first: if the queue fails, the caller gets an error and an order nobody handles is seen as what it is.
  await save(env, order.id, { state: 'accepted' });
  await env.QUEUE.send(order);
  return Response.json(
    { id: order.id, state: 'accepted' },
    { status: 202, headers: { location: `orders/${order.id}` } },
  );
}

/** A message may come twice (at least once is the promise), so a confirmed order is left as it is. */
async function confirm(order: Order, env: Env): Promise<void> {
  const before = await env.STATE.get<OrderState>(order.id, 'json');
  if (before?.state === 'confirmed') return;
  await save(env, order.id, { state: 'confirmed', totalCents: price(order) });
}

async function save(env: Env, id: string, state: OrderState): Promise<void> {
  await env.STATE.put(id, JSON.stringify(state));
}
