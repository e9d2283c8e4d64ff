/** Who changed what, when. */
import type { AuditRecord, AuditStore } from '../api/audit.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function auditDomain(db: Database): Sync<AuditStore> {
  return {
    append({ time, actor, action, subject, detail }) {
      db.sql('INSERT INTO audit (time, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)').run(
        time,
        actor,
        action,
        subject,
        JSON.stringify(detail),
      );
    },
    list({ most, before }) {
      const rows = db
        .sql(
          'SELECT time, actor, action, subject, detail FROM audit WHERE time < ? ORDER BY time DESC, seq DESC LIMIT ?',
        )
        .all(before ?? Number.MAX_SAFE_INTEGER, most) as unknown as (Omit<AuditRecord, 'detail'> & {
        detail: string;
      })[];
      return rows.map((row) => ({ ...row, detail: JSON.parse(row.detail) as Record<string, unknown> }));
    },
  };
}
