/** Queues: settings, depth, messages in, dead letters and the way back. */
import { createRoute, z } from '@hono/zod-openapi';
import { MAX_BATCH_MESSAGES, MAX_DELAY_S } from '../../functions/contract/limits.ts';
import type { QueueSettings } from '../store/api/queues.ts';
import type { Queues, QueueView } from '../triggers/queue/queues.ts';
import { requireAdmin, requireRead, requireScope } from './access.ts';
import type { Audit } from './audit.ts';
import {
  answers,
  type ControlApp,
  emptyAnswer,
  guard,
  idempotencyHeader,
  iso,
  isoOrNull,
  jsonBody,
  queueNameParam,
  timestamp,
} from './http.ts';
import { contentTypeSchema, decodeBody, encodeBody } from './message-body.ts';

const tags = ['queues'];
const params = z.object({ name: queueNameParam });
const admin = guard((caller) => requireAdmin(caller));
const read = guard((caller) => requireRead(caller));

const settingsSchema = z
  .object({
    maxBatchSize: z.int().min(1).max(100),
    maxBatchTimeoutS: z.number().min(0).max(60),
    maxRetries: z.int().min(0).max(100),
    retryDelayS: z.number().min(0).max(MAX_DELAY_S),
    deliveryDelayS: z.number().min(0).max(MAX_DELAY_S),
    maxConcurrency: z.int().min(1).max(250).nullable(),
    deadLetterQueue: queueNameParam,
    paused: z.boolean(),
  })
  .openapi('QueueSettings');

const changesSchema = z.strictObject(settingsSchema.partial().shape).openapi('QueueChanges');

const queueSchema = z
  .object({
    name: z.string(),
    consumer: z.string().nullable().openapi({ description: 'Function that consumes it; null: messages wait' }),
    settings: settingsSchema,
    depth: z.int().openapi({ description: 'Waiting, delayed and in flight' }),
    delayed: z.int(),
    inFlight: z.int(),
    oldestAt: timestamp.nullable(),
    oldestAgeMs: z.number().nullable(),
    dead: z.int(),
  })
  .openapi('Queue');

const messageSchema = z
  .strictObject({
    id: z
      .string()
      .min(1)
      .max(128)
      .regex(/^[\x21-\x7e]*$/, 'An id has 1 to 128 printable ASCII characters and no space.')
      .optional()
      .openapi({ description: 'The same id within 24 h is taken once' }),
    body: z.unknown(),
    contentType: contentTypeSchema,
    delaySeconds: z.number().min(0).max(MAX_DELAY_S).optional(),
  })
  .openapi('NewMessage', { required: ['body'] });

const deadSchema = z
  .object({
    id: z.string(),
    body: z.unknown(),
    contentType: z.enum(['json', 'text', 'bytes', 'v8']),
    acceptedAt: timestamp,
    diedAt: timestamp,
    attempts: z.int(),
    reason: z.string().openapi({ description: 'Why it died' }),
    failures: z.array(z.object({ at: timestamp, reason: z.string() })).openapi({
      description: 'What its deliveries failed with, its death last; of very many the first ones and the last',
    }),
  })
  .openapi('DeadMessage');

const putRoute = createRoute({
  method: 'put',
  path: '/v1/queues/{name}',
  summary: 'Make a queue, or change the settings given',
  tags,
  middleware: admin,
  request: { params, body: { required: false, content: { 'application/json': { schema: changesSchema } } } },
  responses: answers(200, 'The queue', queueSchema),
});

const listRoute = createRoute({
  method: 'get',
  path: '/v1/queues',
  summary: 'All queues',
  tags,
  middleware: read,
  responses: answers(200, 'Queues', z.object({ queues: z.array(queueSchema) })),
});

const oneRoute = createRoute({
  method: 'get',
  path: '/v1/queues/{name}',
  summary: 'Settings, depth, age of the oldest message',
  tags,
  middleware: read,
  request: { params },
  responses: answers(200, 'The queue', queueSchema),
});

const deleteRoute = createRoute({
  method: 'delete',
  path: '/v1/queues/{name}',
  summary: 'Remove a queue that nobody consumes, with its messages',
  tags,
  middleware: admin,
  request: { params },
  responses: emptyAnswer('Removed'),
});

const messagesRoute = createRoute({
  method: 'post',
  path: '/v1/queues/{name}/messages',
  summary: 'Enqueue; answered once the messages are durable',
  tags,
  middleware: guard((caller, param) => requireScope(caller, 'enqueue', param('name'))),
  request: {
    params,
    headers: idempotencyHeader,
    body: jsonBody(z.strictObject({ messages: z.array(messageSchema).min(1).max(MAX_BATCH_MESSAGES) })),
  },
  responses: answers(
    202,
    'Durable',
    z.object({
      ids: z.array(z.string()),
      duplicates: z.array(z.string()).openapi({ description: 'Ids that were taken before and are not stored again' }),
    }),
  ),
});

const deadRoute = createRoute({
  method: 'get',
  path: '/v1/queues/{name}/dead',
  summary: 'Dead letters that come from this queue, oldest death first',
  tags,
  middleware: read,
  request: {
    params,
    query: z.strictObject({
      limit: z.coerce.number().int().min(1).max(1000).default(100),
      cursor: z.string().optional(),
    }),
  },
  responses: answers(200, 'Dead letters', z.object({ messages: z.array(deadSchema), cursor: z.string().nullable() })),
});

const redriveRoute = createRoute({
  method: 'post',
  path: '/v1/queues/{name}/redrive',
  summary: 'Dead letters back into the queue, all of them unless ids are given',
  tags,
  middleware: admin,
  request: {
    params,
    body: {
      required: false,
      content: { 'application/json': { schema: z.strictObject({ ids: z.array(z.string()).max(10_000).optional() }) } },
    },
  },
  responses: answers(200, 'How many', z.object({ redriven: z.int() })),
});

const pauseRoute = createRoute({
  method: 'post',
  path: '/v1/queues/{name}/pause',
  summary: 'Deliver no more; {"paused": false} goes on',
  tags,
  middleware: admin,
  request: {
    params,
    body: {
      required: false,
      content: { 'application/json': { schema: z.strictObject({ paused: z.boolean().default(true) }) } },
    },
  },
  responses: answers(200, 'The queue', queueSchema),
});

const purgeRoute = createRoute({
  method: 'post',
  path: '/v1/queues/{name}/purge',
  summary: 'Remove all messages',
  tags,
  middleware: admin,
  request: { params },
  responses: answers(200, 'How many', z.object({ purged: z.int() })),
});

export function queuesResource(app: ControlApp, queues: Queues, audit: Audit, now: () => number): void {
  async function view({ name, consumer, settings }: QueueView): Promise<z.output<typeof queueSchema>> {
    const { oldestAt, ...stats } = await queues.stats(name);
    const oldestAgeMs = oldestAt === null ? null : Math.max(0, now() - oldestAt);
    return { name, consumer, settings, ...stats, oldestAt: isoOrNull(oldestAt), oldestAgeMs };
  }

  app.openapi(putRoute, async (c) => {
    const { name } = c.req.valid('param');
    const changes = given(c.req.valid('json'));
    const queue = await queues.put(name, changes);
    await audit(c.get('caller').id, 'queue.put', name, { ...changes });
    return c.json(await view(queue), 200);
  });

  app.openapi(listRoute, async (c) => c.json({ queues: await Promise.all(queues.list().map(view)) }, 200));

  app.openapi(oneRoute, async (c) => c.json(await view(await queues.get(c.req.valid('param').name)), 200));

  app.openapi(deleteRoute, async (c) => {
    const { name } = c.req.valid('param');
    await queues.delete(name);
    await audit(c.get('caller').id, 'queue.delete', name);
    return c.body(null, 204);
  });

  app.openapi(messagesRoute, async (c) => {
    const { name } = c.req.valid('param');
    const messages = c.req.valid('json').messages.map(({ id, body, contentType, delaySeconds }, i) => ({
      ...(id === undefined ? {} : { id }),
      body: encodeBody(body, contentType, `body.messages.${i}.body`),
      contentType,
      delayS: delaySeconds ?? null,
    }));
    const context = { traceparent: c.req.header('traceparent') ?? null, hops: 0 };
    return c.json(await queues.enqueue(name, messages, context), 202);
  });

  app.openapi(deadRoute, async (c) => {
    const { limit, cursor } = c.req.valid('query');
    const dead = await queues.dead(c.req.valid('param').name, { most: limit, cursor: cursor ?? null });
    const messages = dead.messages.map(({ id, body, contentType, timestamp, diedAt, attempts, reason, failures }) => ({
      id,
      body: decodeBody(body, contentType),
      contentType,
      acceptedAt: iso(timestamp),
      diedAt: iso(diedAt),
      attempts,
      reason,
      failures: failures.map(({ at, reason }) => ({ at: iso(at), reason })),
    }));
    return c.json({ messages, cursor: dead.cursor }, 200);
  });

  app.openapi(redriveRoute, async (c) => {
    const { name } = c.req.valid('param');
    const redriven = await queues.redrive(name, c.req.valid('json').ids ?? 'all');
    await audit(c.get('caller').id, 'queue.redrive', name, { redriven });
    return c.json({ redriven }, 200);
  });

  app.openapi(pauseRoute, async (c) => {
    const { name } = c.req.valid('param');
    await queues.get(name);
    // Without a body there are no defaults of the schema either.
    const { paused = true } = c.req.valid('json') as { paused?: boolean };
    const queue = await queues.put(name, { paused });
    await audit(c.get('caller').id, paused ? 'queue.pause' : 'queue.resume', name);
    return c.json(await view(queue), 200);
  });

  app.openapi(purgeRoute, async (c) => {
    const { name } = c.req.valid('param');
    const purged = await queues.purge(name);
    await audit(c.get('caller').id, 'queue.purge', name, { purged });
    return c.json({ purged }, 200);
  });
}

/** What the request names: zod leaves optional keys that are absent out, the types do not know it. */
function given(changes: z.output<typeof changesSchema>): Partial<QueueSettings> {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
}
