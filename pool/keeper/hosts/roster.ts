/** Which hosts and bases there are, and what is known of them together. Whoever takes or gives up looks here. */
import type { Base } from './base.ts';
import type { HostProcess } from './host-process.ts';

export class Roster {
  readonly #hosts = new Map<string, HostProcess>();
  readonly #bases = new Map<string, Base>();
  /** Bases that are dead while their threads are not gone yet. */
  readonly #ending = new Map<string, Base>();

  get hosts(): Iterable<HostProcess> {
    return this.#hosts.values();
  }

  get bases(): Iterable<Base> {
    return this.#bases.values();
  }

  host(id: string): HostProcess | undefined {
    return this.#hosts.get(id);
  }

  base(id: string): Base | undefined {
    return this.#bases.get(id);
  }

  /** Those of this host, as they are now. */
  basesOf(host: HostProcess): Base[] {
    return [...this.#bases.values()].filter((base) => base.host === host);
  }

  /* ── how they come and go ── */

  addHost(host: HostProcess): void {
    this.#hosts.set(host.id, host);
  }

  addBase(base: Base): void {
    this.#bases.set(base.id, base);
  }

  /** It is dead; its thread ends. */
  baseDied(base: Base): void {
    this.#bases.delete(base.id);
    this.#ending.set(base.id, base);
  }

  threadGone(base: Base): void {
    this.#ending.delete(base.id);
  }

  hostDied(host: HostProcess): void {
    this.#hosts.delete(host.id);
  }

  /* ── what they come to ── */

  /** Bases that count against the size of this pool: those it has lent too, and not those of hosts that leave it. */
  countIn(pool: string): number {
    let count = 0;
    for (const { host } of this.#bases.values()) {
      if ((host.lentBy ?? host.pool) === pool && host.state !== 'draining') count++;
    }
    return count;
  }

  /** A base or its thread. */
  holdsAny(host: HostProcess): boolean {
    for (const base of this.#bases.values()) if (base.host === host) return true;
    for (const base of this.#ending.values()) if (base.host === host) return true;
    return false;
  }

  /** What is leased in this host, null for each base in stock, and what a snapshot of a heap may take. */
  limitsMb(host: HostProcess): (number | null)[] {
    const limits: (number | null)[] = [];
    for (const base of this.#bases.values()) if (base.host === host) limits.push(limitMb(base));
    for (const base of this.#ending.values()) if (base.host === host) limits.push(limitMb(base));
    if (host.snapshotMb > 0) limits.push(host.snapshotMb);
    return limits;
  }

  /** The base that is at work there; null when bases of several functions are, or none. */
  suspect(host: HostProcess): string | null {
    const faulty = [...this.#ending.values()].filter((base) => base.host === host && base.fault !== null);
    const busy = [...this.#bases.values()].filter(
      (base) => base.host === host && base.lessee !== null && base.lessee.inFlight > 0,
    );
    const suspects = faulty.length > 0 ? faulty : busy;
    const keys = new Set(suspects.map((base) => base.lessee?.spec.key));
    return keys.size === 1 ? (suspects[0]?.id ?? null) : null;
  }

  /** Who has or had this base, alive or ending. */
  lesseeOf(id: string): Base['lessee'] {
    return (this.#bases.get(id) ?? this.#ending.get(id))?.lessee ?? null;
  }
}

function limitMb(base: Base): number | null {
  return base.lessee?.spec.limits.memoryMb ?? null;
}
