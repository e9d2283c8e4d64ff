/**
 * Hosts and bases, and the cache pool between them, as the keeper sees them: wires hosts.ts, stock.ts and placement.ts.
 * Knows nothing of functions but the name for which a base is taken.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import type { ModuleSpec } from './api.ts';
import type { Base } from './base.ts';
import type { BaseDefinition } from './definition.ts';
import type { HostProcess } from './host-process.ts';
import type { Pressure } from './host-watch.ts';
import { Hosts, type HostsOptions } from './hosts.ts';
import { Placement, type PlacementOptions } from './placement.ts';
import { Stock, type StockOptions } from './stock.ts';
import { WaitingLeases, type Wanted } from './waiting-leases.ts';

export interface FleetOptions
  extends Omit<HostsOptions, 'owner'>,
    Pick<StockOptions, 'busy' | 'clock'>,
    Pick<PlacementOptions, 'relieve' | 'admits'> {
  definitions: BaseDefinition[];
  /** A host is gone on account of this. */
  tookDown(spec: ModuleSpec, why: string): void;
}

export class Fleet {
  readonly #pending = new WaitingLeases();
  readonly #hosts: Hosts;
  readonly #stock: Stock;
  readonly #placement: Placement;

  constructor(options: FleetOptions) {
    const pending = this.#pending;
    this.#hosts = new Hosts({
      ...options,
      owner: {
        awaited: (host) => this.#placement.awaited(host),
        leasing: () => this.#stock.leasing,
        warm: (base) => {
          this.#stock.bootSucceeded(base.host.definition.name, monotonicMs() - base.startedAt);
          this.#roomMade();
        },
        bootFailed: (definition, why) => this.#stock.bootFailed(definition, why),
        ended: () => this.#stock.refill(),
        slotFree: () => this.#roomMade(),
        tookDown: options.tookDown,
      },
    });
    this.#stock = new Stock({ ...options, hosts: this.#hosts, pending });
    this.#placement = new Placement({ ...options, hosts: this.#hosts, stock: this.#stock, pending });
  }

  get hosts(): Iterable<HostProcess> {
    return this.#hosts.all;
  }

  get bases(): Iterable<Base> {
    return this.#hosts.bases;
  }

  /** Leases that wait for a base. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Brings the stock to its size; resolves when each definition has a warm base or is known not to come up. */
  start(): Promise<void> {
    return this.#stock.open();
  }

  /** A warm base of that host key, at once where there is one. Rejects with NO_CAPACITY. */
  take(wanted: Wanted): Base | Promise<Base> {
    return this.#placement.take(wanted);
  }

  /** The base that may say hello with this token. */
  claim(id: string, token: string): Base | undefined {
    return this.#hosts.claim(id, token);
  }

  /** Called when a base has said hello. */
  attached(base: Base): void {
    this.#hosts.attached(base);
  }

  /** Gives warm bases to who waits, and tells those who have waited too long. `now`: monotonic ms. */
  sweepPending(now: number): void {
    this.#pending.expire(now);
    this.#placement.serve();
  }

  /** Gives up hosts that are bound and serve nobody. Call it now and then. */
  sweepHosts(nowMs: number): void {
    this.#hosts.sweep(nowMs);
  }

  /** How near hosts are to the memory they may use together, and what that is. */
  press(level: Pressure, usedMb: number): void {
    this.#stock.press(level, usedMb);
  }

  /** Ends some of what is more in stock than leases are expected. Call it now and then. */
  shrinkStock(): void {
    this.#stock.shrink();
  }

  /** Warm bases without a lessee by definition, and how many there should be. */
  stockLevels(): { base: string; warm: number; target: number }[] {
    return this.#stock.levels();
  }

  /** Ends a warm base nobody holds, as long as more than so many are there. */
  giveUpStock(why: string, left: number): boolean {
    return this.#stock.giveUp(why, left);
  }

  /** What is leased in this host, and null for each base in stock. */
  limitsMb(host: HostProcess): (number | null)[] {
    return this.#hosts.limitsMb(host);
  }

  /** The base that is at work there; null when bases of several functions are, or none. */
  suspect(host: HostProcess): string | null {
    return this.#hosts.suspect(host);
  }

  kill(why: string): void {
    this.#stock.close();
    this.#pending.reject(() => true, new HearthError('NO_CAPACITY', 'Hearth is shutting down.'));
    this.#hosts.kill(why);
  }

  #roomMade(): void {
    this.#placement.serve();
    this.#stock.refill();
  }
}
