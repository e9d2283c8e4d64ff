/** In which host the next lease of a pool stands: pure functions of what is there. */
import type { PlacementRule } from '../settings.ts';

/** A host that has a warm base for this lease. */
export interface Place {
  /** Null: no lease has bound it yet. */
  binding: unknown;
  /** Whose it stays, when it is lent. */
  lentBy: string | null;
  /** Bases in it that are held. */
  leased: number;
}

export interface PlaceView<Host extends Place> {
  rule: PlacementRule;
  hosts: readonly Host[];
  /** To spread, an unbound host may be bound though a bound one would do. */
  mayBind: boolean;
}

/**
 * pack: a bound host, the fullest of them; then an unbound one, so that unbound stock is left for who needs it; then one
 * that is lent, so that it can go back. spread: of bound and unbound ones alike that in which the fewest are held; where
 * no more may be bound, as pack, with the fewest first. The first of equals; null of none.
 */
export function choose<Host extends Place>({ rule, hosts, mayBind }: PlaceView<Host>): Host | null {
  let best: Host | null = null;
  for (const host of hosts) if (best === null || isBetter(host, best, rule, mayBind)) best = host;
  return best;
}

function isBetter(host: Place, best: Place, rule: PlacementRule, mayBind: boolean): boolean {
  const merge = rule === 'spread' && mayBind;
  const [rank, bestRank] = [rankOf(host, merge), rankOf(best, merge)];
  if (rank !== bestRank) return rank < bestRank;
  return rule === 'spread' ? host.leased < best.leased : host.leased > best.leased;
}

function rankOf({ binding, lentBy }: Place, merge: boolean): number {
  if (lentBy !== null) return 2;
  return binding !== null || merge ? 0 : 1;
}
