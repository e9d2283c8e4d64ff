/** Queues that this gateway knows, with their settings: as the store has them, or made with the defaults. */
import { HearthError } from '../../../functions/contract/errors.ts';
import { ANY_QUEUE_NAME_PATTERN } from '../../../functions/contract/limits.ts';
import { defaultQueueSettings, type QueueSettings, type QueueStore } from '../../store/api/queues.ts';
import { createLocks } from '../locks.ts';

export interface KnownQueuesParts {
  store: Pick<QueueStore, 'get' | 'put'>;
  /** Whether it is one of Hearth's own. */
  isOwn(queue: string): boolean;
}

export interface KnownQueues {
  readonly settings: Map<string, QueueSettings>;
  /** Those of a queue that is not known: what it would be made with. */
  of(queue: string): QueueSettings;
  defaultsOf(queue: string): QueueSettings;
  /** Settings of a queue, which is made with the defaults when it is not there. */
  ensure(queue: string): Promise<QueueSettings>;
  /** As `ensure`, but makes nothing. Throws BAD_REQUEST for what is no name, NOT_FOUND. */
  existing(queue: string): Promise<QueueSettings>;
  /** Stores them. Only under the queue's lock. */
  write(queue: string, settings: QueueSettings): Promise<QueueSettings>;
  /** Changes of one queue's settings go one after another. */
  locked<Result>(queue: string, work: () => Promise<Result>): Promise<Result>;
}

/** Of Hearth's own queues: when a message is tried again, and when no more, is their receiver's to say. */
const OWN_SETTINGS = { maxBatchSize: 1, maxBatchTimeoutS: 0 };

export function createKnownQueues({ store, isOwn }: KnownQueuesParts): KnownQueues {
  const settings = new Map<string, QueueSettings>();
  const locked = createLocks();

  async function ensure(queue: string): Promise<QueueSettings> {
    return (
      settings.get(queue) ??
      (await locked(queue, async () => {
        const found = settings.get(queue) ?? (await store.get(queue));
        if (found === null) return write(queue, defaultsOf(queue));
        settings.set(queue, found);
        return found;
      }))
    );
  }

  function defaultsOf(queue: string): QueueSettings {
    const defaults = defaultQueueSettings(queue);
    return isOwn(queue) ? { ...defaults, ...OWN_SETTINGS } : defaults;
  }

  async function write(queue: string, changed: QueueSettings): Promise<QueueSettings> {
    await store.put(queue, changed);
    settings.set(queue, changed);
    return changed;
  }

  async function existing(queue: string): Promise<QueueSettings> {
    checkName(queue);
    const found = settings.get(queue) ?? (await store.get(queue));
    if (found === null) throw new HearthError('NOT_FOUND', `There is no queue "${queue}".`);
    settings.set(queue, found);
    return found;
  }

  return {
    settings,
    of: (queue) => settings.get(queue) ?? defaultsOf(queue),
    defaultsOf,
    ensure,
    existing,
    write,
    locked,
  };
}

/** Throws BAD_REQUEST. */
export function checkName(queue: string): void {
  if (ANY_QUEUE_NAME_PATTERN.test(queue)) return;
  const rule = 'starts with a letter, then letters, digits and dashes in lower case, at most 63 characters';
  throw new HearthError('BAD_REQUEST', `"${queue.slice(0, 100)}" is not a queue's name: it ${rule}.`);
}
