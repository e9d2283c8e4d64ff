/** When crons fire: pure. What does I/O (ticks.ts) asks for one step at a time and applies it. */
import { createHash } from 'node:crypto';
import type { CronPlan, CronRecord } from '../../store/api/crons.ts';

/** A tick this much late still counts as in time: the loop was busy, not away. */
export const IN_TIME_MS = 5_000;
/** Ticks made up for at most, one after another; the rest is recorded as skipped. */
export const MOST_CATCH_UP = 100;
/** Longest sleep, so that a clock that was set is noticed. */
export const MOST_SLEEP_MS = 60_000;

/** What a gateway knows in memory of a cron. */
export interface CronProgress {
  /** Runs that have not ended: its own, and one more when it knows that there are others'. */
  running: number;
  /** The next tick waits because a run has not ended: it is late for that reason, not missed. */
  held: boolean;
  /** Ticks made up for since it was last in time. */
  caughtUp: number;
}

export type CronStep =
  /** Nothing to do until then; null: ever. */
  | { do: 'wait'; until: number | null }
  /** Look again when a run has ended. */
  | { do: 'hold' }
  | { do: 'run'; dueAt: number; nextAt: number | null }
  /** Move on without a run, and record why. */
  | { do: 'skip'; dueAt: number; nextAt: number | null; why: string };

/** Strictly after `afterMs`; null: never. */
export type NextRun = (afterMs: number) => number | null;

type Policy = Pick<CronRecord, 'missed' | 'overlap' | 'paused' | 'nextAt'>;

/**
 * The next step of one cron.
 * - `missed: once` runs a single time for all ticks that have passed, `all` once for each (see MOST_CATCH_UP), `skip`
 *   not at all. What is late by IN_TIME_MS at most was not missed.
 * - `overlap: skip` drops a tick while a run has not ended, `allow` runs beside it, `queue` runs after it. Ticks made up
 *   for under `all` run one after another, unless overlap is allowed.
 */
export function nextStep(cron: Policy, progress: CronProgress, nowMs: number, next: NextRun): CronStep {
  const dueAt = cron.nextAt;
  if (cron.paused || dueAt === null) return { do: 'wait', until: null };
  if (dueAt > nowMs) return { do: 'wait', until: dueAt };

  const late = nowMs - dueAt > IN_TIME_MS;
  const eachTick = cron.missed === 'all' || progress.held;
  if (progress.running > 0 && cron.overlap !== 'allow') {
    if (cron.overlap === 'queue' || (late && eachTick)) return { do: 'hold' };
    return { do: 'skip', dueAt, nextAt: next(nowMs), why: 'the run before had not ended' };
  }
  if (eachTick) {
    if (progress.caughtUp < MOST_CATCH_UP) return { do: 'run', dueAt, nextAt: next(dueAt) };
    return { do: 'skip', dueAt, nextAt: next(nowMs), why: `more than ${MOST_CATCH_UP} ticks were missed` };
  }
  if (late && cron.missed === 'skip') return { do: 'skip', dueAt, nextAt: next(nowMs), why: 'missed' };
  return { do: 'run', dueAt, nextAt: next(nowMs) };
}

/** How long to sleep until the earliest of these times. */
export function sleepMs(nextAt: number | null, nowMs: number): number {
  if (nextAt === null) return MOST_SLEEP_MS;
  return Math.min(Math.max(nextAt - nowMs, 0), MOST_SLEEP_MS);
}

/** Stable over deploys as long as function and expression stay; fit for a URL. A function's name holds no dot. */
export function cronId(functionName: string, cron: string): string {
  return `${functionName}.${createHash('sha256').update(cron).digest('hex').slice(0, 12)}`;
}

/** Crons as a manifest wants them; the store keeps the due times of those that stay. */
export function wantedCrons(
  functionName: string,
  settings: Pick<CronRecord, 'timezone' | 'missed' | 'overlap'>,
  expressions: readonly { cron: string; expression: string }[],
  next: (id: string, expression: string, timezone: string) => number | null,
): CronPlan[] {
  return expressions.map(({ cron, expression }) => {
    const id = cronId(functionName, cron);
    const { timezone, missed, overlap } = settings;
    return { id, functionName, expression, timezone, missed, overlap, nextAt: next(id, expression, timezone) };
  });
}

/** Delay before a run that never reached the function is tried again, ms; null: no more. `tries` counts from 1. */
export function retryDelayMs(tries: number): number | null {
  return [1_000, 5_000, 25_000][tries - 1] ?? null;
}
