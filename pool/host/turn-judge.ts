/**
 * When one uninterrupted turn of a base's loop has used more CPU than `limits.cpu_ms`. A pure function of what the host
 * sees: pings that are answered when the loop turns, and the CPU time of the thread.
 */

/**
 * A thread in native code answers no question about its CPU. Then the wall clock is believed, with so much to spare,
 * and only if the process has used CPU at all: a machine that is overloaded lets innocent threads be silent as well.
 */
const NATIVE_FACTOR = 2;
const NATIVE_SPARE_MS = 1_000;

export type TurnStep =
  /** The last ping was answered: send the next one. */
  | 'ping'
  /** Ask for the thread's CPU time and tell `usage`. */
  | 'ask'
  | 'wait'
  | 'over';

export class TurnJudge {
  #pingedAt = 0;
  #processCpuMs = 0;
  #cpuAtFirst: number | null = null;
  #asking = false;
  /** Answers to questions about an earlier turn are of no use. */
  #turn = 0;

  get turn(): number {
    return this.#turn;
  }

  /** `processCpuMs`: CPU time of all threads together, as in `step`. */
  pinged(now: number, processCpuMs: number): void {
    this.#pingedAt = now;
    this.#processCpuMs = processCpuMs;
    this.#cpuAtFirst = null;
    this.#asking = false;
    this.#turn++;
  }

  step(now: number, answered: boolean, cpuMs: number, processCpuMs: number): TurnStep {
    if (answered) return 'ping';
    if (!this.#asking) {
      this.#asking = true;
      return 'ask';
    }
    const late = now - this.#pingedAt >= cpuMs * NATIVE_FACTOR + NATIVE_SPARE_MS;
    return late && processCpuMs - this.#processCpuMs >= cpuMs ? 'over' : 'wait';
  }

  /** CPU time of the thread in ms, as asked for in this turn. True: the turn is over its limit. */
  usage(turn: number, threadCpuMs: number, cpuMs: number): boolean {
    if (turn !== this.#turn) return false;
    this.#asking = false;
    this.#cpuAtFirst ??= threadCpuMs;
    return threadCpuMs - this.#cpuAtFirst >= cpuMs;
  }
}
