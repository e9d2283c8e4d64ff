/**
 * Group commit: all requests that have come by now in one transaction, answered after its COMMIT, so that one fsync
 * serves them all; where there are only leases among them, none is needed. Each writing request has a savepoint of its own: one that fails leaves its neighbours alone.
 */
import type { HearthError } from '../../../functions/contract/errors.ts';
import { type Database, toStoreError } from './database.ts';
import { type Answer, METHODS, type MethodKind, type Operation, type Request, type SyncDomains } from './protocol.ts';

/** Throws nothing but defects: every request gets its answer. `failed` hears of errors that are not the caller's. */
export function runBatch(
  db: Database,
  domains: SyncDomains,
  requests: readonly Request[],
  failed: (error: HearthError) => void,
): Answer[] {
  const kinds = new Set(requests.map(({ operation }) => kindOf(operation)));
  const leasesOnly = kinds.has('lease') && !kinds.has('write');
  // What is left out is done with the next commit of something else.
  if (leasesOnly) db.exec('PRAGMA synchronous = NORMAL');
  try {
    return run();
  } finally {
    if (leasesOnly) db.exec('PRAGMA synchronous = FULL');
  }

  function run(): Answer[] {
    try {
      db.exec(kinds.has('write') || kinds.has('lease') ? 'BEGIN IMMEDIATE' : 'BEGIN');
    } catch (error) {
      return requests.map((request) => refuse(request, error, failed));
    }
    try {
      return runTogether();
    } catch (error) {
      return runApart(error);
    }
  }

  function runApart(error: unknown): Answer[] {
    if (db.inTransaction) db.exec('ROLLBACK');
    if (requests.length > 1) {
      // SQLite rolls the whole transaction back when the disk is full. Nothing is kept of this run, so each may be run
      // again, alone: what needs no room (reads, acknowledgements) still gets through.
      return requests.flatMap((request) => runBatch(db, domains, [request], failed));
    }
    return requests.map((request) => refuse(request, error, failed));
  }

  function runTogether(): Answer[] {
    const answers = requests.map((request): Answer => {
      const writes = kindOf(request.operation) !== 'read';
      if (writes) db.sql('SAVEPOINT request').run();
      try {
        const value = call(domains, request.operation);
        if (writes) db.sql('RELEASE request').run();
        return { id: request.id, ok: true, value };
      } catch (error) {
        if (!db.inTransaction) throw error;
        if (writes) {
          db.sql('ROLLBACK TO request').run();
          db.sql('RELEASE request').run();
        }
        return refuse(request, error, failed);
      }
    });
    db.exec('COMMIT');
    return answers;
  }
}

function refuse(request: Request, error: unknown, failed: (error: HearthError) => void): Answer {
  const refusal = toStoreError(error);
  if (refusal !== error) failed(refusal);
  return { id: request.id, ok: false, code: refusal.code, message: refusal.message };
}

function kindOf(operation: Operation): MethodKind {
  const methods: Record<string, MethodKind> = METHODS[operation.domain];
  return methods[operation.method] ?? 'read';
}

function call(domains: SyncDomains, operation: Operation): unknown {
  // The types of the two ends are one, but TypeScript cannot follow a domain and its method through one variable.
  const domain = domains[operation.domain] as unknown as Record<string, (...args: readonly unknown[]) => unknown>;
  const method = domain[operation.method];
  if (method === undefined) throw new TypeError(`The store has no ${operation.domain}.${operation.method}.`);
  return method(...operation.args);
}
