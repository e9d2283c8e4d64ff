/** Crons as the control API shows them. */
import type { CronRecord } from '../../store/api/crons.ts';

export interface CronView {
  id: string;
  function: string;
  /** As the manifest has it: what `controller.cron` says. */
  expression: string;
  timezone: string;
  missed: CronRecord['missed'];
  overlap: CronRecord['overlap'];
  paused: boolean;
  /** Epoch ms; null while paused, and when it is never due again. */
  nextAt: number | null;
  /** Runs that have not ended. */
  running: number;
  /** `lateMs`: from when it was due until it was begun, or skipped. */
  last: (NonNullable<CronRecord['last']> & { lateMs: number }) | null;
}

export function viewOf(record: CronRecord, cron = record.expression): CronView {
  const { id, functionName, timezone, missed, overlap, paused, nextAt, running, last } = record;
  return {
    id,
    function: functionName,
    expression: cron,
    timezone,
    missed,
    overlap,
    paused,
    nextAt,
    running,
    last: last === null ? null : { ...last, lateMs: last.startedAt - last.dueAt },
  };
}

export function byFunction(a: CronView, b: CronView): number {
  return compare(a.function, b.function) || compare(a.expression, b.expression);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
