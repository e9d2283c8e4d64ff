/** Numbers that functions count with. */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { CounterStore } from '../api/counters.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function countersDomain(db: Database): Sync<CounterStore> {
  function get(namespace: string, name: string): number {
    const row = db.sql('SELECT value FROM numbers WHERE namespace = ? AND name = ?').get(namespace, name);
    return (row as { value: number } | undefined)?.value ?? 0;
  }

  return {
    add(namespace, name, by) {
      const value = get(namespace, name) + by;
      if (!Number.isSafeInteger(value)) {
        throw new HearthError('BAD_REQUEST', `The counter ${name} would be beyond what a number holds exactly.`);
      }
      db.sql(
        `INSERT INTO numbers (namespace, name, value) VALUES (?, ?, ?)
         ON CONFLICT DO UPDATE SET value = excluded.value`,
      ).run(namespace, name, value);
      return value;
    },
    get,
    delete(namespace, name) {
      db.sql('DELETE FROM numbers WHERE namespace = ? AND name = ?').run(namespace, name);
    },
  };
}
