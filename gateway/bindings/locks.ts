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

/** A lock that another gateway's function releases is found free after so long, or longer where many are waited for. */
const LOOK_EVERY_MS = 250;
/** Between two looks of this gateway, whatever they are for. */
const LOOK_PACE_MS = 2;
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

/** Somebody who waits for a lock. */
class Waiter {
  woken = false;
  resume: () => void = () => undefined;
  cancel: () => void = () => undefined;

  /** It may have become free. */
  wake(): void {
    this.woken = true;
    this.cancel();
    this.resume();
  }
}

type Taken = { at: number } & Awaited<ReturnType<LockStore['take']>>;

type Acquire = Extract<CheckedCalls['lock'], { op: 'lock.acquire' }>;

export function createLocks({ store, timers, now, log }: LockParts): Locks {
  /** By lock, in the order in which they came: the first alone looks, for all of them. */
  const waiting = new Map<string, Waiter[]>();
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

  async function release(namespace: string, lock: string, fence: number): Promise<boolean> {
    const wasHeld = await store.release(namespace, lock, fence);
    // Else it is another lock's fence, or its time was over already.
    if (wasHeld) {
      held.get(fence)?.();
      waiting.get(`${namespace}\n${lock}`)?.[0]?.wake();
    }
    return wasHeld;
  }

  /** Until it is time to look, or there is reason to: also one that came while it looked. */
  function pause(waiter: Waiter, ms: number): Promise<void> {
    if (waiter.woken) return Promise.resolve();
    return new Promise((resolve) => {
      waiter.resume = resolve;
      waiter.cancel = timers.after(ms, resolve);
    });
  }

  async function take(namespace: string, call: Acquire, gone: AbortSignal): Promise<Taken> {
    const look = async () => {
      const at = now();
      return { at, ...(await store.take(namespace, call.lock, at, at + call.ttlMs)) };
    };
    const until = now() + call.waitMs;
    let taken = await look();
    if (taken.fence !== null || call.waitMs === 0) return taken;
    const lock = `${namespace}\n${call.lock}`;
    const queue = waiting.get(lock) ?? [];
    const waiter = new Waiter();
    // What was released after its first look woke nobody.
    waiter.woken = queue.length === 0;
    waiting.set(lock, queue);
    queue.push(waiter);
    const leave = () => waiter.wake();
    gone.addEventListener('abort', leave);
    try {
      while (taken.fence === null && !gone.aborted && now() < until) {
        const first = queue[0] === waiter;
        const everyMs = Math.max(LOOK_EVERY_MS, waiting.size * LOOK_PACE_MS);
        const soonMs = first ? Math.min(everyMs, Math.max(1, taken.heldUntil - now())) : until - now();
        await pause(waiter, Math.min(soonMs, until - now()));
        waiter.woken = false;
        if (queue[0] === waiter && !gone.aborted) taken = await look();
      }
      return taken;
    } finally {
      gone.removeEventListener('abort', leave);
      queue.splice(queue.indexOf(waiter), 1);
      if (queue.length === 0) waiting.delete(lock);
      else queue[0]?.wake();
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
