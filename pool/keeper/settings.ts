/** What the operator says of all hosts, and of each named pool of them. */
import type { Sandbox } from './hosts/sandbox.ts';

export interface FleetSettings {
  /** Warm bases without a lessee, per definition. */
  warmBases: number;
  /** Of all pools together. */
  maxBases: number;
  basesPerHost: number;
  heapLimitMb: number;
  /** What hosts may use together, MB. */
  memoryMb: number;
  /** Around each host; null: none. */
  sandbox: Sandbox | null;
  /** Policy of the hosts in stock. In a sandbox it cannot change later: the other policy has hosts started on demand. */
  stockNetwork: 'all' | 'none';
  /** Each host listens for a debugger, on a port of the loopback address from here on; 0: on any. Absent: none does. */
  inspectPort?: number | undefined;
  /** Named pools; `default` is there whether it is named or not. What one does not say is shared out: see pools.ts. */
  pools: Record<string, NamedPool>;
}

/**
 * Which host gets the next lease: `pack` the fullest, so that there are few processes; `spread` the one with the fewest
 * leased bases, so that the end of a host hits few functions.
 */
export type PlacementRule = 'spread' | 'pack';

/** One pool as the operator wrote it. */
export interface NamedPool {
  maxBases?: number | undefined;
  memoryMb?: number | undefined;
  /** Warm bases without a lessee, per definition; without it what the definition says, else `warmBases`. */
  warm?: number | undefined;
  basesPerHost?: number | undefined;
  placement?: PlacementRule | undefined;
}
