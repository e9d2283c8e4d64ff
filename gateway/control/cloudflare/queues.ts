/** Queues as wrangler looks for them, and who consumes them. A queue of Hearth is there once somebody names it. */
import { z } from 'zod';
import { HearthError } from '../../../functions/contract/errors.ts';
import { NAME_RULE, QUEUE_NAME_PATTERN } from '../../../functions/contract/limits.ts';
import type { PublicationRecord } from '../../store/api/publications.ts';
import { type Caller, requireAdmin, requireRead } from '../access.ts';
import { requireDeploy } from '../lookup.ts';
import { onePage, success } from './envelope.ts';
import { type CloudflareApp, type CloudflareContext, type CloudflareParts, jsonOf, workerNamed } from './parts.ts';
import type { Republish } from './triggers.ts';

const QUEUES = '/accounts/:account/queues';
const MOST_NAMES = 200;

const nameSchema = z.string().regex(QUEUE_NAME_PATTERN, `A queue's name ${NAME_RULE}.`);

const consumerSchema = z.looseObject({
  type: z.literal('worker', { error: 'Only consumers of type "worker" exist here; pull consumers do not.' }),
  script_name: z.string().max(64),
  dead_letter_queue: z.string().nullish(),
  settings: z
    .looseObject({
      batch_size: z.number().nullish(),
      max_retries: z.number().nullish(),
      max_wait_time_ms: z.number().nullish(),
      max_concurrency: z.number().nullish(),
      retry_delay: z.number().nullish(),
    })
    .default({}),
});

export function queuesResource(app: CloudflareApp, parts: CloudflareParts, republish: Republish): void {
  const { registry, queues, audit } = parts;

  app.get(QUEUES, (c) => {
    const caller = c.get('caller');
    const asked = c.req.queries('name') ?? [];
    if (asked.length > MOST_NAMES) throw new HearthError('BAD_REQUEST', `At most ${MOST_NAMES} names at once.`);
    // Named ones need no right: that a queue has this name says nothing of what is in it.
    if (asked.length === 0) requireRead(caller);
    const names = asked.length === 0 ? queues.list().map(({ name }) => name) : asked.filter(isQueueName);
    return success(
      names.map((name) => queueView(name, caller)),
      onePage(names.length),
    );
  });

  app.post(QUEUES, async (c) => {
    requireAdmin(c.get('caller'));
    const { queue_name } = await jsonOf(c, z.looseObject({ queue_name: nameSchema }));
    await queues.put(queue_name, {});
    await audit(c.get('caller').id, 'queue.put', queue_name);
    return success(queueView(queue_name, c.get('caller')));
  });

  app.get(`${QUEUES}/:queue`, (c) => success(queueView(queueName(c), c.get('caller'))));

  app.delete(`${QUEUES}/:queue`, async (c) => {
    requireAdmin(c.get('caller'));
    const queue = queueName(c);
    await queues.delete(queue);
    await audit(c.get('caller').id, 'queue.delete', queue);
    return success(null);
  });

  app.get(`${QUEUES}/:queue/consumers`, (c) => {
    const consumers = consumersOf(queueName(c), c.get('caller'));
    return success(consumers, onePage(consumers.length));
  });

  app.post(`${QUEUES}/:queue/consumers`, async (c) => success(await consume(c)));
  app.put(`${QUEUES}/:queue/consumers/:consumer`, async (c) => success(await consume(c)));

  app.delete(`${QUEUES}/:queue/consumers/:consumer`, async (c) => {
    const queue = queueName(c);
    const name = c.req.param('consumer');
    requireDeploy(c.get('caller'), registry, name);
    workerNamed(registry, name);
    await republish(c.get('caller'), name, (before) => ({
      queues: consumedBy(name, before).filter((each) => each !== queue),
      consumers: (before?.consumers ?? []).filter((each) => each.queue !== queue),
    }));
    return success(null);
  });

  async function consume(c: CloudflareContext): Promise<unknown> {
    const queue = queueName(c);
    const { script_name, dead_letter_queue, settings } = await jsonOf(c, consumerSchema);
    const { max_wait_time_ms } = settings;
    const consumer = given({
      queue,
      dead_letter_queue,
      max_batch_size: settings.batch_size,
      max_batch_timeout: max_wait_time_ms == null ? undefined : max_wait_time_ms / 1000,
      max_retries: settings.max_retries,
      max_concurrency: settings.max_concurrency,
      retry_delay: settings.retry_delay,
    });
    await republish(c.get('caller'), script_name, (before) => ({
      queues: [...new Set([...consumedBy(script_name, before), queue])],
      consumers: [...(before?.consumers ?? []).filter((each) => each.queue !== queue), { ...consumer, queue }],
    }));
    return { ...consumerView(script_name), queue_name: queue, settings };
  }

  /** What stands in the manifest goes on being consumed beside what is said here. */
  function consumedBy(name: string, before: PublicationRecord | undefined): readonly string[] {
    return before?.queues ?? registry.function(name)?.active?.claims.consumes ?? [];
  }

  function consumersOf(queue: string, caller: Caller): { consumer_id: string }[] {
    const name = registry.consumer(queue)?.record.name;
    return name === undefined || !maySee(caller, name) ? [] : [consumerView(name)];
  }

  function queueView(name: string, caller: Caller) {
    const consumers = consumersOf(name, caller);
    return {
      queue_id: name,
      queue_name: name,
      producers: [],
      producers_total_count: 0,
      consumers,
      consumers_total_count: consumers.length,
      created_on: null,
      modified_on: null,
      settings: {},
    };
  }
}

function consumerView(script: string) {
  return { consumer_id: script, type: 'worker', script };
}

function maySee(caller: Caller, name: string): boolean {
  try {
    requireRead(caller, name);
    return true;
  } catch (error) {
    if (error instanceof HearthError) return false;
    throw error;
  }
}

function isQueueName(name: string): boolean {
  return QUEUE_NAME_PATTERN.test(name);
}

function queueName(c: CloudflareContext): string {
  const name = c.req.param('queue') ?? '';
  if (isQueueName(name)) return name;
  throw new HearthError('NOT_FOUND', `There is no queue ${JSON.stringify(name.slice(0, 100))}.`);
}

function given<Values extends Record<string, unknown>>(values: Values) {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(entries) as { [Key in keyof Values]?: NonNullable<Values[Key]> };
}
