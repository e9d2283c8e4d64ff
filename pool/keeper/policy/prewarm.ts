/** When an instance is loaded for a cron's next tick. The other kind, from idle times, is keep-alive.ts. */
import { SCHEDULE_GAP_MS } from './keep-alive.ts';

/** So long before a tick its function is loaded: many times a cold start, also when a base has to be booted for it. */
export const CRON_LEAD_MS = 2_000;
/** What was loaded for a tick stays so long at least: the tick may be late. */
export const CRON_KEEP_MS = CRON_LEAD_MS + 10_000;

/**
 * Epoch ms at which to prewarm for the tick at `dueAtMs`; null when nothing is to be done: it ran so little before that
 * its instance is still there. `lastEndedAtMs` is null before the first run.
 */
export function prewarmAt(dueAtMs: number, lastEndedAtMs: number | null): number | null {
  if (lastEndedAtMs !== null && dueAtMs - lastEndedAtMs < SCHEDULE_GAP_MS) return null;
  return dueAtMs - CRON_LEAD_MS;
}
