/** The pool as people and metrics see it. */
import type { BaseState, PoolSnapshot, PoolView } from './api.ts';
import type { FunctionPool } from './function-pool.ts';
import type { Fleet } from './stock/fleet.ts';

export function snapshotOf(fleet: Fleet, pools: Iterable<FunctionPool>): PoolSnapshot {
  const bases = noBases();
  const named = new Map<string, PoolView>();
  for (const level of fleet.poolLevels()) named.set(level.name, { ...level, hosts: 0, bases: noBases(), waiting: 0 });
  const inFlight = new Map<string, number>();
  const modules = new Map<string, NonNullable<PoolSnapshot['hosts'][number]['bases'][number]['modules']>>();
  let waiting = 0;
  for (const pool of pools) {
    waiting += pool.waiting;
    const view = named.get(pool.spec.pool);
    if (view !== undefined) view.waiting += pool.waiting;
    for (const instance of pool.instances) {
      if (instance.state === 'acquiring') continue;
      const { id } = instance.base;
      inFlight.set(id, (inFlight.get(id) ?? 0) + instance.inFlight);
      if (!instance.shared) continue;
      const { functionName, version } = instance.spec;
      const module = { function: functionName, version, inFlight: instance.inFlight };
      const beside = modules.get(id);
      if (beside === undefined) modules.set(id, [module]);
      else beside.push(module);
    }
  }
  const hosts = [...fleet.hosts].map((host) => ({
    id: host.id,
    pid: host.pid,
    base: host.definition.name,
    generation: host.definition.generation ?? 1,
    pool: host.pool,
    lentBy: host.lentBy,
    trustGroup: host.binding?.trustGroup ?? null,
    network: host.binding?.network ?? null,
    state: host.state,
    memoryBytes: host.memoryBytes,
    bases: [] as PoolSnapshot['hosts'][number]['bases'],
  }));
  for (const { pool } of hosts) {
    const view = named.get(pool);
    if (view !== undefined) view.hosts++;
  }
  for (const base of fleet.bases) {
    bases[base.state]++;
    const view = named.get(base.host.pool);
    if (view !== undefined) view.bases[base.state]++;
    hosts
      .find((host) => host.id === base.host.id)
      ?.bases.push({
        id: base.id,
        state: base.state,
        function: base.takenFor,
        version: base.version,
        inFlight: inFlight.get(base.id) ?? 0,
        ...(base.group === null ? {} : { group: base.group, modules: modules.get(base.id) ?? [] }),
      });
  }
  return { hosts, bases, stock: fleet.stockLevels(), waiting, pools: [...named.values()] };
}

function noBases(): Record<BaseState, number> {
  return { booting: 0, rehearsing: 0, warm: 0, leased: 0, draining: 0, dead: 0 };
}
