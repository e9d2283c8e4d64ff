/** Answers kept under idempotency keys. */
import type { AnswerStore } from '../api/answers.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

interface AnswerRow {
  request: string;
  lease_until: number;
  expires_at: number;
  head: string | null;
  body: Uint8Array | null;
}

export function answersDomain(db: Database): Sync<AnswerStore> {
  return {
    begin(scope, key, request, owner, { nowMs, leaseUntil, expiresAt }) {
      const row = db
        .sql('SELECT request, lease_until, expires_at, head, body FROM answers WHERE scope = ? AND key = ?')
        .get(scope, key) as AnswerRow | undefined;
      if (row !== undefined && row.expires_at > nowMs) {
        if (row.request !== request) return { state: 'mismatch' };
        if (row.head !== null) {
          return {
            state: 'done',
            answer: { head: JSON.parse(row.head) as unknown, body: row.body ?? new Uint8Array() },
          };
        }
        if (row.lease_until > nowMs) return { state: 'running' };
      }
      db.sql(
        `INSERT OR REPLACE INTO answers (scope, key, request, owner, lease_until, expires_at)
         VALUES (?, ?, ?, ?, ?, ?)`,
      ).run(scope, key, request, owner, leaseUntil, expiresAt);
      return { state: 'begin' };
    },
    extend(scope, key, owner, leaseUntil) {
      const { changes } = db
        .sql('UPDATE answers SET lease_until = ? WHERE scope = ? AND key = ? AND owner = ? AND head IS NULL')
        .run(leaseUntil, scope, key, owner);
      return changes > 0;
    },
    finish(scope, key, owner, { head, body }) {
      db.sql('UPDATE answers SET head = ?, body = ? WHERE scope = ? AND key = ? AND owner = ? AND head IS NULL').run(
        JSON.stringify(head),
        body,
        scope,
        key,
        owner,
      );
    },
    abandon(scope, key, owner) {
      db.sql('DELETE FROM answers WHERE scope = ? AND key = ? AND owner = ? AND head IS NULL').run(scope, key, owner);
    },
    sweep(nowMs, most) {
      const { changes } = db
        .sql('DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE expires_at <= ? LIMIT ?)')
        .run(nowMs, most);
      return Number(changes);
    },
  };
}
