/** Sealed secrets, and the count of their changes. */
import type { FunctionSecrets, SecretStore } from '../api/secrets.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

interface SecretRow {
  function_name: string;
  revision: number;
  key: string | null;
  sealed: Uint8Array | null;
}

/** Counts one change; returns the new count. */
export function raiseRevision(db: Database, functionName: string): number {
  const row = db
    .sql(
      `INSERT INTO secret_revisions (function_name, revision) VALUES (?, 1)
       ON CONFLICT DO UPDATE SET revision = revision + 1 RETURNING revision`,
    )
    .get(functionName) as { revision: number };
  return row.revision;
}

export function secretsDomain(db: Database): Sync<SecretStore> {
  return {
    put(functionName, key, sealed, nowMs) {
      db.sql(
        `INSERT INTO secrets (function_name, key, sealed, updated_at) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at`,
      ).run(functionName, key, sealed, nowMs);
      return raiseRevision(db, functionName);
    },
    delete(functionName, key) {
      const { changes } = db.sql('DELETE FROM secrets WHERE function_name = ? AND key = ?').run(functionName, key);
      if (changes > 0) return { found: true, revision: raiseRevision(db, functionName) };
      const row = db.sql('SELECT revision FROM secret_revisions WHERE function_name = ?').get(functionName) as
        | { revision: number }
        | undefined;
      return { found: false, revision: row?.revision ?? 0 };
    },
    all(functionName) {
      const rows = db
        .sql('SELECT key, sealed, updated_at FROM secrets WHERE function_name = ? ORDER BY key')
        .all(functionName) as unknown as { key: string; sealed: Uint8Array; updated_at: number }[];
      return rows.map((row) => ({ key: row.key, sealed: row.sealed, updatedAt: row.updated_at }));
    },
    load(functionName) {
      const rows = db
        .sql(
          `SELECT r.function_name, r.revision, s.key, s.sealed
           FROM secret_revisions r LEFT JOIN secrets s ON s.function_name = r.function_name
           WHERE ?1 IS NULL OR r.function_name = ?1 ORDER BY r.function_name, s.key`,
        )
        .all(functionName) as unknown as SecretRow[];
      const byFunction = new Map<string, FunctionSecrets>();
      for (const row of rows) {
        let found = byFunction.get(row.function_name);
        if (found === undefined) {
          found = { functionName: row.function_name, revision: row.revision, secrets: [] };
          byFunction.set(row.function_name, found);
        }
        if (row.key !== null && row.sealed !== null) found.secrets.push({ key: row.key, sealed: row.sealed });
      }
      return [...byFunction.values()];
    },
    reseal(functionName, key, old, sealed) {
      db.sql('UPDATE secrets SET sealed = ? WHERE function_name = ? AND key = ? AND sealed = ?').run(
        sealed,
        functionName,
        key,
        old,
      );
    },
  };
}
