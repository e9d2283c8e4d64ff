/**
 * Watches hosts from outside, several times a second: a host that takes more than its bases together may take, or that
 * answers nothing, is killed; when the hosts of a pool come near to what they may use together, idle instances of it go
 * and no base is booted for its stock. What a host's own watch sees, and ends a base for, comes long before.
 */
import type { Resident } from './resident.ts';

/** How often `look` is to be called. */
export const LOOK_MS = 200;
/** A look that comes so much too late says that the gateway itself stood still. */
const OWN_LAG_MS = 100;
/** Between two pings of a host, and how long one may stay unanswered. */
const PING_EVERY_MS = 1_000;
const ANSWER_MS = 5_000;

const MB = 2 ** 20;
/** Node itself, Piscina, threads of V8. */
const HOST_BYTES = 128 * MB;
/** A base that holds nothing yet: base definitions may share much. */
const BASE_BYTES = 64 * MB;
/** The host's own watch lets a base be half as much over its limit before it ends it without asking. */
const LIMIT_FACTOR = 1.5;
/** For Buffers that were not collected yet, and pages that the allocator has not given back. */
const MARGIN_BYTES = 192 * MB;

/** Shares of what all hosts may use: from here on idle instances go, below there stock is filled up again. */
const EVICT_SHARE = 0.9;
const STOCK_SHARE = 0.8;

/**
 *   none ──over 80 %──► stock ──over 100 %──► full        and back the same way
 *
 * stock: no base is booted that nobody waits for. full: nobody gets another base while any is in use.
 */
export type Pressure = 'none' | 'stock' | 'full';

/** Of a HostProcess what this needs. */
export interface WatchedHost {
  readonly pool: string;
  resident(): Resident | null;
  ping(now: number): number;
  forgive(now: number): void;
  kill(why: string, culprit: string | null): void;
}

export interface HostWatchOptions<Host extends WatchedHost> {
  hosts(): Iterable<Host>;
  /** `memoryMb` of each leased base of this host, and null for each of its others. */
  limitsMb(host: Host): (number | null)[];
  /** Whoever alone is at work in this host: its base. */
  suspect(host: Host): string | null;
  /** Each pool by name, with what its hosts may use together, bytes. */
  pools(): Iterable<{ name: string; memoryBytes: number }>;
  /** Called at each look for each pool. `usedMb`: what its hosts use together. */
  pressure(pool: string, level: Pressure, usedMb: number): void;
  /** Give up an idle instance of this pool, or else a base in its stock. False: there is none. */
  evict(pool: string): boolean;
  /** Monotonic ms. */
  now(): number;
}

/** Of the hosts of one pool: pages of their own together, and those that all have in common, bytes. */
interface Used {
  own: number;
  shared: number;
}

export class HostWatch<Host extends WatchedHost> {
  readonly #options: HostWatchOptions<Host>;
  #lookedAt: number;
  #pingedAt = 0;

  constructor(options: HostWatchOptions<Host>) {
    this.#options = options;
    this.#lookedAt = options.now();
  }

  look(): void {
    const now = this.#options.now();
    const lagged = now - this.#lookedAt - LOOK_MS > OWN_LAG_MS;
    this.#lookedAt = now;
    const ask = now - this.#pingedAt >= PING_EVERY_MS;
    if (ask) this.#pingedAt = now;
    const used = new Map<string, Used>();
    for (const host of [...this.#options.hosts()]) {
      const resident = host.resident();
      if (resident !== null) {
        const pool = used.getOrInsertComputed(host.pool, () => ({ own: 0, shared: 0 }));
        pool.own += resident.bytes - resident.sharedBytes;
        pool.shared = Math.max(pool.shared, resident.sharedBytes);
        this.#judgeMemory(host, resident.bytes);
      }
      if (lagged) host.forgive(now);
      if (ask) this.#judgeAnswer(host, now);
    }
    for (const { name, memoryBytes } of this.#options.pools()) {
      const { own, shared } = used.get(name) ?? { own: 0, shared: 0 };
      this.#judgePressure(name, own + shared, memoryBytes);
    }
  }

  #judgeMemory(host: Host, bytes: number): void {
    const allowed = allowedBytes(this.#options.limitsMb(host));
    if (bytes <= allowed) return;
    const why = `it takes ${mb(bytes)}, and all its bases together may take ${mb(allowed)}`;
    host.kill(why, this.#options.suspect(host));
  }

  #judgeAnswer(host: Host, now: number): void {
    if (host.ping(now) < ANSWER_MS) return;
    host.kill(`it has answered nothing for ${ANSWER_MS / 1000} s`, this.#options.suspect(host));
  }

  #judgePressure(pool: string, bytes: number, memoryBytes: number): void {
    const { pressure, evict } = this.#options;
    pressure(pool, pressureOf(bytes, memoryBytes), bytes / MB);
    if (bytes > memoryBytes * EVICT_SHARE) evict(pool);
  }
}

/** What a host may take before it is killed for it. */
export function allowedBytes(limitsMb: (number | null)[]): number {
  let bytes = HOST_BYTES + MARGIN_BYTES;
  for (const limit of limitsMb) bytes += BASE_BYTES + (limit === null ? 0 : limit * LIMIT_FACTOR * MB);
  return bytes;
}

export function pressureOf(bytes: number, memoryBytes: number): Pressure {
  if (bytes > memoryBytes) return 'full';
  return bytes > memoryBytes * STOCK_SHARE ? 'stock' : 'none';
}

function mb(bytes: number): string {
  return `${Math.round(bytes / MB)} MB`;
}
