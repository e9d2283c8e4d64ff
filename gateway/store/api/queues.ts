/** Queues, their messages and their dead letters. */

export type ContentType = 'json' | 'text' | 'bytes' | 'v8';

export interface QueueSettings {
  /** Messages of one batch. */
  maxBatchSize: number;
  /** Longest wait for a batch to fill, s. */
  maxBatchTimeoutS: number;
  /** Deliveries after the first. */
  maxRetries: number;
  /** Delay of a retry that names none, s. */
  retryDelayS: number;
  /** Delay of a message that names none, s. */
  deliveryDelayS: number;
  /** Batches in flight at once; null: as many as the consumer's instances take. */
  maxConcurrency: number | null;
  deadLetterQueue: string;
  paused: boolean;
}

/** What a queue is made with when a message comes before its settings. Workers' defaults. */
export function defaultQueueSettings(name: string): QueueSettings {
  return {
    maxBatchSize: 10,
    maxBatchTimeoutS: 5,
    maxRetries: 3,
    retryDelayS: 0,
    deliveryDelayS: 0,
    maxConcurrency: null,
    deadLetterQueue: `${name}.dead`,
    paused: false,
  };
}

export interface NewMessage {
  id: string;
  /** The id was made for this very message, so it is not remembered for 24 h: cheaper, and no caller can repeat it. */
  generatedId?: boolean;
  body: Uint8Array;
  contentType: ContentType;
  delayS: number;
  /** W3C traceparent of the producer, so that the message's trace links to it. */
  traceparent: string | null;
  /** Hops so far, against loops through queues. */
  hops: number;
}

export interface ClaimedMessage extends Omit<NewMessage, 'generatedId'> {
  queue: string;
  /** Epoch ms of acceptance. */
  timestamp: number;
  /** 1 on the first delivery. May be over maxRetries + 1 when leases ended unsettled: such a one is to be settled as dead. */
  attempts: number;
  /** How often its base died while it was delivered; 0: only suspected of harm to its batch; null: not even that. */
  kills: number | null;
  /** Rises with each claim of this message: an acknowledgement with an older number is refused. */
  fence: number;
}

export interface DeadMessage {
  id: string;
  body: Uint8Array;
  contentType: ContentType;
  timestamp: number;
  attempts: number;
  diedAt: number;
  /** Queue it comes from, and why it died. */
  source: string;
  reason: string;
  /** What its deliveries there failed with, the oldest first, its death last; of very many the first ones and the last. */
  failures: { at: number; reason: string }[];
}

/** Bytes of what one message failed with that are kept, but for the last one. */
export const MOST_FAILURE_BYTES = 16 * 1024;

export interface QueueStats {
  /** Waiting, delayed and in flight. */
  depth: number;
  delayed: number;
  inFlight: number;
  /** Epoch ms of acceptance of the oldest one; null when empty. */
  oldestAt: number | null;
  dead: number;
}

export type Settlement =
  | { id: string; fence: number; verdict: 'ack' }
  /**
   * Due again at `dueAt`; `countAttempt: false` gives the attempt back (throttled, base died before the call). `reason`
   * null: nothing has failed. `kills` is what its next claim says; without it null.
   */
  | {
      id: string;
      fence: number;
      verdict: 'retry';
      dueAt: number;
      countAttempt: boolean;
      reason: string | null;
      kills?: number | null;
    }
  | { id: string; fence: number; verdict: 'dead'; reason: string };

export interface QueueStore {
  put(name: string, settings: QueueSettings): Promise<void>;
  get(name: string): Promise<QueueSettings | null>;
  list(): Promise<{ name: string; settings: QueueSettings }[]>;
  /** Removes the queue and its messages. Its dead letters stay: they are messages of another queue. */
  delete(name: string): Promise<boolean>;
  /**
   * Ids seen within 24 h are taken once: they are accepted and not stored again. Makes the queue, with default settings,
   * when it is missing. `ids`: of all given messages, in their order; `duplicates`: those among them that were not stored.
   */
  enqueue(queue: string, messages: NewMessage[], nowMs: number): Promise<{ ids: string[]; duplicates: string[] }>;
  /** Into all of these queues or none, each made when it is missing; ids are not remembered. */
  publish(queues: string[], messages: NewMessage[], nowMs: number): Promise<void>;
  /**
   * Due messages in order of due time, then acceptance; leased until `leaseUntil`. Takes over ended leases first. Does
   * not look at `paused`.
   */
  claim(
    queue: string,
    options: { most: number; nowMs: number; leaseUntil: number; owner: string },
  ): Promise<ClaimedMessage[]>;
  /** Lengthens leases; returns the ids that are still held. */
  extend(queue: string, held: { id: string; fence: number }[], leaseUntil: number): Promise<string[]>;
  /**
   * All in one commit. Returns ids that were refused because their fence is old or the message is gone. `dead` moves to
   * the dead-letter queue named in the settings, where it is an ordinary message, due at once, with no attempts used.
   */
  settle(queue: string, settlements: Settlement[], nowMs: number): Promise<{ refused: string[] }>;
  /** Epoch ms at which the next message is due or its lease ends; null when there is none. */
  nextDue(queue: string): Promise<number | null>;
  stats(queue: string, nowMs: number): Promise<QueueStats>;
  /** The dead letters whose source is this queue, oldest death first. BAD_REQUEST when the cursor is none of ours. */
  dead(
    queue: string,
    options: { most: number; cursor: string | null },
  ): Promise<{ messages: DeadMessage[]; cursor: string | null }>;
  /** Puts dead letters back into their queue, due at once, with no attempts used; those a consumer holds stay. Returns how many. */
  redrive(queue: string, ids: string[] | 'all', nowMs: number): Promise<number>;
  /** Removes all messages, those in flight too; returns how many. */
  purge(queue: string): Promise<number>;
}
