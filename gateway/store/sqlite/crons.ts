/** Crons: what is due next, and the last run of each. */
import type { CronRecord, CronStore } from '../store.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

interface CronRow {
  id: string;
  function_name: string;
  expression: string;
  timezone: string;
  missed: CronRecord['missed'];
  overlap: CronRecord['overlap'];
  paused: number;
  next_at: number | null;
  last: string | null;
}

interface RunRow {
  cron: string;
  due_at: number;
  started_at: number;
  invocation_id: string;
}

export function cronsDomain(db: Database): Sync<CronStore> {
  function lastOf(id: string): CronRecord['last'] {
    const row = db.sql('SELECT last FROM crons WHERE id = ?').get(id) as { last: string | null } | undefined;
    return row === undefined || row.last === null ? null : (JSON.parse(row.last) as CronRecord['last']);
  }

  return {
    list() {
      const rows = db.sql('SELECT * FROM crons ORDER BY id').all() as unknown as CronRow[];
      return rows.map((row) => ({
        id: row.id,
        functionName: row.function_name,
        expression: row.expression,
        timezone: row.timezone,
        missed: row.missed,
        overlap: row.overlap,
        paused: row.paused === 1,
        nextAt: row.next_at,
        last: row.last === null ? null : (JSON.parse(row.last) as CronRecord['last']),
      }));
    },
    replace(functionName, crons) {
      db.sql(
        `DELETE FROM cron_runs WHERE cron IN
           (SELECT id FROM crons WHERE function_name = ? AND id NOT IN (SELECT value FROM json_each(?)))`,
      ).run(functionName, JSON.stringify(crons.map(({ id }) => id)));
      db.sql('DELETE FROM crons WHERE function_name = ? AND id NOT IN (SELECT value FROM json_each(?))').run(
        functionName,
        JSON.stringify(crons.map(({ id }) => id)),
      );
      for (const cron of crons) {
        db.sql(
          `INSERT INTO crons (id, function_name, expression, timezone, missed, overlap, next_at) VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET function_name = excluded.function_name, expression = excluded.expression,
             timezone = excluded.timezone, missed = excluded.missed, overlap = excluded.overlap,
             next_at = CASE WHEN paused = 1 THEN NULL ELSE excluded.next_at END`,
        ).run(cron.id, functionName, cron.expression, cron.timezone, cron.missed, cron.overlap, cron.nextAt);
      }
    },
    claim(id, dueAt, nextAt, { startedAt, invocationId, owner, leaseUntil }) {
      const last: CronRecord['last'] = {
        dueAt,
        startedAt,
        endedAt: null,
        outcome: 'running',
        invocationId,
        error: null,
      };
      const claimed = db
        .sql('UPDATE crons SET next_at = ?, last = ? WHERE id = ? AND next_at = ?')
        .run(nextAt, JSON.stringify(last), id, dueAt).changes;
      if (claimed === 0) return false;
      db.sql(
        'INSERT INTO cron_runs (invocation_id, cron, due_at, started_at, owner, lease_until) VALUES (?, ?, ?, ?, ?, ?)',
      ).run(invocationId, id, dueAt, startedAt, owner, leaseUntil);
      return true;
    },
    extend(owner, leaseUntil) {
      const rows = db
        .sql('UPDATE cron_runs SET lease_until = ? WHERE owner = ? RETURNING invocation_id')
        .all(leaseUntil, owner);
      return (rows as unknown as { invocation_id: string }[]).map((row) => row.invocation_id);
    },
    takeOver(owner, nowMs, leaseUntil, mine) {
      const rows = db
        .sql(
          `UPDATE cron_runs SET owner = ?1, lease_until = ?2
           WHERE (owner <> ?1 AND lease_until <= ?3) OR (owner = ?1 AND ?4)
           RETURNING cron, due_at, started_at, invocation_id`,
        )
        .all(owner, leaseUntil, nowMs, mine ? 1 : 0) as unknown as RunRow[];
      return rows
        .map((row) => ({
          id: row.cron,
          dueAt: row.due_at,
          startedAt: row.started_at,
          invocationId: row.invocation_id,
        }))
        .sort((a, b) => a.dueAt - b.dueAt);
    },
    finish(id, invocationId, endedAt, outcome, error) {
      db.sql('DELETE FROM cron_runs WHERE invocation_id = ?').run(invocationId);
      const last = lastOf(id);
      if (last === null || last.invocationId !== invocationId) return;
      db.sql('UPDATE crons SET last = ? WHERE id = ?').run(JSON.stringify({ ...last, endedAt, outcome, error }), id);
    },
    setPaused(id, paused, nextAt) {
      return (
        db.sql('UPDATE crons SET paused = ?, next_at = ? WHERE id = ?').run(paused ? 1 : 0, nextAt, id).changes > 0
      );
    },
  };
}
