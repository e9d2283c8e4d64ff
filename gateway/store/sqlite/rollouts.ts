/** Rollouts: those that run, and what became of the others. */
import { changedMeanwhile, type RolloutRecord, type RolloutStore } from '../api/rollouts.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

/** What has ended is kept, so many of it, the last ones. */
const MOST_ENDED = 1000;

export function rolloutsDomain(db: Database): Sync<RolloutStore> {
  return {
    put: (record) => putRollout(db, record),
    get(id) {
      const row = db.sql('SELECT record FROM rollouts WHERE id = ?').get(id) as Row | undefined;
      return row === undefined ? null : recordOf(row);
    },
    list(most) {
      const rows = db.sql('SELECT record FROM rollouts ORDER BY created_at DESC, id DESC LIMIT ?').all(most);
      return (rows as unknown as Row[]).map(recordOf);
    },
    running() {
      const rows = db.sql('SELECT record FROM rollouts WHERE ended = 0 ORDER BY created_at, id').all();
      return (rows as unknown as Row[]).map(recordOf);
    },
  };
}

/** Also part of a commit that moves traffic (registry.ts). */
export function putRollout(db: Database, record: RolloutRecord): void {
  const row = db.sql('SELECT record FROM rollouts WHERE id = ?').get(record.id) as Row | undefined;
  const before = row === undefined ? 0 : recordOf(row).revision;
  if (record.revision !== before + 1) throw changedMeanwhile(record);
  const ended = OVER.has(record.state);
  db.sql(
    `INSERT INTO rollouts (id, created_at, ended, record) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET ended = excluded.ended, record = excluded.record`,
  ).run(record.id, record.createdAt, ended ? 1 : 0, JSON.stringify(record));
  if (!ended) return;
  db.sql(
    `DELETE FROM rollouts WHERE id IN
       (SELECT id FROM rollouts WHERE ended = 1 ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?)`,
  ).run(MOST_ENDED);
}

const OVER: ReadonlySet<RolloutRecord['state']> = new Set(['completed', 'stopped', 'aborted']);

interface Row {
  record: string;
}

/** What was stored before revisions were counted has the first. */
function recordOf({ record }: Row): RolloutRecord {
  return { revision: 1, ...(JSON.parse(record) as Omit<RolloutRecord, 'revision'>) };
}
