/** The pool as people and metrics see it. */
import type { BaseState, PoolSnapshot } from './api.ts';
import type { Fleet } from './fleet.ts';
import type { FunctionPool } from './function-pool.ts';

export function snapshotOf(fleet: Fleet, pools: Iterable<FunctionPool>): PoolSnapshot {
  const bases: Record<BaseState, number> = { booting: 0, rehearsing: 0, warm: 0, leased: 0, draining: 0, dead: 0 };
  const inFlight = new Map<string, number>();
  let waiting = 0;
  for (const pool of pools) {
    waiting += pool.waiting;
    for (const instance of pool.instances) {
      if (instance.state !== 'acquiring') inFlight.set(instance.base.id, instance.inFlight);
    }
  }
  const hosts = [...fleet.hosts].map((host) => ({
    id: host.id,
    pid: host.pid,
    base: host.definition.name,
    trustGroup: host.binding?.trustGroup ?? null,
    network: host.binding?.network ?? null,
    state: host.state,
    memoryBytes: host.memoryBytes,
    bases: [] as PoolSnapshot['hosts'][number]['bases'],
  }));
  for (const base of fleet.bases) {
    bases[base.state]++;
    hosts
      .find((host) => host.id === base.host.id)
      ?.bases.push({
        id: base.id,
        state: base.state,
        function: base.takenFor,
        version: base.version,
        inFlight: inFlight.get(base.id) ?? 0,
      });
  }
  return { hosts, bases, stock: fleet.stockLevels(), waiting };
}
