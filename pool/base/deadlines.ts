/**
 * When invocations run out of time. One sweep for all of them: a timer per call costs more than the call, and few are
 * in flight at once. The sweep's timer stops when nothing is watched, so that an idle base never wakes.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface Watched {
  /** On the clock given to Deadlines, ms. */
  dueAt: number;
  /** Its place among the watched, -1: none. The watcher's own business. */
  deadlineSlot: number;
  expired(): void;
}

/** How late `expired` may be called, ms. */
export const SWEEP_MS = 100;

export class Deadlines {
  readonly #now: () => number;
  /** The sweep is nobody's: it would keep the context of who was watched first. */
  readonly #outside = AsyncLocalStorage.snapshot();
  /** In no order; no Set, see pool/link/table.ts. */
  readonly #watched: Watched[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** `now`: any monotonic clock in ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(watched: Watched): void {
    if (watched.deadlineSlot !== -1) return;
    watched.deadlineSlot = this.#watched.length;
    this.#watched.push(watched);
    this.#timer ??= this.#outside(() => setInterval(() => this.sweep(), SWEEP_MS));
  }

  some(fits: (watched: Watched) => boolean): boolean {
    return this.#watched.some(fits);
  }

  delete(watched: Watched): void {
    const slot = watched.deadlineSlot;
    if (slot === -1) return;
    const last = this.#watched.pop();
    watched.deadlineSlot = -1;
    if (last === undefined || last === watched) return;
    this.#watched[slot] = last;
    last.deadlineSlot = slot;
  }

  /** Calls `expired` of all that are due, each once. */
  sweep(): void {
    if (this.#watched.length === 0) this.stop();
    const now = this.#now();
    for (const watched of this.#watched.filter(({ dueAt }) => dueAt <= now)) {
      this.delete(watched);
      watched.expired();
    }
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
