/** Pool events in the log, and a start that ends when no base comes up. */
import type { PoolEvent } from '../pool/keeper/api.ts';
import { StartError } from './start/start-error.ts';
import type { Logger } from './telemetry/log.ts';

export interface PoolLog {
  (event: PoolEvent): void;
  /** Why the last base or host died before any base was warm; null: none did. */
  lastTrouble(): string | null;
}

/** All at debug; what dies before the first base is warm also as a warning, each reason once: refill tries on and on. */
export function createPoolLog(log: Logger): PoolLog {
  const told = new Set<string>();
  let trouble: string | null = null;
  let warm = false;
  const write = ({ time: _time, ...event }: PoolEvent) => {
    log.debug('pool', event);
    warm ||= event.subject === 'base' && event.what === 'warm';
    if (warm || (event.what !== 'died' && event.what !== 'retired' && event.what !== 'killed')) return;
    trouble = event.why;
    if (told.has(trouble)) return;
    told.add(trouble);
    log.warn('a base or host did not come up', event);
  };
  return Object.assign(write, { lastTrouble: () => trouble });
}

/** A boot takes tens of milliseconds; a machine that needs longer than this for the first one will not serve anybody. */
const FIRST_WARM_MS = 30_000;

/** Rejects with a StartError when the pool has no warm base in time. */
export async function withinStart(started: Promise<void>, why: () => string | null): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(
        new StartError(
          `No base came up within ${FIRST_WARM_MS / 1000} s (${why() ?? 'no reason is known'}); HEARTH_LOG=debug tells more.`,
        ),
      );
    }, FIRST_WARM_MS);
  });
  try {
    await Promise.race([started, late]);
  } finally {
    clearTimeout(timer);
  }
}
