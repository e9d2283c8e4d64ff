/** Base definitions that the API changed, and the bundles of their setups. */
import type { BaseRecord, BaseStore } from '../api/bases.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function basesDomain(db: Database): Sync<BaseStore> {
  return {
    list() {
      const rows = db.sql('SELECT record FROM bases ORDER BY name').all() as unknown as { record: string }[];
      return rows.map((row) => JSON.parse(row.record) as BaseRecord);
    },
    put(record, setup) {
      db.sql('INSERT INTO bases (name, record) VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record').run(
        record.name,
        JSON.stringify(record),
      );
      if (setup !== null) {
        db.sql('INSERT INTO base_setups (base, id, code) VALUES (?, ?, ?) ON CONFLICT DO NOTHING').run(
          record.name,
          setup.id,
          setup.code,
        );
      }
      const named = [record.current, record.previous].map((generation) =>
        generation?.setup?.kind === 'code' ? generation.setup.id : '',
      );
      db.sql('DELETE FROM base_setups WHERE base = ?1 AND id NOT IN (?2, ?3)').run(
        record.name,
        named[0] ?? '',
        named[1] ?? '',
      );
    },
    delete(name) {
      db.sql('DELETE FROM base_setups WHERE base = ?').run(name);
      return db.sql('DELETE FROM bases WHERE name = ?').run(name).changes > 0;
    },
    getSetup(name, id) {
      const row = db.sql('SELECT code FROM base_setups WHERE base = ? AND id = ?').get(name, id) as
        | { code: Uint8Array }
        | undefined;
      return row?.code ?? null;
    },
  };
}
