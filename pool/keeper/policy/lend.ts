/**
 * What the buffer lends, to whom, and when it comes back: pure functions of what is there. A host is lent whole, with the
 * warm bases it holds, so nothing has to be started for who waits.
 *
 *   in the buffer ──a pool is full and waits──► lent ──first lease──► bound to a trust group
 *        ▲                                        │                          │ idle
 *        └───────────── idle, as it is ───────────┘                          ▼
 *        └─────────────────────── a new process in its place ◄────────── its process ends
 */
import type { BaseDefinition } from '../definition.ts';

/** A lent host goes back after so long without a call in it; an instance in it ends after the same time. */
export const LENT_IDLE_MS = 10_000;

/** A host in the buffer. */
export interface Spare {
  id: string;
  definition: BaseDefinition;
  /** Bases that can be leased now. */
  warm: number;
}

/** Leases of one pool that its own hosts cannot serve: of one definition and one trust group, as a host serves no more. */
export interface Need {
  pool: string;
  definition: BaseDefinition;
  /** How many wait beyond those for whom a base is on its way. */
  bases: number;
  /** Bases that this pool has borrowed already. */
  borrowed: number;
}

/**
 * The next host to lend: to the pool that has borrowed least, of equals the one in which most wait; the smallest host that
 * serves them all, else the largest there is. Null: nobody needs any, or none is of use.
 */
export function nextLoan<Of extends Need>(
  spares: readonly Spare[],
  needs: readonly Of[],
): { host: string; need: Of } | null {
  const inTurn = needs
    .filter(({ bases }) => bases > 0)
    .toSorted((a, b) => a.borrowed - b.borrowed || b.bases - a.bases);
  for (const need of inTurn) {
    let best: Spare | null = null;
    for (const spare of spares) {
      if (spare.definition !== need.definition || spare.warm === 0) continue;
      if (best === null || serves(spare, best, need.bases)) best = spare;
    }
    if (best !== null) return { host: best.id, need };
  }
  return null;
}

/** Whether `a` is better than `b` for so many. */
function serves(a: Spare, b: Spare, bases: number): boolean {
  if (a.warm >= bases !== b.warm >= bases) return a.warm >= bases;
  return a.warm >= bases ? a.warm < b.warm : a.warm > b.warm;
}

export interface Lent {
  /** A trust group has used it. */
  bound: boolean;
  /** Bases in it that are held. */
  leased: number;
  /** Since the last lease, and the last call in it, ms. */
  idleMs: number;
}

/** `return`: it goes over as it is. `end`: what served one trust group serves no other, so its process ends. */
export function lentStep({ bound, leased, idleMs }: Lent): 'keep' | 'return' | 'end' {
  if (leased > 0 || idleMs < LENT_IDLE_MS) return 'keep';
  return bound ? 'end' : 'return';
}

export interface LentInstance {
  /** Something runs in it, or it is being loaded. */
  busy: boolean;
  idleMs: number;
  /** The function has no more instances than its minimum and its reserve ask for. */
  needed: boolean;
  /** Its pool has room of its own for another instance. */
  room: boolean;
}

/** Whether an instance in a lent host ends, whatever its keep-alive says: its function is loaded in its own pool next. */
export function leavesLentHost({ busy, idleMs, needed, room }: LentInstance): boolean {
  return !busy && idleMs >= LENT_IDLE_MS && (room || !needed);
}
