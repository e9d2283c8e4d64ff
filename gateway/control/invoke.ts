/** Any trigger by hand: what a cron tick, a batch or a request would do, now, and what came of it. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { HeaderList } from '../../functions/contract/invocation.ts';
import { MAX_BATCH_MESSAGES } from '../../functions/contract/limits.ts';
import { EarlyBody, HttpAsk } from '../registry/ask.ts';
import type { FunctionEntry, Registry, VersionEntry } from '../registry/registry.ts';
import type { Choice } from '../registry/traffic.ts';
import { ARM } from '../telemetry/names.ts';
import type { CallResult, Dispatcher, TriggerHead } from '../triggers/dispatcher.ts';
import { servedBy } from '../triggers/served-by.ts';
import { requireScope } from './access.ts';
import { answers, type ControlApp, jsonBody, nameParam, phasesView, queueNameParam } from './http.ts';
import { activeVersion, functionNamed, versionNamed } from './lookup.ts';
import { contentTypeSchema, encodeBody } from './message-body.ts';

const mode = z
  .enum(['sync', 'async'])
  .default('sync')
  .openapi({ description: 'async comes with a later version of Hearth' });

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
      version: versionField,
      method: z
        .string()
        .regex(/^[A-Za-z]{1,20}$/, 'an HTTP method')
        .default('GET'),
      path: z.string().startsWith('/').max(16_384).default('/').openapi({ description: 'Path with query' }),
      headers: z.record(z.string().regex(/^[!#$%&'*+.^_`|~\w-]+$/, 'a header name'), headerValue).default({}),
      body: z.unknown().optional().openapi({ description: 'A string as it is, anything else as JSON' }),
    }),
    z.strictObject({
      trigger: z.literal('cron'),
      mode,
      version: versionField,
      cron: z.string().optional().openapi({ description: "Default: the manifest's first" }),
      scheduledTime: z
        .union([z.int(), z.iso.datetime()])
        .optional()
        .openapi({ description: 'Epoch ms or ISO 8601; default: now' }),
    }),
    z.strictObject({
      trigger: z.literal('queue'),
      mode,
      version: versionField,
      queue: queueNameParam.optional().openapi({ description: "Default: the manifest's first consumer's" }),
      messages: z
        .array(
          z.strictObject({
            id: z.string().min(1).max(256).optional(),
            body: z.unknown(),
            contentType: contentTypeSchema,
            attempts: z.int().min(1).max(1000).default(1),
          }),
        )
        .min(1)
        .max(MAX_BATCH_MESSAGES),
    }),
    z.strictObject({
      trigger: z.literal('rpc'),
      mode,
      version: versionField,
      method: z.string(),
      args: z.array(z.unknown()).default([]),
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
  })
  .openapi('InvokeOutcome');

type Outcome = z.output<typeof outcomeSchema>;

const route = createRoute({
  method: 'post',
  path: '/v1/functions/{name}/invoke',
  summary: 'Trigger a function by hand and wait for what comes of it',
  tags: ['invocations'],
  request: { params: z.object({ name: nameParam }), body: jsonBody(requestSchema) },
  responses: answers(200, 'What came of it', outcomeSchema),
});

export interface InvokeParts {
  registry: Registry;
  dispatcher: Pick<Dispatcher, 'call'>;
  now(): number;
  newId(): string;
}

export function invokeResource(app: ControlApp, { registry, dispatcher, now, newId }: InvokeParts): void {
  app.openapi(route, async (c) => {
    const { name } = c.req.valid('param');
    const request = c.req.valid('json');
    requireScope(c.get('caller'), request.trigger === 'rpc' ? 'rpc' : 'invoke', name);
    if (request.mode === 'async') {
      throw new HearthError('BAD_REQUEST', 'mode "async" is not built yet; leave mode out to wait for the outcome.');
    }
    const entry = functionNamed(registry, name);
    const named = request.version === undefined ? null : versionNamed(entry, request.version);
    const { head, body } = triggerOf(request, named ?? activeVersion(entry), now(), newId);
    const { version, arm } = named === null ? choose(entry, head, body) : { version: named, arm: ARM.override };
    const context = { traceparent: c.req.header('traceparent') ?? null, hops: 0 };
    const invocationId = newId();
    c.set('invocationId', invocationId);
    const { signal } = c.req.raw;
    const result = await dispatcher.call(entry, version, head, context, body, { signal, invocationId, arm });
    return c.json(outcomeOf(result, version.record.version), 200);
  });
}

interface Trigger {
  head: TriggerHead;
  body: Uint8Array | null;
}

/** As the traffic has it for such a trigger. */
function choose(entry: FunctionEntry, head: TriggerHead, body: Uint8Array | null): Choice<VersionEntry> {
  const active = activeVersion(entry);
  const split = (version = active) => ({ version, arm: ARM.split });
  switch (head.trigger) {
    case 'http': {
      const early = new EarlyBody();
      if (body !== null) early.add(body);
      early.end();
      return entry.choose(new HttpAsk(head.headers, new URL(head.url).search, early)) ?? split();
    }
    case 'cron':
      return split(servedBy(entry, 'scheduled'));
    case 'queue':
      return split(servedBy(entry, 'queue'));
    case 'rpc':
      return split(entry.pick(null));
  }
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
      throw new HearthError('BAD_REQUEST', 'trigger "rpc" is not built yet.');
  }
}

function httpTrigger(request: Extract<InvokeRequest, { trigger: 'http' }>, name: string): Trigger {
  const headers: HeaderList = Object.entries(request.headers).flatMap(([key, value]) =>
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

function outcomeOf({ invocationId, head, body, facts }: CallResult, version: string): Outcome {
  const common: Outcome = { invocationId, version, start: facts.start, phases: { ...phasesView(facts.phases) } };
  switch (head.kind) {
    case 'response':
      return { ...common, status: head.status, headers: headersOf(head.headers), ...textOf(body) };
    case 'cron-result':
      return { ...common, noRetry: head.noRetry };
    case 'queue-result':
      return {
        ...common,
        verdicts: head.verdicts.map((verdict) =>
          verdict.verdict === 'retry' && verdict.delayS !== null
            ? { id: verdict.id, verdict: verdict.verdict, delaySeconds: verdict.delayS }
            : { id: verdict.id, verdict: verdict.verdict },
        ),
        ...(head.error === null ? {} : { error: { name: head.error.name, message: head.error.message } }),
      };
    case 'rpc-result':
      return common;
  }
}

/** A header that repeats (set-cookie) is an array. */
function headersOf(list: HeaderList): Record<string, string | string[]> {
  const headers = new Map<string, string[]>();
  for (const [name, value] of list) headers.set(name, [...(headers.get(name) ?? []), value]);
  return Object.fromEntries(
    [...headers].map(([name, values]) => [name, values.length === 1 ? (values[0] ?? '') : values]),
  );
}

function textOf(bytes: Uint8Array): { body: string; bodyEncoding: 'text' | 'base64' } {
  try {
    return { body: new TextDecoder('utf-8', { fatal: true }).decode(bytes), bodyEncoding: 'text' };
  } catch {
    // Not UTF-8: an image, say.
    return { body: Buffer.from(bytes).toString('base64'), bodyEncoding: 'base64' };
  }
}
