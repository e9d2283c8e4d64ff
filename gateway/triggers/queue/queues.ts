/** Queues as the control API and the bindings use them. Their settings are in known.ts, who empties them in consumers.ts. */
import { HearthError } from '../../../functions/contract/errors.ts';
import { MAX_HOPS } from '../../../functions/contract/limits.ts';
import type { Registry } from '../../registry/registry.ts';
import type { LeaseStore } from '../../store/api/leases.ts';
import type { DeadMessage, NewMessage, QueueSettings, QueueStats, QueueStore } from '../../store/api/queues.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { CallContext, Dispatcher } from '../dispatcher.ts';
import type { Timers } from '../timers.ts';
import { createConsumers } from './consumers.ts';
import { checkName, createKnownQueues } from './known.ts';
import { checkMessages, type EnqueueMessage } from './messages.ts';
import { CONSUMER_KEYS } from './plan.ts';
import type { Receiver } from './receiver.ts';

export interface QueueView {
  name: string;
  settings: QueueSettings;
  /** Function that consumes it; null: none, messages wait. */
  consumer: string | null;
}

/** Every method that takes a queue's name throws BAD_REQUEST when it is no name for a queue. */
export interface Queues {
  /**
   * Resolves once the messages are durable. Makes the queue when it is not there. An id that was accepted within 24 h
   * is taken once and named in `duplicates`. Throws BAD_REQUEST, PAYLOAD_TOO_LARGE, LOOP_DETECTED, NO_CAPACITY.
   */
  enqueue(
    queue: string,
    messages: readonly EnqueueMessage[],
    context: CallContext,
  ): Promise<{ ids: string[]; duplicates: string[] }>;
  /**
   * As enqueue, into the queues of all subscribers of a topic, or none. Resolves with the messages' ids, which are the same
   * in all of them.
   */
  publish(queues: readonly string[], messages: readonly EnqueueMessage[], context: CallContext): Promise<string[]>;
  /** As enqueue, for Hearth's own queues: whole messages, of any size. */
  accept(queue: string, messages: readonly NewMessage[]): Promise<void>;
  list(): QueueView[];
  /** Throws NOT_FOUND. */
  get(queue: string): Promise<QueueView>;
  /**
   * Makes the queue, or changes what is given. Throws CONFLICT for what the consumer's manifest decides.
   */
  put(queue: string, changes: Partial<QueueSettings>): Promise<QueueView>;
  /** With all its messages. Throws NOT_FOUND, and CONFLICT while a function consumes it. */
  delete(queue: string): Promise<void>;
  /** Throws NOT_FOUND. */
  stats(queue: string): Promise<QueueStats>;
  /** The dead letters that come from this queue. Throws NOT_FOUND. */
  dead(
    queue: string,
    options: { most: number; cursor: string | null },
  ): Promise<{ messages: DeadMessage[]; cursor: string | null }>;
  /** Dead letters back into their queue; returns how many. Throws NOT_FOUND. */
  redrive(queue: string, ids: string[] | 'all'): Promise<number>;
  /** Removes all messages and says how many. Throws NOT_FOUND. */
  purge(queue: string): Promise<number>;
  /** Takes over settings that another gateway has stored; null: of all. Throws NO_CAPACITY while the store is away. */
  refresh(queues: readonly string[] | null): Promise<void>;
  /** There may be something to claim, which another gateway may have been given; '' stands for every queue. */
  noticed(queues: readonly string[]): void;
  /** Begins to deliver. The registry is loaded by then. */
  start(): Promise<void>;
  /** Delivers no more; resolves when the batches in flight are settled. Enqueueing goes on working. */
  drain(): Promise<void>;
}

export interface QueueParts {
  store: QueueStore;
  registry: Registry;
  dispatcher: Pick<Dispatcher, 'call'>;
  telemetry: Pick<Telemetry, 'queueDepth'>;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  /** 0 ≤ x < 1. */
  random(): number;
  newId(): string;
  log: Logger;
  /** Who takes the messages of one of Hearth's own queues; null: this is none of them (default: there are none). */
  own?: (queue: string) => Receiver | null;
  /** Where other gateways consume the same queues. */
  leases?: LeaseStore | undefined;
}

export function createQueues(parts: QueueParts): Queues {
  const { store, registry, now, newId, own = () => null } = parts;
  const known = createKnownQueues({ store, isOwn: (queue) => own(queue) !== null });
  const { ensure, existing, locked } = known;
  const consumers = createConsumers({ ...parts, own, known });
  const { wake } = consumers;

  function viewOf(name: string, settings: QueueSettings): QueueView {
    return { name, settings: { ...settings }, consumer: consumers.receiverOf(name).functionName() };
  }

  function checkSending(to: string, messages: readonly EnqueueMessage[], { hops }: CallContext): void {
    checkMessages(messages);
    if (hops > MAX_HOPS) throw new HearthError('LOOP_DETECTED', `A message to "${to}" at hop ${hops}.`);
  }

  function newMessages(given: readonly EnqueueMessage[], context: CallContext, ownDelayS: number): NewMessage[] {
    const { traceparent, hops } = context;
    return given.map(({ id, body, contentType, delayS }) => {
      const own = { id: id ?? newId(), generatedId: id === undefined };
      return { ...own, body, contentType, delayS: delayS ?? ownDelayS, traceparent, hops };
    });
  }

  return {
    async enqueue(queue, messages, context) {
      checkName(queue);
      requireForeign(queue);
      checkSending(queue, messages, context);
      const { deliveryDelayS } = await ensure(queue);
      const result = await store.enqueue(queue, newMessages(messages, context, deliveryDelayS), now());
      wake(queue);
      return result;
    },
    async publish(queueNames, messages, context) {
      checkSending(queueNames.join(', '), messages, context);
      const accepted = newMessages(messages, context, 0);
      if (queueNames.length > 0) await store.publish([...queueNames], accepted, now());
      for (const queue of queueNames) wake(queue);
      return accepted.map(({ id }) => id);
    },
    async accept(queue, messages) {
      await ensure(queue);
      await store.enqueue(queue, [...messages], now());
      consumers.wakeOwn(queue);
    },
    list: () =>
      [...known.settings]
        .map(([name, settings]) => viewOf(name, settings))
        .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    get: async (queue) => viewOf(queue, await existing(queue)),
    async put(queue, changes) {
      checkName(queue);
      if (Object.keys(changes).some((key) => key !== 'paused')) requireForeign(queue);
      if (changes.deadLetterQueue !== undefined) requireForeign(changes.deadLetterQueue);
      const settings = await locked(queue, async () => {
        const current = (await store.get(queue)) ?? known.defaultsOf(queue);
        const consumer = registry.consumer(queue)?.record.name;
        for (const key of CONSUMER_KEYS) {
          if (consumer === undefined || changes[key] === undefined || changes[key] === current[key]) continue;
          const advice = `deploy it with another value instead`;
          throw new HearthError('CONFLICT', `${key} is decided by the manifest of "${consumer}"; ${advice}.`);
        }
        return known.write(queue, { ...current, ...changes });
      });
      wake(queue);
      return viewOf(queue, settings);
    },
    async delete(queue) {
      await existing(queue);
      await locked(queue, async () => {
        const consumer = consumers.receiverOf(queue).functionName();
        if (consumer !== null) {
          throw new HearthError('CONFLICT', `"${consumer}" consumes "${queue}"; unpublish it there first.`);
        }
        if (!(await store.delete(queue))) throw new HearthError('NOT_FOUND', `There is no queue "${queue}".`);
        known.settings.delete(queue);
        consumers.forget(queue);
      });
    },
    async stats(queue) {
      await existing(queue);
      return store.stats(queue, now());
    },
    async dead(queue, options) {
      await existing(queue);
      return store.dead(queue, options);
    },
    async redrive(queue, ids) {
      await existing(queue);
      const count = await store.redrive(queue, ids, now());
      wake(queue);
      return count;
    },
    async purge(queue) {
      await existing(queue);
      return store.purge(queue);
    },
    refresh: consumers.refresh,
    noticed: consumers.noticed,
    start: consumers.start,
    drain: consumers.drain,
  };
}

/** Nobody but Hearth puts messages into its own queues, dead letters of them included. Throws BAD_REQUEST. */
function requireForeign(queue: string): void {
  const advice = queue.startsWith('async.')
    ? 'POST /v1/functions/NAME/invoke with mode "async" puts messages into it'
    : queue.startsWith('topic.')
      ? 'what is published to its topic is put into it'
      : null;
  if (advice === null) return;
  throw new HearthError('BAD_REQUEST', `"${queue}" is one of Hearth's own queues; ${advice}.`);
}
