/** A lease for one piece of work, held as long as that takes. */
import type { LeaseStore } from '../store/api/leases.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Timers } from '../triggers/timers.ts';

export interface Held {
  /** Asks the store once more: false when the lease had ended and another has it. Throws NO_CAPACITY. */
  isStillHeld(): Promise<boolean>;
  /** Gives it back; where that fails it ends by itself. Idempotent. */
  release(): Promise<void>;
}

export interface HoldParts {
  leases: LeaseStore;
  /** Id of this gateway. */
  owner: string;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  log: Pick<Logger, 'warn'>;
}

const LEASE_MS = 10_000;
const EXTEND_EVERY_MS = 3_000;

/** Null: another gateway has it. Throws NO_CAPACITY while the store is away. */
export async function hold(name: string, { leases, owner, now, timers, log }: HoldParts): Promise<Held | null> {
  const take = async () => (await leases.take(name, owner, now(), now() + LEASE_MS)) !== null;
  if (!(await take())) return null;
  let released = false;
  let cancel: () => void = () => undefined;
  const lengthen = () => {
    if (released) return;
    cancel = timers.after(EXTEND_EVERY_MS, () => {
      take()
        .catch((error: unknown) =>
          log.warn('A lease could not be lengthened; it is tried again.', { lease: name, error }),
        )
        .finally(lengthen);
    });
  };
  lengthen();
  return {
    isStillHeld: take,
    async release() {
      if (released) return;
      released = true;
      cancel();
      await leases.release(name, owner).catch((error: unknown) => {
        log.warn('A lease could not be given back; it ends by itself.', { lease: name, error });
      });
    },
  };
}
