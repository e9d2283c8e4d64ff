/**
 * How long the last instance of a function stays once it is idle, and when one is loaded ahead of the next call: the
 * hybrid histogram policy of Shahrad et al. (ATC 2020), as a function of what is known and of time.
 *
 *   idle for   0 ────── retireAfter ┄┄┄┄┄┄┄ prewarmAfter ────── keepUntil ┄┄┄►
 *              loaded                gone                 loaded            gone
 *
 * Two things differ from the paper. Idle times shorter than HOLD_MS are not counted: every instance is kept so long
 * anyway, so they would only hide how long the others are. And what a cron wakes is not counted but as such: its next
 * tick is known, and prewarm.ts loads it for that.
 */
import { BIN_MS, IdleHistogram } from './histogram.ts';

/** Every idle instance is kept so long; shorter idle times teach nothing. */
export const HOLD_MS = BIN_MS;

export interface KeepAliveSettings {
  /** Where the histogram says nothing. */
  fixedMs: number;
  headShare: number;
  headFactor: number;
  tailShare: number;
  tailFactor: number;
  /** A histogram with fewer idle times in it is not believed. */
  leastSamples: number;
  /** Nor one of which a greater share lies out of its range. */
  mostOutOfRange: number;
  /** Nor one whose counts vary less: it is flat and tells nothing. */
  leastVariation: number;
}

export const KEEP_ALIVE: KeepAliveSettings = {
  fixedMs: 600_000,
  headShare: 0.05,
  headFactor: 0.9,
  tailShare: 0.99,
  tailFactor: 1.1,
  leastSamples: 5,
  mostOutOfRange: 0.5,
  leastVariation: 2,
};

/** Milliseconds since the function became idle. */
export interface KeepAlivePlan {
  by: 'histogram' | 'schedule' | 'fixed';
  retireAfterMs: number;
  /** null: nothing is loaded ahead. */
  prewarmAfterMs: number | null;
  /** As `retireAfterMs` where nothing is loaded ahead. */
  keepUntilMs: number;
}

/** What is remembered of one function, across its versions. */
export class IdleHistory {
  #histogram: IdleHistogram | null = null;
  #byCron = 0;
  #plan: KeepAlivePlan | null = null;

  /** It was idle for so long, and this used it again. */
  record(idleMs: number, byCron: boolean): void {
    if (idleMs < HOLD_MS) return;
    this.#plan = null;
    if (byCron) {
      this.#byCron = Math.min(this.#byCron + 1, 255);
      return;
    }
    this.#histogram ??= new IdleHistogram();
    this.#histogram.record(idleMs);
  }

  /** With KEEP_ALIVE; made anew only after there was something to learn. */
  plan(): KeepAlivePlan {
    this.#plan ??= planOf(this.#histogram, this.#byCron, KEEP_ALIVE);
    return this.#plan;
  }
}

export function planOf(histogram: IdleHistogram | null, byCron: number, settings: KeepAliveSettings): KeepAlivePlan {
  if (histogram === null && byCron > 0) return keep('schedule', HOLD_MS);
  if (
    histogram === null ||
    histogram.samples < settings.leastSamples ||
    histogram.outOfRange > settings.mostOutOfRange ||
    histogram.variation < settings.leastVariation
  ) {
    return keep('fixed', settings.fixedMs);
  }
  // The head is rounded down to its bin's beginning and the tail up to its bin's end: the window only grows by it.
  const headMs = histogram.percentileBin(settings.headShare) * BIN_MS * settings.headFactor;
  const tailMs = (histogram.percentileBin(settings.tailShare) + 1) * BIN_MS * settings.tailFactor;
  if (headMs <= HOLD_MS) return keep('histogram', tailMs);
  return { by: 'histogram', retireAfterMs: HOLD_MS, prewarmAfterMs: headMs, keepUntilMs: tailMs };
}

function keep(by: KeepAlivePlan['by'], ms: number): KeepAlivePlan {
  return { by, retireAfterMs: ms, prewarmAfterMs: null, keepUntilMs: ms };
}

/** Whether an instance should be there, so long after the function became idle. */
export function wantsLoaded(plan: KeepAlivePlan, idleMs: number): boolean {
  if (idleMs < plan.retireAfterMs) return true;
  return plan.prewarmAfterMs !== null && idleMs >= plan.prewarmAfterMs && idleMs < plan.keepUntilMs;
}
