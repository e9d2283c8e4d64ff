/**
 * The stock of warm bases, by definition: boots what is missing and ends what is too much, one at a time. How many there
 * should be is policy/stock.ts, in which host is refill.ts.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import { BootFailures } from './boot-failures.ts';
import type { BaseDefinition } from './definition.ts';
import { bindingOf, isApart, keyOf } from './host-key.ts';
import type { HostProcess } from './host-process.ts';
import type { Pressure } from './host-watch.ts';
import type { Hosts } from './hosts.ts';
import { Opening } from './opening.ts';
import { LeaseDemand, mayBoot, stockCeiling, stockTarget, surplusStep } from './policy/stock.ts';
import { type HostView, nextBoot, nextEnd } from './refill.ts';
import type { FleetSettings } from './settings.ts';
import type { WaitingLeases, Wanted } from './waiting-leases.ts';

export interface StockOptions {
  definitions: BaseDefinition[];
  settings: FleetSettings;
  hosts: Hosts;
  pending: WaitingLeases;
  /** True while requests wait for a slot: refill stands back unless the stock is empty. */
  busy(): boolean;
  /** Monotonic ms by which demand is forgotten; tests move it by hand. */
  clock(): number;
}

/** One definition, its stock, and who waits for it. */
interface Shelf {
  definition: BaseDefinition;
  hosts: HostView[];
  warm: number;
  booting: number;
  awaited: Wanted[];
}

/** After a lease the two cores belong to the request; a replacement can wait so long while there is stock. */
const REFILL_PAUSE_MS = 25;
/** Without a lease for so long, a burst is over. */
const QUIET_MS = 100;
/** How often some of what is too much is ended. */
const SHRINK_MS = 5_000;

export class Stock {
  readonly #options: StockOptions;
  readonly #failures = new Map<string, BootFailures>();
  readonly #demand = new Map<string, LeaseDemand>();
  readonly #opening: Opening;
  #pressure: Pressure = 'none';
  /** What hosts use together, MB. */
  #usedMb = 0;
  #shrunkAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  /** Monotonic ms of the last lease, and of the first of those that came one after another up to it. */
  #takenAt = 0;
  #burstSince = 0;
  #closed = false;

  constructor(options: StockOptions) {
    this.#options = options;
    const stocked = options.definitions.filter((definition) => this.#floor(definition) > 0);
    this.#opening = new Opening(stocked.map(({ name }) => name));
  }

  /** Brings the stock to its size; resolves when there is some, see Opening. */
  open(): Promise<void> {
    this.refill();
    return this.#opening.open;
  }

  has(definition: string): boolean {
    return this.#options.definitions.some(({ name }) => name === definition);
  }

  /** Bases that are on their way to be warm. */
  get booting(): number {
    let booting = 0;
    for (const { state } of this.#options.hosts.bases) if (state === 'booting' || state === 'rehearsing') booting++;
    return booting;
  }

  /** Within a burst of leases. */
  get leasing(): boolean {
    return monotonicMs() - this.#takenAt < QUIET_MS;
  }

  /** Somebody asks for a base of it, whether there is one or not. */
  asked(definition: string): void {
    if (this.has(definition)) this.#demandOf(definition).leased(this.#options.clock());
  }

  /** A base was taken. `now`: monotonic ms. */
  leased(now: number): void {
    if (!this.leasing) this.#burstSince = now;
    this.#takenAt = now;
    this.#schedule(REFILL_PAUSE_MS);
  }

  /** There may be something to boot now. */
  refill(): void {
    this.#schedule(0);
  }

  /** How near hosts are to the memory they may use together, and what that is. */
  press(level: Pressure, usedMb: number): void {
    this.#usedMb = usedMb;
    if (this.#pressure === level) return;
    this.#pressure = level;
    if (level !== 'none') this.#options.hosts.flush();
    this.refill();
  }

  /** Ends a warm base nobody holds, as long as more than so many are there. */
  giveUp(why: string, left: number): boolean {
    const { hosts } = this.#options;
    const base = [...hosts.bases].filter(({ state }) => state === 'warm')[left];
    if (base === undefined) return false;
    hosts.giveUp(base, why);
    return true;
  }

  /** It took so long from its start to being warm. */
  bootSucceeded(definition: string, tookMs: number): void {
    this.#failures.get(definition)?.succeeded();
    this.#demandOf(definition).booted(tookMs);
    this.#opening.warm(definition);
  }

  /** Told, and not repeated without a pause. */
  bootFailed(definition: string, why: string): void {
    const failures = this.#failures.getOrInsertComputed(definition, () => new BootFailures());
    failures.failed(why, monotonicMs());
    if (failures.broken === null) return;
    this.#opening.broken(definition);
    this.#options.pending.reject(
      (wanted) => wanted.definition === definition,
      new HearthError('NO_CAPACITY', `Bases of the definition "${definition}" do not come up: ${failures.broken}.`),
    );
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

  /** Boots one base; its being warm calls again. Two at once only while somebody waits with nothing in stock. */
  #refill(): void {
    if (this.#closed) return;
    const waiting = this.#options.pending.size > 0;
    if (this.booting >= (waiting ? 2 : 1)) return;
    const { hosts } = this.#options;
    const room = this.#room();
    let againMs = Number.POSITIVE_INFINITY;
    for (const shelf of this.#shelves()) {
      const { definition, awaited, warm } = shelf;
      const pauseMs = this.#failures.get(definition.name)?.pauseMs(monotonicMs()) ?? 0;
      if (pauseMs > 0) {
        againMs = Math.min(againMs, pauseMs);
        continue;
      }
      const target = this.#target(shelf);
      const step = nextBoot({
        target: this.#pressure === 'none' ? target : Math.min(1, target),
        hosts: shelf.hosts,
        pending: awaited.map(keyOf),
        apart: new Set(awaited.filter((wanted) => isApart(wanted, this.#options.settings)).map(keyOf)),
        room,
      });
      if (step === null) continue;
      const requestsWait = this.#options.busy();
      if (
        !mayBoot({
          warm,
          target,
          awaited: awaited.length > 0,
          requestsWait,
          burstMs: this.leasing ? monotonicMs() - this.#burstSince : null,
        })
      ) {
        againMs = Math.min(againMs, REFILL_PAUSE_MS);
        continue;
      }
      const host =
        step.kind === 'boot'
          ? hosts.get(step.host)
          : hosts.start(definition, step.bound === null ? null : bindingOf(step.bound));
      if (host !== undefined) hosts.boot(host);
      if (waiting) this.refill();
      return;
    }
    if (againMs < Number.POSITIVE_INFINITY) this.#schedule(againMs);
  }

  /** Ends some of what is more than leases are expected. Call it now and then. */
  shrink(): void {
    const now = this.#options.clock();
    if (this.leasing || now - this.#shrunkAt < SHRINK_MS) return;
    this.#shrunkAt = now;
    const { hosts } = this.#options;
    for (const shelf of this.#shelves()) {
      const target = this.#target(shelf);
      for (let left = surplusStep(shelf.warm + shelf.booting - target); left > 0; left--) {
        const id = nextEnd({ target, hosts: shelf.hosts });
        const view = shelf.hosts.find((host) => host.id === id);
        const base = [...hosts.bases].find(({ state, host }) => state === 'warm' && host.id === id);
        if (view === undefined || base === undefined) break;
        view.warm--;
        hosts.giveUp(base, 'more in stock than leases are expected');
      }
    }
  }

  /** What stands ready, and what should. */
  levels(): { base: string; warm: number; target: number }[] {
    return this.#shelves().map((shelf) => ({
      base: shelf.definition.name,
      warm: shelf.warm,
      target: this.#target(shelf),
    }));
  }

  /** Those for which somebody waits first, then those of which least is there. */
  #shelves(): Shelf[] {
    const shelves = this.#options.definitions.map((definition): Shelf => {
      const awaited = this.#options.pending.wanted.filter((wanted) => wanted.definition === definition.name);
      return { definition, hosts: [], warm: 0, booting: 0, awaited };
    });
    const views = new Map<HostProcess, HostView>();
    const shelfOf = new Map(shelves.map((shelf) => [shelf.definition, shelf]));
    for (const host of this.#options.hosts.all) {
      if (host.state === 'dead' || host.stuck) continue;
      const { id, freeSlots, leasedAt, binding } = host;
      const view = { id, freeSlots, leasedAt, bound: binding === null ? null : keyOf(binding), warm: 0, booting: 0 };
      views.set(host, view);
      shelfOf.get(host.definition)?.hosts.push(view);
    }
    for (const { state, host } of this.#options.hosts.bases) {
      const view = views.get(host);
      const shelf = shelfOf.get(host.definition);
      if (view === undefined || shelf === undefined) continue;
      if (state === 'warm') {
        view.warm++;
        shelf.warm++;
      } else if (state === 'booting' || state === 'rehearsing') {
        view.booting++;
        shelf.booting++;
      }
    }
    return shelves.sort((a, b) => Number(b.awaited.length > 0) - Number(a.awaited.length > 0) || a.warm - b.warm);
  }

  #target({ definition, warm, booting }: Shelf): number {
    const { memoryMb } = this.#options.settings;
    return stockTarget({
      expected: this.#demandOf(definition.name).expected(this.#options.clock()),
      floor: this.#floor(definition),
      ceiling: stockCeiling({ memoryMb, usedMb: this.#usedMb, stock: warm + booting }),
    });
  }

  #floor({ warm }: BaseDefinition): number {
    return warm ?? this.#options.settings.warmBases;
  }

  #demandOf(definition: string): LeaseDemand {
    return this.#demand.getOrInsertComputed(definition, () => new LeaseDemand());
  }

  /** Bases that may still be booted. */
  #room(): number {
    const bases = [...this.#options.hosts.bases];
    const inUse = bases.some((base) => base.state === 'leased' || base.state === 'draining');
    return this.#pressure === 'full' && inUse ? 0 : this.#options.settings.maxBases - bases.length;
  }
}
