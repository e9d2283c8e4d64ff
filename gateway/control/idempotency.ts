/**
 * `idempotency-key`: whoever sends a call again under the same key gets the same answer, and the work is done once.
 *
 *   begin ──► work ──► finish: the answer is kept for a day, replays get it
 *     │         ├────► abandon: it was refused, or may succeed later: the next one begins anew
 *     │         └────► the gateway died: its lease ends, the next one begins anew
 *     └──► CONFLICT while another does it · BAD_REQUEST for another request under the key · the kept answer
 */
import { createHash } from 'node:crypto';
import { HearthError } from '../../functions/contract/errors.ts';
import type { AnswerStore, KeptAnswer } from '../store/api/answers.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Timers } from '../triggers/timers.ts';

/** Of a longer answer only is kept that it was given. */
export const MAX_KEPT_BYTES = 1024 * 1024;
const KEPT_MS = 24 * 60 * 60 * 1000;
const LEASE_MS = 10_000;
const EXTEND_EVERY_MS = 3_000;
const KEY_PATTERN = /^[\x20-\x7e]{1,255}$/;

export interface IdempotencyParts {
  store: AnswerStore;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  newId(): string;
  log: Logger;
}

export interface IdempotentAsk {
  /** Who asks what of whom: keys of one scope are one set. */
  scope: string;
  key: string;
  /** All that makes the request what it is. */
  request: readonly (string | Uint8Array)[];
}

export interface Work<Answer> {
  answer: Answer;
  /** What is kept of it; null: nothing, the next one with this key does it anew. */
  keep: KeptAnswer | null;
}

export type Idempotent<Answer> =
  | { replayed: false; answer: Answer /** Whether a replay will get it. */; kept: boolean }
  | { replayed: true; answer: KeptAnswer };

/**
 * Does the work, or gives the answer that is kept. Throws BAD_REQUEST for a key that is none or that was used for another
 * request, CONFLICT while another does the work and for an answer too large to keep, NO_CAPACITY when the store is away;
 * and whatever the work throws, of which nothing is kept.
 */
export async function idempotent<Answer>(
  parts: IdempotencyParts,
  { scope, key, request }: IdempotentAsk,
  work: () => Promise<Work<Answer>>,
): Promise<Idempotent<Answer>> {
  const { store, now, timers, newId, log } = parts;
  if (!KEY_PATTERN.test(key)) {
    throw new HearthError('BAD_REQUEST', 'idempotency-key: 1 to 255 printable ASCII characters are taken.');
  }
  const owner = newId();
  const nowMs = now();
  const times = { nowMs, leaseUntil: nowMs + LEASE_MS, expiresAt: nowMs + KEPT_MS };
  const begun = await store.begin(scope, key, hashOf(request), owner, times);
  switch (begun.state) {
    case 'running':
      throw new HearthError(
        'CONFLICT',
        'A request with this idempotency-key is being handled; ask again for its answer.',
        {
          retryAfterS: 1,
        },
      );
    case 'mismatch':
      throw new HearthError(
        'BAD_REQUEST',
        'This idempotency-key was used for another request; each request takes its own.',
      );
    case 'done':
      if (begun.answer.head === TOO_LARGE) {
        const most = `${MAX_KEPT_BYTES / 1024 / 1024} MB`;
        throw new HearthError(
          'CONFLICT',
          `The request was handled, and its answer was over ${most}, which is not kept.`,
        );
      }
      return { replayed: true, answer: begun.answer };
    case 'begin':
      break;
  }

  let cancel: () => void = () => undefined;
  let ended = false;
  const lengthen = (): void => {
    cancel = timers.after(EXTEND_EVERY_MS, () => {
      store
        .extend(scope, key, owner, now() + LEASE_MS)
        .catch((error: unknown) => log.warn('The lease of an idempotency key was not lengthened.', { error }))
        .finally(() => {
          if (!ended) lengthen();
        });
    });
  };
  lengthen();
  const end = (): void => {
    ended = true;
    cancel();
  };

  let done: Work<Answer>;
  try {
    done = await work();
  } catch (error) {
    end();
    await told(log, store.abandon(scope, key, owner));
    throw error;
  }
  end();
  const { answer, keep } = done;
  if (keep === null) {
    await told(log, store.abandon(scope, key, owner));
    return { replayed: false, answer, kept: false };
  }
  const fits = keep.body.byteLength <= MAX_KEPT_BYTES;
  const kept = await told(log, store.finish(scope, key, owner, fits ? keep : { head: TOO_LARGE, body: NOTHING }));
  return { replayed: false, answer, kept: kept && fits };
}

const TOO_LARGE = 'too large';
const NOTHING = new Uint8Array(0);

/** The work is done, whatever the store says now: its answer goes out. */
async function told(log: Logger, work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    log.error('What came of an idempotency key could not be kept; it is free again when its lease ends.', { error });
    return false;
  }
}

/** Each part with its length before it, so that no two requests look alike. */
function hashOf(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    hash.update(`${bytes.byteLength}:`).update(bytes);
  }
  return hash.digest('hex');
}
