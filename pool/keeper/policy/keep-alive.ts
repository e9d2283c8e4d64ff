/**
 * How long the last instance of a function stays once it is idle, when one is loaded ahead of the next call, and how
 * long instances beyond the first stay: functions of what is known of the function and of time.
 *
 *   idle for   0 ────── retireAfter ┄┄┄┄┄┄┄ prewarmAfter ────── keepUntil ┄┄┄►
 *              loaded                gone                 loaded            gone
 *
 * Where idle times have a rhythm they decide: the window of the hybrid histogram policy of Shahrad et al., "Serverless in
 * the Wild" (ATC 2020). What a cron wakes has a due time that is known, and prewarm.ts loads it for that. All else is
 * kept as long as it is worth its memory (worth.ts).
 */
import { BIN_MS, IdleHistogram } from './histogram.ts';
import type { Spell } from './spell.ts';
import {
  type Evidence,
  FLOOR_PRICE,
  learned,
  NO_EVIDENCE,
  type Prior,
  usesPerHour,
  weightOf,
  worthwhileMs,
} from './worth.ts';

/** Every idle instance is kept so long; shorter idle times teach nothing. */
export const HOLD_MS = BIN_MS;
/** Nor is any kept longer, be there memory for it: a function may have come to its end. */
const MOST_IDLE_MS = 6 * 3_600_000;
/** What only its cron wakes: the next tick is known. */
export const SCHEDULE_HOLD_MS = 5_000;
/** For ticks that follow one another sooner it is kept all the time. */
export const SCHEDULE_GAP_MS = 30_000;

/** Of a function. */
export const FIRST: Prior = { uses: 0.5, idleMs: 300_000, halveAt: 24 };
/** Of its instances beyond the first, once one was missed; before, none is kept longer. Load changes within minutes. */
export const BEYOND: Prior = { uses: 0.5, idleMs: 120_000, halveAt: 4 };

const RHYTHM = {
  headShare: 0.05,
  headFactor: 0.9,
  tailShare: 0.99,
  tailFactor: 1.1,
  /** A histogram with fewer idle times in it is not believed, */
  leastSamples: 5,
  /** nor one of which a greater share lies out of its range, */
  mostOutOfRange: 0.1,
  /** nor one whose window is longer than this share of the time before it: chance alone makes no such window. */
  mostWindow: 1,
};

/** Milliseconds since the function became idle. */
export interface KeepAlivePlan {
  by: 'rhythm' | 'schedule' | 'worth';
  retireAfterMs: number;
  /** null: nothing is loaded ahead. */
  prewarmAfterMs: number | null;
  /** As `retireAfterMs` where nothing is loaded ahead. */
  keepUntilMs: number;
}

export interface Rhythm {
  headMs: number;
  tailMs: number;
}

/** What is remembered of one function, across its versions. */
export class IdleHistory {
  #first: Evidence = NO_EVIDENCE;
  /** Of its calls, halved with the evidence. */
  #calls = 0;
  #cold = 0;
  #byCron = false;
  #histogram: IdleHistogram | null = null;
  #rhythm: Rhythm | null = null;
  /** Of the second instance, the third, and so on: while the one before it was needed, and while it was not. */
  readonly #beyond: { near: Evidence; far: Evidence }[] = [];

  called(count = 1): void {
    this.#calls += count;
  }

  /** A call found no instance. */
  foundCold(): void {
    this.#cold++;
  }

  /** It was idle for so long, and this used it again. */
  record(idleMs: number, byCron: boolean): void {
    if (byCron && idleMs >= SCHEDULE_GAP_MS) this.#byCron = true;
    if (idleMs < HOLD_MS) return;
    const before = this.#first.uses;
    this.#first = learned(this.#first, idleMs - HOLD_MS, !byCron, FIRST);
    if (this.#first.uses < before) {
      this.#calls /= 2;
      this.#cold /= 2;
    }
    if (byCron) return;
    this.#histogram ??= new IdleHistogram();
    this.#histogram.record(idleMs);
    this.#rhythm = rhythmOf(this.#histogram);
  }

  /** Its nth instance, n ≥ 2, was not needed for this time, and is now. */
  recordBeyond(n: number, { nearMs, farMs, near }: Spell): void {
    if (nearMs + farMs === 0) return;
    while (this.#beyond.length < n - 1) this.#beyond.push({ near: NO_EVIDENCE, far: NO_EVIDENCE });
    const before = this.#beyond[n - 2] ?? { near: NO_EVIDENCE, far: NO_EVIDENCE };
    this.#beyond[n - 2] = {
      near: learned(before.near, nearMs, near, BEYOND),
      far: learned(before.far, farMs, !near, BEYOND),
    };
  }

  plan(memoryMb: number, price = FLOOR_PRICE): KeepAlivePlan {
    if (this.#scheduled) return keep('schedule', SCHEDULE_HOLD_MS);
    if (this.#rhythm !== null) {
      const { headMs, tailMs } = this.#rhythm;
      return { by: 'rhythm', retireAfterMs: HOLD_MS, prewarmAfterMs: headMs, keepUntilMs: tailMs };
    }
    const worthwhile = worthwhileMs(this.#first, FIRST, { weight: this.#weight, memoryMb, price });
    return keep('worth', Math.min(HOLD_MS + Math.max(0, worthwhile), MOST_IDLE_MS));
  }

  /**
   * For how long its nth instance, n ≥ 2, is worth keeping from now on, and worth loading, as long as the one before it is
   * needed or not as it is now; ms. Nothing is worth it before one was missed.
   */
  worthBeyondMs(n: number, spell: Spell, memoryMb: number, price = FLOOR_PRICE): number {
    const evidence = this.#evidenceBeyond(n, spell);
    if (evidence === null) return 0;
    const worthwhile = worthwhileMs(evidence, BEYOND, { weight: 1, memoryMb, price });
    return Math.max(0, worthwhile - (spell.near ? spell.nearMs : spell.farMs));
  }

  /** Cold starts, by what they count, that its one instance spares within the hour, after so long idle. */
  gainPerHour(idleMs: number): number {
    if (this.#scheduled) return 0;
    if (this.#rhythm === null) return this.#weight * usesPerHour(this.#first, FIRST, idleMs - HOLD_MS);
    const { headMs, tailMs } = this.#rhythm;
    return idleMs < headMs || idleMs > tailMs ? 0 : (this.#weight * 3_600_000) / (tailMs - headMs);
  }

  /** The same of its nth, n ≥ 2. */
  gainBeyondPerHour(n: number, spell: Spell): number {
    const evidence = this.#evidenceBeyond(n, spell);
    return evidence === null ? 0 : usesPerHour(evidence, BEYOND, spell.near ? spell.nearMs : spell.farMs);
  }

  /** Null before one was missed. */
  #evidenceBeyond(n: number, { near }: Spell): Evidence | null {
    const beyond = this.#beyond[n - 2];
    if (beyond === undefined) return null;
    return near ? beyond.near : beyond.far;
  }

  get #scheduled(): boolean {
    return this.#byCron && this.#histogram === null;
  }

  get #weight(): number {
    const { uses, idleMs } = this.#first;
    const hours = (idleMs + FIRST.idleMs + uses * HOLD_MS) / 3_600_000;
    return weightOf((this.#cold + 0.5) / (this.#calls + 1), (this.#calls + 1) / hours);
  }
}

/** Null where idle times follow no rhythm. */
export function rhythmOf(histogram: IdleHistogram): Rhythm | null {
  if (histogram.samples < RHYTHM.leastSamples || histogram.outOfRange > RHYTHM.mostOutOfRange) return null;
  // The head is rounded down to its bin's beginning and the tail up to its bin's end: the window only grows by it.
  const headMs = histogram.percentileBin(RHYTHM.headShare) * BIN_MS * RHYTHM.headFactor;
  const tailMs = (histogram.percentileBin(RHYTHM.tailShare) + 1) * BIN_MS * RHYTHM.tailFactor;
  return headMs > HOLD_MS && tailMs - headMs <= headMs * RHYTHM.mostWindow ? { headMs, tailMs } : null;
}

export function keep(by: KeepAlivePlan['by'], ms: number): KeepAlivePlan {
  return { by, retireAfterMs: ms, prewarmAfterMs: null, keepUntilMs: ms };
}

/** Whether an instance should be there, so long after the function became idle. */
export function wantsLoaded(plan: KeepAlivePlan, idleMs: number): boolean {
  if (idleMs < plan.retireAfterMs) return true;
  return plan.prewarmAfterMs !== null && idleMs >= plan.prewarmAfterMs && idleMs < plan.keepUntilMs;
}
