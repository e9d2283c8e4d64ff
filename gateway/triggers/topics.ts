/** Topics: what is published to one goes into a queue of each function that subscribes, in one commit. */
import { HearthError } from '../../functions/contract/errors.ts';
import { topicQueue } from '../../functions/contract/limits.ts';
import type { Registry } from '../registry/registry.ts';
import type { CallContext } from './dispatcher.ts';
import type { EnqueueMessage } from './queue/messages.ts';
import type { Queues } from './queue/queues.ts';

/** Bytes of one publication in all queues together: they are one commit. */
const MOST_BYTES = 64 * 1024 * 1024;

export interface Topics {
  /** Resolves once the messages are durable for all subscribers. Throws as Queues.enqueue. */
  publish(
    trustGroup: string,
    topic: string,
    messages: readonly EnqueueMessage[],
    context: CallContext,
  ): Promise<{ ids: string[]; subscribers: string[] }>;
  /** Functions that get what is published, in the order of their names. */
  subscribers(trustGroup: string, topic: string): readonly string[];
}

export interface TopicsParts {
  registry: Pick<Registry, 'functions' | 'consumer' | 'onChange'>;
  queues: Pick<Queues, 'publish'>;
}

const NOBODY: readonly string[] = [];

export function createTopics({ registry, queues }: TopicsParts): Topics {
  /** By trust group and topic; null: something has changed since. */
  let index: Map<string, string[]> | null = null;
  registry.onChange(() => {
    index = null;
  });

  function subscribers(trustGroup: string, topic: string): readonly string[] {
    index ??= indexOf(registry);
    return index.get(`${trustGroup}/${topic}`) ?? NOBODY;
  }

  return {
    subscribers,
    async publish(trustGroup, topic, messages, context) {
      const names = subscribers(trustGroup, topic);
      const bytes = messages.reduce((sum, { body }) => sum + body.byteLength, 0) * names.length;
      if (bytes > MOST_BYTES) {
        const most = `${MOST_BYTES / 1024 / 1024} MB`;
        throw new HearthError(
          'PAYLOAD_TOO_LARGE',
          `For ${names.length} subscribers that is ${bytes} bytes; at most ${most}.`,
        );
      }
      const ids = await queues.publish(
        names.map((name) => topicQueue(topic, name)),
        messages,
        context,
      );
      return { ids, subscribers: [...names] };
    },
  };
}

/** Who is subscribed: by the manifest of the version that takes the traffic, as far as it is published. */
function indexOf(registry: TopicsParts['registry']): Map<string, string[]> {
  const index = new Map<string, string[]>();
  for (const { record, active } of registry.functions()) {
    for (const queue of active?.claims.consumes ?? NOBODY) {
      const [kind, topic = ''] = queue.split('.');
      if (kind !== 'topic' || registry.consumer(queue)?.record.name !== record.name) continue;
      const key = `${active?.claims.trustGroup}/${topic}`;
      index.set(key, [...(index.get(key) ?? []), record.name].sort());
    }
  }
  return index;
}
