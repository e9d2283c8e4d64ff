/** What became of asynchronous invocations. */
import type { AsyncRecord, AsyncStore } from '../api/asyncs.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function asyncsDomain(db: Database): Sync<AsyncStore> {
  return {
    put(record, body) {
      db.sql(
        `INSERT INTO asyncs (id, record, expires_at, body) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET record = excluded.record, expires_at = excluded.expires_at, body = excluded.body
           WHERE (record ->> 'since', record ->> 'attempts') <= (?5, ?6)`,
      ).run(record.id, JSON.stringify(record), record.expiresAt, body, record.since, record.attempts);
    },
    get(id, nowMs) {
      const row = db.sql('SELECT record, body FROM asyncs WHERE id = ? AND expires_at > ?').get(id, nowMs) as
        | { record: string; body: Uint8Array | null }
        | undefined;
      return row === undefined ? null : { record: JSON.parse(row.record) as AsyncRecord, body: row.body };
    },
    sweep(nowMs, most) {
      const { changes } = db
        .sql('DELETE FROM asyncs WHERE rowid IN (SELECT rowid FROM asyncs WHERE expires_at <= ? LIMIT ?)')
        .run(nowMs, most);
      return Number(changes);
    },
  };
}
