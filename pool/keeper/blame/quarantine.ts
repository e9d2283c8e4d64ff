/**
 * Who takes down hosts again and again is not let near another one for some minutes: its callers hear why, its queue
 * waits, a new version begins afresh.
 *
 *   free ──third host within a minute──► in quarantine ──time, or proved by a new deploy──► free
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { InvokeHandle, InvokeSink } from '../api.ts';

export const KILLS = 3;
export const WITHIN_MS = 60_000;
export const QUARANTINE_MS = 300_000;

interface Entry {
  /** Moments of the kills that still count, in order. */
  kills: number[];
  /** 0: free. */
  until: number;
  why: string;
}

/** Times are of one monotonic clock, ms. A version with one revision of its env goes by its key. */
export class Quarantine {
  readonly #entries = new Map<string, Entry>();

  /** It took down a host. True when that put it in quarantine. */
  killed(key: string, why: string, now: number): boolean {
    const entry = this.#entries.get(key) ?? { kills: [], until: 0, why };
    this.#entries.set(key, entry);
    entry.kills = [...entry.kills.filter((at) => now - at < WITHIN_MS), now];
    entry.why = why;
    if (entry.until > now || entry.kills.length < KILLS) return false;
    entry.until = now + QUARANTINE_MS;
    return true;
  }

  /** Nobody is in quarantine, or near it. */
  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** What callers are told; null when it is free. */
  refusal(key: string, now: number): HearthError | null {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.until <= now) return null;
    const seconds = Math.ceil((entry.until - now) / 1000);
    return new HearthError(
      'OVERLOADED',
      `In quarantine for ${seconds} s: it took down ${KILLS} hosts within a minute, the last because ${entry.why}. ` +
        'Deploy a version that does not.',
      { retryAfterS: seconds },
    );
  }

  /** Its kills are forgotten. The key, when that was in quarantine. */
  lift(key: string): string[] {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    return entry !== undefined && entry.until > 0 ? [key] : [];
  }

  /** The same of all that continue this key behind a slash. */
  liftParts(key: string): string[] {
    const parts = [...this.#entries.keys()].filter((each) => each.startsWith(`${key}/`));
    return parts.flatMap((part) => this.lift(part));
  }

  /** Keys whose time is over. What counts no more is forgotten. */
  expired(now: number): string[] {
    const free: string[] = [];
    for (const [key, entry] of this.#entries) {
      if (entry.until > now) continue;
      if (entry.until > 0) free.push(key);
      const last = entry.kills.at(-1) ?? 0;
      if (entry.until > 0 || now - last >= WITHIN_MS) this.#entries.delete(key);
    }
    return free;
  }
}

/** The handle of a call that is refused. The sink hears of it once the caller has its handle. */
export function refuse(sink: InvokeSink, error: HearthError): InvokeHandle {
  let heard = true;
  queueMicrotask(() => {
    if (heard) sink.failed(error, null);
    sink.released();
  });
  return {
    write: () => true,
    end: () => undefined,
    consumed: () => undefined,
    abort: () => {
      heard = false;
    },
  };
}
