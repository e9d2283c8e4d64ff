/**
 * Any trigger by hand: what a cron tick, a batch or a request would do. `sync` waits for what comes of it; `async` answers
 * once it is durable, and it is read at /v1/invocations/{id}.
 */
import { createRoute, z } from '@hono/zod-openapi';
import { asyncPlan, asyncSettingsSchema } from '../../functions/contract/async.ts';
import { HearthError } from '../../functions/contract/errors.ts';
import type { HeaderList } from '../../functions/contract/invocation.ts';
import { MAX_BATCH_MESSAGES } from '../../functions/contract/limits.ts';
import { MAX_HEADER_BYTES } from '../bindings/calls.ts';
import type { Registry, VersionEntry } from '../registry/registry.ts';
import { ARM } from '../telemetry/names.ts';
import type { Asyncs } from '../triggers/async/asyncs.ts';
import { refusedUrl } from '../triggers/async/callback.ts';
import { chooseVersion } from '../triggers/choose.ts';
import type { CallResult, Dispatcher, TriggerHead } from '../triggers/dispatcher.ts';
import { outcomeOf } from '../triggers/outcome.ts';
import { type Caller, requireScope } from './access.ts';
import {
  answers,
  type ControlApp,
  INVOKE_STATUSES,
  idempotencyHeader,
  jsonBody,
  nameParam,
  phasesView,
  queueNameParam,
} from './http.ts';
import { activeVersion, functionNamed, versionNamed } from './lookup.ts';
import { contentTypeSchema, encodeBody } from './message-body.ts';
import { entrypointOf } from './rpc.ts';

const mode = z.enum(['sync', 'async']).default('sync').openapi({
  description:
    'async: answered 202 once it is durable; its outcome is at /v1/invocations/{id} for HEARTH_RETENTION_DAYS',
});

const asyncField = asyncSettingsSchema
  .optional()
  .openapi({ description: "With mode async: instead of what the manifest's hearth.async says, key by key" });

const versionField = z
  .string()
  .max(128)
  .optional()
  .openapi({ description: 'Which one is to run, by its id or eight characters of it; default: as the traffic says' });

const headerValue = z.union([z.string(), z.array(z.string())]);

const requestSchema = z
  .discriminatedUnion('trigger', [
    z.strictObject({
      trigger: z.literal('http'),
      mode,
      async: asyncField,
      version: versionField,
      method: z
        .string()
        .regex(/^[A-Za-z]{1,20}$/, 'an HTTP method')
        .default('GET'),
      path: z.string().startsWith('/').max(16_384).default('/').openapi({ description: 'Path with query' }),
      headers: z
        .record(z.string().regex(/^[!#$%&'*+.^_`|~\w-]+$/, 'a header name'), headerValue)
        .refine(headersFit, `Headers have at most ${MAX_HEADER_BYTES / 1024} KB together.`)
        .default({}),
      body: z.unknown().optional().openapi({ description: 'A string as it is, anything else as JSON' }),
    }),
    z.strictObject({
      trigger: z.literal('cron'),
      mode,
      async: asyncField,
      version: versionField,
      cron: z.string().max(256).optional().openapi({ description: "Default: the manifest's first" }),
      scheduledTime: z
        .union([z.int(), z.iso.datetime({ offset: true })])
        .optional()
        .openapi({ description: 'Epoch ms or ISO 8601; default: now' }),
    }),
    z.strictObject({
      trigger: z.literal('queue'),
      mode,
      async: asyncField,
      version: versionField,
      queue: queueNameParam.optional().openapi({ description: "Default: the manifest's first consumer's" }),
      messages: z
        .array(
          z
            .strictObject({
              id: z.string().min(1).max(256).optional(),
              body: z.unknown(),
              contentType: contentTypeSchema,
              attempts: z.int().min(1).max(1000).default(1),
            })
            .openapi({ required: ['body'] }),
        )
        .min(1)
        .max(MAX_BATCH_MESSAGES),
    }),
    z.strictObject({
      trigger: z.literal('rpc'),
      mode,
      async: asyncField,
      version: versionField,
      method: z.string().min(1).max(1024),
      args: z.array(z.unknown()).default([]),
      entrypoint: z.string().optional().openapi({ description: 'Export of the class; default: default' }),
    }),
  ])
  .openapi('InvokeRequest');

type InvokeRequest = z.output<typeof requestSchema>;

const outcomeSchema = z
  .object({
    invocationId: z.string(),
    version: z.string(),
    start: z.enum(['cold', 'warm']),
    phases: z.record(z.string(), z.number()),
    status: z.int().optional().openapi({ description: 'http: status of the answer' }),
    headers: z.record(z.string(), headerValue).optional(),
    body: z.string().optional(),
    bodyEncoding: z.enum(['text', 'base64']).optional(),
    noRetry: z.boolean().optional().openapi({ description: 'cron: controller.noRetry() was called' }),
    verdicts: z
      .array(z.object({ id: z.string(), verdict: z.enum(['ack', 'retry']), delaySeconds: z.number().optional() }))
      .optional()
      .openapi({ description: 'queue: what was decided, per message' }),
    error: z
      .object({ name: z.string(), message: z.string() })
      .optional()
      .openapi({ description: 'queue: the handler threw' }),
    result: z.unknown().optional().openapi({ description: 'rpc: what the method gave, as JSON' }),
  })
  .openapi('InvokeOutcome');

type InvokeOutcome = z.output<typeof outcomeSchema>;

const acceptedSchema = z
  .object({ invocationId: z.string(), location: z.string().openapi({ example: '/v1/invocations/0199…' }) })
  .openapi('AcceptedInvocation');

const route = createRoute({
  method: 'post',
  path: '/v1/functions/{name}/invoke',
  summary: 'Trigger a function by hand, and wait for what comes of it or leave it to Hearth',
  tags: ['invocations'],
  request: { params: z.object({ name: nameParam }), headers: idempotencyHeader, body: jsonBody(requestSchema) },
  responses: {
    ...answers(200, 'What came of it', outcomeSchema, INVOKE_STATUSES),
    202: {
      description: 'mode async: durable',
      content: { 'application/json': { schema: acceptedSchema } },
    },
  },
});

export interface InvokeParts {
  registry: Registry;
  dispatcher: Pick<Dispatcher, 'call'>;
  asyncs: Pick<Asyncs, 'accept'>;
  /** Whether a callback may go to this IP address. */
  callsBack(address: string): boolean;
  now(): number;
  newId(): string;
}

export function invokeResource(app: ControlApp, parts: InvokeParts): void {
  const { registry, dispatcher, asyncs, now, newId } = parts;
  app.openapi(route, async (c) => {
    const { name } = c.req.valid('param');
    const request = c.req.valid('json');
    requireScope(c.get('caller'), request.trigger === 'rpc' ? 'rpc' : 'invoke', name);
    const entry = functionNamed(registry, name);
    const named = request.version === undefined ? null : versionNamed(entry, request.version);
    const active = named ?? activeVersion(entry);
    const { head, body } = triggerOf(request, active, now(), newId);
    const context = { traceparent: c.req.header('traceparent') ?? null, hops: 0 };
    if (request.mode === 'async') {
      requireDestinations(request.async, c.get('caller'), parts);
      const { async, trustGroup } = active.manifest.hearth;
      const plan = asyncPlan(request.async, async);
      const version = named?.version ?? null;
      const accepted = { functionName: name, head, body, version, plan, trustGroup };
      const invocationId = await asyncs.accept(accepted, context);
      const location = `/v1/invocations/${invocationId}`;
      return c.json({ invocationId, location }, 202, { location });
    }
    if (request.async !== undefined) {
      throw new HearthError('BAD_REQUEST', 'body.async: only of use with mode "async".');
    }
    const chosen = named === null ? chooseVersion(entry, head, body) : { version: named, arm: ARM.override };
    const { version, arm } = chosen ?? { version: active, arm: ARM.split };
    const invocationId = newId();
    c.set('invocationId', invocationId);
    // Whoever sends a key and goes away comes back for the answer: then it is finished for them.
    const { signal } = c.req.raw;
    const options = c.req.header('idempotency-key') === undefined ? { signal } : {};
    const result = await dispatcher.call(entry, version, head, context, body, { ...options, invocationId, arm });
    return c.json(viewOf(result, version.record.version), 200);
  });
}

function headersFit(headers: Record<string, string | string[]>): boolean {
  let bytes = 0;
  for (const [name, values] of Object.entries(headers)) {
    for (const value of [values].flat()) bytes += name.length + value.length;
  }
  return bytes <= MAX_HEADER_BYTES;
}

/** Whoever names a destination must be allowed to reach it by themselves. Throws FORBIDDEN. */
function requireDestinations(settings: InvokeRequest['async'], caller: Caller, { callsBack }: InvokeParts): void {
  for (const destination of [settings?.onSuccess, settings?.onFailure]) {
    if (!destination) continue;
    if ('queue' in destination) requireScope(caller, 'enqueue', destination.queue);
    else if ('function' in destination) requireScope(caller, 'invoke', destination.function);
    else {
      const refusal = refusedUrl(new URL(destination.url), callsBack);
      if (refusal !== null) throw refusal;
    }
  }
}

interface Trigger {
  head: TriggerHead;
  body: Uint8Array | null;
}

/** What is not said is taken from this version's manifest. */
function triggerOf(request: InvokeRequest, version: VersionEntry, nowMs: number, newId: () => string): Trigger {
  switch (request.trigger) {
    case 'http':
      return httpTrigger(request, version.functionName);
    case 'cron': {
      const cron = request.cron ?? version.manifest.triggers.crons[0]?.cron;
      if (cron === undefined) {
        throw new HearthError('BAD_REQUEST', 'body.cron: missing, and the manifest has no cron to take instead.');
      }
      const { scheduledTime = nowMs } = request;
      const dueAt = typeof scheduledTime === 'number' ? scheduledTime : Date.parse(scheduledTime);
      return { head: { trigger: 'cron', cron, scheduledTime: dueAt }, body: null };
    }
    case 'queue':
      return queueTrigger(request, version, nowMs, newId);
    case 'rpc':
      return {
        head: { trigger: 'rpc', wire: 'json', method: request.method, ...entrypointOf(request.entrypoint) },
        body: Buffer.from(JSON.stringify(request.args)),
      };
  }
}

function httpTrigger(request: Extract<InvokeRequest, { trigger: 'http' }>, name: string): Trigger {
  // What only the gateway says is nobody else's to say here either.
  const given = Object.entries(request.headers).filter(([key]) => !/^hearth-/i.test(key));
  const headers: HeaderList = given.flatMap(([key, value]) =>
    (typeof value === 'string' ? [value] : value).map((one): [string, string] => [key.toLowerCase(), one]),
  );
  const has = (wanted: string) => headers.some(([key]) => key === wanted);
  let body: Uint8Array | null = null;
  if (request.body !== undefined) {
    const text = typeof request.body === 'string' ? request.body : JSON.stringify(request.body);
    body = Buffer.from(text);
    if (!has('content-type')) {
      headers.push([
        'content-type',
        typeof request.body === 'string' ? 'text/plain;charset=UTF-8' : 'application/json',
      ]);
    }
  }
  const method = request.method.toUpperCase();
  if (body !== null && (method === 'GET' || method === 'HEAD')) {
    throw new HearthError('BAD_REQUEST', `body.body: a ${method} request has none.`);
  }
  const url = new URL(request.path, `http://${name}.localhost`);
  if (!has('host')) headers.push(['host', url.host]);
  return {
    head: {
      trigger: 'http',
      method,
      url: url.href,
      headers,
      hasBody: body !== null,
      upgrade: false,
      remoteAddress: '127.0.0.1',
    },
    body,
  };
}

function queueTrigger(
  request: Extract<InvokeRequest, { trigger: 'queue' }>,
  version: VersionEntry,
  nowMs: number,
  newId: () => string,
): Trigger {
  const queue = request.queue ?? version.manifest.queues.consumers[0]?.queue;
  if (queue === undefined) {
    throw new HearthError('BAD_REQUEST', 'body.queue: missing, and the manifest consumes no queue to take instead.');
  }
  const bodies = request.messages.map(({ body, contentType }, i) =>
    encodeBody(body, contentType, `body.messages.${i}.body`),
  );
  const messages = request.messages.map(({ id, contentType, attempts }, i) => ({
    id: id ?? newId(),
    timestamp: nowMs,
    attempts,
    contentType,
    bytes: bodies[i]?.byteLength ?? 0,
  }));
  return { head: { trigger: 'queue', queue, messages }, body: Buffer.concat(bodies) };
}

function viewOf({ invocationId, head, body, facts }: CallResult, version: string): InvokeOutcome {
  return {
    invocationId,
    version,
    start: facts.start,
    phases: { ...phasesView(facts.phases) },
    ...outcomeOf(head, body),
  };
}
