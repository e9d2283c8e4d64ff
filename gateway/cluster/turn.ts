/**
 * Changes of the registry when several gateways share a store: one at a time over all of them, each on what the one before
 * has left. So of two that claim the same route at once one is told of the other, whichever gateway each came to.
 *
 *   lease ──► what others have changed since the last turn is taken over ──► the change ──► lease given back
 *
 * A gateway that stands still in its turn for longer than the lease commits what it had checked before: the last one to
 * commit then holds, as it does of two gateways that Redis' failover has set apart.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Changed } from '../registry/registry.ts';
import type { Change, ChangeFeed } from '../store/api/changes.ts';
import type { LeaseStore } from '../store/api/leases.ts';
import type { Timers } from '../triggers/timers.ts';

export interface ClusterTurnParts {
  changes: Pick<ChangeFeed, 'since' | 'revisions'>;
  leases: LeaseStore;
  /** Id of this gateway. */
  owner: string;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
}

/** Runs a change when it is this gateway's turn, after `catchUp` with what others have changed. */
export type ClusterTurn = <Result>(
  catchUp: (changed: Changed) => Promise<unknown>,
  change: () => Promise<Result>,
) => Promise<Result>;

const LEASE = 'registry';
/** Far above what a commit takes, and what a gateway that dies in its turn costs the others. */
const LEASE_MS = 10_000;
const ASK_EVERY_MS = 10;
/** Until a change is refused: behind a gateway that died in its turn, and some that wait for the same. */
const PATIENCE_MS = 15_000;

/** Its changes reject with NO_CAPACITY while the store is away, or when the turn does not come in 15 s. */
export function createClusterTurn({ changes, leases, owner, now, timers }: ClusterTurnParts): ClusterTurn {
  let position: number | null = null;

  return async (catchUp, change) => {
    await take();
    try {
      const since = await changes.since(position);
      await catchUp(since.changes === null ? await everything() : changedOf(since.changes));
      position = since.position;
      return await change();
    } finally {
      // Where that fails it ends by itself.
      await leases.release(LEASE, owner).catch(() => undefined);
    }
  };

  async function take(): Promise<void> {
    const until = now() + PATIENCE_MS;
    while ((await leases.take(LEASE, owner, now(), now() + LEASE_MS)) === null) {
      if (now() >= until) {
        throw new HearthError('NO_CAPACITY', 'Other gateways are changing functions all the time; try again.');
      }
      await new Promise<void>((resolve) => void timers.after(ASK_EVERY_MS, resolve));
    }
  }

  async function everything(): Promise<Changed> {
    return { functions: [...(await changes.revisions()).keys()], publications: true };
  }
}

function changedOf(changes: readonly Change[]): Changed {
  const functions = changes.flatMap(({ kind, name }) => (kind === 'function' ? [name] : []));
  return { functions, publications: changes.some(({ kind }) => kind === 'publication') };
}
