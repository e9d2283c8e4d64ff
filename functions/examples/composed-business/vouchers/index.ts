import type { ExecutionContext, KVNamespace } from 'hearth';
import { components, implement } from 'hearth/business';
import type { Base } from '../base.ts';

interface Env {
  BASE: Base;
  BATCHES: KVNamespace;
}

/** A batch is named by the step's own key: an attempt that is repeated issues the same one again, not a second one. */
const batchOf = (key: string) => `batch-${key.replaceAll('/', '-')}`;

const handler = components<Env>(({ BASE: { points }, BATCHES }) => [
  implement(
    points.voucher,
    'percent',
    async ({ campaign, percent, members }, { key }) => {
      const batch = batchOf(key);
      const codes = Object.fromEntries(
        members.map((id) => [id, `${id}-${percent}-${crypto.randomUUID().slice(0, 8)}`]),
      );
      await BATCHES.put(batch, JSON.stringify({ campaign, percent, codes }), { metadata: { campaign, percent } });
      return { batch, codes };
    },
    {
      description: 'So many percent off one order.',
      // Also when nobody knows whether it was issued: to delete what is not there does no harm.
      compensate: (_input, _output, { key }) => BATCHES.delete(batchOf(key)),
    },
  ),
]);

/** Components, and beside them what the team shows of its own: which batches are valid. */
export default {
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    if (request.method !== 'GET') return handler.fetch(request, env, ctx);
    const { keys } = await env.BATCHES.list();
    return Response.json({ batches: keys.map(({ name, metadata }) => ({ batch: name, ...(metadata as object) })) });
  },
};
