/** What is known of recent invocations. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Dispatcher, InvocationRecord } from '../triggers/dispatcher.ts';
import { requireRead } from './access.ts';
import { answers, type ControlApp, guard, iso, isoOrNull, phasesView, timestamp } from './http.ts';

const phasesSchema = z
  .object({
    wait: z.number(),
    run: z.number(),
    acquire: z.number().optional(),
    transfer: z.number().optional(),
    compile: z.number().optional(),
    evaluate: z.number().optional(),
  })
  .openapi('Phases', { description: 'Milliseconds; all but wait and run on a cold start only' });

const invocationSchema = z
  .object({
    id: z.string(),
    function: z.string(),
    version: z.string(),
    trigger: z.enum(['http', 'cron', 'queue', 'rpc']),
    state: z.enum(['running', 'ok', 'error']),
    startedAt: timestamp,
    endedAt: timestamp.nullable(),
    attempts: z.int(),
    traceId: z.string(),
    start: z.enum(['cold', 'warm']).nullable(),
    instance: z.string().nullable(),
    phases: phasesSchema.nullable(),
    status: z.int().nullable().openapi({ description: 'HTTP status, where there is one' }),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
  })
  .openapi('Invocation');

const route = createRoute({
  method: 'get',
  path: '/v1/invocations/{id}',
  summary: 'State, attempts, phases, error; the last few thousand are kept',
  tags: ['invocations'],
  middleware: guard((caller) => requireRead(caller)),
  request: { params: z.object({ id: z.string() }) },
  responses: answers(200, 'The invocation', invocationSchema),
});

export function invocationsResource(app: ControlApp, dispatcher: Pick<Dispatcher, 'invocation'>): void {
  app.openapi(route, (c) => {
    const { id } = c.req.valid('param');
    const record = dispatcher.invocation(id);
    if (record === undefined) {
      throw new HearthError('NOT_FOUND', `There is no invocation "${id}", or it was too long ago.`);
    }
    return c.json(view(record), 200);
  });
}

function view(record: InvocationRecord): z.output<typeof invocationSchema> {
  const { facts } = record;
  return {
    id: record.id,
    function: record.functionName,
    version: record.version,
    trigger: record.trigger,
    state: record.state,
    startedAt: iso(record.startedAt),
    endedAt: isoOrNull(record.endedAt),
    attempts: record.attempts,
    traceId: record.traceId,
    start: facts?.start ?? null,
    instance: facts?.instance ?? null,
    phases: facts?.phases === undefined || facts.phases === null ? null : phasesView(facts.phases),
    status: record.status,
    error: record.error,
  };
}
