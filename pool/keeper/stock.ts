/**
 * The stock of warm bases: how many stand ready for each definition, and when the next one is booted. Which host gets it
 * is refill.ts.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import { BootFailures } from './boot-failures.ts';
import type { BaseDefinition } from './definition.ts';
import { bindingOf, isApart, keyOf } from './host-key.ts';
import type { HostProcess } from './host-process.ts';
import type { Pressure } from './host-watch.ts';
import type { Hosts } from './hosts.ts';
import { nextBoot, type RefillStep } from './refill.ts';
import type { FleetSettings } from './settings.ts';
import type { WaitingLeases } from './waiting-leases.ts';

export interface StockOptions {
  definitions: BaseDefinition[];
  settings: FleetSettings;
  hosts: Hosts;
  pending: WaitingLeases;
  /** True while requests wait for a slot: refill stands back unless the stock is empty. */
  busy(): boolean;
}

/** After a lease the two cores belong to the request; a replacement can wait so long while there is stock. */
const REFILL_PAUSE_MS = 25;
/** Without a lease for so long, a burst is over. */
const QUIET_MS = 100;

export class Stock {
  readonly #options: StockOptions;
  readonly #failures = new Map<string, BootFailures>();
  #pressure: Pressure = 'none';
  #timer: NodeJS.Timeout | null = null;
  /** Monotonic ms of the last lease. */
  #takenAt = 0;
  #closed = false;

  constructor(options: StockOptions) {
    this.#options = options;
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

  /** A base of it was taken. */
  leased(now: number): void {
    this.#takenAt = now;
    this.#schedule(REFILL_PAUSE_MS);
  }

  /** There may be something to boot now. */
  refill(): void {
    this.#schedule(0);
  }

  /** How near hosts are to the memory they may use together. */
  press(level: Pressure): void {
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

  bootSucceeded(definition: string): void {
    this.#failures.get(definition)?.succeeded();
  }

  /** Told, and not repeated without a pause. */
  bootFailed(definition: string, why: string): void {
    const failures = this.#failures.getOrInsertComputed(definition, () => new BootFailures());
    failures.failed(why, monotonicMs());
    if (failures.broken === null) return;
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
    if (!waiting && this.#mayWait()) {
      this.#schedule(REFILL_PAUSE_MS);
      return;
    }
    let pausedMs = Number.POSITIVE_INFINITY;
    for (const definition of this.#options.definitions) {
      const pauseMs = this.#pauseMs(definition);
      if (pauseMs > 0) {
        pausedMs = Math.min(pausedMs, pauseMs);
        continue;
      }
      const step = this.#nextBoot(definition);
      if (step === null) continue;
      const { hosts } = this.#options;
      const host =
        step.kind === 'boot'
          ? hosts.get(step.host)
          : hosts.start(definition, step.bound === null ? null : bindingOf(step.bound));
      if (host !== undefined) hosts.boot(host);
      if (waiting) this.#schedule(0);
      return;
    }
    if (pausedMs < Number.POSITIVE_INFINITY) this.#schedule(pausedMs);
  }

  #nextBoot(definition: BaseDefinition): RefillStep {
    const hosts = [...this.#options.hosts.all].filter(
      (host) => host.definition === definition && host.state !== 'dead' && !host.stuck,
    );
    const pending = this.#options.pending.wanted.filter((wanted) => wanted.definition === definition.name);
    return nextBoot({
      target: this.#target(),
      hosts: hosts.map((host) => ({
        id: host.id,
        bound: host.binding === null ? null : keyOf(host.binding),
        freeSlots: host.freeSlots,
        leasedAt: host.leasedAt,
        ...this.#count(host),
      })),
      pending: pending.map(keyOf),
      apart: new Set(pending.filter((wanted) => isApart(wanted, this.#options.settings)).map(keyOf)),
      room: this.#room(),
    });
  }

  /** Ms until the next boot of this definition may be tried. */
  #pauseMs({ name }: BaseDefinition): number {
    return this.#failures.get(name)?.pauseMs(monotonicMs()) ?? 0;
  }

  /**
   * A boot takes a core for some 60 ms. While requests wait, or leases come one after another, that core is better used
   * for them, as long as each definition has stock.
   */
  #mayWait(): boolean {
    const stock = this.#leastStock();
    if (stock === 0) return false;
    return this.#options.busy() || (this.leasing && stock > this.#target() / 4);
  }

  /** Warm bases of the definition that has the fewest; one whose boots fail just now does not count. */
  #leastStock(): number {
    const stock = new Map<BaseDefinition, number>();
    for (const definition of this.#options.definitions) if (this.#pauseMs(definition) === 0) stock.set(definition, 0);
    for (const { state, host } of this.#options.hosts.bases) {
      const counted = stock.get(host.definition);
      if (state === 'warm' && counted !== undefined) stock.set(host.definition, counted + 1);
    }
    return Math.min(...stock.values());
  }

  /** Under pressure a single base, so that Hearth can serve at all. */
  #target(): number {
    const { warmBases } = this.#options.settings;
    return this.#pressure === 'none' ? warmBases : Math.min(1, warmBases);
  }

  /** Bases that may still be booted. */
  #room(): number {
    const bases = [...this.#options.hosts.bases];
    const inUse = bases.some((base) => base.state === 'leased' || base.state === 'draining');
    return this.#pressure === 'full' && inUse ? 0 : this.#options.settings.maxBases - bases.length;
  }

  #count(host: HostProcess): { warm: number; booting: number } {
    let warm = 0;
    let booting = 0;
    for (const base of this.#options.hosts.bases) {
      if (base.host !== host) continue;
      if (base.state === 'warm') warm++;
      if (base.state === 'booting' || base.state === 'rehearsing') booting++;
    }
    return { warm, booting };
  }
}
