/** What the operator says of the whole pool. */
import type { Sandbox } from './sandbox.ts';

export interface FleetSettings {
  /** Warm bases without a lessee, per definition. */
  warmBases: number;
  maxBases: number;
  basesPerHost: number;
  heapLimitMb: number;
  /** What hosts may use together, MB. */
  memoryMb: number;
  /** Around each host; null: none. */
  sandbox: Sandbox | null;
  /** Policy of the hosts in stock. In a sandbox it cannot change later: the other policy has hosts started on demand. */
  stockNetwork: 'all' | 'none';
}
