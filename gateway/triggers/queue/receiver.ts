/** Who takes the messages of a queue: its consumer function, or Hearth itself (asynchronous invocations). */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { ModuleLimits } from '../../../pool/keeper/api.ts';
import type { Registry } from '../../registry/registry.ts';
import type { ClaimedMessage, QueueSettings, Settlement } from '../../store/api/queues.ts';
import type { Dispatcher } from '../dispatcher.ts';
import { servedBy } from '../served-by.ts';
import { giveBack, settleByVerdicts } from './plan.ts';

export interface Receiver {
  /** Function that the messages are for; null: none that is there. */
  functionName(): string | null;
  /** Bounds the batches in flight. Null: nobody takes messages now, they wait. */
  limits(): Pick<ModuleLimits, 'concurrency' | 'maxInstances'> | null;
  /**
   * What becomes of each message. Where it rejects, the batch is given back and the queue rests (OVERLOADED, NO_CAPACITY:
   * the function was not called), or each message uses up an attempt (any other error).
   */
  deliver(messages: ClaimedMessage[]): Promise<Settlement[]>;
}

export interface FunctionReceiverParts {
  registry: Pick<Registry, 'consumer'>;
  dispatcher: Pick<Dispatcher, 'call'>;
  settings(): QueueSettings;
  /** Epoch ms. */
  now(): number;
  random(): number;
}

/** The function that consumes the queue, whichever that is at the moment. */
export function functionReceiver(queue: string, parts: FunctionReceiverParts): Receiver {
  const { registry, dispatcher, settings, now, random } = parts;
  return {
    functionName: () => registry.consumer(queue)?.record.name ?? null,
    limits: () => registry.consumer(queue)?.active?.spec.limits ?? null,
    async deliver(messages) {
      const entry = registry.consumer(queue);
      const version = entry === undefined ? undefined : servedBy(entry, 'queue');
      if (entry === undefined || version === undefined) return giveBack(messages, now());
      const head = {
        trigger: 'queue',
        queue,
        messages: messages.map(({ id, timestamp, attempts, contentType, body }) => {
          return { id, timestamp, attempts, contentType, bytes: body.byteLength };
        }),
      } as const;
      // One batch has many producers: it begins a trace of its own, and each message's span links to its producer's.
      const context = { traceparent: null, hops: Math.max(...messages.map(({ hops }) => hops)) };
      const producers = messages.map(({ traceparent }) => traceparent);
      const body = Buffer.concat(messages.map((message) => message.body));
      const { head: result } = await dispatcher.call(entry, version, head, context, body, { producers });
      if (result.kind !== 'queue-result') throw new HearthError('INTERNAL', 'The base answered something else.');
      return settleByVerdicts(messages, result, settings(), now(), random);
    },
  };
}
