/**
 * Boots of one base definition that failed one after another: how long the next one waits, and when whoever waits for
 * such a base is told instead. Kept per definition, so that a broken one never slows the others.
 */

const FIRST_PAUSE_MS = 100;
const MOST_PAUSE_MS = 5_000;
/** From here on it is taken to be broken rather than unlucky. */
const BROKEN_AFTER = 3;

export class BootFailures {
  #inARow = 0;
  #pausedUntil = 0;
  #why = '';

  failed(why: string, now: number): void {
    this.#inARow++;
    this.#why = why;
    this.#pausedUntil = now + Math.min(FIRST_PAUSE_MS * 2 ** (this.#inARow - 1), MOST_PAUSE_MS);
  }

  succeeded(): void {
    this.#inARow = 0;
    this.#pausedUntil = 0;
  }

  /** Ms until the next boot may be tried; 0: now. */
  pauseMs(now: number): number {
    return Math.max(0, this.#pausedUntil - now);
  }

  /** What the last boot said, once there have been too many; null before that. */
  get broken(): string | null {
    return this.#inARow >= BROKEN_AFTER ? this.#why : null;
  }
}
