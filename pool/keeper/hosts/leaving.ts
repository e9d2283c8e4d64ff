/** Hosts that leave: those nobody needs, those that go to another pool, and those of a definition that is given up. */
import type { PoolEvent } from '../api.ts';
import type { BaseDefinition } from '../definition.ts';
import type { Base } from './base.ts';
import { keyOf } from './host-key.ts';
import type { HostProcess } from './host-process.ts';
import type { Roster } from './roster.ts';

export interface LeavingOptions {
  roster: Roster;
  /** Ends a warm base that nobody holds. */
  giveUp(base: Base, why: string): void;
  event(host: HostProcess, what: PoolEvent['what'], why: string): void;
}

/** A host that is bound and empty for so long is given up: its warm bases serve nobody else. */
const IDLE_HOST_MS = 60_000;

export class Leaving {
  readonly #options: LeavingOptions;
  /** Since when a bound host has had no lease. */
  readonly #idleSince = new WeakMap<HostProcess, number>();

  constructor(options: LeavingOptions) {
    this.#options = options;
  }

  /* ── nobody needs it ── */

  /** Gives up hosts that are bound and serve nobody. Call it now and then. */
  sweep(nowMs: number): void {
    for (const host of [...this.#options.roster.hosts]) {
      // A lease of its last moment.
      if (host.state === 'draining') this.#leave(host, 'its host ends');
      const used = this.#options.roster.basesOf(host).some(({ state }) => state === 'leased' || state === 'draining');
      if (host.binding === null || used) {
        this.#idleSince.delete(host);
        continue;
      }
      const since = this.#idleSince.get(host) ?? nowMs;
      this.#idleSince.set(host, since);
      if (nowMs - since >= IDLE_HOST_MS) host.kill('bound, and without a lease for a minute');
    }
  }

  /** A host without any base keeps its memory for nothing when another of its kind has room. */
  endIfSpare(host: HostProcess): void {
    if (host.state === 'draining') {
      if (!this.#options.roster.holdsAny(host)) host.kill('nothing runs in it any more');
      return;
    }
    // One that is lent goes back as it is, or ends, when its time has come.
    if (host.lentBy !== null || host.freeSlots < host.slots.length) return;
    for (const other of this.#options.roster.hosts) {
      if (other === host || other.definition !== host.definition || other.freeSlots === 0 || other.stuck) continue;
      if (other.pool !== host.pool || other.lentBy !== null || bindingKey(other) !== bindingKey(host)) continue;
      host.kill('it holds nothing, and another host of its kind has room');
      return;
    }
  }

  /**
   * Ends what nobody holds of this definition: its warm bases, and hosts in which there are no others. False: something
   * of it is left still.
   */
  clear(definition: BaseDefinition, why: string): boolean {
    const { roster, giveUp } = this.#options;
    for (const base of [...roster.bases]) {
      if (base.host.definition === definition && base.state === 'warm') giveUp(base, why);
    }
    let cleared = true;
    for (const host of [...roster.hosts]) {
      if (host.definition !== definition) continue;
      if (roster.basesOf(host).length > 0) cleared = false;
      else host.kill(why);
    }
    return cleared;
  }

  /* ── from one pool to another; see lending.ts ── */

  /** It serves another pool from now on. `lentBy`: whose it stays. */
  assign(
    host: HostProcess,
    pool: string,
    lentBy: string | null,
    what: 'lent' | 'returned' | 'moved',
    why: string,
  ): void {
    host.pool = pool;
    host.lentBy = lentBy;
    this.#options.event(host, what, why);
  }

  /** It takes no more leases, and ends when those it has are over. What nobody holds in it ends now. */
  vacate(host: HostProcess, what: 'returned' | 'moved' | 'retired', why: string): void {
    this.#options.event(host, what, why);
    if (host.leased === 0) {
      host.kill(why);
      return;
    }
    host.drain(why);
    const { roster, giveUp } = this.#options;
    for (const base of roster.basesOf(host)) if (base.takenFor === null) giveUp(base, why);
    this.#leave(host, why);
  }

  /** Who holds bases of it begins elsewhere, and ends here when nothing runs any more. */
  #leave(host: HostProcess, why: string): void {
    for (const base of this.#options.roster.basesOf(host)) {
      if (base.state === 'leased') base.lessee?.event({ event: 'broken', reason: why });
    }
  }
}

function bindingKey({ binding }: HostProcess): string | null {
  return binding === null ? null : keyOf(binding);
}
