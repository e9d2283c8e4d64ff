/** The consumers of queues: one for each queue that a function consumes or that is Hearth's own, from start to drain. */
import { defaultQueueSettings, type QueueSettings } from '../../store/api/queues.ts';
import { EXTEND_EVERY_MS, LEASE_MS, QueueConsumer } from './consumer.ts';
import type { KnownQueues } from './known.ts';
import { CONSUMER_KEYS, consumerSettings } from './plan.ts';
import type { QueueParts, Queues } from './queues.ts';
import { functionReceiver, type Receiver } from './receiver.ts';
import { createSlots } from './slots.ts';

export interface ConsumersParts extends Omit<QueueParts, 'own'> {
  known: KnownQueues;
  /** Null: it is none of Hearth's own. */
  own(queue: string): Receiver | null;
}

export interface Consumers extends Pick<Queues, 'refresh' | 'noticed' | 'start' | 'drain'> {
  /** Who takes its messages, be it there or not. */
  receiverOf(queue: string): Receiver;
  /** There may be something to claim. */
  wake(queue: string): void;
  /** As `wake`, of one of Hearth's own queues: its consumer begins with its first message. */
  wakeOwn(queue: string): void;
  /** Its queue was deleted. */
  forget(queue: string): void;
}

/** Of one queue. */
const NOTICE_EVERY_MS = 20;
const STORE_RETRY_MS = 5_000;
/** Every how many lengthenings of leases the depths are told to telemetry. */
const DEPTH_EVERY = 5;

export function createConsumers(parts: ConsumersParts): Consumers {
  const { store, registry, dispatcher, telemetry, now, timers, random, newId, log, own, leases } = parts;
  const { settings: known, of: settingsOf, ensure, write, locked } = parts.known;
  const owner = newId();
  const consumers = new Map<string, QueueConsumer>();
  /** Queues each function consumed when it was last looked at. */
  const consumedBy = new Map<string, string[]>();
  /** Queues whose consumer was woken by a notice a moment ago. */
  const resting = new Map<string, { again: boolean }>();
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

  function receiverOf(queue: string): Receiver {
    const settings = () => settingsOf(queue);
    return own(queue) ?? functionReceiver(queue, { registry, dispatcher, settings, now, random });
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
      settings: () => settingsOf(queue),
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
      slots: leases === undefined ? undefined : createSlots({ queue, leases, owner, now, leaseMs: LEASE_MS }),
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

  return {
    receiverOf,
    wake,
    wakeOwn(queue) {
      if (state === 'drained') return;
      if (!consumers.has(queue)) consumers.set(queue, consumerOf(queue));
      wake(queue);
    },
    forget: (queue) => void consumers.delete(queue),
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
