/**
 * Named pools of hosts: how large each may become. A pool's size is its own: what one does not use, no other can take. What
 * `buffer` holds is lent to pools that are full (lending.ts).
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { FleetSettings, NamedPool, PlacementRule } from './settings.ts';

/** Of functions that name no pool. */
export const DEFAULT_POOL = 'default';
/** Serves no function of its own. */
export const BUFFER_POOL = 'buffer';

export interface PoolSize {
  maxBases: number;
  /** What its hosts may use together, MB. */
  memoryMb: number;
  /** Warm bases without a lessee, per definition; null: as the definition or the settings say. */
  warm: number | null;
  basesPerHost: number;
  placement: PlacementRule;
}

/** What may be changed while Hearth runs. */
export type PoolChange = Pick<NamedPool, 'maxBases' | 'memoryMb' | 'warm' | 'placement'>;

export type PoolTotals = Pick<FleetSettings, 'maxBases' | 'memoryMb' | 'basesPerHost'>;

const LIMITS = {
  maxBases: { setting: 'HEARTH_MAX_BASES', unit: 'bases', least: 1 },
  memoryMb: { setting: 'HEARTH_MEMORY_MB', unit: 'MB', least: 64 },
} as const;

type Limit = keyof typeof LIMITS;

/**
 * The size of each pool. What the named sizes leave of the totals is shared equally by the pools that name none. Throws
 * RangeError when they come to more than there is, or leave nothing for one of them.
 */
export function poolSizes(named: Record<string, NamedPool>, totals: PoolTotals): Map<string, PoolSize> {
  const pools: Record<string, NamedPool> = { [DEFAULT_POOL]: {}, ...named };
  const maxBases = shareOut('maxBases', pools, totals.maxBases);
  const memoryMb = shareOut('memoryMb', pools, totals.memoryMb);
  return new Map(
    Object.entries(pools).map(([name, pool]) => [
      name,
      {
        maxBases: maxBases.get(name) ?? 0,
        memoryMb: memoryMb.get(name) ?? 0,
        warm: pool.warm ?? null,
        basesPerHost: pool.basesPerHost ?? totals.basesPerHost,
        placement: pool.placement ?? 'pack',
      },
    ]),
  );
}

function shareOut(limit: Limit, pools: Record<string, NamedPool>, total: number): Map<string, number> {
  const { setting, unit, least } = LIMITS[limit];
  const shares = new Map<string, number>();
  const open: string[] = [];
  let left = total;
  for (const [name, { [limit]: own }] of Object.entries(pools)) {
    if (own === undefined) open.push(name);
    else {
      shares.set(name, own);
      left -= own;
    }
  }
  if (left < 0) throw new RangeError(`together they have ${total - left} ${unit}, and ${setting} allows ${total}`);
  const each = Math.floor(left / open.length);
  if (each < least) {
    throw new RangeError(
      `of ${setting} (${total}) too little is left for "${open.join('", "')}", which name no ${limit}: ${left} ${unit}`,
    );
  }
  for (const name of open) shares.set(name, each);
  return shares;
}

export class Pools {
  readonly #sizes: Map<string, PoolSize>;
  readonly #totals: PoolTotals;

  /** Throws RangeError as `poolSizes` does. */
  constructor({ pools, ...totals }: PoolTotals & Pick<FleetSettings, 'pools'>) {
    this.#sizes = poolSizes(pools, totals);
    this.#totals = totals;
  }

  get names(): string[] {
    return [...this.#sizes.keys()];
  }

  has(name: string): boolean {
    return this.#sizes.has(name);
  }

  /** Of a pool that is known to be there. */
  size(name: string): Readonly<PoolSize> {
    const size = this.#sizes.get(name);
    if (size === undefined) throw new Error(`There is no pool "${name}".`);
    return size;
  }

  /** Slots of a host that is started for this pool. */
  slotsOf(name: string): number {
    const { basesPerHost, maxBases } = this.size(name);
    return Math.min(basesPerHost, maxBases);
  }

  /** Hosts that its size comes to when each is full. */
  hostsOf(name: string): number {
    return Math.ceil(this.size(name).maxBases / this.slotsOf(name));
  }

  /** Throws NOT_FOUND with the names there are. */
  require(name: string): void {
    if (!this.has(name)) {
      throw new HearthError('NOT_FOUND', `There is no pool "${name}"; there are: ${this.names.join(', ')}.`);
    }
  }

  /** Until Hearth ends. Throws NOT_FOUND, or CONFLICT when all pools would together have more than there is. */
  change(name: string, change: PoolChange): void {
    this.require(name);
    const size = this.size(name);
    // All of it is looked at before anything is changed.
    for (const limit of ['maxBases', 'memoryMb'] as const) {
      const wanted = change[limit];
      if (wanted === undefined) continue;
      const { setting, unit } = LIMITS[limit];
      const most = this.#totals[limit] - this.#sum(limit) + size[limit];
      if (wanted > most) {
        throw new HearthError(
          'CONFLICT',
          `"${name}" can have ${most} ${unit} at most: ${setting} less the other pools.`,
        );
      }
    }
    const { maxBases, memoryMb, warm, placement } = size;
    this.#sizes.set(name, {
      ...size,
      maxBases: change.maxBases ?? maxBases,
      memoryMb: change.memoryMb ?? memoryMb,
      warm: change.warm ?? warm,
      placement: change.placement ?? placement,
    });
  }

  /** So many bases, and their part of the memory, from one pool's size to another's. Throws CONFLICT. */
  transfer(from: string, to: string, bases: number): void {
    const giver = this.size(from);
    const taker = this.size(to);
    if (giver.maxBases - bases < LIMITS.maxBases.least) {
      throw new HearthError(
        'CONFLICT',
        `"${from}" has room for ${giver.maxBases} bases and this host would take ${bases} of them: nothing would be left.`,
      );
    }
    const memoryMb = this.memoryOf(from, bases);
    this.#sizes.set(from, {
      ...giver,
      maxBases: giver.maxBases - bases,
      memoryMb: giver.memoryMb - memoryMb,
    });
    this.#sizes.set(to, { ...taker, maxBases: taker.maxBases + bases, memoryMb: taker.memoryMb + memoryMb });
  }

  /** The part of a pool's memory that so many of its bases come to, MB. */
  memoryOf(name: string, bases: number): number {
    const { memoryMb, maxBases } = this.size(name);
    return Math.floor((memoryMb * bases) / maxBases);
  }

  #sum(limit: Limit): number {
    let sum = 0;
    for (const size of this.#sizes.values()) sum += size[limit];
    return sum;
  }
}
