/** Leases that no warm base fits yet: served function by function in turn, and told so after ten seconds. */
import { HearthError } from '../../../functions/contract/errors.ts';
import { monotonicMs } from '../../../functions/contract/invocation.ts';
import { MAX_WAIT_MS } from '../../../functions/contract/limits.ts';
import type { BaseDefinition } from '../definition.ts';
import type { Base } from '../hosts/base.ts';
import type { HostBinding } from '../hosts/host-process.ts';

/** A base that is asked for. */
export interface Wanted extends HostBinding {
  /** This very generation of it. */
  definition: BaseDefinition;
  functionName: string;
}

interface Waiting extends Wanted {
  /** Monotonic ms. */
  since: number;
  resolve(base: Base): void;
  reject(error: HearthError): void;
}

export class WaitingLeases {
  /** In order of arrival. */
  readonly #waiting: Waiting[] = [];

  get size(): number {
    return this.#waiting.length;
  }

  get wanted(): readonly Wanted[] {
    return this.#waiting;
  }

  /** Those of one pool. */
  in(pool: string): number {
    let count = 0;
    for (const waiting of this.#waiting) if (waiting.pool === pool) count++;
    return count;
  }

  add(wanted: Wanted): Promise<Base> {
    return new Promise((resolve, reject) => this.#waiting.push({ ...wanted, since: monotonicMs(), resolve, reject }));
  }

  /**
   * Offers each a base, one a function and round, so that one function's crowd delays no other: first who holds the
   * fewest (`held`), else who came first.
   */
  serve(pick: (wanted: Wanted) => Base | undefined, held: () => ReadonlyMap<string, number>): void {
    const servedNow = new Set<string>();
    for (let again = true; again; ) {
      again = false;
      for (const waiting of this.#inTurn(held)) {
        if (servedNow.has(waiting.functionName)) continue;
        const base = pick(waiting);
        if (base === undefined) continue;
        this.#remove(waiting);
        servedNow.add(waiting.functionName);
        waiting.resolve(base);
        again = true;
      }
      if (again || servedNow.size === 0) continue;
      servedNow.clear();
      again = true;
    }
  }

  #inTurn(held: () => ReadonlyMap<string, number>): Waiting[] {
    if (this.#waiting.length < 2) return [...this.#waiting];
    const bases = held();
    return this.#waiting.toSorted((a, b) => (bases.get(a.functionName) ?? 0) - (bases.get(b.functionName) ?? 0));
  }

  /** Who has waited too long gets NO_CAPACITY. `now`: monotonic ms. */
  expire(now: number): void {
    const message = `No base came free within ${MAX_WAIT_MS / 1000} s.`;
    this.reject(({ since }) => now - since >= MAX_WAIT_MS, new HearthError('NO_CAPACITY', message, { retryAfterS: 1 }));
  }

  reject(which: (waiting: Wanted & { since: number }) => boolean, error: HearthError): void {
    for (const waiting of this.#waiting.filter(which)) {
      this.#remove(waiting);
      waiting.reject(error);
    }
  }

  #remove(waiting: Waiting): void {
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
  }
}
