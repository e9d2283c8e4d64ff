/** What is published beyond what manifests say, and what of that is not. */
import type { PublicationRecord, PublicationStore } from '../api/publications.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function publicationsDomain(db: Database): Sync<PublicationStore> {
  const put = (name: string, functionName: string, record: PublicationRecord | null) =>
    db
      .sql(
        `INSERT INTO publications (name, function_name, record) VALUES (?, ?, ?)
         ON CONFLICT DO UPDATE SET function_name = excluded.function_name, record = excluded.record`,
      )
      .run(name, functionName, record === null ? null : JSON.stringify(record));

  return {
    load() {
      const rows = db.sql('SELECT name, record FROM publications ORDER BY name').all() as unknown as {
        name: string;
        record: string | null;
      }[];
      return {
        publications: rows.flatMap(({ record }) => (record === null ? [] : [JSON.parse(record) as PublicationRecord])),
        withdrawn: rows.flatMap(({ name, record }) => (record === null ? [name] : [])),
      };
    },
    put: (record) => void put(record.name, record.function, record),
    delete: (name) => db.sql('DELETE FROM publications WHERE name = ? AND record IS NOT NULL').run(name).changes > 0,
    withdraw: (functionName) => void put(functionName, functionName, null),
  };
}
