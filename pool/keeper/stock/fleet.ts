/**
 * Hosts and bases, and the cache pool between them, as the keeper sees them: wires hosts.ts, stock.ts and placement.ts.
 * Knows nothing of functions but the name for which a base is taken.
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import { monotonicMs } from '../../../functions/contract/invocation.ts';
import type { ModuleSpec, PoolSnapshot, PoolView } from '../api.ts';
import type { BaseDefinition } from '../definition.ts';
import type { Definitions } from '../generations/definitions.ts';
import type { Base } from '../hosts/base.ts';
import type { HostProcess } from '../hosts/host-process.ts';
import type { Pressure } from '../hosts/host-watch.ts';
import { Hosts, type HostsOptions } from '../hosts/hosts.ts';
import type { Pools } from '../pools.ts';
import { Lending, type LendingOptions } from './lending.ts';
import { Placement, type PlacementOptions } from './placement.ts';
import { Stock, type StockOptions } from './stock.ts';
import { WaitingLeases, type Wanted } from './waiting-leases.ts';

export interface FleetOptions
  extends Omit<HostsOptions, 'owner'>,
    Pick<StockOptions, 'busy' | 'clock'>,
    Pick<LendingOptions, 'occupants'>,
    Pick<PlacementOptions, 'evictIdle' | 'takeFrom' | 'admits'> {
  definitions: Definitions;
  /** A host is gone on account of this. */
  tookDown(spec: ModuleSpec, why: string): void;
}

/** One pool: its size, what its hosts use, what it has borrowed and lent. */
export type PoolLevel = Omit<PoolView, 'hosts' | 'bases' | 'waiting'>;

export class Fleet {
  readonly #pools: Pools;
  readonly #evictIdle: PlacementOptions['evictIdle'];
  readonly #pending = new WaitingLeases();
  readonly #hosts: Hosts;
  readonly #stock: Stock;
  readonly #lending: Lending;
  readonly #placement: Placement;

  constructor(options: FleetOptions) {
    const pending = this.#pending;
    this.#pools = options.pools;
    this.#evictIdle = options.evictIdle;
    this.#hosts = new Hosts({
      ...options,
      owner: {
        awaited: (host) => this.#placement.awaited(host),
        leasing: () => this.#stock.leasing,
        warm: (base) => {
          this.#stock.bootSucceeded(base.host.pool, base.host.definition, monotonicMs() - base.startedAt);
          this.#roomMade();
        },
        bootFailed: (definition, why) => this.#stock.bootFailed(definition, why),
        ended: () => this.#stock.refill(),
        slotFree: () => this.#roomMade(),
        tookDown: options.tookDown,
      },
    });
    const hosts = this.#hosts;
    const { roster, leaving } = hosts;
    this.#lending = new Lending({ ...options, roster, leaving, room: (pool) => this.#stock.room(pool) });
    this.#stock = new Stock({ ...options, hosts, pending, memoryMb: (pool) => this.#lending.memoryMb(pool) });
    this.#placement = new Placement({ ...options, hosts, stock: this.#stock, lending: this.#lending, pending });
  }

  get hosts(): Iterable<HostProcess> {
    return this.#hosts.roster.hosts;
  }

  get bases(): Iterable<Base> {
    return this.#hosts.roster.bases;
  }

  /** Leases that wait for a base. */
  get pending(): number {
    return this.#pending.size;
  }

  /** A base is to be had in this pool without taking one from somebody. */
  hasRoom(pool: string): boolean {
    if (!this.#pools.has(pool) || this.#pending.in(pool) > 0) return false;
    return this.#stock.room(pool) + this.#unheld(pool) > 0;
  }

  /** Of other pools that serve this one. */
  borrowed(pool: string): number {
    return this.#lending.borrowed(pool);
  }

  /** See Keeper. */
  move(host: string, to: string): 'moved' | 'draining' {
    const moved = this.#lending.move(host, to);
    this.#roomMade();
    return moved;
  }

  /** What hosts of this pool may use together now, MB. */
  memoryMb(pool: string): number {
    return this.#lending.memoryMb(pool);
  }

  /** The same, and what they use. */
  memory(pool: string): { memoryMb: number; usedMb: number } {
    return { memoryMb: this.memoryMb(pool), usedMb: this.#stock.memory(pool).usedMb };
  }

  /** All that a host holds moves to others, and it ends. */
  vacate(host: HostProcess, why: string): void {
    if (host.state === 'running') this.#hosts.leaving.vacate(host, 'retired', why);
    this.#roomMade();
  }

  /** The pools as they stand. */
  poolLevels(): PoolLevel[] {
    return this.#pools.names.map((name) => {
      const { maxBases, placement } = this.#pools.size(name);
      return {
        ...{ name, placement, maxBases },
        memoryMb: this.memoryMb(name),
        ...this.#stock.memory(name),
        borrowed: this.#lending.borrowed(name),
        lent: this.#lending.lent(name),
      };
    });
  }

  /** Brings the stock to its size; resolves when each definition has a warm base or is known not to come up. */
  start(): Promise<void> {
    return this.#stock.open();
  }

  /** A warm base of that host key, at once where there is one. Rejects with NO_CAPACITY. */
  take(wanted: Wanted): Base | Promise<Base> {
    return this.#placement.take(wanted);
  }

  /** Resolves when so much of it stands ready as its role asks for. Rejects when its bases do not come up. */
  stocked(definition: BaseDefinition): Promise<void> {
    return this.#stock.stocked(definition);
  }

  /** See Leaving. */
  clear(definition: BaseDefinition, why: string): boolean {
    return this.#hosts.leaving.clear(definition, why);
  }

  /** There may be something to boot now. */
  refill(): void {
    this.#stock.refill();
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
    this.#hosts.leaving.sweep(nowMs);
  }

  /** How near hosts of a pool are to the memory they may use together, and what that is. */
  press(pool: string, level: Pressure, usedMb: number): void {
    this.#stock.press(pool, level, usedMb);
  }

  /** Ends some of what is more in stock than leases are expected, and takes back what is lent and idle. Call it now and then. */
  tidy(): void {
    this.#lending.sweep();
    this.#stock.shrink();
    for (const pool of this.#pools.names) this.#shrinkToSize(pool);
  }

  /** Warm bases without a lessee by definition, and how many there should be. */
  stockLevels(): PoolSnapshot['stock'] {
    return this.#stock.levels();
  }

  /** Ends a warm base nobody holds, as long as more than so many are there. */
  giveUpStock(pool: string, why: string, left: number): boolean {
    return this.#stock.giveUp(pool, why, left);
  }

  /** What is leased in this host, and null for each base in stock. */
  limitsMb(host: HostProcess): (number | null)[] {
    return this.#hosts.roster.limitsMb(host);
  }

  /** The base that is at work there; null when bases of several functions are, or none. */
  suspect(host: HostProcess): string | null {
    return this.#hosts.roster.suspect(host);
  }

  kill(why: string): void {
    this.#stock.close();
    this.#pending.reject(() => true, new HearthError('NO_CAPACITY', 'Hearth is shutting down.'));
    this.#hosts.kill(why);
  }

  /** Its size was lowered: what nobody holds goes, then what idles, one at a time; what is busy stays until it does. */
  #shrinkToSize(pool: string): void {
    if (this.#hosts.roster.countIn(pool) <= this.#pools.size(pool).maxBases) return;
    const why = 'the size of its pool was lowered';
    if (!this.#stock.giveUp(pool, why, 0)) this.#evictIdle(pool, why);
  }

  #unheld(pool: string): number {
    let count = 0;
    for (const { host, takenFor } of this.#hosts.roster.bases) if (host.pool === pool && takenFor === null) count++;
    return count;
  }

  #roomMade(): void {
    this.#placement.serve();
    this.#stock.refill();
  }
}
