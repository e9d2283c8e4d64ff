/**
 * Functions that a rollout moves. What it may have to go back to stays there until it is over: the versions, and the
 * routes and queues that only the old one claims. In memory: a rollout that goes on after a restart reserves anew.
 */
import type { Traffic } from '../../functions/contract/traffic.ts';
import { mainVersion } from './entries.ts';

/** One function of a rollout. */
export interface Reservation {
  readonly name: string;
  /** The one that is rolled out. */
  readonly version: string;
  /** The traffic that a return leads to. */
  readonly before: Traffic;
  /** What a rollback leads to after the return; null: nothing. */
  readonly previous?: Traffic | null;
}

export interface Reserved extends Reservation {
  readonly rollout: string;
}

export class Reservations {
  readonly #byFunction = new Map<string, Reserved>();

  reserve(rollout: string, functions: readonly Reservation[]): void {
    for (const { name, version, before, previous = null } of functions)
      this.#byFunction.set(name, { rollout, name, version, before, previous });
  }

  /** Names of the functions that it still had. */
  release(rollout: string): string[] {
    const own = [...this.#byFunction.values()].filter((each) => each.rollout === rollout);
    for (const { name } of own) this.#byFunction.delete(name);
    return own.map(({ name }) => name);
  }

  /** Somebody else moved its traffic: the rollout will not touch it any more. */
  give(name: string): void {
    this.#byFunction.delete(name);
  }

  has(name: string): boolean {
    return this.#byFunction.has(name);
  }

  of(name: string): Reserved | undefined {
    return this.#byFunction.get(name);
  }

  /** By function: the version whose routes and queues are kept. */
  *kept(): Iterable<{ name: string; version: string; rollout: string }> {
    for (const { name, before, rollout } of this.#byFunction.values()) {
      yield { name, version: mainVersion(before), rollout };
    }
  }
}
