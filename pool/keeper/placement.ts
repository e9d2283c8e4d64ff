/** Which base a lease gets: a warm one of its host key at once, else the next one that fits, in fair turns. */
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import type { Base } from './base.ts';
import { isApart } from './host-key.ts';
import type { HostBinding, HostProcess } from './host-process.ts';
import type { Hosts } from './hosts.ts';
import type { FleetSettings } from './settings.ts';
import type { Stock } from './stock.ts';
import type { WaitingLeases, Wanted } from './waiting-leases.ts';

export interface PlacementOptions {
  settings: FleetSettings;
  hosts: Hosts;
  stock: Stock;
  pending: WaitingLeases;
  /** The limit of bases is reached and this function waits for one: make room, where that is fair. False: it is not. */
  relieve(functionName: string): boolean;
  /** May this function take one more base, once so many more are free? What others have in reserve is not for it. */
  admits(functionName: string, freed: number): boolean;
}

export class Placement {
  readonly #options: PlacementOptions;

  constructor(options: PlacementOptions) {
    this.#options = options;
  }

  /** A warm base of that host key, at once where there is one. Rejects with NO_CAPACITY once `closed`. */
  take(wanted: Wanted): Base | Promise<Base> {
    const { pending, stock, hosts } = this.#options;
    stock.asked(wanted.definition);
    const base = pending.size === 0 ? this.#pick(wanted) : undefined;
    if (base !== undefined) {
      this.#lease(base, wanted.functionName);
      return base;
    }
    if (!stock.has(wanted.definition)) {
      const error = new HearthError('NO_CAPACITY', `There is no base definition "${wanted.definition}".`);
      return Promise.reject(error);
    }
    const lease = pending.add(wanted);
    hosts.flush();
    this.serve();
    stock.refill();
    return lease;
  }

  /** Gives warm bases to who waits, function by function in turn, so that one function's crowd delays no other. */
  serve(): void {
    const { pending, hosts, stock, settings } = this.#options;
    pending.serve(
      (wanted) => {
        const base = this.#pick(wanted);
        // Taken here and not by who waits: that one runs later, and by then another could have it.
        if (base !== undefined) this.#lease(base, wanted.functionName);
        return base;
      },
      () => this.#held(),
    );
    if (hosts.baseCount < settings.maxBases) return;
    // What was given up before is on its way to be a base again.
    if (stock.booting >= pending.size) return;
    for (const functionName of new Set(pending.wanted.map((wanted) => wanted.functionName))) {
      if (!this.#options.admits(functionName, 1)) continue;
      // No warm base fits those who wait: one that stands on another's host makes room.
      if (stock.giveUp('its place is needed elsewhere', 0) || this.#options.relieve(functionName)) return;
    }
  }

  /** Somebody waits whom a base of this host would serve. */
  awaited(host: HostProcess): boolean {
    return this.#options.pending.wanted.some((wanted) => fits(host, wanted));
  }

  /** First bound hosts, so that unbound stock is left for who needs it. */
  #pick(wanted: Wanted): Base | undefined {
    if (!this.#options.admits(wanted.functionName, 0)) return undefined;
    let spare: Base | undefined;
    for (const base of this.#options.hosts.bases) {
      if (base.state !== 'warm' || base.host.definition.name !== wanted.definition || base.host.stuck) continue;
      if (base.host.binding !== null) {
        if (isBoundFor(base.host.binding, wanted)) return base;
      } else if (!isApart(wanted, this.#options.settings)) spare ??= base;
    }
    spare?.host.bind({ trustGroup: wanted.trustGroup, network: wanted.network, pool: wanted.pool });
    return spare;
  }

  #lease(base: Base, functionName: string): void {
    const now = monotonicMs();
    base.host.leasedAt = now;
    base.take(functionName);
    this.#options.stock.leased(now);
  }

  /** Leased bases by function. */
  #held(): Map<string, number> {
    const held = new Map<string, number>();
    for (const { state, takenFor } of this.#options.hosts.bases) {
      if (state === 'leased' && takenFor !== null) held.set(takenFor, (held.get(takenFor) ?? 0) + 1);
    }
    return held;
  }
}

/** Whether a base of this host could serve that lease. */
function fits(host: HostProcess, wanted: Wanted): boolean {
  if (host.definition.name !== wanted.definition) return false;
  return host.binding === null || isBoundFor(host.binding, wanted);
}

function isBoundFor({ trustGroup, network, pool }: HostBinding, wanted: Wanted): boolean {
  return trustGroup === wanted.trustGroup && network === wanted.network && pool === wanted.pool;
}
