/** Configuration that running functions are told of. */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { ConfigRecord, ConfigStore } from '../api/configs.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function configsDomain(db: Database): Sync<ConfigStore> {
  function get(namespace: string): ConfigRecord | null {
    const row = db.sql('SELECT version, given, updated_at FROM configs WHERE namespace = ?').get(namespace) as
      | { version: number; given: string; updated_at: number }
      | undefined;
    if (row === undefined) return null;
    return { version: row.version, values: JSON.parse(row.given), updatedAt: row.updated_at };
  }

  return {
    get,
    put(namespace, values, expected, nowMs) {
      const current = get(namespace)?.version ?? 0;
      if (expected !== null && expected !== current) {
        throw new HearthError('CONFLICT', `The configuration has version ${current}, not ${expected}.`);
      }
      const version = current + 1;
      db.sql(
        `INSERT INTO configs (namespace, version, given, updated_at) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET version = excluded.version, given = excluded.given, updated_at = excluded.updated_at`,
      ).run(namespace, version, JSON.stringify(values), nowMs);
      return { version, values, updatedAt: nowMs };
    },
  };
}
