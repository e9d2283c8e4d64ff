/** Topics: what is published goes to every function that subscribes. Their queues are looked at as any other. */
import { createRoute, z } from '@hono/zod-openapi';
import { MAX_BATCH_MESSAGES, MAX_DELAY_S, topicQueue } from '../../functions/contract/limits.ts';
import type { Topics } from '../triggers/topics.ts';
import { requireRead, requireScope, requireTrustGroup } from './access.ts';
import { answers, type ControlApp, guard, jsonBody, nameParam, trustGroupQuery } from './http.ts';
import { contentTypeSchema, encodeBody } from './message-body.ts';

const tags = ['topics'];
const params = z.object({ name: nameParam });

const messageSchema = z
  .strictObject({
    body: z.unknown(),
    contentType: contentTypeSchema,
    delaySeconds: z.number().min(0).max(MAX_DELAY_S).optional(),
  })
  .openapi('TopicMessage', { required: ['body'] });

const getRoute = createRoute({
  method: 'get',
  path: '/v1/topics/{name}',
  summary: 'Who subscribes, and in which queue each finds its messages',
  tags,
  middleware: guard((caller) => requireRead(caller)),
  request: { params, query: trustGroupQuery },
  responses: answers(
    200,
    'Subscribers',
    z
      .object({ name: z.string(), subscribers: z.array(z.object({ function: z.string(), queue: z.string() })) })
      .openapi('Topic'),
  ),
});

const publishRoute = createRoute({
  method: 'post',
  path: '/v1/topics/{name}/messages',
  summary: 'Publish; answered once the messages are durable for all subscribers',
  tags,
  middleware: guard((caller, param) => requireScope(caller, 'publish', param('name'))),
  request: {
    params,
    query: trustGroupQuery,
    body: jsonBody(z.strictObject({ messages: z.array(messageSchema).min(1).max(MAX_BATCH_MESSAGES) })),
  },
  responses: answers(
    202,
    'Durable',
    z.object({
      ids: z.array(z.string()),
      subscribers: z.array(z.string()).openapi({ description: 'Functions that get them; none: they are gone' }),
    }),
  ),
});

export function topicsResource(app: ControlApp, topics: Topics): void {
  app.openapi(getRoute, (c) => {
    const { name } = c.req.valid('param');
    const found = topics.subscribers(c.req.valid('query').trustGroup, name);
    const subscribers = found.map((each) => ({ function: each, queue: topicQueue(name, each) }));
    return c.json({ name, subscribers }, 200);
  });

  app.openapi(publishRoute, async (c) => {
    const { name } = c.req.valid('param');
    const { trustGroup } = c.req.valid('query');
    requireTrustGroup(c.get('caller'), trustGroup);
    const messages = c.req.valid('json').messages.map(({ body, contentType, delaySeconds }, i) => ({
      body: encodeBody(body, contentType, `body.messages.${i}.body`),
      contentType,
      delayS: delaySeconds ?? null,
    }));
    const published = await topics.publish(trustGroup, name, messages, { traceparent: null, hops: 0 });
    return c.json(published, 202);
  });
}
