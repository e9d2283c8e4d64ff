/**
 * How each function fares, as its calls and the pool's events tell it, since this gateway began.
 *
 *   serving ──three failures in a row──► failing ──one success──► serving
 *      └──took down three hosts within a minute──► quarantined ──time, a new deploy──► as its calls say
 */
import { ERRORS } from '../../functions/contract/errors.ts';
import type { PoolEvent } from '../../pool/keeper/api.ts';
import type { FinishedInvocation } from './telemetry.ts';

export type HealthState = 'serving' | 'failing' | 'quarantined';

export interface FunctionHealth {
  state: HealthState;
  /** Epoch ms; null: none yet. */
  lastSuccessAt: number | null;
  lastError: LastError | null;
  /** Calls that failed since the last one that went well. */
  failuresInARow: number;
  /** Bases that ended under it: over a limit, blocked, or with their host. */
  restarts: number;
  quarantine: Quarantined | null;
}

export interface LastError {
  /** Epoch ms. */
  at: number;
  /** Of the error table; of an answer that the function itself gave, its status. */
  code: string;
  message: string;
  invocationId: string;
  version: string;
}

export interface Quarantined {
  /** Epoch ms. */
  since: number;
  why: string;
}

export interface Health {
  finished(invocation: FinishedInvocation): void;
  event(event: PoolEvent): void;
  /** `keys`: what of it may be in quarantine: the keys of its versions, or that of its group. */
  of(functionName: string, keys: Iterable<string>): FunctionHealth;
  /** Of all that were called; `keysOf` as above. */
  all(keysOf: (functionName: string) => Iterable<string>): Iterable<[functionName: string, health: FunctionHealth]>;
  forget(functionName: string): void;
}

/** One bad call is not yet a bad function. */
const FAILING_AFTER = 3;
const MOST_MESSAGE_CHARS = 500;

interface Kept {
  lastSuccessAt: number | null;
  lastError: LastError | null;
  failuresInARow: number;
  restarts: number;
}

const unknown = (): Kept => ({ lastSuccessAt: null, lastError: null, failuresInARow: 0, restarts: 0 });

export function createHealth(): Health {
  const functions = new Map<string, Kept>();
  const inQuarantine = new Map<string, Quarantined>();

  const keptOf = (name: string) => functions.getOrInsertComputed(name, unknown);

  function of(functionName: string, keys: Iterable<string>): FunctionHealth {
    const kept = functions.get(functionName);
    const { lastSuccessAt = null, lastError = null, failuresInARow = 0, restarts = 0 } = kept ?? {};
    let quarantine: Quarantined | null = null;
    if (inQuarantine.size > 0) for (const key of keys) quarantine ??= inQuarantine.get(key) ?? null;
    const failing = failuresInARow >= FAILING_AFTER;
    const state = quarantine !== null ? 'quarantined' : failing ? 'failing' : 'serving';
    return { state, lastSuccessAt, lastError, failuresInARow, restarts, quarantine };
  }

  return {
    finished(invocation) {
      if (invocation.probe) return;
      const failure = failureOf(invocation);
      if (failure === 'of no matter') return;
      const kept = keptOf(invocation.functionName);
      if (failure === null) {
        kept.lastSuccessAt = invocation.endedAtMs;
        kept.failuresInARow = 0;
        return;
      }
      const { endedAtMs: at, invocationId, version } = invocation;
      kept.failuresInARow++;
      kept.lastError = { at, ...failure, invocationId, version };
    },
    event({ subject, what, id, function: name, time, why, lost }) {
      if (subject === 'base' && lost === true && name !== undefined) keptOf(name).restarts++;
      if (subject !== 'function') return;
      if (what === 'quarantined') inQuarantine.set(id, { since: time, why });
      if (what === 'lifted') inQuarantine.delete(id);
    },
    of,
    *all(keysOf) {
      for (const name of functions.keys()) yield [name, of(name, inQuarantine.size === 0 ? [] : keysOf(name))];
    },
    forget: (name) => void functions.delete(name),
  };
}

/** Null: it went well. What a caller did wrong, or had no room, says nothing of the function. */
function failureOf({ error, http }: FinishedInvocation): Pick<LastError, 'code' | 'message'> | null | 'of no matter' {
  if (error !== null) {
    if (ERRORS[error.code].fault !== 'function') return 'of no matter';
    return { code: error.code, message: error.message.slice(0, MOST_MESSAGE_CHARS) };
  }
  const status = http?.status ?? 0;
  return status >= 500 ? { code: String(status), message: `The function answered ${status}.` } : null;
}
