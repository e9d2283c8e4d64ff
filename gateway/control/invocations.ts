/** What is known of recent invocations, and for some days of asynchronous ones. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { ResultHead } from '../../functions/contract/invocation.ts';
import type { Phases } from '../../pool/keeper/api.ts';
import type { Registry } from '../registry/registry.ts';
import type { AsyncRecord } from '../store/api/asyncs.ts';
import type { Asyncs } from '../triggers/async/asyncs.ts';
import type { Dispatcher, InvocationRecord } from '../triggers/dispatcher.ts';
import { type Outcome, outcomeOf } from '../triggers/outcome.ts';
import { type Caller, requireRead, requireScope } from './access.ts';
import { answers, type ControlApp, guard, iso, isoOrNull, nameParam, phasesView, timestamp } from './http.ts';
import { functionNamed } from './lookup.ts';

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
    mode: z.enum(['sync', 'async']),
    version: z.string().nullable().openapi({ description: 'Of the last attempt; null before the first' }),
    trigger: z.enum(['http', 'cron', 'queue', 'rpc']),
    state: z.enum(['queued', 'running', 'ok', 'error']),
    acceptedAt: timestamp.nullable().openapi({ description: 'async: when it was durable' }),
    dueAt: timestamp.nullable().openapi({ description: 'async: when it is tried next' }),
    startedAt: timestamp.nullable(),
    endedAt: timestamp.nullable(),
    attempts: z.int(),
    traceId: z.string().nullable(),
    start: z.enum(['cold', 'warm']).nullable(),
    instance: z.string().nullable(),
    phases: phasesSchema.nullable(),
    status: z.int().nullable().openapi({ description: 'HTTP status, where there is one' }),
    result: z
      .record(z.string(), z.unknown())
      .nullable()
      .openapi({ description: "async: the answer, as mode sync gives it; null for a cron's and where there is none" }),
    omittedBytes: z
      .int()
      .nullable()
      .openapi({ description: 'async: bytes of a body over 1 MB, which is not kept with the result' }),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    destination: z
      .object({ target: z.string(), outcome: z.enum(['delivered', 'failed']), error: z.string().nullable() })
      .nullable()
      .openapi({ description: 'async: what became of its destination, once that has ended' }),
  })
  .openapi('Invocation');

const route = createRoute({
  method: 'get',
  path: '/v1/invocations/{id}',
  summary:
    'State, attempts, phases, result, error; the last few thousand are kept, asynchronous ones for HEARTH_RETENTION_DAYS',
  tags: ['invocations'],
  request: { params: z.object({ id: z.string() }) },
  responses: answers(200, 'The invocation', invocationSchema),
});

const listRoute = createRoute({
  method: 'get',
  path: '/v1/functions/{name}/invocations',
  summary: 'Recent invocations, as this gateway remembers them: running ones, then ended ones, newest first',
  description:
    'Cold starts, errors and what was no HTTP request are all among the last few thousand; of warm answers up to 200 a second. Attempts of asynchronous ones stand there as any other call; /v1/invocations/{id} says more of them.',
  tags: ['invocations'],
  middleware: guard((caller, param) => requireRead(caller, param('name'))),
  request: {
    params: z.object({ name: nameParam }),
    query: z.strictObject({ limit: z.coerce.number().int().min(1).max(1000).default(50) }),
  },
  responses: answers(200, 'Invocations', z.object({ invocations: z.array(invocationSchema) })),
});

export interface InvocationsParts {
  registry: Registry;
  dispatcher: Pick<Dispatcher, 'invocation' | 'recent'>;
  asyncs: Pick<Asyncs, 'get'>;
}

export function invocationsResource(app: ControlApp, { registry, dispatcher, asyncs }: InvocationsParts): void {
  app.openapi(listRoute, (c) => {
    const { name } = c.req.valid('param');
    functionNamed(registry, name);
    const invocations = dispatcher.recent(name, c.req.valid('query').limit);
    return c.json({ invocations: invocations.map(view) }, 200);
  });

  app.openapi(route, async (c) => {
    const { id } = c.req.valid('param');
    const caller = c.get('caller');
    const here = dispatcher.invocation(id);
    // The store first: an attempt of an asynchronous one is known here as well, and says less.
    const kept = await asyncs.get(id).catch((error: unknown) => {
      // The store is away: what this gateway remembers is told all the same.
      if (here === undefined) throw error;
      return null;
    });
    if (kept !== null) {
      requireReadOf(caller, kept.record);
      return c.json(asyncView(kept.record, kept.body, here), 200);
    }
    if (here === undefined) {
      if (!caller.scopes.some((scope) => /^(invoke|rpc):/.test(scope))) requireRead(caller);
      throw new HearthError('NOT_FOUND', `There is no invocation "${id}", or it was too long ago.`);
    }
    requireReadOf(caller, here);
    return c.json(view(here), 200);
  });
}

/** Whoever may invoke a function may read what came of it. */
function requireReadOf(caller: Caller, record: Pick<AsyncRecord, 'functionName' | 'trigger'>): void {
  try {
    requireScope(caller, record.trigger === 'rpc' ? 'rpc' : 'invoke', record.functionName);
  } catch {
    requireRead(caller);
  }
}

type View = z.output<typeof invocationSchema>;

function view(record: InvocationRecord): View {
  const { facts } = record;
  return {
    id: record.id,
    function: record.functionName,
    mode: 'sync',
    version: record.version,
    trigger: record.trigger,
    state: record.state,
    acceptedAt: null,
    dueAt: null,
    startedAt: iso(record.startedAt),
    endedAt: isoOrNull(record.endedAt),
    attempts: record.attempts,
    traceId: record.traceId,
    start: facts?.start ?? null,
    instance: facts?.instance ?? null,
    phases: facts?.phases === undefined || facts.phases === null ? null : phasesView(facts.phases),
    status: record.status,
    result: null,
    omittedBytes: null,
    error: record.error,
    destination: null,
  };
}

/** `here`: the attempt as this gateway knows it, where it was the one that ran it. */
function asyncView(record: AsyncRecord, body: Uint8Array | null, here: InvocationRecord | undefined): View {
  const { last } = record;
  const outcome = record.result === null ? null : outcomeOf(record.result as ResultHead, body);
  const phases = last?.phases ?? null;
  return {
    id: record.id,
    function: record.functionName,
    mode: 'async',
    version: last?.version ?? null,
    trigger: record.trigger,
    state: record.state,
    acceptedAt: iso(record.acceptedAt),
    dueAt: isoOrNull(record.dueAt),
    startedAt: isoOrNull(last?.startedAt ?? null),
    endedAt: isoOrNull(record.endedAt),
    attempts: record.attempts,
    traceId: last?.traceId ?? here?.traceId ?? null,
    start: last?.start ?? null,
    instance: last?.instance ?? null,
    phases: phases === null ? null : phasesView(phases as unknown as Phases),
    status: outcome?.status ?? null,
    result: record.trigger === 'cron' ? null : (outcome as Record<keyof Outcome, unknown> | null),
    omittedBytes: record.omittedBytes,
    error: record.error,
    destination: record.destination,
  };
}
