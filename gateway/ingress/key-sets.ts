/**
 * Key sets of token issuers (RFC 7517), each fetched when it is first asked for and kept:
 *
 *   missing ──fetched──► fresh ──10 min──► stale (used, and fetched anew beside it) ──1 h without success──► missing
 *
 * A key that is not in the set has it fetched anew, at most once in the cooldown: anybody can name a key.
 */
import type { JSONWebKeySet, LocalJWKSet } from 'jose';
import { HearthError } from '../../functions/contract/errors.ts';
import type { AddressCheck, Resolve } from '../addresses.ts';
import { boundedBody, createGuarded, type GuardSettings, refusedHost } from '../guarded.ts';

const FRESH_MS = 10 * 60_000;
const MOST_STALE_MS = 60 * 60_000;
const COOLDOWN_MS = 30_000;
/** After a fetch that failed. */
const PAUSE_MS = 5_000;
const FETCH_MS = 5_000;
const MOST_BYTES = 256 * 1024;
const MOST_KEYS = 100;
/** Base64 of the modulus of an RSA key of 8,192 bits: larger ones are costly to check with. */
const MOST_MODULUS_CHARS = 1_366;
/** Sets kept at once; the one that was asked for longest ago goes. */
const MOST_SETS = 1_000;

export interface KeySetParts {
  /** Where key sets may be fetched from. */
  allowed: AddressCheck;
  resolve?: Resolve;
  /** Epoch ms. */
  now(): number;
}

export interface KeySets {
  /** The set at this URL. Throws NO_CAPACITY while it cannot be had, FORBIDDEN where it may not be fetched. */
  keys(url: string): Promise<LocalJWKSet>;
  /** The set anew, after a key was not in it; null: it was fetched a moment ago. Throws as `keys` does. */
  renewed(url: string): Promise<LocalJWKSet | null>;
}

interface Kept {
  keys: LocalJWKSet | null;
  fetchedAt: number;
  triedAt: number;
  fetching: Promise<LocalJWKSet> | null;
}

export function createKeySets({ allowed, resolve, now }: KeySetParts): KeySets {
  const ask = createGuarded({ allowed, refusal: refusedAddress, resolve });
  const sets = new Map<string, Kept>();

  function keptOf(url: string): Kept {
    const kept = sets.get(url) ?? { keys: null, fetchedAt: -Infinity, triedAt: -Infinity, fetching: null };
    sets.delete(url);
    sets.set(url, kept);
    const [oldest] = sets.keys();
    if (sets.size > MOST_SETS && oldest !== undefined) sets.delete(oldest);
    return kept;
  }

  function fetchInto(kept: Kept, url: string): Promise<LocalJWKSet> {
    kept.triedAt = now();
    kept.fetching ??= read(url).then(
      (keys) => {
        kept.keys = keys;
        kept.fetchedAt = now();
        kept.fetching = null;
        return keys;
      },
      (error: unknown) => {
        kept.fetching = null;
        throw error instanceof HearthError ? error : unavailable(url, error);
      },
    );
    return kept.fetching;
  }

  async function read(text: string): Promise<LocalJWKSet> {
    const url = new URL(text);
    const signal = AbortSignal.timeout(FETCH_MS);
    const headers = { accept: 'application/jwk-set+json, application/json', 'user-agent': 'hearth' };
    const answer = await ask(url, { method: 'GET', headers, signal });
    try {
      if (answer.statusCode !== 200) throw new Error(`it answered ${answer.statusCode}`);
      const { createLocalJWKSet } = await import('jose');
      return createLocalJWKSet(usable(JSON.parse((await boundedBody(answer, MOST_BYTES)).toString())));
    } finally {
      answer.destroy();
    }
  }

  return {
    async keys(url) {
      const kept = keptOf(url);
      const { keys, fetchedAt, triedAt } = kept;
      const ageMs = now() - fetchedAt;
      if (keys !== null && ageMs < FRESH_MS) return keys;
      const paused = now() - triedAt < PAUSE_MS;
      if (keys !== null && ageMs < MOST_STALE_MS) {
        // Who waits for it gets the old one meanwhile; that it failed shows when the old one is too old.
        if (!paused) fetchInto(kept, url).catch(() => undefined);
        return keys;
      }
      if (paused && kept.fetching === null) throw unavailable(url, new Error('it could not be fetched a moment ago'));
      return await fetchInto(kept, url);
    },
    async renewed(url) {
      const kept = keptOf(url);
      if (kept.fetching !== null) return await kept.fetching;
      return now() - kept.triedAt < COOLDOWN_MS ? null : await fetchInto(kept, url);
    },
  };
}

/** Why keys are never fetched from this URL, as far as it tells itself; null: it may be tried. */
export function refusedKeySet(url: string, allowed: AddressCheck): HearthError | null {
  return refusedHost(new URL(url), { allowed, refusal: refusedAddress });
}

/** What is no key set is refused; of one, the keys that can be checked with at a fair price. */
function usable(value: unknown): JSONWebKeySet {
  const keys = (value as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new Error('it answered something else than a key set');
  const fair = keys.filter(
    (key) => String(key?.n ?? '').length <= MOST_MODULUS_CHARS && String(key?.e ?? '').length <= 8,
  );
  return { keys: fair.slice(0, MOST_KEYS) };
}

/** Without the path and query, which may hold a secret. */
function unavailable(url: string, cause: unknown): HearthError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = `The keys that this function's callers are checked with cannot be had from ${new URL(url).host}: ${why}.`;
  const advice = "Send again after retry-after seconds; the function's owner checks hearth.auth.jwks.";
  return new HearthError('NO_CAPACITY', message, { retryAfterS: PAUSE_MS / 1000, advice, cause });
}

const refusedAddress: GuardSettings['refusal'] = (host, address) => {
  const where = host === address ? 'is' : `is at ${address},`;
  return new HearthError(
    'FORBIDDEN',
    `${host} ${where} an address that Hearth fetches no keys from: one of this machine, its surroundings or a private network.`,
    { advice: 'Name another URL; HEARTH_CALLBACK_PRIVATE=allow, which the operator sets, admits private networks.' },
  );
};
