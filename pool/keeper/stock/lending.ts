/**
 * Hosts that go from one pool to another: lent by the buffer to a pool that is full, taken back when they are idle, moved
 * by an operator. Applies policy/lend.ts. What a host takes up goes with it: lent, its bases count against the buffer's
 * size still, and its part of the buffer's memory is the borrower's; moved, its bases and their part of the memory go over
 * from one pool's size to the other's.
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { HostProcess } from '../hosts/host-process.ts';
import type { Leaving } from '../hosts/leaving.ts';
import type { Roster } from '../hosts/roster.ts';
import { LENT_IDLE_MS, leavesLentHost, lentStep, type Need, nextLoan, type Spare } from '../policy/lend.ts';
import { BUFFER_POOL, type Pools } from '../pools.ts';

/** An instance that stands in a host. */
export interface Occupant {
  busy: boolean;
  /** By the clock of idle times. */
  usedAt: number;
  /** Its function has no more than its minimum and its reserve ask for. */
  needed: boolean;
  /** It takes no more calls, and ends when those it has are over. */
  drain(why: string): void;
}

export interface LendingOptions {
  roster: Pick<Roster, 'hosts' | 'bases' | 'host'>;
  leaving: Pick<Leaving, 'assign' | 'vacate'>;
  pools: Pools;
  occupants(host: HostProcess): Iterable<Occupant>;
  /** Bases that may still be booted in this pool. */
  room(pool: string): number;
  /** Monotonic ms by which idle times are measured. */
  clock(): number;
}

export class Lending {
  readonly #options: LendingOptions;
  /** Of lent hosts: the last lease, or the last call seen. */
  readonly #usedAt = new WeakMap<HostProcess, number>();
  /** Of lent hosts: the memory that goes with them, MB. */
  readonly #memoryMb = new WeakMap<HostProcess, number>();

  constructor(options: LendingOptions) {
    this.#options = options;
  }

  /** Lends one host to one of these. False: nothing is there for any of them. */
  lend(needs: readonly Need[]): boolean {
    const { roster, leaving, pools, clock } = this.#options;
    if (needs.length === 0 || !pools.has(BUFFER_POOL)) return false;
    const spares = new Map<HostProcess, Spare>();
    for (const { state, host } of roster.bases) {
      if (state !== 'warm' || host.pool !== BUFFER_POOL || host.binding !== null || host.stuck) continue;
      const { id, definition } = host;
      spares.getOrInsertComputed(host, () => ({ id, definition, warm: 0 })).warm++;
    }
    const loan = nextLoan([...spares.values()], needs);
    const host = loan === null ? undefined : roster.host(loan.host);
    if (loan === null || host === undefined) return false;
    const { pool, bases } = loan.need;
    const warm = spares.get(host)?.warm ?? 0;
    this.#memoryMb.set(host, pools.memoryOf(BUFFER_POOL, warm));
    this.#usedAt.set(host, clock());
    const calls = bases === 1 ? '1 lease waits' : `${bases} leases wait`;
    leaving.assign(
      host,
      pool,
      BUFFER_POOL,
      'lent',
      `"${pool}" is full and ${calls} there: it brings ${warm} warm bases`,
    );
    return true;
  }

  /** A lease has been given in this host. */
  used(host: HostProcess): void {
    if (host.lentBy !== null) this.#usedAt.set(host, this.#options.clock());
  }

  /** Takes back what is idle. Call it some times a second. */
  sweep(): void {
    for (const host of [...this.#options.roster.hosts]) if (host.lentBy !== null) this.#look(host);
  }

  /** Bases of other pools that serve this one. */
  borrowed(pool: string): number {
    let count = 0;
    for (const { host } of this.#options.roster.bases) if (host.lentBy !== null && host.pool === pool) count++;
    return count;
  }

  /** Bases of this pool that serve others. */
  lent(pool: string): number {
    let count = 0;
    for (const { host } of this.#options.roster.bases) if (host.lentBy === pool) count++;
    return count;
  }

  /** What the hosts that serve this pool may use together now, MB. */
  memoryMb(pool: string): number {
    let memoryMb = this.#options.pools.size(pool).memoryMb;
    for (const host of this.#options.roster.hosts) {
      if (host.lentBy === null) continue;
      if (host.pool === pool) memoryMb += this.#memoryMb.get(host) ?? 0;
      if (host.lentBy === pool) memoryMb -= this.#memoryMb.get(host) ?? 0;
    }
    return memoryMb;
  }

  /** See Keeper. */
  move(id: string, to: string): 'moved' | 'draining' {
    const { roster, leaving, pools } = this.#options;
    const host = roster.host(id);
    if (host === undefined) throw new HearthError('NOT_FOUND', `There is no host "${id}"; GET /v1/pool lists them.`);
    if (!pools.has(to)) {
      throw new HearthError('BAD_REQUEST', `There is no pool "${to}"; there are: ${pools.names.join(', ')}.`);
    }
    if (host.state !== 'running')
      throw new HearthError('CONFLICT', `Host "${id}" is ${host.state}: it cannot be moved.`);
    if (host.lentBy !== null) {
      if (host.lentBy === to) return this.#giveBack(host, 'an operator asked for it');
      const message = `Host "${id}" is lent to "${host.pool}": it can only go back to "${host.lentBy}".`;
      throw new HearthError('CONFLICT', message);
    }
    if (host.pool === to) return 'moved';
    let bases = 0;
    for (const base of roster.bases) if (base.host === host) bases++;
    pools.transfer(host.pool, to, bases);
    const brings = `${bases} ${bases === 1 ? 'base' : 'bases'}`;
    if (host.binding === null) {
      leaving.assign(host, to, null, 'moved', `from "${host.pool}" to "${to}" by an operator, with ${brings}`);
      return 'moved';
    }
    const why = `its room for ${brings} goes from "${host.pool}" to "${to}"; what served trust group "${host.binding.trustGroup}" serves no other`;
    leaving.vacate(host, 'moved', why);
    return 'draining';
  }

  #look(host: HostProcess): void {
    const { occupants, room, clock } = this.#options;
    const now = clock();
    let usedAt = this.#usedAt.get(host) ?? now;
    for (const occupant of [...occupants(host)]) {
      usedAt = Math.max(usedAt, occupant.busy ? now : occupant.usedAt);
      const { busy, needed } = occupant;
      const goes = leavesLentHost({ busy, needed, idleMs: now - occupant.usedAt, room: room(host.pool) > 0 });
      if (goes) occupant.drain(`idle for ${LENT_IDLE_MS / 1000} s in a host that is lent`);
    }
    this.#usedAt.set(host, usedAt);
    const step = lentStep({ bound: host.binding !== null, leased: host.leased, idleMs: now - usedAt });
    if (step !== 'keep') this.#giveBack(host, `idle for ${LENT_IDLE_MS / 1000} s`);
  }

  #giveBack(host: HostProcess, why: string): 'moved' | 'draining' {
    const { leaving } = this.#options;
    const { pool, lentBy, binding } = host;
    if (binding === null && lentBy !== null) {
      leaving.assign(host, lentBy, null, 'returned', `from "${pool}" as it is: ${why}`);
      return 'moved';
    }
    leaving.vacate(host, 'returned', `from "${pool}" by a new process in its place, since it has served: ${why}`);
    return 'draining';
  }
}
