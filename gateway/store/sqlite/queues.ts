/**
 * Queues. A message's life:
 *
 *   enqueue ──► waiting ──claim──► leased ──ack──► gone
 *                  ▲                 │ ├──retry──► waiting (due later)
 *                  │                 │ └──dead──► waiting in the dead-letter queue ──redrive──► waiting
 *                  └── lease ended ──┘   (claimed again at once: a new fence, one attempt more)
 *
 * One index serves claims: (queue, leased, due_at). A fence is unique in the whole file, so an id that stands twice in
 * one queue (a dead letter of another source, an id used again after a day) is still one message to its holder.
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import {
  type ClaimedMessage,
  type ContentType,
  type DeadMessage,
  defaultQueueSettings,
  MOST_FAILURE_BYTES,
  type NewMessage,
  type QueueSettings,
  type QueueStore,
  type Settlement,
} from '../api/queues.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export const DEDUP_MS = 24 * 60 * 60 * 1000;

/** Old ids that one enqueue clears away at most, beyond as many as it brings: so they never pile up and nobody waits long. */
const SWEEP_EXTRA = 50;

interface MessageRow {
  seq: number;
  id: string;
  accepted_at: number;
  attempts: number;
  content_type: ContentType;
  delay_s: number;
  traceparent: string | null;
  hops: number;
  kills: number | null;
  body: Uint8Array;
}

const CLAIM_COLUMNS =
  'm.seq, id, accepted_at, attempts, content_type, delay_s, traceparent, hops, kills, body FROM messages m JOIN message_bodies b ON b.seq = m.seq';

/**
 * One message of a queue by its id. Said outright: without statistics SQLite takes (queue, leased) for as good as
 * (queue, id), and would go through all that is in flight for each acknowledgement.
 */
const BY_ID = 'INDEXED BY messages_id';

/** Both halves of a claim. */
const CLAIM_SQL = {
  ended: `SELECT ${CLAIM_COLUMNS} WHERE queue = ? AND leased = 1 AND due_at <= ? ORDER BY due_at, m.seq LIMIT ?`,
  waiting: `SELECT ${CLAIM_COLUMNS} WHERE queue = ? AND leased = 0 AND due_at <= ? ORDER BY due_at, m.seq LIMIT ?`,
};

/** Of all queues: what is in flight may be claimed again at once. */
export function endClaims(db: Database): void {
  db.exec('UPDATE messages SET due_at = 0 WHERE leased = 1 AND queue IN (SELECT id FROM queues)');
}

export function queuesDomain(db: Database): Sync<QueueStore> {
  function find(name: string): { id: number; settings: QueueSettings } | undefined {
    const row = db.sql('SELECT id, settings FROM queues WHERE name = ?').get(name) as
      | { id: number; settings: string }
      | undefined;
    return row === undefined ? undefined : { id: row.id, settings: JSON.parse(row.settings) as QueueSettings };
  }

  function idOf(name: string): number | undefined {
    return (db.sql('SELECT id FROM queues WHERE name = ?').get(name) as { id: number } | undefined)?.id;
  }

  function findOrMake(name: string): number {
    return (
      idOf(name) ??
      Number(
        db
          .sql('INSERT INTO queues (name, settings) VALUES (?, ?)')
          .run(name, JSON.stringify(defaultQueueSettings(name))).lastInsertRowid,
      )
    );
  }

  /** Remembers the id; false when it was seen within 24 h. */
  function firstSeen(queue: number, id: string, nowMs: number): boolean {
    const { changes } = db
      .sql(
        `INSERT INTO seen_ids (queue, id, at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET at = excluded.at WHERE at <= ?4`,
      )
      .run(queue, id, nowMs, nowMs - DEDUP_MS);
    return changes > 0;
  }

  function insert(queue: number, message: NewMessage, nowMs: number): void {
    const { lastInsertRowid: seq } = db
      .sql(
        `INSERT INTO messages (queue, id, accepted_at, due_at, content_type, delay_s, traceparent, hops)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        queue,
        message.id,
        nowMs,
        nowMs + Math.round(message.delayS * 1000),
        message.contentType,
        message.delayS,
        message.traceparent,
        message.hops,
      );
    db.sql('INSERT INTO message_bodies (seq, body) VALUES (?, ?)').run(seq, message.body);
  }

  /** So many fences, the first of which is returned. */
  function takeFences(count: number): number {
    const row = db.sql("UPDATE counters SET value = value + ? WHERE name = 'fence' RETURNING value").get(count) as {
      value: number;
    };
    return row.value - count + 1;
  }

  function settleOne(
    queue: number,
    name: string,
    settlement: Settlement,
    nowMs: number,
    deadQueue: () => number,
  ): boolean {
    const held = [queue, settlement.id, settlement.fence] as const;
    switch (settlement.verdict) {
      case 'ack':
        return (
          db.sql(`DELETE FROM messages ${BY_ID} WHERE queue = ? AND id = ? AND fence = ? AND leased = 1`).run(...held)
            .changes > 0
        );
      case 'retry':
        return (
          db
            .sql(
              `UPDATE messages ${BY_ID} SET leased = 0, owner = NULL, due_at = ?4, attempts = attempts - ?5, kills = ?7,
                 failures = CASE WHEN ?6 IS NULL OR length(failures) >= ${MOST_FAILURE_BYTES} THEN failures
                   ELSE coalesce(failures || ',', '') || ?6 END
               WHERE queue = ?1 AND id = ?2 AND fence = ?3 AND leased = 1`,
            )
            .run(
              ...held,
              settlement.dueAt,
              settlement.countAttempt ? 0 : 1,
              failureOf(settlement.reason, nowMs),
              settlement.kills ?? null,
            ).changes > 0
        );
      case 'dead':
        return (
          db
            .sql(
              `UPDATE messages ${BY_ID} SET queue = ?4, source = ?5, reason = ?6, died_at = ?7, died_attempts = attempts,
                 died_failures = coalesce(failures || ',', '') || ?8, failures = NULL, kills = NULL,
                 leased = 0, owner = NULL, due_at = ?7, attempts = 0
               WHERE queue = ?1 AND id = ?2 AND fence = ?3 AND leased = 1`,
            )
            .run(...held, deadQueue(), name, settlement.reason, nowMs, failureOf(settlement.reason, nowMs)).changes > 0
        );
    }
  }

  return {
    put(name, settings) {
      db.sql(
        'INSERT INTO queues (name, settings) VALUES (?, ?) ON CONFLICT DO UPDATE SET settings = excluded.settings',
      ).run(name, JSON.stringify(settings));
    },
    get: (name) => find(name)?.settings ?? null,
    list() {
      const rows = db.sql('SELECT name, settings FROM queues ORDER BY name').all() as unknown as {
        name: string;
        settings: string;
      }[];
      return rows.map((row) => ({ name: row.name, settings: JSON.parse(row.settings) as QueueSettings }));
    },
    delete(name) {
      const queue = idOf(name);
      if (queue === undefined) return false;
      db.sql('DELETE FROM messages WHERE queue = ?').run(queue);
      db.sql('DELETE FROM seen_ids WHERE queue = ?').run(queue);
      db.sql('DELETE FROM queues WHERE id = ?').run(queue);
      return true;
    },
    enqueue(name, messages, nowMs) {
      const queue = findOrMake(name);
      const duplicates: string[] = [];
      let remembered = 0;
      for (const message of messages) {
        if (message.generatedId !== true) {
          remembered++;
          if (!firstSeen(queue, message.id, nowMs)) {
            duplicates.push(message.id);
            continue;
          }
        }
        insert(queue, message, nowMs);
      }
      if (remembered > 0) {
        db.sql(
          'DELETE FROM seen_ids WHERE (queue, id) IN (SELECT queue, id FROM seen_ids WHERE at <= ? ORDER BY at LIMIT ?)',
        ).run(nowMs - DEDUP_MS, remembered + SWEEP_EXTRA);
      }
      return { ids: messages.map((message) => message.id), duplicates };
    },
    publish(names, messages, nowMs) {
      for (const name of names) {
        const queue = findOrMake(name);
        for (const message of messages) insert(queue, message, nowMs);
      }
    },
    claim(name, { most, nowMs, leaseUntil, owner }) {
      const queue = idOf(name);
      if (queue === undefined || most <= 0) return [];
      const rows = db.sql(CLAIM_SQL.ended).all(queue, nowMs, most) as unknown as MessageRow[];
      if (rows.length < most) {
        rows.push(...(db.sql(CLAIM_SQL.waiting).all(queue, nowMs, most - rows.length) as unknown as MessageRow[]));
      }
      if (rows.length === 0) return [];
      const firstFence = takeFences(rows.length);
      const lease = db.sql(
        'UPDATE messages SET leased = 1, due_at = ?, owner = ?, fence = ?, attempts = attempts + 1 WHERE seq = ?',
      );
      return rows.map((row, i): ClaimedMessage => {
        const fence = firstFence + i;
        lease.run(leaseUntil, owner, fence, row.seq);
        return {
          queue: name,
          id: row.id,
          body: row.body,
          contentType: row.content_type,
          delayS: row.delay_s,
          traceparent: row.traceparent,
          hops: row.hops,
          timestamp: row.accepted_at,
          attempts: row.attempts + 1,
          kills: row.kills,
          fence,
        };
      });
    },
    extend(name, held, leaseUntil) {
      const queue = idOf(name);
      if (queue === undefined) return [];
      const lengthen = db.sql(
        `UPDATE messages ${BY_ID} SET due_at = ? WHERE queue = ? AND id = ? AND fence = ? AND leased = 1`,
      );
      return held.filter(({ id, fence }) => lengthen.run(leaseUntil, queue, id, fence).changes > 0).map(({ id }) => id);
    },
    settle(name, settlements, nowMs) {
      const found = find(name);
      if (found === undefined) return { refused: settlements.map(({ id }) => id) };
      const deadQueue = () => findOrMake(found.settings.deadLetterQueue);
      return {
        refused: settlements
          .filter((settlement) => !settleOne(found.id, name, settlement, nowMs, deadQueue))
          .map(({ id }) => id),
      };
    },
    nextDue(name) {
      const queue = idOf(name);
      if (queue === undefined) return null;
      const dues = [0, 1].flatMap((leased) => {
        const row = db.sql('SELECT min(due_at) AS due FROM messages WHERE queue = ? AND leased = ?').get(queue, leased);
        return typeof row?.due === 'number' ? [row.due] : [];
      });
      return dues.length === 0 ? null : Math.min(...dues);
    },
    stats(name, nowMs) {
      const queue = idOf(name) ?? -1;
      const row = db
        .sql(
          `SELECT (SELECT count(*) FROM messages WHERE queue = ?1) AS depth,
                  (SELECT count(*) FROM messages WHERE queue = ?1 AND leased = 0 AND due_at > ?2) AS delayed,
                  (SELECT count(*) FROM messages WHERE queue = ?1 AND leased = 1 AND due_at > ?2) AS in_flight,
                  (SELECT min(accepted_at) FROM messages WHERE queue = ?1) AS oldest_at,
                  (SELECT count(*) FROM messages WHERE source = ?3) AS dead`,
        )
        .get(queue, nowMs, name) as {
        depth: number;
        delayed: number;
        in_flight: number;
        oldest_at: number | null;
        dead: number;
      };
      return {
        depth: row.depth,
        delayed: row.delayed,
        inFlight: row.in_flight,
        oldestAt: row.oldest_at,
        dead: row.dead,
      };
    },
    dead(name, { most, cursor }) {
      const [diedAt, seq] = cursor === null ? [-1, -1] : readCursor(cursor);
      const rows = db
        .sql(
          `SELECT m.seq, id, body, content_type, accepted_at, died_attempts, died_at, source, reason, died_failures
           FROM messages m JOIN message_bodies b ON b.seq = m.seq
           WHERE source = ?1 AND (died_at, m.seq) > (?2, ?3) ORDER BY died_at, m.seq LIMIT ?4`,
        )
        .all(name, diedAt, seq, most + 1) as unknown as (MessageRow & {
        died_attempts: number;
        died_at: number;
        source: string;
        reason: string;
        died_failures: string | null;
      })[];
      const page = rows.slice(0, most);
      const last = page.at(-1);
      return {
        messages: page.map((row) => ({
          id: row.id,
          body: row.body,
          contentType: row.content_type,
          timestamp: row.accepted_at,
          attempts: row.died_attempts,
          diedAt: row.died_at,
          source: row.source,
          reason: row.reason,
          failures: JSON.parse(`[${row.died_failures ?? ''}]`) as DeadMessage['failures'],
        })),
        cursor: rows.length > page.length && last !== undefined ? `${last.died_at}.${last.seq}` : null,
      };
    },
    redrive(name, ids, nowMs) {
      // A queue that is not there is made for what comes back, and for nothing else.
      if (db.sql('SELECT 1 FROM messages WHERE source = ? LIMIT 1').get(name) === undefined) return 0;
      const queue = findOrMake(name);
      const revive = (by: string, which: string) =>
        db.sql(
          `UPDATE messages ${by} SET queue = ?1, source = NULL, reason = NULL, died_at = NULL, died_attempts = NULL,
             failures = NULL, died_failures = NULL, kills = NULL, leased = 0, owner = NULL, due_at = ?3, attempts = 0
           WHERE source = ?2 AND (leased = 0 OR due_at <= ?3) ${which}`,
        );
      if (ids === 'all') return Number(revive('', '').run(queue, name, nowMs).changes);
      const one = revive(BY_ID, 'AND queue = ?4 AND id = ?5');
      // Dead letters of one source stand in one queue, but for those that died before the settings named another.
      const places = db.sql('SELECT DISTINCT queue FROM messages WHERE source = ?').all(name) as unknown as {
        queue: number;
      }[];
      let revived = 0;
      for (const place of places) {
        for (const id of new Set(ids)) revived += Number(one.run(queue, name, nowMs, place.queue, id).changes);
      }
      return revived;
    },
    purge(name) {
      const queue = idOf(name);
      return queue === undefined ? 0 : Number(db.sql('DELETE FROM messages WHERE queue = ?').run(queue).changes);
    },
  };
}

function failureOf(reason: string | null, at: number): string | null {
  return reason === null ? null : JSON.stringify({ at, reason });
}

function readCursor(cursor: string): [number, number] {
  const parts = /^(\d{1,15})\.(\d{1,15})$/.exec(cursor);
  if (parts === null) throw new HearthError('BAD_REQUEST', 'The cursor is none that an earlier answer gave.');
  return [Number(parts[1]), Number(parts[2])];
}
