/**
 * Removes what has expired from the store: in small steps, so that nobody's commit waits long behind one, and by one
 * gateway at a time. Whoever reads does not see what has expired, swept or not.
 */
import type { LeaseStore } from './store/api/leases.ts';
import type { Logger } from './telemetry/log.ts';
import type { Timers } from './triggers/timers.ts';

export interface SweepParts {
  /** Each removes at most so many, and says how many it removed. */
  sweeps: readonly ((nowMs: number, most: number) => Promise<number>)[];
  /** What each gateway has to itself, whoever sweeps the store. */
  here?(nowMs: number): void;
  leases: LeaseStore;
  /** Id of this gateway. */
  owner: string;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  log: Logger;
}

export interface Sweeps {
  start(): void;
  /** Begins no more steps; resolves when the one under way has ended. Idempotent. */
  drain(): Promise<void>;
}

const EVERY_MS = 60_000;
/** Longer than a round's distance: as long as it lives, it is the same gateway that sweeps. */
const LEASE_MS = 3 * EVERY_MS;
const STEP = 200;

export function createSweeps({ sweeps, here, leases, owner, now, timers, log }: SweepParts): Sweeps {
  let drained = false;
  let cancel: () => void = () => undefined;
  let round: Promise<void> = Promise.resolve();

  const mine = async () => !drained && (await leases.take('sweep', owner, now(), now() + LEASE_MS)) !== null;

  async function sweepAll(): Promise<void> {
    for (const sweep of sweeps) {
      while (await mine()) {
        if ((await sweep(now(), STEP)) < STEP) break;
      }
    }
  }

  function plan(): void {
    if (drained) return;
    cancel = timers.after(EVERY_MS, () => {
      here?.(now());
      round = sweepAll()
        .catch((error: unknown) => log.warn('What has expired could not be removed; it is tried again.', { error }))
        .finally(plan);
    });
  }

  return {
    start: plan,
    async drain() {
      drained = true;
      cancel();
      await round;
    },
  };
}
