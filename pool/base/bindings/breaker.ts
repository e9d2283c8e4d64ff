/**
 * Spares what fails: after so many failures within a window nothing is called for a while, then one call alone is tried.
 *
 *   closed ──failures within the window──► open ──openSeconds──► trying ──succeeded──► closed
 *                                           ▲                      │
 *                                           └───────failed─────────┘
 *
 * One for each binding of each instance: instances find out for themselves.
 */
import type { BreakerSettings } from '../../../functions/contract/service-calls.ts';

/** The breaker of a binding is open: nothing was called. */
export class CircuitOpenError extends Error {
  override name = 'CircuitOpenError';
  readonly code = 'CIRCUIT_OPEN';
  /** Until something is called again. */
  readonly retryAfterMs: number;

  constructor(binding: string, retryAfterMs: number) {
    super(`env.${binding} has failed too often and is not called for another ${Math.ceil(retryAfterMs)} ms.`);
    this.retryAfterMs = retryAfterMs;
  }
}

export class Breaker {
  readonly #binding: string;
  readonly #settings: BreakerSettings;
  /** Monotonic ms. */
  readonly #now: () => number;
  #state: 'closed' | 'open' | 'trying' = 'closed';
  /** Of those within the window, while it is closed. */
  #failedAt: number[] = [];
  #openUntil = 0;

  constructor(binding: string, settings: BreakerSettings, now: () => number) {
    this.#binding = binding;
    this.#settings = settings;
    this.#now = now;
  }

  /** Throws CircuitOpenError; else what `call` gives, which counts as a failure when it throws or is `bad`. */
  async run<Result>(call: () => Promise<Result>, bad: (result: Result) => boolean): Promise<Result> {
    const leftMs = this.#openUntil - this.#now();
    const refused = this.#state === 'trying' || (this.#state === 'open' && leftMs > 0);
    if (refused) throw new CircuitOpenError(this.#binding, Math.max(0, leftMs));
    const tries = this.#state === 'open';
    if (tries) this.#state = 'trying';
    try {
      const result = await call();
      this.#ended(tries, bad(result));
      return result;
    } catch (error) {
      this.#ended(tries, true);
      throw error;
    }
  }

  #ended(tried: boolean, failed: boolean): void {
    if (!failed) {
      if (tried) this.#state = 'closed';
      return;
    }
    if (tried) {
      this.#open();
      return;
    }
    // Of a call that was begun before it opened nothing new is learnt.
    if (this.#state !== 'closed') return;
    const since = this.#now() - this.#settings.windowSeconds * 1000;
    this.#failedAt = [...this.#failedAt.filter((at) => at > since), this.#now()];
    if (this.#failedAt.length >= this.#settings.failures) this.#open();
  }

  #open(): void {
    this.#state = 'open';
    this.#failedAt = [];
    this.#openUntil = this.#now() + this.#settings.openSeconds * 1000;
  }
}
