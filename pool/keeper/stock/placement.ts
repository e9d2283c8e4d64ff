/**
 * Which base a lease gets: a warm one of its host key at once, else the next one that fits, in fair turns. Whoever waits in
 * a pool that is full gets what idles there, else what the buffer lends, else what one that holds many gives up.
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import { monotonicMs } from '../../../functions/contract/invocation.ts';
import type { Base } from '../hosts/base.ts';
import { isApart, keyOf } from '../hosts/host-key.ts';
import type { HostBinding, HostProcess } from '../hosts/host-process.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Need } from '../policy/lend.ts';
import { choose } from '../policy/place.ts';
import { BUFFER_POOL, type Pools } from '../pools.ts';
import type { FleetSettings } from '../settings.ts';
import type { Lending } from './lending.ts';
import type { Stock } from './stock.ts';
import type { WaitingLeases, Wanted } from './waiting-leases.ts';

export interface PlacementOptions {
  settings: FleetSettings;
  pools: Pools;
  hosts: Hosts;
  stock: Stock;
  lending: Lending;
  pending: WaitingLeases;
  /** An idle instance of this pool goes. False: there is none to take. */
  evictIdle(pool: string, why: string): boolean;
  /** A function of the pool that holds many bases gives one up to this one, where that is fair. False: it is not. */
  takeFrom(pool: string, functionName: string): boolean;
  /** May this function take one more base, once so many more are free? What others have in reserve is not for it. */
  admits(pool: string, functionName: string, freed: number): boolean;
}

export class Placement {
  readonly #options: PlacementOptions;

  constructor(options: PlacementOptions) {
    this.#options = options;
  }

  /** A warm base of that host key, at once where there is one. Rejects with NO_CAPACITY once `closed`. */
  take(wanted: Wanted): Base | Promise<Base> {
    const { pending, stock, hosts, pools } = this.#options;
    if (!pools.has(wanted.pool) || wanted.pool === BUFFER_POOL) {
      const names = pools.names.filter((name) => name !== BUFFER_POOL).join(', ');
      const told = `There is no pool "${wanted.pool}" for functions; there are: ${names}.`;
      return Promise.reject(new HearthError('NO_CAPACITY', told));
    }
    stock.asked(wanted.pool, wanted.definition);
    const base = pending.in(wanted.pool) === 0 ? this.#pick(wanted) : undefined;
    if (base !== undefined) {
      this.#lease(base, wanted.functionName);
      return base;
    }
    if (!stock.has(wanted.definition)) {
      const error = new HearthError('NO_CAPACITY', `There is no base definition "${wanted.definition.name}" any more.`);
      return Promise.reject(error);
    }
    const lease = pending.add(wanted);
    hosts.flush();
    this.serve();
    stock.refill();
    return lease;
  }

  /** Gives warm bases to who waits, and makes room in each pool that is full. */
  serve(): void {
    const { pending, pools } = this.#options;
    if (pending.size === 0) return;
    this.#serveWarm();
    // Which of the pools that are full gets the next host of the buffer is decided over all of them.
    const full = pools.names.filter((pool) => this.#isFull(pool) && !this.#makeRoom(pool));
    while (full.length > 0 && this.#options.lending.lend(full.flatMap((pool) => this.#needs(pool)))) this.#serveWarm();
    for (const pool of full) if (this.#isFull(pool)) this.#takeFromHolders(pool);
  }

  /** Function by function in turn, so that one function's crowd delays no other. */
  #serveWarm(): void {
    const { pending } = this.#options;
    pending.serve(
      (wanted) => {
        const base = this.#pick(wanted);
        // Taken here and not by who waits: that one runs later, and by then another could have it.
        if (base !== undefined) this.#lease(base, wanted.functionName);
        return base;
      },
      () => this.#held(),
    );
  }

  /** Somebody waits, nothing can be booted for them, and what was given up before is not on its way to be a base again. */
  #isFull(pool: string): boolean {
    const { stock, pending } = this.#options;
    const waiting = pending.in(pool);
    return waiting > 0 && stock.room(pool) <= 0 && stock.booting(pool) < waiting;
  }

  /** Of what the pool has and nobody uses. When it is memory that lacks, that is the host watch's business. */
  #makeRoom(pool: string): boolean {
    const { stock } = this.#options;
    if (!this.#lacksBases(pool)) return false;
    for (const functionName of this.#waitingIn(pool)) {
      if (!this.#options.admits(pool, functionName, 1)) continue;
      // No warm base fits those who wait: one that stands on another's host makes room.
      return (
        stock.giveUp(pool, 'its place is needed elsewhere', 0) ||
        this.#options.evictIdle(pool, 'its base is needed elsewhere')
      );
    }
    return false;
  }

  #takeFromHolders(pool: string): void {
    if (!this.#lacksBases(pool)) return;
    for (const functionName of this.#waitingIn(pool)) {
      if (this.#options.admits(pool, functionName, 1) && this.#options.takeFrom(pool, functionName)) return;
    }
  }

  #lacksBases(pool: string): boolean {
    const { hosts, pools } = this.#options;
    return hosts.roster.countIn(pool) >= pools.size(pool).maxBases;
  }

  #waitingIn(pool: string): Set<string> {
    const inPool = this.#options.pending.wanted.filter((wanted) => wanted.pool === pool);
    return new Set(inPool.map(({ functionName }) => functionName));
  }

  /** What this pool would borrow, by definition and trust group: a host serves only one of each. */
  #needs(pool: string): Need[] {
    if (!this.#isFull(pool)) return [];
    const { pending, hosts, settings, lending } = this.#options;
    const borrowed = lending.borrowed(pool);
    const needs = new Map<string, Need>();
    for (const wanted of pending.wanted) {
      // A base more is one more that is free.
      if (wanted.pool !== pool || isApart(wanted, settings)) continue;
      if (!this.#options.admits(pool, wanted.functionName, 1)) continue;
      const key = `${keyOf(wanted)}/${wanted.definition.name}/${wanted.definition.generation ?? 1}`;
      const need = needs.getOrInsertComputed(key, () => ({ pool, definition: wanted.definition, bases: 0, borrowed }));
      need.bases++;
    }
    for (const { state, host } of hosts.roster.bases) {
      if (host.pool !== pool || (state !== 'booting' && state !== 'rehearsing')) continue;
      for (const need of needs.values()) if (need.definition === host.definition) need.bases--;
    }
    return [...needs.values()];
  }

  /** Somebody waits whom a base of this host would serve. */
  awaited(host: HostProcess): boolean {
    return this.#options.pending.wanted.some((wanted) => fits(host, wanted));
  }

  /** See policy/place.ts. */
  #pick(wanted: Wanted): Base | undefined {
    const { settings, pools, hosts, lending } = this.#options;
    if (!this.#options.admits(wanted.pool, wanted.functionName, 0)) return undefined;
    const warm = new Map<HostProcess, Base>();
    let unbound = 0;
    for (const base of hosts.roster.bases) {
      const { host } = base;
      if (base.state !== 'warm' || !fits(host, wanted) || host.stuck || host.state === 'draining') continue;
      if (host.binding === null) {
        if (isApart(wanted, settings)) continue;
        unbound++;
      }
      if (!warm.has(host)) warm.set(host, base);
    }
    if (warm.size === 0) return undefined;
    const rule = pools.size(wanted.pool).placement;
    // Not the last unbound base: only such a one serves a trust group that was never seen.
    const mayBind = rule === 'spread' && unbound > 1 && this.#boundHosts(wanted.pool) < pools.hostsOf(wanted.pool);
    const host = choose({ rule, hosts: [...warm.keys()], mayBind });
    const base = host === null ? undefined : warm.get(host);
    if (base === undefined) return undefined;
    if (base.host.binding === null) {
      base.host.bind({ trustGroup: wanted.trustGroup, network: wanted.network, pool: wanted.pool });
    }
    lending.used(base.host);
    return base;
  }

  #lease(base: Base, functionName: string): void {
    const now = monotonicMs();
    base.host.leasedAt = now;
    base.host.leased++;
    base.take(functionName);
    this.#options.stock.leased(base.host.pool, now);
  }

  #boundHosts(of: string): number {
    let count = 0;
    for (const { binding, pool, lentBy } of this.#options.hosts.roster.hosts) {
      if (binding !== null && pool === of && lentBy === null) count++;
    }
    return count;
  }

  /** Leased bases by function. */
  #held(): Map<string, number> {
    const held = new Map<string, number>();
    for (const { state, takenFor } of this.#options.hosts.roster.bases) {
      if (state === 'leased' && takenFor !== null) held.set(takenFor, (held.get(takenFor) ?? 0) + 1);
    }
    return held;
  }
}

/** Whether a base of this host could serve that lease. */
function fits(host: HostProcess, wanted: Wanted): boolean {
  if (host.definition !== wanted.definition || host.pool !== wanted.pool) return false;
  return host.binding === null || isBoundFor(host.binding, wanted);
}

function isBoundFor({ trustGroup, network, pool }: HostBinding, wanted: Wanted): boolean {
  return trustGroup === wanted.trustGroup && network === wanted.network && pool === wanted.pool;
}
