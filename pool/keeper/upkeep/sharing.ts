/** In each pool of hosts, many functions: who may take a base, who has to give one up, and what is kept for whom. */

import type { FunctionPool } from '../function-pool.ts';
import type { IdleGroup } from '../groups/groups.ts';
import type { Base } from '../hosts/base.ts';
import { type Idle, type Scarce, victim } from '../policy/evict.ts';
import { giverOf, mayTake, reservedBases } from '../policy/scaling.ts';

export interface SharingOptions {
  /** Bases that this pool may hold, borrowed ones included. */
  maxBases(pool: string): number;
  bases(): Iterable<Base>;
  /** Pools that take calls. */
  functions(): Iterable<FunctionPool>;
  /** These, and retired ones in which something still runs. */
  all(): Iterable<FunctionPool>;
  /** Groups of this pool in which nothing runs: their base is to be had as a whole only. */
  idleGroups(pool: string): IdleGroup[];
}

export class Sharing {
  readonly #options: SharingOptions;
  /** Versions with a reserve that take traffic. */
  readonly #reserving = new Set<FunctionPool>();

  constructor(options: SharingOptions) {
    this.#options = options;
  }

  /** From now on its reserve is held. */
  reserve(pool: FunctionPool): void {
    if (pool.limits.reserved > 0) this.#reserving.add(pool);
  }

  forget(pool: FunctionPool): void {
    this.#reserving.delete(pool);
  }

  /** Bases that functions hold. */
  #taken(of: string): number {
    let taken = 0;
    for (const { host, takenFor } of this.#options.bases()) if (host.pool === of && takenFor !== null) taken++;
    return taken;
  }

  /** May this function take one more base, once so many more are free? What others have in reserve is not for it. */
  admits(of: string, functionName: string, freed: number): boolean {
    if (this.#reserving.size === 0) return true;
    let unused = 0;
    const own = { live: 0, reserved: 0 };
    for (const pool of this.#reserving) {
      if (pool.spec.pool !== of) continue;
      if (pool.spec.functionName !== functionName) unused += pool.upkeep.unusedReserve;
      else {
        own.live += pool.basesHeld;
        own.reserved += reservedBases(pool.limits);
      }
    }
    return mayTake({ free: this.#options.maxBases(of) - this.#taken(of) + freed, own, unused });
  }

  /** Room for a function that waits for a base and finds nothing idle: one of a function that holds many is given up. */
  takeFrom(of: string, functionName: string): boolean {
    // One at a time: what drains already makes room as well.
    for (const { state, host } of this.#options.bases()) if (host.pool === of && state === 'draining') return true;
    const inPool = [...this.#options.functions()].filter(({ spec }) => spec.pool === of);
    const holders = inPool.map((pool) => ({
      pool,
      functionName: pool.spec.functionName,
      held: pool.basesHeld,
      least: pool.upkeep.leastBases,
    }));
    const giver = giverOf(holders, functionName);
    giver?.pool.upkeep.giveOne('another function waits for a base');
    return giver !== null;
  }

  /** An idle instance goes, the one that is missed least. False when there is none to take. */
  evictOne(of: string, why: string, scarce: Scarce): boolean {
    const candidates: (Idle & { evict(why: string): boolean })[] = [];
    for (const pool of this.#options.all()) {
      if (pool.spec.pool !== of) continue;
      // In a group a version that lost its traffic goes alone; that frees memory, while the base stays with the others.
      if (pool.spec.group !== null && (scarce !== 'memory' || !pool.upkeep.resting)) continue;
      const idle = pool.upkeep.evictable();
      if (idle !== null) candidates.push({ ...idle, evict: (reason) => pool.upkeep.evictOldest(reason) });
    }
    candidates.push(...this.#options.idleGroups(of));
    return victim(candidates, scarce)?.evict(why) ?? false;
  }
}
