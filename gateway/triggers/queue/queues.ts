/** Queues as the control API and the bindings use them, and the consumers that empty them. */
import { HearthError } from '../../../functions/contract/errors.ts';
import { ANY_QUEUE_NAME_PATTERN, MAX_HOPS } from '../../../functions/contract/limits.ts';
import type { Registry } from '../../registry/registry.ts';
import {
  type DeadMessage,
  defaultQueueSettings,
  type NewMessage,
  type QueueSettings,
  type QueueStats,
  type QueueStore,
} from '../../store/api/queues.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { CallContext, Dispatcher } from '../dispatcher.ts';
import { createLocks } from '../locks.ts';
import type { Timers } from '../timers.ts';
import { EXTEND_EVERY_MS, QueueConsumer } from './consumer.ts';
import { checkMessages, type EnqueueMessage } from './messages.ts';
import { CONSUMER_KEYS, consumerSettings } from './plan.ts';
import { functionReceiver, type Receiver } from './receiver.ts';

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
}

/** Of Hearth's own queues: when a message is tried again, and when no more, is their receiver's to say. */
const OWN_SETTINGS = { maxBatchSize: 1, maxBatchTimeoutS: 0 };

/** Of one queue. */
const NOTICE_EVERY_MS = 20;
const STORE_RETRY_MS = 5_000;
/** Every how many lengthenings of leases the depths are told to telemetry. */
const DEPTH_EVERY = 5;

export function createQueues(parts: QueueParts): Queues {
  const { store, registry, dispatcher, telemetry, now, timers, random, newId, log, own = () => null } = parts;
  const known = new Map<string, QueueSettings>();
  const consumers = new Map<string, QueueConsumer>();
  /** Queues each function consumed when it was last looked at. */
  const consumedBy = new Map<string, string[]>();
  /** Queues whose consumer was woken by a notice a moment ago. */
  const resting = new Map<string, { again: boolean }>();
  const locked = createLocks();
  const background = new Set<Promise<void>>();
  let state: 'idle' | 'delivering' | 'drained' = 'idle';
  let unlisten: () => void = () => undefined;
  let beating = false;
  let cancelBeat: () => void = () => undefined;

  function track(what: string, work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => log.error(`Queues: ${what} failed.`, { error }))
      .finally(() => background.delete(tracked));
    background.add(tracked);
  }

  function checkName(queue: string): void {
    if (ANY_QUEUE_NAME_PATTERN.test(queue)) return;
    const rule = 'starts with a letter, then letters, digits and dashes in lower case, at most 63 characters';
    throw new HearthError('BAD_REQUEST', `"${queue.slice(0, 100)}" is not a queue's name: it ${rule}.`);
  }

  /** Settings of a queue, which is made with the defaults when it is not there. */
  async function ensure(queue: string): Promise<QueueSettings> {
    return (
      known.get(queue) ??
      (await locked(queue, async () => {
        const settings = known.get(queue) ?? (await store.get(queue));
        if (settings !== null) {
          known.set(queue, settings);
          return settings;
        }
        return write(queue, defaultsOf(queue));
      }))
    );
  }

  function defaultsOf(queue: string): QueueSettings {
    const defaults = defaultQueueSettings(queue);
    return own(queue) === null ? defaults : { ...defaults, ...OWN_SETTINGS };
  }

  async function write(queue: string, settings: QueueSettings): Promise<QueueSettings> {
    await store.put(queue, settings);
    known.set(queue, settings);
    return settings;
  }

  /** As `ensure`, but makes nothing. */
  async function existing(queue: string): Promise<QueueSettings> {
    checkName(queue);
    const settings = known.get(queue) ?? (await store.get(queue));
    if (settings === null) throw new HearthError('NOT_FOUND', `There is no queue "${queue}".`);
    known.set(queue, settings);
    return settings;
  }

  function viewOf(name: string, settings: QueueSettings): QueueView {
    return { name, settings: { ...settings }, consumer: receiverOf(name).functionName() };
  }

  function receiverOf(queue: string): Receiver {
    const settings = () => known.get(queue) ?? defaultsOf(queue);
    return own(queue) ?? functionReceiver(queue, { registry, dispatcher, settings, now, random });
  }

  /** Nobody but Hearth puts messages into its own queues, dead letters of them included. Throws BAD_REQUEST. */
  function requireForeign(queue: string): void {
    if (!queue.startsWith('async.')) return;
    const advice = 'POST /v1/functions/NAME/invoke with mode "async" puts messages into it';
    throw new HearthError('BAD_REQUEST', `"${queue}" is one of Hearth's own queues; ${advice}.`);
  }

  function wake(queue: string): void {
    if (state === 'delivering') consumers.get(queue)?.wake();
  }

  /** Own messages are noticed too, and have woken their consumer before: so a notice does it seldom. */
  function notice(queue: string): void {
    const found = resting.get(queue);
    if (found !== undefined) {
      found.again = true;
      return;
    }
    wake(queue);
    const rest = { again: false };
    resting.set(queue, rest);
    timers.after(NOTICE_EVERY_MS, () => {
      resting.delete(queue);
      if (rest.again && state === 'delivering') notice(queue);
    });
  }

  async function refresh(queues: readonly string[] | null): Promise<void> {
    const names = queues ?? new Set([...(await store.list()).map(({ name }) => name), ...known.keys()]);
    for (const queue of names) {
      await locked(queue, async () => {
        const settings = await store.get(queue);
        if (settings === null) known.delete(queue);
        else known.set(queue, settings);
        if (settings !== null && own(queue) !== null && !consumers.has(queue)) {
          consumers.set(queue, consumerOf(queue));
        }
      });
      wake(queue);
    }
  }

  /** Brings the consumers of one function to what its publications say. */
  async function follow(functionName: string): Promise<void> {
    if (state === 'drained') return;
    try {
      const wanted = registry.queues(functionName);
      for (const consumer of wanted) {
        await locked(consumer.queue, async () => {
          // Another gateway may have paused it just now; at the start all have been read this moment.
          const current =
            (state === 'idle' ? known.get(consumer.queue) : undefined) ?? (await store.get(consumer.queue));
          const settings = consumerSettings(consumer, current ?? defaultQueueSettings(consumer.queue));
          if (current === null || !sameSettings(current, settings)) await write(consumer.queue, settings);
          else known.set(consumer.queue, current);
        });
        if (!consumers.has(consumer.queue)) consumers.set(consumer.queue, consumerOf(consumer.queue));
      }
      const before = consumedBy.get(functionName) ?? [];
      const after = wanted.map(({ queue }) => queue);
      if (after.length === 0) consumedBy.delete(functionName);
      else consumedBy.set(functionName, after);
      for (const queue of new Set([...before, ...after])) wake(queue);
    } catch (error) {
      log.error('Consumers of a function could not be set up; it is tried again.', { function: functionName, error });
      timers.after(STORE_RETRY_MS, () => track('sync', follow(functionName)));
    }
  }

  function consumerOf(queue: string): QueueConsumer {
    return new QueueConsumer(queue, {
      store,
      receiver: receiverOf(queue),
      settings: () => known.get(queue) ?? defaultsOf(queue),
      died: (deadLetterQueue) => {
        log.warn('Messages went to the dead letters.', { queue, dead_letter_queue: deadLetterQueue });
        wake(deadLetterQueue);
        // The store made it if it was not there: from now on it is listed.
        if (!known.has(deadLetterQueue)) track('dead letters', ensure(deadLetterQueue).then(ignore));
      },
      now,
      timers,
      random,
      log,
      owner,
    });
  }

  async function beat(count: number): Promise<void> {
    try {
      await Promise.all([...consumers.values()].map((consumer) => consumer.extend()));
      if (count % DEPTH_EVERY === 0) await tellDepths();
    } catch (error) {
      log.error('Leases of messages could not be lengthened; some may be delivered twice.', { error });
    }
    nextBeat(count + 1);
  }

  async function tellDepths(): Promise<void> {
    for (const queue of known.keys()) {
      const { depth, oldestAt } = await store.stats(queue, now());
      telemetry.queueDepth(queue, depth, oldestAt === null ? 0 : Math.max(0, now() - oldestAt));
    }
  }

  function nextBeat(count: number): void {
    if (!beating) return;
    cancelBeat = timers.after(EXTEND_EVERY_MS, () => {
      // Not among what the drain waits for: it goes on while batches in flight end.
      beat(count).catch((error: unknown) => log.error('Queues: a beat failed.', { error }));
    });
  }

  const owner = newId();

  return {
    async enqueue(queue, messages, context) {
      checkName(queue);
      requireForeign(queue);
      checkMessages(messages);
      if (context.hops > MAX_HOPS) {
        throw new HearthError('LOOP_DETECTED', `A message to "${queue}" at hop ${context.hops}.`);
      }
      const { deliveryDelayS } = await ensure(queue);
      const accepted = messages.map(({ id, body, contentType, delayS }): NewMessage => {
        const { traceparent, hops } = context;
        return {
          id: id ?? newId(),
          generatedId: id === undefined,
          body,
          contentType,
          delayS: delayS ?? deliveryDelayS,
          traceparent,
          hops,
        };
      });
      const result = await store.enqueue(queue, accepted, now());
      wake(queue);
      return result;
    },
    async accept(queue, messages) {
      await ensure(queue);
      await store.enqueue(queue, [...messages], now());
      if (state === 'drained') return;
      if (!consumers.has(queue)) consumers.set(queue, consumerOf(queue));
      wake(queue);
    },
    list: () =>
      [...known]
        .map(([name, settings]) => viewOf(name, settings))
        .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    get: async (queue) => viewOf(queue, await existing(queue)),
    async put(queue, changes) {
      checkName(queue);
      if (Object.keys(changes).some((key) => key !== 'paused')) requireForeign(queue);
      if (changes.deadLetterQueue !== undefined) requireForeign(changes.deadLetterQueue);
      const settings = await locked(queue, async () => {
        const current = (await store.get(queue)) ?? defaultsOf(queue);
        const consumer = registry.consumer(queue)?.record.name;
        for (const key of CONSUMER_KEYS) {
          if (consumer === undefined || changes[key] === undefined || changes[key] === current[key]) continue;
          const advice = `deploy it with another value instead`;
          throw new HearthError('CONFLICT', `${key} is decided by the manifest of "${consumer}"; ${advice}.`);
        }
        return write(queue, { ...current, ...changes });
      });
      wake(queue);
      return viewOf(queue, settings);
    },
    async delete(queue) {
      await existing(queue);
      await locked(queue, async () => {
        const consumer = receiverOf(queue).functionName();
        if (consumer !== null) {
          throw new HearthError('CONFLICT', `"${consumer}" consumes "${queue}"; unpublish it there first.`);
        }
        if (!(await store.delete(queue))) throw new HearthError('NOT_FOUND', `There is no queue "${queue}".`);
        known.delete(queue);
        consumers.delete(queue);
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
    refresh,
    noticed(queues) {
      if (state !== 'delivering') return;
      for (const queue of queues.includes('') ? consumers.keys() : queues) if (consumers.has(queue)) notice(queue);
    },
    async start() {
      for (const { name, settings } of await store.list()) {
        known.set(name, settings);
        if (own(name) !== null) consumers.set(name, consumerOf(name));
      }
      // From here on, so that no deploy falls between.
      unlisten = registry.onChange((name) => track('sync', follow(name)));
      const consuming = [...registry.functions()].filter(({ record }) => registry.queues(record.name).length > 0);
      await Promise.all(consuming.map(({ record }) => follow(record.name)));
      state = 'delivering';
      for (const consumer of consumers.values()) consumer.wake();
      beating = true;
      nextBeat(0);
    },
    async drain() {
      state = 'drained';
      unlisten();
      const all = Promise.all([...consumers.values()].map((consumer) => consumer.drain()));
      await Promise.all([all, ...background]);
      beating = false;
      cancelBeat();
    },
  };
}

function ignore(): void {
  // Only the effect is wanted.
}

function sameSettings(a: QueueSettings, b: QueueSettings): boolean {
  return (
    a.deliveryDelayS === b.deliveryDelayS && a.paused === b.paused && CONSUMER_KEYS.every((key) => a[key] === b[key])
  );
}
