/** The pool and its host processes, read when metrics are collected. */
import { readFile } from 'node:fs/promises';
import type { PoolSnapshot } from '../../pool/keeper/api.ts';
import type { CounterCell, MetricFamily } from './instruments.ts';
import { HEARTH_ATTR, METRIC } from './names.ts';
import type { TelemetrySources } from './telemetry.ts';

export function poolFamilies(sources: TelemetrySources): MetricFamily[] {
  return [
    { kind: 'gauge', metric: METRIC.poolBases, observe: () => basesByState(sources.pool()) },
    { kind: 'gauge', metric: METRIC.poolHosts, observe: () => hostsByState(sources.pool()) },
    {
      kind: 'gauge',
      metric: METRIC.poolWaiting,
      observe: () => sources.pool().pools.map(({ name, waiting }) => ({ attributes: inPool(name), value: waiting })),
    },
    {
      kind: 'gauge',
      metric: METRIC.poolSize,
      observe: () => sources.pool().pools.map(({ name, maxBases }) => ({ attributes: inPool(name), value: maxBases })),
    },
    {
      kind: 'gauge',
      metric: METRIC.poolBorrowed,
      observe: () => sources.pool().pools.map(({ name, borrowed }) => ({ attributes: inPool(name), value: borrowed })),
    },
    { kind: 'gauge', metric: METRIC.memUsage, observe: () => memoryByHost(sources.pool()) },
    { kind: 'observed-counter', metric: METRIC.cpuUsage, observe: () => cpuByHost(sources.pool()) },
  ];
}

type Host = PoolSnapshot['hosts'][number];

function basesByState(pool: PoolSnapshot): CounterCell[] {
  return pool.pools.flatMap(({ name, bases }) =>
    Object.entries(bases).map(([state, value]) => ({
      attributes: { ...inPool(name), [HEARTH_ATTR.baseState]: state },
      value,
    })),
  );
}

function inPool(name: string): Record<string, string> {
  return { [HEARTH_ATTR.pool]: name };
}

function hostsByState(pool: PoolSnapshot): CounterCell[] {
  return pool.pools.flatMap(({ name }) => {
    const counts: Record<Host['state'], number> = { starting: 0, running: 0, draining: 0, dead: 0 };
    for (const host of pool.hosts) if (host.pool === name) counts[host.state]++;
    return Object.entries(counts).map(([state, value]) => ({
      attributes: { ...inPool(name), [HEARTH_ATTR.hostState]: state },
      value,
    }));
  });
}

function memoryByHost(pool: PoolSnapshot): CounterCell[] {
  return pool.hosts.flatMap((host) =>
    host.memoryBytes === null ? [] : [{ attributes: hostAttributes(host), value: host.memoryBytes }],
  );
}

async function cpuByHost(pool: PoolSnapshot): Promise<CounterCell[]> {
  const cells = await Promise.all(
    pool.hosts.map(async (host) => {
      const value = host.pid === null ? null : await cpuSeconds(host.pid);
      return value === null ? [] : [{ attributes: hostAttributes(host), value }];
    }),
  );
  return cells.flat();
}

function hostAttributes(host: Host): Record<string, string> {
  return {
    [HEARTH_ATTR.host]: host.id,
    [HEARTH_ATTR.base]: host.base,
    ...inPool(host.pool),
    [HEARTH_ATTR.trustGroup]: host.trustGroup ?? '',
  };
}

/** Linux counts in hundredths of a second in what it tells users, whatever its own tick. */
const TICKS_PER_SECOND = 100;

/** User and system time of a process; null where there is no /proc, or the process has just ended. */
async function cpuSeconds(pid: number): Promise<number | null> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  // The name in parentheses may hold spaces and parentheses itself: fields count from its end (utime is 14, stime 15).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? ticks / TICKS_PER_SECOND : null;
}
