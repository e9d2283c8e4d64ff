/** Crons: what is due next, the last run of each, and the runs that have not ended. */
import type { CronClaim, CronClaimed, CronEnd, CronRecord, CronStore } from '../api/crons.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

type Last = NonNullable<CronRecord['last']>;

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
  running: number;
  fired_until: number;
}

interface RunRow {
  cron: string;
  due_at: number;
  started_at: number;
  invocation_id: string;
  attempts: number;
}

export function cronsDomain(db: Database): Sync<CronStore> {
  function lastOf(id: string): Last | null {
    const row = db.sql('SELECT last FROM crons WHERE id = ?').get(id) as { last: string | null } | undefined;
    return row === undefined ? null : readLast(row.last);
  }

  function setLast(id: string, last: Last): void {
    db.sql('UPDATE crons SET last = ? WHERE id = ?').run(JSON.stringify(last), id);
  }

  function list(functionName?: string): CronRecord[] {
    const rows = db
      .sql(
        `SELECT *, (SELECT count(*) FROM cron_runs WHERE cron = crons.id) AS running FROM crons
         WHERE ?1 IS NULL OR function_name = ?1 ORDER BY id`,
      )
      .all(functionName ?? null) as unknown as CronRow[];
    return rows.map((row) => ({
      id: row.id,
      functionName: row.function_name,
      expression: row.expression,
      timezone: row.timezone,
      missed: row.missed,
      overlap: row.overlap,
      paused: row.paused === 1,
      nextAt: row.next_at,
      running: row.running,
      firedUntil: row.fired_until,
      last: readLast(row.last),
    }));
  }

  function claim(claim: CronClaim, owner: string, leaseUntil: number): CronClaimed {
    const { id, dueAt, nextAt, startedAt, invocationId, skipped, alone } = claim;
    const row = db
      .sql(
        `SELECT next_at, paused, EXISTS (SELECT 1 FROM cron_runs WHERE cron = crons.id) AS running
         FROM crons WHERE id = ?`,
      )
      .get(id) as { next_at: number | null; paused: number; running: number } | undefined;
    if (row === undefined) return { state: 'gone' };
    if (row.next_at !== dueAt) return { state: 'passed', nextAt: row.next_at, paused: row.paused === 1 };
    if (alone && row.running === 1) return { state: 'busy' };
    const last: Last = {
      dueAt,
      startedAt,
      endedAt: skipped === null ? null : startedAt,
      outcome: skipped === null ? 'running' : 'skipped',
      attempts: 1,
      invocationId,
      error: skipped,
    };
    db.sql('UPDATE crons SET next_at = ?, last = ?, fired_until = max(fired_until, ?) WHERE id = ?').run(
      nextAt,
      JSON.stringify(last),
      Math.max(dueAt, startedAt),
      id,
    );
    if (skipped === null) {
      db.sql(
        'INSERT INTO cron_runs (invocation_id, cron, due_at, started_at, owner, lease_until) VALUES (?, ?, ?, ?, ?, ?)',
      ).run(invocationId, id, dueAt, startedAt, owner, leaseUntil);
    }
    return { state: 'claimed' };
  }

  /** False when it is refused. */
  function finish({ id, invocationId, endedAt, outcome, error }: CronEnd, owner: string): boolean {
    const run = db
      .sql('DELETE FROM cron_runs WHERE invocation_id = ? AND owner = ? RETURNING *')
      .get(invocationId, owner) as RunRow | undefined;
    if (run === undefined) return false;
    const last = lastOf(id);
    if (last === null || (last.invocationId !== invocationId && last.outcome !== 'skipped')) return true;
    const { due_at: dueAt, started_at: startedAt, attempts } = run;
    setLast(id, { dueAt, startedAt, endedAt, outcome, attempts, invocationId, error });
    return true;
  }

  return {
    list,
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
             next_at = CASE
               WHEN paused = 1 THEN NULL
               WHEN expression = excluded.expression AND timezone = excluded.timezone THEN next_at
               ELSE excluded.next_at END`,
        ).run(cron.id, functionName, cron.expression, cron.timezone, cron.missed, cron.overlap, cron.nextAt);
      }
      return list(functionName);
    },
    claim: (claims, owner, leaseUntil) => claims.map((one) => claim(one, owner, leaseUntil)),
    extend(owner, leaseUntil) {
      const rows = db
        .sql('UPDATE cron_runs SET lease_until = ? WHERE owner = ? RETURNING invocation_id')
        .all(leaseUntil, owner);
      return (rows as unknown as { invocation_id: string }[]).map((row) => row.invocation_id);
    },
    takeOver(owner, nowMs, leaseUntil, mine) {
      const rows = db
        .sql(
          `UPDATE cron_runs SET owner = ?1, lease_until = ?2, attempts = attempts + 1
           WHERE (owner <> ?1 AND lease_until <= ?3) OR (owner = ?1 AND ?4)
           RETURNING cron, due_at, started_at, invocation_id, attempts`,
        )
        .all(owner, leaseUntil, nowMs, mine ? 1 : 0) as unknown as RunRow[];
      for (const { cron, invocation_id: invocationId, attempts } of rows) {
        const last = lastOf(cron);
        if (last?.invocationId === invocationId) setLast(cron, { ...last, attempts });
      }
      return rows
        .map((row) => ({
          id: row.cron,
          dueAt: row.due_at,
          startedAt: row.started_at,
          invocationId: row.invocation_id,
          attempt: row.attempts,
        }))
        .sort((a, b) => a.dueAt - b.dueAt);
    },
    finish: (ends, owner) => ends.filter((end) => !finish(end, owner)).map(({ invocationId }) => invocationId),
    setPaused(id, paused, nextAt) {
      return (
        db.sql('UPDATE crons SET paused = ?, next_at = ? WHERE id = ?').run(paused ? 1 : 0, nextAt, id).changes > 0
      );
    },
  };
}

function readLast(text: string | null): Last | null {
  // Before attempts were counted there was no number.
  return text === null ? null : { attempts: 1, ...(JSON.parse(text) as Omit<Last, 'attempts'>) };
}
