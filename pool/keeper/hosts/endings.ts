/**
 * When threads of retired bases are ended. Ending a thread costs its host about a millisecond and the thread's own
 * teardown several; within a burst of leases those cores belong to the callers who wait (a hundred functions called for
 * the first time, each retired after its call: p99 107 ms with the threads ended at once, 34 ms with them ended after).
 */
import type { Base } from './base.ts';

export interface EndingsOptions {
  /** No leases just now. */
  quiet(): boolean;
  /** Resolves when the thread is gone. */
  end(base: Base): Promise<void>;
  /** Monotonic ms. */
  now(): number;
  /** Calls back once, after so many ms. */
  after(ms: number, call: () => void): { cancel(): void };
}

/** Where leases never stop, a retired thread is ended after so long all the same. */
const LONGEST_MS = 1000;
const CHECK_MS = 25;

interface Waiting {
  base: Base;
  since: number;
}

export class Endings {
  readonly #options: EndingsOptions;
  #waiting: Waiting[] = [];
  #timer: { cancel(): void } | null = null;

  constructor(options: EndingsOptions) {
    this.#options = options;
  }

  /** At once for what did wrong: it may still be doing it. */
  add(base: Base): void {
    if (base.fault !== null || base.host.state === 'dead') {
      void this.#options.end(base);
      return;
    }
    this.#waiting.push({ base, since: this.#options.now() });
    this.#schedule(0);
  }

  /** Somebody waits for the places or the memory they hold. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const all = this.#waiting;
    this.#waiting = [];
    for (const { base } of all) void this.#options.end(base);
  }

  #schedule(ms: number): void {
    this.#timer ??= this.#options.after(ms, () => {
      this.#timer = null;
      this.#next();
    });
  }

  /** One after another, so that a lease that comes meanwhile waits for one teardown at most. */
  #next(): void {
    const { now, quiet, end } = this.#options;
    const oldest = this.#waiting[0];
    if (oldest === undefined) return;
    if (!quiet() && now() - oldest.since < LONGEST_MS) {
      this.#schedule(CHECK_MS);
      return;
    }
    this.#waiting.shift();
    void end(oldest.base).then(() => this.#schedule(0));
  }
}
