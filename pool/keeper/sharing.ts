/** One pool, many functions: who may take a base, who has to give one up, and what is kept for whom. */
import type { Base } from './base.ts';
import type { FunctionPool } from './function-pool.ts';
import { type Scarce, victim } from './policy/evict.ts';
import { giverOf, mayTake, reservedBases } from './scaling.ts';

export interface SharingOptions {
  maxBases: number;
  bases(): Iterable<Base>;
  /** Pools that take calls. */
  functions(): Iterable<FunctionPool>;
  /** These, and retired ones in which something still runs. */
  all(): Iterable<FunctionPool>;
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
    if (pool.spec.limits.reserved > 0) this.#reserving.add(pool);
  }

  forget(pool: FunctionPool): void {
    this.#reserving.delete(pool);
  }

  /** Bases that functions hold. */
  get taken(): number {
    let taken = 0;
    for (const { state } of this.#options.bases()) if (state === 'leased' || state === 'draining') taken++;
    return taken;
  }

  /** May this function take one more base, once so many more are free? What others have in reserve is not for it. */
  admits(functionName: string, freed: number): boolean {
    if (this.#reserving.size === 0) return true;
    let unused = 0;
    const own = { live: 0, reserved: 0 };
    for (const pool of this.#reserving) {
      if (pool.spec.functionName !== functionName) unused += pool.upkeep.unusedReserve;
      else {
        own.live += pool.basesHeld;
        own.reserved += reservedBases(pool.spec.limits);
      }
    }
    return mayTake({ free: this.#options.maxBases - this.taken + freed, own, unused });
  }

  /** Room for a function that waits for a base: an idle instance goes, else one of a function that holds many. */
  relieve(functionName: string): boolean {
    if (this.evictOne('its base is needed elsewhere', 'bases')) return true;
    // One at a time: what drains already makes room as well.
    for (const { state } of this.#options.bases()) if (state === 'draining') return true;
    const holders = [...this.#options.functions()].map((pool) => ({
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
  evictOne(why: string, scarce: Scarce): boolean {
    const candidates = [];
    for (const pool of this.#options.all()) {
      const idle = pool.upkeep.evictable();
      if (idle !== null) candidates.push({ pool, ...idle });
    }
    return victim(candidates, scarce)?.pool.upkeep.evictOldest(why) ?? false;
  }
}
