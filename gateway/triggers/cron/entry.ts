/** What a gateway keeps in memory of one cron, and when it next has to do with it. */
import { readSchedule, type Schedule } from '../../../functions/contract/cron.ts';
import { prewarmAt } from '../../../pool/keeper/policy/prewarm.ts';
import type { CronRecord } from '../../store/api/crons.ts';
import type { CronProgress } from './plan.ts';

/** `idle` until the start has taken over what there is; `drained` for good. */
export type CronsState = 'idle' | 'firing' | 'drained';

export interface Entry {
  record: CronRecord;
  /** As written. */
  cron: string;
  schedule: Schedule;
  /** `running` counts the runs of this gateway. */
  progress: CronProgress;
  /** Another gateway has a run of it, which the next step has to respect; found out anew for each step. */
  elsewhere: boolean;
  /** A claim of it is on its way. */
  asked: boolean;
  /** Epoch ms before which nothing is to be done: the store failed, or a run of another gateway is waited for. */
  lookAt: number | null;
  /** The tick for which its function was loaded ahead; epoch ms. */
  prewarmedFor: number | null;
}

export function newEntry(record: CronRecord, cron: string, schedule: Schedule): Entry {
  return {
    record,
    cron,
    schedule,
    progress: { running: 0, held: false, caughtUp: 0 },
    elsewhere: false,
    asked: false,
    lookAt: null,
    prewarmedFor: null,
  };
}

/** Epoch ms of its next step; null: it waits for something else, such as the end of a run, which then looks itself. */
export function stepAt({ record, progress, asked, lookAt }: Entry): number | null {
  if (record.paused || record.nextAt === null || asked) return null;
  if (progress.held && progress.running > 0) return null;
  return lookAt === null ? record.nextAt : Math.max(record.nextAt, lookAt);
}

/** Epoch ms at which to load ahead for its next tick; null when that is not to be done, or is done. */
export function loadAt({ record, prewarmedFor }: Entry): number | null {
  if (record.nextAt === null || prewarmedFor === record.nextAt) return null;
  return prewarmAt(record.nextAt, record.last?.endedAt ?? null);
}

export function scheduleOf(entry: Entry | undefined, expression: string, timezone: string): Schedule {
  const same = entry?.record.expression === expression && entry.record.timezone === timezone;
  return same ? entry.schedule : readSchedule(expression, timezone);
}
