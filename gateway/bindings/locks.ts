/**
 * Locks that functions hold. The exchange of an acquired one stays open: when its base dies, or lets it go, the lock goes
 * too. What the gateway cannot see, a base that hangs or a gateway that dies, ends with the lock's time.
 */
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import type { Exchange } from '../../pool/link/link.ts';
import type { LockStore } from '../store/api/locks.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Timers } from '../triggers/timers.ts';
import { NO_BODY } from './body.ts';
import type { CheckedCalls } from './calls.ts';

/** A lock that another gateway's function releases is found free after so long at most. */
const LOOK_EVERY_MS = 250;
/** Callers of one trust group that wait for a lock at once, or hold one, in this gateway. */
const MOST_PER_GROUP = 10_000;

export interface LockParts {
  store: LockStore;
  timers: Timers;
  /** Epoch ms. */
  now(): number;
  log: Pick<Logger, 'warn'>;
}

export interface Locks {
  /** Answers the call. `namespace` is a stored one. Rejects with HearthError. */
  call(namespace: string, trustGroup: string, call: CheckedCalls['lock'], exchange: Exchange): Promise<void>;
}

type Acquire = Extract<CheckedCalls['lock'], { op: 'lock.acquire' }>;

export function createLocks({ store, timers, now, log }: LockParts): Locks {
  /** By lock, those who look again when it is released here. */
  const waiting = new Map<string, Set<() => void>>();
  /** By fence, of those whose exchange is open: nothing is to be done at its end any more. */
  const held = new Map<number, () => void>();
  /** By trust group. */
  const open = new Map<string, number>();

  function count(trustGroup: string, by: number): number {
    const all = (open.get(trustGroup) ?? 0) + by;
    if (all > 0) open.set(trustGroup, all);
    else open.delete(trustGroup);
    return all;
  }

  function wake(lock: string): void {
    for (const look of waiting.get(lock) ?? []) look();
  }

  async function release(namespace: string, lock: string, fence: number): Promise<boolean> {
    const wasHeld = await store.release(namespace, lock, fence);
    held.get(fence)?.();
    if (wasHeld) wake(`${namespace}\n${lock}`);
    return wasHeld;
  }

  /** Until somebody releases it here, or it is time to look; at once when the caller has gone. */
  function pause(lock: string, ms: number, gone: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const waiters = waiting.get(lock) ?? new Set();
      const done = () => {
        cancel();
        waiters.delete(done);
        if (waiters.size === 0) waiting.delete(lock);
        gone.removeEventListener('abort', done);
        resolve();
      };
      const cancel = timers.after(ms, done);
      waiters.add(done);
      waiting.set(lock, waiters);
      gone.addEventListener('abort', done);
    });
  }

  async function take(
    namespace: string,
    call: Acquire,
    gone: AbortSignal,
  ): Promise<{ fence: number | null; at: number }> {
    const until = now() + call.waitMs;
    for (;;) {
      const at = now();
      const taken = await store.take(namespace, call.lock, at, at + call.ttlMs);
      if (taken.fence !== null) return { fence: taken.fence, at };
      const leftMs = until - now();
      if (leftMs <= 0 || gone.aborted) return { fence: null, at };
      const endsInMs = Math.max(1, taken.heldUntil - now());
      await pause(`${namespace}\n${call.lock}`, Math.min(leftMs, endsInMs, LOOK_EVERY_MS), gone);
      if (gone.aborted) return { fence: null, at };
    }
  }

  async function acquire(namespace: string, trustGroup: string, call: Acquire, exchange: Exchange): Promise<void> {
    if (count(trustGroup, 1) > MOST_PER_GROUP) {
      count(trustGroup, -1);
      throw new HearthError('NO_CAPACITY', 'Too many locks are held and waited for in this trust group.');
    }
    const gone = new AbortController();
    const askedAt = now();
    let fence: number | null = null;
    const over = () => {
      if (gone.signal.aborted) return;
      gone.abort();
      count(trustGroup, -1);
      if (fence === null) return;
      held.delete(fence);
      release(namespace, call.lock, fence).catch((error: unknown) => {
        log.warn('A lock could not be given back; it ends with its time.', { error: toHearthError(error) });
      });
    };
    exchange.handler = { ...NO_BODY, closed: over };
    let takenAt: number;
    try {
      const taken = await take(namespace, call, gone.signal);
      fence = taken.fence;
      takenAt = taken.at;
    } catch (error) {
      over();
      throw error;
    }
    if (gone.signal.aborted) {
      // Nobody hears of it.
      if (fence !== null) await release(namespace, call.lock, fence);
      return;
    }
    if (fence === null) over();
    else {
      const own = fence;
      held.set(own, () => {
        held.delete(own);
        fence = null;
      });
    }
    exchange.sendHead({ fencing: fence, waitedMs: Math.max(0, takenAt - askedAt) }, null, fence === null);
  }

  return {
    async call(namespace, trustGroup, call, exchange) {
      if (call.op === 'lock.acquire') return acquire(namespace, trustGroup, call, exchange);
      exchange.handler = NO_BODY;
      const { lock, fencing } = call;
      const stillHeld =
        call.op === 'lock.release'
          ? await release(namespace, lock, fencing)
          : await store.extend(namespace, lock, fencing, now(), now() + call.ttlMs);
      exchange.sendHead({ held: stillHeld }, null, true);
    },
  };
}
