/**
 * Functions that a rollout moves. What it may have to go back to stays there until it is over: the versions, and the
 * routes and queues that only the old one claims. In memory: a rollout that goes on after a restart reserves anew.
 */
import type { Traffic } from '../../functions/contract/traffic.ts';
import { mainVersion, namedBy } from './entries.ts';

/** One function of a rollout. */
export interface Reservation {
  readonly name: string;
  /** The one that is rolled out. */
  readonly version: string;
  /** The traffic that a return leads to. */
  readonly before: Traffic;
}

interface Reserved extends Reservation {
  readonly rollout: string;
}

export class Reservations {
  readonly #byFunction = new Map<string, Reserved>();

  reserve(rollout: string, functions: readonly Reservation[]): void {
    for (const { name, version, before } of functions) this.#byFunction.set(name, { rollout, name, version, before });
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

  /** The rollout that needs this version; null: none does. */
  ownerOf(name: string, version: string): string | null {
    const reserved = this.#byFunction.get(name);
    if (reserved === undefined) return null;
    return reserved.version === version || namedBy(reserved.before).includes(version) ? reserved.rollout : null;
  }

  /** By function: the version whose routes and queues are kept. */
  *kept(): Iterable<{ name: string; version: string; rollout: string }> {
    for (const { name, before, rollout } of this.#byFunction.values()) {
      yield { name, version: mainVersion(before), rollout };
    }
  }
}
