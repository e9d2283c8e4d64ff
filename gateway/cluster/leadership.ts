/**
 * Which of several gateways does what only one may do: the one that has the lease. It is lengthened while this gateway
 * lives, ends by itself when it does not, and is given back by a drain.
 */
import type { LeaseStore } from '../store/api/leases.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Timers } from '../triggers/timers.ts';

export interface Leadership {
  /** Asks for it, and goes on asking. Resolves with the first answer, which may be that the store is away. */
  start(): Promise<void>;
  /** Whether it is this gateway at this moment. One that stood still for long is not: its lease has ended meanwhile. */
  readonly leads: boolean;
  /** Gives it back. Idempotent. */
  drain(): Promise<void>;
}

export interface LeadershipParts {
  /** Of the lease. */
  name: string;
  /** Id of this gateway. */
  owner: string;
  leases: LeaseStore;
  /** Called when it has begun to be this one. */
  begun(): void;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
  log: Pick<Logger, 'info' | 'warn'>;
}

export const LEASE_MS = 10_000;
const EVERY_MS = 3_000;
/** So much earlier it is held to be over than others may take it: for clocks that differ, and for what is on its way. */
const MARGIN_MS = 1_000;

export function createLeadership({ name, owner, leases, begun, now, timers, log }: LeadershipParts): Leadership {
  /** Epoch ms. */
  let until = 0;
  let ended = false;
  let cancel: () => void = () => undefined;
  let asking: Promise<void> = Promise.resolve();

  async function ask(): Promise<void> {
    const wasLeading = now() < until - MARGIN_MS;
    const asked = now();
    try {
      const lease = await leases.take(name, owner, asked, asked + LEASE_MS);
      until = lease === null ? 0 : asked + LEASE_MS;
    } catch (error) {
      // What it has it has until it ends.
      if (wasLeading) log.warn('A lease could not be lengthened; it is tried again.', { lease: name, error });
    }
    if (ended || wasLeading || now() >= until - MARGIN_MS) return;
    log.info('this gateway leads', { lease: name });
    begun();
  }

  function askAgain(): void {
    if (ended) return;
    cancel = timers.after(EVERY_MS, () => {
      asking = ask().finally(askAgain);
    });
  }

  return {
    start() {
      asking = ask().finally(askAgain);
      return asking;
    },
    get leads() {
      return !ended && now() < until - MARGIN_MS;
    },
    async drain() {
      ended = true;
      cancel();
      await asking;
      if (until === 0) return;
      until = 0;
      await leases.release(name, owner).catch((error: unknown) => {
        log.warn('A lease could not be given back; it ends by itself.', { lease: name, error });
      });
    },
  };
}
