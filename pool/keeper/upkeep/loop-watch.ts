/** Whether the loop of one base has more to do than it gets done, told by how late it answers a ping. */
import { BUSY_LOOP_MS } from '../policy/scaling.ts';

/** So many looks in a row must find it busy: one long turn is nothing. */
const LOOKS = 2;

export class LoopWatch {
  #busyLooks = 0;
  #askedAt: number | null = null;

  get busy(): boolean {
    return this.#busyLooks >= LOOKS;
  }

  /** What it has to do is too little to ask: it counts as idle. */
  reset(): void {
    this.#busyLooks = 0;
  }

  /** Asks, or finds that the last ping is not answered yet. `ping` rejects when the base is gone. */
  look(now: number, ping: () => Promise<number>): void {
    if (this.#askedAt !== null) {
      if (now - this.#askedAt >= BUSY_LOOP_MS) this.#busyLooks++;
      return;
    }
    this.#askedAt = now;
    ping().then(
      (roundTripMs) => {
        this.#askedAt = null;
        this.#busyLooks = roundTripMs >= BUSY_LOOP_MS ? this.#busyLooks + 1 : 0;
      },
      () => {
        this.#askedAt = null;
        this.#busyLooks = 0;
      },
    );
  }
}
