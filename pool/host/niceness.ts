/**
 * Threads that compute for long at a stretch stand back behind those that answer and wait: the latter belong to other
 * functions, or to the gateway, and a core that is taken for 40 ms is 40 ms of somebody's answer.
 *
 * Told apart by CPU time per wait of the thread's own: a base that serves short calls waits for the next frame some
 * thousand times a second, however busy it is, and one that computes does not.
 */

/** What the kernel says of one thread. */
export interface ThreadUse {
  tid: number;
  /** CPU time so far, ms. */
  cpuMs: number;
  /** How often it has let go of its core by itself so far. */
  waits: number;
}

/** CPU time between two waits from which on it counts as computing, and below which no longer. */
const COMPUTES_MS = 8;
const ANSWERS_MS = 2;
/** Share of a core below which nothing is told: one long turn after hours of idleness is nobody's harm. */
const LEAST_SHARE = 0.1;

export interface Verdict {
  tid: number;
  computes: boolean;
}

export class NicenessJudge {
  readonly #last = new Map<number, ThreadUse>();
  readonly #computing = new Set<number>();

  /** Whether any thread computes, as of the last look. */
  get computing(): boolean {
    return this.#computing.size > 0;
  }

  /** Threads whose way has changed since the last look, which was so many ms ago. */
  look(threads: readonly ThreadUse[], sinceMs: number): Verdict[] {
    const changed: Verdict[] = [];
    for (const thread of threads) {
      const { tid } = thread;
      const last = this.#last.get(tid);
      this.#last.set(tid, thread);
      if (last === undefined) continue;
      const cpuMs = thread.cpuMs - last.cpuMs;
      const stretchMs = cpuMs / Math.max(1, thread.waits - last.waits);
      const computes = this.#computing.has(tid);
      if (!computes && cpuMs >= sinceMs * LEAST_SHARE && stretchMs >= COMPUTES_MS) {
        this.#computing.add(tid);
        changed.push({ tid, computes: true });
      } else if (computes && stretchMs < ANSWERS_MS) {
        this.#computing.delete(tid);
        changed.push({ tid, computes: false });
      }
    }
    this.#forget(threads);
    return changed;
  }

  /** Numbers of threads are given out again. */
  #forget(threads: readonly ThreadUse[]): void {
    const alive = new Set(threads.map(({ tid }) => tid));
    for (const tid of this.#last.keys()) {
      if (alive.has(tid)) continue;
      this.#last.delete(tid);
      this.#computing.delete(tid);
    }
  }
}
