/**
 * In which host the next base is booted or ended: pure functions of what is there. Only counts, no clock: pacing is the
 * caller's.
 */

export interface HostView {
  id: string;
  /** Key of the trust group and network policy it is bound to; null: unbound. */
  bound: string | null;
  freeSlots: number;
  /** Bases in it that are held. */
  leased: number;
  warm: number;
  booting: number;
  /** Monotonic ms of its last lease; 0: none yet. The host used last is the one refilled first. */
  leasedAt: number;
}

const START_HOST: RefillStep = { kind: 'start-host', bound: null };

export interface RefillInput {
  /** Warm bases wanted without a lessee. */
  target: number;
  /** Hosts of one base definition that may take more bases. */
  hosts: HostView[];
  /** Keys of leases that wait for a base, one entry each. */
  pending: string[];
  /** Of these, keys that no unbound host can serve: their hosts are bound when they are started. */
  apart: ReadonlySet<string>;
  /** Bases that may still be started before the pool's limit. */
  room: number;
  /** Stock beside leases: where the fewest are held, not where the last lease was. */
  spread?: boolean;
}

/** `bound`: the key to which the host is bound from the start. */
export type RefillStep = { kind: 'boot'; host: string } | { kind: 'start-host'; bound: string | null } | null;

/**
 * First who waits. Then one unbound base, since only such a one can serve a trust group that was never seen. Then half of
 * the target beside what is leased already: a lease that finds none there binds a whole new host. Then unbound ones up to
 * their half, and whatever is missing to the target.
 */
export function nextBoot(input: RefillInput): RefillStep {
  if (input.room <= 0) return null;
  const spread = (hosts: HostView[]) => (input.spread === true ? hosts.sort((a, b) => a.leased - b.leased) : hosts);
  const bound = (key: string) => spread(input.hosts.filter((host) => host.bound === key));
  const unbound = input.hosts.filter((host) => host.bound === null);
  const boot = (hosts: HostView[]): RefillStep => {
    const host = hosts.find((candidate) => candidate.freeSlots > 0);
    return host === undefined ? null : { kind: 'boot', host: host.id };
  };

  let spare = coming(unbound);
  for (const key of new Set(input.pending)) {
    const wanted = input.pending.filter((pending) => pending === key).length;
    const missing = wanted - coming(bound(key));
    if (input.apart.has(key)) {
      if (missing > 0) return boot(bound(key)) ?? { kind: 'start-host', bound: key };
      continue;
    }
    if (missing > spare) return boot(bound(key)) ?? boot(unbound) ?? START_HOST;
    if (missing > 0) spare -= missing;
  }
  const taken = spread(input.hosts.filter((host) => host.bound !== null).sort((a, b) => b.leasedAt - a.leasedAt));
  const half = Math.ceil(input.target / 2);
  if (coming(unbound) < Math.min(1, input.target)) return boot(unbound) ?? START_HOST;
  const besideLeases = coming(taken) < input.target - half ? boot(taken) : null;
  if (besideLeases !== null) return besideLeases;
  if (coming(unbound) < half) return boot(unbound) ?? START_HOST;
  if (coming(input.hosts) < input.target) return boot(taken) ?? boot(unbound) ?? START_HOST;
  return null;
}

/**
 * The host one of whose warm bases is ended when there are more than the target; null: none. By the same halves as
 * nextBoot, so that neither undoes what the other did: beside leases first where none was for longest, else where the
 * fewest are, so that whole hosts become empty.
 */
export function nextEnd({ target, hosts }: Pick<RefillInput, 'target' | 'hosts'>): string | null {
  if (coming(hosts) <= target) return null;
  const half = Math.ceil(target / 2);
  const bound = hosts.filter((host) => host.bound !== null);
  const unbound = hosts.filter((host) => host.bound === null);
  const longest = bound.filter(({ warm }) => warm > 0).sort((a, b) => a.leasedAt - b.leasedAt)[0];
  if (coming(bound) > target - half && longest !== undefined) return longest.id;
  const fewest = unbound.filter(({ warm }) => warm > 0).sort((a, b) => a.warm - b.warm)[0];
  return coming(unbound) > half && fewest !== undefined ? fewest.id : null;
}

function coming(hosts: HostView[]): number {
  return hosts.reduce((sum, host) => sum + host.warm + host.booting, 0);
}
