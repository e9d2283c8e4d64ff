/** Locks that functions hold. */
import type { LockStore } from '../api/locks.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function locksDomain(db: Database): Sync<LockStore> {
  return {
    take(namespace, name, nowMs, until) {
      const held = db.sql('SELECT until FROM locks WHERE namespace = ? AND name = ?').get(namespace, name) as
        | { until: number }
        | undefined;
      if (held !== undefined && held.until > nowMs) return { fence: null, heldUntil: held.until };
      // Beyond the clock's microseconds: a counter that a restore has set back has no number twice.
      const { value: fence } = db
        .sql("UPDATE counters SET value = max(value + 1, ? * 1000) WHERE name = 'lock' RETURNING value")
        .get(nowMs) as { value: number };
      db.sql(
        `INSERT INTO locks (namespace, name, fence, until) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET fence = excluded.fence, until = excluded.until`,
      ).run(namespace, name, fence, until);
      return { fence };
    },
    extend(namespace, name, fence, nowMs, until) {
      const { changes } = db
        .sql('UPDATE locks SET until = ? WHERE namespace = ? AND name = ? AND fence = ? AND until > ?')
        .run(until, namespace, name, fence, nowMs);
      return changes > 0;
    },
    release(namespace, name, fence) {
      const { changes } = db
        .sql('DELETE FROM locks WHERE namespace = ? AND name = ? AND fence = ?')
        .run(namespace, name, fence);
      return changes > 0;
    },
    sweep(nowMs, most) {
      const { changes } = db
        .sql(
          `DELETE FROM locks WHERE (namespace, name) IN (
             SELECT namespace, name FROM locks WHERE until <= ? LIMIT ?)`,
        )
        .run(nowMs, most);
      return Number(changes);
    },
  };
}
