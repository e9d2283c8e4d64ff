/**
 * `max_concurrency` of a queue over all gateways: a batch in flight takes up a slot, and each slot has one holder at a
 * time, under a lease. A gateway takes as many as it has batches, so what one leaves another may take. One that stands
 * still for longer than its leases loses its slots as it loses its messages: for as long as its handlers go on meanwhile,
 * more batches may be in flight.
 */
import type { LeaseStore } from '../../store/api/leases.ts';

export interface Slots {
  /** Takes or gives back until it holds this many of so many, or as near as may be; returns how many it holds. */
  have(wanted: number, of: number): Promise<number>;
  /** Lengthens the leases. */
  extend(): Promise<void>;
}

export interface SlotsParts {
  queue: string;
  leases: LeaseStore;
  /** Id of this gateway. */
  owner: string;
  /** Epoch ms. */
  now(): number;
  leaseMs: number;
}

export function createSlots({ queue, leases, owner, now, leaseMs }: SlotsParts): Slots {
  const held = new Set<number>();
  const nameOf = (slot: number) => `queue:${queue}:${slot}`;

  async function take(slot: number): Promise<void> {
    if ((await leases.take(nameOf(slot), owner, now(), now() + leaseMs)) === null) held.delete(slot);
    else held.add(slot);
  }

  async function giveBack(slot: number): Promise<void> {
    held.delete(slot);
    await leases.release(nameOf(slot), owner);
  }

  return {
    async have(wanted, of) {
      // Also those above, where there are fewer of them than there were.
      const surplus = [...held].toSorted((a, b) => b - a).filter((slot, i) => slot >= of || i < held.size - wanted);
      await Promise.all(surplus.map(giveBack));
      for (let slot = 0; slot < of && held.size < wanted; slot++) if (!held.has(slot)) await take(slot);
      return held.size;
    },
    async extend() {
      await Promise.all([...held].map(take));
    },
  };
}
