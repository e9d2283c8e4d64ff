/**
 * The stock of warm bases, by pool and definition: boots what is missing and ends what is too much, one at a time. How many there
 * should be is policy/stock.ts, in which host is refill.ts.
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import { monotonicMs } from '../../../functions/contract/invocation.ts';
import type { BaseDefinition } from '../definition.ts';
import type { Definitions } from '../generations/definitions.ts';
import type { Base } from '../hosts/base.ts';
import { bindingOf, isApart, keyOf } from '../hosts/host-key.ts';
import type { HostProcess } from '../hosts/host-process.ts';
import type { Pressure } from '../hosts/host-watch.ts';
import type { Hosts } from '../hosts/hosts.ts';
import { LeaseDemand, mayBoot, stockCeiling, stockTarget, surplusStep } from '../policy/stock.ts';
import { BUFFER_POOL, type Pools } from '../pools.ts';
import type { FleetSettings } from '../settings.ts';
import { BootFailures } from './boot-failures.ts';
import { Opening } from './opening.ts';
import { type HostView, nextBoot, nextEnd } from './refill.ts';
import type { WaitingLeases, Wanted } from './waiting-leases.ts';

export interface StockOptions {
  definitions: Definitions;
  settings: FleetSettings;
  pools: Pools;
  hosts: Hosts;
  pending: WaitingLeases;
  /** What hosts of this pool may use together now, MB. */
  memoryMb(pool: string): number;
  /** True while requests to this pool wait for a slot: its refill stands back unless its stock is empty. */
  busy(pool: string): boolean;
  /** Monotonic ms by which demand is forgotten; tests move it by hand. */
  clock(): number;
}

/** One definition in one pool, its stock, and who waits for it. */
interface Shelf {
  pool: string;
  definition: BaseDefinition;
  hosts: HostView[];
  warm: number;
  booting: number;
  awaited: Wanted[];
}

/** One pool in all. Memory that its hosts use together is in MB. */
interface PoolState {
  pressure: Pressure;
  usedMb: number;
  /** Monotonic ms of the last lease, and of the first of those that came one after another up to it. */
  takenAt: number;
  burstSince: number;
}

interface Watched {
  definition: BaseDefinition;
  resolve(): void;
  reject(error: HearthError): void;
}

/** After a lease the two cores belong to the request; a replacement can wait so long while there is stock. */
const REFILL_PAUSE_MS = 25;
/** Without a lease for so long, a burst is over. */
const QUIET_MS = 100;
/** How often some of what is too much is ended. */
const SHRINK_MS = 5_000;

export class Stock {
  readonly #options: StockOptions;
  readonly #failures = new WeakMap<BaseDefinition, BootFailures>();
  /** By definition and pool. */
  readonly #demand = new WeakMap<BaseDefinition, Map<string, LeaseDemand>>();
  readonly #states = new Map<string, PoolState>();
  /** Who waits for stock of a definition. */
  readonly #watched = new Set<Watched>();
  readonly #opening: Opening<BaseDefinition>;
  #shrunkAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: StockOptions) {
    this.#options = options;
    const kept = (definition: BaseDefinition) => options.pools.names.some((pool) => this.#floor(pool, definition) > 0);
    this.#opening = new Opening(options.definitions.all.filter(kept));
  }

  /** Brings the stock to its size; resolves when there is some, see Opening. */
  open(): Promise<void> {
    this.refill();
    return this.#opening.open;
  }

  has(definition: BaseDefinition): boolean {
    return this.#options.definitions.has(definition);
  }

  /** Resolves when so much of it stands ready as its role asks for. Rejects with NO_CAPACITY when its bases do not come up. */
  stocked(definition: BaseDefinition): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#watched.add({ definition, resolve, reject });
    this.#lookAtWatched();
    this.refill();
    return promise;
  }

  /** Bases of this pool that are on their way to be warm. */
  booting(pool: string): number {
    let booting = 0;
    for (const base of this.#options.hosts.roster.bases) if (base.host.pool === pool && boots(base)) booting++;
    return booting;
  }

  /** Within a burst of leases, in any pool. */
  get leasing(): boolean {
    return this.#options.pools.names.some((pool) => this.#leasing(pool));
  }

  #leasing(pool: string): boolean {
    return monotonicMs() - this.#stateOf(pool).takenAt < QUIET_MS;
  }

  /** Somebody asks for a base of it, whether there is one or not. */
  asked(pool: string, definition: BaseDefinition): void {
    if (this.has(definition)) this.#demandOf(pool, definition).leased(this.#options.clock());
  }

  /** A base was taken. `now`: monotonic ms. */
  leased(pool: string, now: number): void {
    const state = this.#stateOf(pool);
    if (!this.#leasing(pool)) state.burstSince = now;
    state.takenAt = now;
    this.#schedule(REFILL_PAUSE_MS);
  }

  /** There may be something to boot now. */
  refill(): void {
    this.#schedule(0);
  }

  /** How near hosts of a pool are to the memory they may use together, and what that is. */
  press(pool: string, level: Pressure, usedMb: number): void {
    const state = this.#stateOf(pool);
    state.usedMb = usedMb;
    if (state.pressure === level) return;
    state.pressure = level;
    if (level !== 'none') this.#options.hosts.flush();
    this.refill();
  }

  /** What `press` said last. */
  memory(pool: string): { pressure: Pressure; usedMb: number } {
    const { pressure, usedMb } = this.#stateOf(pool);
    return { pressure, usedMb };
  }

  /** Ends a warm base of this pool's own that nobody holds, as long as more than so many are there. */
  giveUp(pool: string, why: string, left: number): boolean {
    const { hosts } = this.#options;
    const own = [...hosts.roster.bases].filter(({ host }) => host.pool === pool && host.lentBy === null);
    const base = own.filter(({ state }) => state === 'warm')[left];
    if (base === undefined) return false;
    hosts.giveUp(base, why);
    return true;
  }

  /** It took so long from its start to being warm. */
  bootSucceeded(pool: string, definition: BaseDefinition, tookMs: number): void {
    this.#failures.get(definition)?.succeeded();
    this.#demandOf(pool, definition).booted(tookMs);
    this.#opening.warm(definition);
    this.#lookAtWatched();
  }

  /** Told, and not repeated without a pause. */
  bootFailed(definition: BaseDefinition, why: string): void {
    const failures = this.#failures.getOrInsertComputed(definition, () => new BootFailures());
    failures.failed(why, monotonicMs());
    if (failures.broken === null) return;
    this.#opening.broken(definition);
    const told = `Bases of the definition "${definition.name}" do not come up: ${failures.broken}.`;
    const error = new HearthError('NO_CAPACITY', told);
    this.#options.pending.reject((wanted) => wanted.definition === definition, error);
    for (const watched of this.#watched) {
      if (watched.definition !== definition) continue;
      this.#watched.delete(watched);
      watched.reject(error);
    }
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    if (this.#timer !== null) {
      if (delayMs > 0) return;
      clearTimeout(this.#timer);
    }
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#refill();
    }, delayMs);
  }

  /**
   * Boots one base in a pool; its being warm calls again. Two at once only while somebody waits there with nothing in stock.
   * Each pool has turns of its own: one that boots without end must not keep the others from their stock.
   */
  #refill(): void {
    if (this.#closed) return;
    const { hosts } = this.#options;
    let againMs = Number.POSITIVE_INFINITY;
    for (const shelf of this.#shelves()) {
      const { pool, definition, awaited, warm } = shelf;
      const waits = this.#options.pending.in(pool) > 0;
      if (this.booting(pool) >= (waits ? 2 : 1)) continue;
      const { pressure, burstSince } = this.#stateOf(pool);
      const pauseMs = this.#failures.get(definition)?.pauseMs(monotonicMs()) ?? 0;
      if (pauseMs > 0) {
        againMs = Math.min(againMs, pauseMs);
        continue;
      }
      const target = this.#target(shelf);
      const step = nextBoot({
        target: pressure === 'none' ? target : Math.min(1, target),
        hosts: shelf.hosts,
        pending: awaited.map(keyOf),
        apart: new Set(awaited.filter((wanted) => isApart(wanted, this.#options.settings)).map(keyOf)),
        room: this.room(pool),
        spread: this.#options.pools.size(pool).placement === 'spread',
      });
      if (step === null) continue;
      const requestsWait = this.#options.busy(pool);
      if (
        !mayBoot({
          warm,
          target,
          awaited: awaited.length > 0,
          requestsWait,
          burstMs: this.#leasing(pool) ? monotonicMs() - burstSince : null,
        })
      ) {
        againMs = Math.min(againMs, REFILL_PAUSE_MS);
        continue;
      }
      const host =
        step.kind === 'boot'
          ? hosts.roster.host(step.host)
          : hosts.start(definition, pool, step.bound === null ? null : bindingOf(step.bound));
      if (host !== undefined) hosts.boot(host);
      // For who waits still, and for the other pools.
      this.refill();
      return;
    }
    if (againMs < Number.POSITIVE_INFINITY) this.#schedule(againMs);
  }

  /** Ends some of what is more than leases are expected. Call it now and then. */
  shrink(): void {
    this.#lookAtWatched();
    const now = this.#options.clock();
    if (this.leasing || now - this.#shrunkAt < SHRINK_MS) return;
    this.#shrunkAt = now;
    const { hosts } = this.#options;
    for (const shelf of this.#shelves()) {
      const target = this.#target(shelf);
      for (let left = surplusStep(shelf.warm + shelf.booting - target); left > 0; left--) {
        const id = nextEnd({ target, hosts: shelf.hosts });
        const view = shelf.hosts.find((host) => host.id === id);
        const base = [...hosts.roster.bases].find(({ state, host }) => state === 'warm' && host.id === id);
        if (view === undefined || base === undefined) break;
        view.warm--;
        hosts.giveUp(base, 'more in stock than leases are expected');
      }
    }
  }

  /** What stands ready, and what should. */
  levels(): { pool: string; base: string; warm: number; target: number }[] {
    const { definitions } = this.#options;
    // Of a name the generation in use; one that is tried is nobody's stock yet.
    return this.#shelves()
      .filter(({ definition }) => definitions.roleOf(definition) === 'in use')
      .map((shelf) => ({
        pool: shelf.pool,
        base: shelf.definition.name,
        warm: shelf.warm,
        target: this.#target(shelf),
      }));
  }

  /** Under memory pressure fewer come than the target says: then one is enough to go on with; in a full pool none is. */
  #lookAtWatched(): void {
    if (this.#watched.size === 0) return;
    const shelves = this.#shelves();
    const filled = (shelf: Shelf) => {
      const target = this.#target(shelf);
      const scarce = this.#stateOf(shelf.pool).pressure !== 'none';
      return shelf.warm >= (scarce ? Math.min(1, target) : target) || this.room(shelf.pool) <= 0;
    };
    for (const watched of this.#watched) {
      if (!shelves.every((shelf) => shelf.definition !== watched.definition || filled(shelf))) continue;
      this.#watched.delete(watched);
      watched.resolve();
    }
  }

  /** Those for which somebody waits first, of these where the fewest boot already, then those of which least is there. */
  #shelves(): Shelf[] {
    const { pools, definitions, pending, hosts } = this.#options;
    const shelves = pools.names.flatMap((pool) =>
      definitions.all.map((definition): Shelf => {
        const awaited = pending.wanted.filter((wanted) => wanted.pool === pool && wanted.definition === definition);
        return { pool, definition, hosts: [], warm: 0, booting: 0, awaited };
      }),
    );
    const views = new Map<HostProcess, { view: HostView; shelf: Shelf }>();
    for (const host of hosts.roster.hosts) {
      const shelf = shelves.find(({ pool, definition }) => pool === host.pool && definition === host.definition);
      if (shelf === undefined || host.state === 'draining' || host.state === 'dead' || host.stuck) continue;
      const { id, leased, leasedAt, binding } = host;
      // What is lent serves with the bases it brought.
      const freeSlots = host.lentBy === null ? host.freeSlots : 0;
      const bound = binding === null ? null : keyOf(binding);
      const view = { id, freeSlots, leased, leasedAt, bound, warm: 0, booting: 0 };
      views.set(host, { view, shelf });
      shelf.hosts.push(view);
    }
    for (const base of hosts.roster.bases) {
      const found = views.get(base.host);
      if (found === undefined) continue;
      const kind = base.state === 'warm' ? 'warm' : boots(base) ? 'booting' : null;
      if (kind === null) continue;
      found.view[kind]++;
      found.shelf[kind]++;
    }
    const waits = ({ awaited }: Shelf) => awaited.length > 0;
    return shelves.sort(
      (a, b) => Number(waits(b)) - Number(waits(a)) || (waits(a) ? a.booting - b.booting : 0) || a.warm - b.warm,
    );
  }

  #target({ pool, definition, warm, booting }: Shelf): number {
    return stockTarget({
      expected: this.#demandOf(pool, definition).expected(this.#options.clock()),
      floor: this.#floor(pool, definition),
      ceiling: stockCeiling({
        memoryMb: this.#options.memoryMb(pool),
        usedMb: this.#stateOf(pool).usedMb,
        stock: warm + booting,
      }),
    });
  }

  #floor(pool: string, definition: BaseDefinition): number {
    const { warm, maxBases } = this.#options.pools.size(pool);
    const floor = Math.min(warm ?? definition.warm ?? this.#options.settings.warmBases, maxBases);
    switch (this.#options.definitions.roleOf(definition)) {
      case 'in use':
      case 'next':
        return floor;
      case 'tried':
        return pool === BUFFER_POOL ? 0 : Math.min(1, floor);
      case 'left':
        return 0;
    }
  }

  #demandOf(pool: string, definition: BaseDefinition): LeaseDemand {
    return this.#demand
      .getOrInsertComputed(definition, () => new Map<string, LeaseDemand>())
      .getOrInsertComputed(pool, () => new LeaseDemand());
  }

  #stateOf(pool: string): PoolState {
    return this.#states.getOrInsertComputed(pool, () => ({
      pressure: 'none',
      usedMb: 0,
      takenAt: Number.NEGATIVE_INFINITY,
      burstSince: 0,
    }));
  }

  /** Bases that may still be booted in this pool. */
  room(pool: string): number {
    const { hosts, pools } = this.#options;
    if (this.#stateOf(pool).pressure === 'full') {
      for (const { host, takenFor } of hosts.roster.bases) if (host.pool === pool && takenFor !== null) return 0;
    }
    return pools.size(pool).maxBases - hosts.roster.countIn(pool);
  }
}

function boots({ state }: Base): boolean {
  return state === 'booting' || state === 'rehearsing';
}
