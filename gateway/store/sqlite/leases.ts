/** What only one may do at a time. With one process on the file each lease is had at once; the rules are the same. */
import type { LeaseStore } from '../api/leases.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function leasesDomain(db: Database): Sync<LeaseStore> {
  return {
    take(name, owner, nowMs, until) {
      const row = db
        .sql(
          `INSERT INTO leases (name, owner, until, fence) VALUES (?1, ?2, ?3, 1)
           ON CONFLICT DO UPDATE SET owner = ?2, until = ?3, fence = fence + (owner <> ?2)
             WHERE owner = ?2 OR until <= ?4
           RETURNING fence`,
        )
        .get(name, owner, until, nowMs) as { fence: number } | undefined;
      return row === undefined ? null : { fence: row.fence };
    },
    release(name, owner) {
      // The row stays: its fence must go on rising.
      db.sql('UPDATE leases SET until = 0 WHERE name = ? AND owner = ?').run(name, owner);
    },
  };
}
