/** `hearth.locks` in `env`. */
import type { Lock, LockOptions, Locks } from '../../../functions/contract/services.ts';
import type { BindingCalls } from './call.ts';

const TTL_MS = 30_000;
const WAIT_MS = 30_000;

/** The lock was not to be had in time. */
export class LockError extends Error {
  override name = 'LockError';
  readonly code = 'LOCK_NOT_ACQUIRED';
}

export function locks(calls: BindingCalls): Locks {
  async function acquire(name: string, { ttlMs = TTL_MS, waitMs = 0 }: LockOptions = {}): Promise<Lock | null> {
    const askedAt = performance.now();
    const lost = new AbortController();
    const { head, end } = await calls.keep<{ fencing: number | null; waitedMs: number }>(
      { op: 'lock.acquire', lock: name, ttlMs, waitMs },
      () => lost.abort(ended()),
    );
    if (head.fencing === null) return null;
    // From before the gateway gave it: so it never ends there before it ends here.
    return new HeldLock({ calls, name, fencing: head.fencing, ttlMs, lost, end }, askedAt + head.waitedMs);
  }

  return {
    acquire,
    async withLock(name, work, { ttlMs = TTL_MS, waitMs = WAIT_MS } = {}) {
      const lock = await acquire(name, { ttlMs, waitMs });
      if (lock === null) throw new LockError(`The lock "${name}" was not to be had within ${waitMs} ms.`);
      const renewals = setInterval(() => lock.renew().catch(() => undefined), Math.max(20, ttlMs / 3));
      try {
        return await work(lock);
      } finally {
        clearInterval(renewals);
        await lock.release();
      }
    },
  };
}

interface Held {
  calls: BindingCalls;
  name: string;
  fencing: number;
  ttlMs: number;
  lost: AbortController;
  /** The gateway need not watch over it any more. */
  end(): void;
}

class HeldLock implements Lock {
  readonly fencing: number;
  readonly #held: Held;
  #timer: NodeJS.Timeout;

  constructor(held: Held, sinceMs: number) {
    this.#held = held;
    this.fencing = held.fencing;
    this.#timer = this.#endAt(sinceMs + held.ttlMs);
    this.signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  get signal(): AbortSignal {
    return this.#held.lost.signal;
  }

  async renew(ttlMs = this.#held.ttlMs): Promise<boolean> {
    if (this.signal.aborted) return false;
    const askedAt = performance.now();
    const { calls, name } = this.#held;
    const { held } = await calls.ask<{ held: boolean }>({ op: 'lock.renew', lock: name, fencing: this.fencing, ttlMs });
    if (this.signal.aborted) return false;
    if (held) {
      clearTimeout(this.#timer);
      this.#timer = this.#endAt(askedAt + ttlMs);
    } else this.#held.lost.abort(ended());
    return held;
  }

  async release(): Promise<boolean> {
    const { calls, name, lost, end } = this.#held;
    lost.abort(new DOMException('The lock was released.', 'AbortError'));
    const { held } = await calls.ask<{ held: boolean }>({ op: 'lock.release', lock: name, fencing: this.fencing });
    end();
    return held;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  #endAt(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#held.lost.abort(ended()), Math.max(0, ms - performance.now()));
  }
}

function ended(): DOMException {
  return new DOMException('The lock is no longer held: its time is over.', 'TimeoutError');
}
