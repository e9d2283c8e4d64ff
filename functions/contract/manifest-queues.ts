/** How messages reach a function: queues it consumes, topics it subscribes to. */
import { z } from 'zod';
import { MAX_DELAY_S, topicQueue } from './limits.ts';
import { bindingSchema, nameSchema, queueNameSchema, whole } from './manifest-names.ts';

const deliveryKeys = {
  type: z.literal('worker', { error: 'Only consumers of type "worker" exist here; pull consumers do not.' }).optional(),
  max_batch_size: whole(1, 100).default(10),
  /** Seconds a batch waits for more messages. */
  max_batch_timeout: z.number().min(0).max(60).default(5),
  max_retries: whole(0, 100).default(3),
  /** Absent: the queue's name with `.dead`. */
  dead_letter_queue: queueNameSchema.nullish(),
  /** Batches in flight at once; null: as many as the load needs. */
  max_concurrency: whole(1, 250).nullable().default(null),
  /** Seconds before a message is tried again, unless `retry` says another delay. */
  retry_delay: whole(0, MAX_DELAY_S).default(0),
};

export const consumerSchema = z
  .strictObject({
    queue: queueNameSchema,
    ...deliveryKeys,
  })
  .refine((consumer) => consumer.dead_letter_queue !== consumer.queue, {
    error: 'A queue cannot be its own dead-letter queue.',
    path: ['dead_letter_queue'],
  })
  .transform(({ type: _type, dead_letter_queue, ...consumer }) => ({
    ...consumer,
    dead_letter_queue: dead_letter_queue ?? `${consumer.queue}.dead`,
  }));

/** Of topics: who publishes to them, and what this function gets. Means something within one trust group. */
export const topicsSchema = z.strictObject({
  publishers: z.array(z.strictObject({ binding: bindingSchema, topic: nameSchema })).default([]),
  subscriptions: z
    .array(z.strictObject({ topic: nameSchema, ...deliveryKeys }))
    .max(100)
    .default([]),
});
export type Topics = z.output<typeof topicsSchema>;

/** The queues that a function's subscriptions are, as if it consumed them. */
export function subscribed(topics: Topics | undefined, functionName: string | null): z.output<typeof consumerSchema>[] {
  return (topics?.subscriptions ?? []).map(({ topic, type: _type, dead_letter_queue, ...settings }) => {
    const queue = topicQueue(topic, functionName ?? 'function');
    return { ...settings, queue, dead_letter_queue: dead_letter_queue ?? `${queue}.dead` };
  });
}
