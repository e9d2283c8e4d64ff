/**
 * How often something may be done: counted in this gateway's memory alone, so each of several gateways allows as much, and
 * a restart begins anew. What is counted is bounded in each trust group: beyond it what was used longest ago is forgotten.
 */

/** Keys of one table in one period, and of all tables of a trust group. */
const MOST_KEYS = 10_000;
const MOST_GROUP_KEYS = 50_000;
const MOST_KEY_CHARS = 512;

export interface Rate {
  limit: number;
  periodMs: number;
}

export interface Rates {
  /** Counts one, and says 0; or how many ms it would take until one is to be had. `table`: what is counted together. */
  take(trustGroup: string, table: string, rate: Rate, key: string): number;
}

export function createRates(now: () => number): Rates {
  const groups = new Map<string, Group>();
  return {
    take(trustGroup, table, rate, key) {
      let group = groups.get(trustGroup);
      if (group === undefined) {
        group = new Group();
        groups.set(trustGroup, group);
      }
      return group.take(`${rate.limit}/${rate.periodMs}/${table}`, rate, key.slice(0, MOST_KEY_CHARS), now());
    },
  };
}

class Group {
  /** The one that was used longest ago first. */
  readonly #tables = new Map<string, RateTable>();
  #keys = 0;

  take(name: string, rate: Rate, key: string, nowMs: number): number {
    const table = this.#tables.get(name) ?? new RateTable(rate);
    this.#tables.delete(name);
    this.#tables.set(name, table);
    const before = table.keys;
    const waitMs = table.take(key, nowMs);
    this.#keys += table.keys - before;
    for (const [other, { keys }] of this.#tables) {
      if (this.#keys <= MOST_GROUP_KEYS || other === name) break;
      this.#tables.delete(other);
      this.#keys -= keys;
    }
    return waitMs;
  }
}

/**
 * A window that slides: what was done in the period before counts for the part of it that the last period still covers, as
 * if it had been done evenly.
 */
export class RateTable {
  readonly #rate: Rate;
  #startedAt = 0;
  #current = new Map<string, number>();
  #previous = new Map<string, number>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  get keys(): number {
    return this.#current.size + this.#previous.size;
  }

  take(key: string, nowMs: number): number {
    const { limit, periodMs } = this.#rate;
    this.#turn(nowMs);
    const left = 1 - (nowMs - this.#startedAt) / periodMs;
    const done = this.#current.get(key) ?? 0;
    const before = this.#previous.get(key) ?? 0;
    if (done + before * left + 1 <= limit) {
      // A flood of keys: those that came first are taken for the period before.
      if (done === 0 && this.#current.size >= MOST_KEYS) this.#begin(this.#startedAt, this.#current);
      this.#current.set(key, done + 1);
      return 0;
    }
    if (done + 1 <= limit) return (left - (limit - 1 - done) / before) * periodMs;
    // What was done now counts as before, once the next period has begun.
    return (left + 1 - (limit - 1) / done) * periodMs;
  }

  #turn(nowMs: number): void {
    const { periodMs } = this.#rate;
    const periods = Math.floor((nowMs - this.#startedAt) / periodMs);
    if (periods === 0) return;
    // Also of a clock that was set back.
    const startedAt = nowMs - ((((nowMs - this.#startedAt) % periodMs) + periodMs) % periodMs);
    this.#begin(startedAt, periods === 1 ? this.#current : new Map());
  }

  #begin(startedAt: number, previous: Map<string, number>): void {
    this.#startedAt = startedAt;
    this.#previous = previous;
    this.#current = new Map();
  }
}
