/** What travels between the gateway and the store thread. Both ends import this file. */
import type { ErrorCode } from '../../../functions/contract/errors.ts';
import type { StoreStartCode } from '../start-error.ts';
import type { Store } from '../store.ts';

/** Both ends come from one checkout; the number guards against a thread file left over from another one. */
export const STORE_PROTOCOL = 6;

/** Of the changes of others there are none here: one process has the file. */
export type Domains = Omit<Store, 'close' | 'changes'>;
export type DomainName = keyof Domains;

/** One call of the Store interface, as data. */
export type Operation = {
  [D in DomainName]: {
    [M in keyof Domains[D]]: Domains[D][M] extends (...args: infer Args) => unknown
      ? { domain: D; method: M; args: Args }
      : never;
  }[keyof Domains[D]];
}[DomainName];

/** A domain as the thread does it: the same methods, at once. */
export type Sync<T> = {
  [M in keyof T]: T[M] extends (...args: infer Args) => Promise<infer Result> ? (...args: Args) => Result : never;
};
export type SyncDomains = { [D in DomainName]: Sync<Domains[D]> };

export interface Request {
  kind: 'request';
  id: number;
  operation: Operation;
}

export type MethodKind = 'read' | 'write' | 'lease';

export type ToThread = Request | { kind: 'close' };

export type Answer =
  | { id: number; ok: true; value: unknown }
  | { id: number; ok: false; code: ErrorCode; message: string };

export type FromThread =
  | { kind: 'ready'; protocol: number }
  | { kind: 'refused'; code: StoreStartCode | null; message: string }
  /** All of one commit, after it. */
  | { kind: 'answers'; answers: Answer[] }
  | { kind: 'log'; level: 'warn' | 'error'; message: string; detail: string | null }
  | { kind: 'closed' };

/**
 * Every method of the Store, and whether it writes. `lease`: a write that nobody misses when the power fails, since
 * whoever holds what it says fails with it.
 */
export const METHODS = {
  registry: {
    page: 'read',
    functions: 'read',
    putVersion: 'write',
    deploy: 'write',
    getArtifact: 'read',
    putCodeCache: 'write',
    putFunction: 'write',
    putFunctions: 'write',
    deleteFunction: 'write',
    deleteVersion: 'write',
  },
  publications: { load: 'read', put: 'write', delete: 'write', withdraw: 'write' },
  rollouts: { put: 'write', get: 'read', list: 'read', running: 'read' },
  bases: { list: 'read', put: 'write', delete: 'write', getSetup: 'read' },
  secrets: { put: 'write', delete: 'write', all: 'read', load: 'read', reseal: 'write' },
  kv: { get: 'read', put: 'write', delete: 'write', list: 'read', sweep: 'write' },
  files: {
    writePart: 'write',
    put: 'write',
    head: 'read',
    readPart: 'read',
    delete: 'write',
    drop: 'write',
    list: 'read',
    sweep: 'write',
  },
  locks: { take: 'write', extend: 'lease', release: 'write', sweep: 'write' },
  counters: { add: 'write', get: 'read', delete: 'write' },
  configs: { get: 'read', put: 'write' },
  queues: {
    put: 'write',
    get: 'read',
    list: 'read',
    delete: 'write',
    enqueue: 'write',
    publish: 'write',
    claim: 'lease',
    extend: 'lease',
    settle: 'write',
    nextDue: 'read',
    stats: 'read',
    dead: 'read',
    redrive: 'write',
    purge: 'write',
  },
  crons: {
    list: 'read',
    replace: 'write',
    claim: 'write',
    extend: 'write',
    takeOver: 'write',
    finish: 'write',
    setPaused: 'write',
  },
  asyncs: { put: 'write', get: 'read', sweep: 'write' },
  answers: { begin: 'write', extend: 'write', finish: 'write', abandon: 'write', sweep: 'write' },
  leases: { take: 'write', release: 'write' },
  tokens: { put: 'write', list: 'read', delete: 'write' },
  audit: { append: 'write', list: 'read' },
  disk: { used: 'read' },
} as const satisfies { [D in DomainName]: { [M in keyof Domains[D]]: MethodKind } };
