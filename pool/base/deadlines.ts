/**
 * When invocations run out of time. One sweep for all of them: a timer per call costs more than the call, and few are
 * in flight at once. The sweep's timer stops when nothing is watched, so that an idle base never wakes.
 */

export interface Watched {
  /** On the clock given to Deadlines, ms. */
  dueAt: number;
  expired(): void;
}

/** How late `expired` may be called, ms. */
export const SWEEP_MS = 100;

export class Deadlines {
  readonly #now: () => number;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | null = null;

  /** `now`: any monotonic clock in ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(watched: Watched): void {
    this.#watched.add(watched);
    this.#timer ??= setInterval(() => this.sweep(), SWEEP_MS);
  }

  delete(watched: Watched): void {
    this.#watched.delete(watched);
  }

  /** Calls `expired` of all that are due, each once. */
  sweep(): void {
    if (this.#watched.size === 0) this.stop();
    const now = this.#now();
    for (const watched of this.#watched) {
      if (watched.dueAt > now) continue;
      this.#watched.delete(watched);
      watched.expired();
    }
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
