/** Scoped access tokens. */
import type { TokenRecord, TokenStore } from '../api/tokens.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function tokensDomain(db: Database): Sync<TokenStore> {
  return {
    put(record) {
      db.sql('INSERT INTO tokens (id, record) VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record').run(
        record.id,
        JSON.stringify(record),
      );
    },
    list() {
      const rows = db.sql('SELECT record FROM tokens ORDER BY id').all() as unknown as { record: string }[];
      return rows.map((row) => JSON.parse(row.record) as TokenRecord);
    },
    delete: (id) => db.sql('DELETE FROM tokens WHERE id = ?').run(id).changes > 0,
  };
}
