/** Key-value pairs with the semantics of Workers KV. An expired entry is gone for readers before sweep removes it. */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { KvStore } from '../api/kv.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

interface KvRow {
  key: Uint8Array;
  value: Uint8Array;
  metadata: string | null;
  expiration: number | null;
}

export function kvDomain(db: Database): Sync<KvStore> {
  return {
    get(namespace, key, nowMs) {
      const row = db
        .sql('SELECT expiration, metadata, value FROM kv WHERE namespace = ? AND key = ?')
        .get(namespace, Buffer.from(key)) as unknown as KvRow | undefined;
      if (row === undefined || (row.expiration !== null && row.expiration * 1000 <= nowMs)) return null;
      return { value: row.value, metadata: fromJson(row.metadata), expiration: row.expiration };
    },
    put(namespace, key, entry) {
      db.sql(
        `INSERT INTO kv (namespace, key, expiration, metadata, value) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET expiration = excluded.expiration, metadata = excluded.metadata, value = excluded.value`,
      ).run(namespace, Buffer.from(key), entry.expiration, toJson(entry.metadata), entry.value);
    },
    delete(namespace, key) {
      db.sql('DELETE FROM kv WHERE namespace = ? AND key = ?').run(namespace, Buffer.from(key));
    },
    list(namespace, options) {
      const from = Buffer.from(options.prefix);
      const after = options.cursor === null ? null : readCursor(options.cursor, from);
      const rows = db
        .sql(
          `SELECT key, expiration, metadata FROM kv
           WHERE namespace = ?1 AND key >= ?2 AND key < ?3 AND (?4 IS NULL OR key > ?4)
             AND (expiration IS NULL OR expiration * 1000 > ?5)
           ORDER BY key LIMIT ?6`,
        )
        // The lower bound moves with the cursor, so that a late page does not pass over the early ones again.
        .all(namespace, after ?? from, beyond(from), after, options.nowMs, options.limit + 1) as unknown as Omit<
        KvRow,
        'value'
      >[];
      const page = rows.slice(0, options.limit);
      const last = page.at(-1);
      return {
        keys: page.map((row) => ({
          name: Buffer.from(row.key).toString(),
          expiration: row.expiration,
          metadata: fromJson(row.metadata),
        })),
        cursor: rows.length > page.length && last !== undefined ? Buffer.from(last.key).toString('base64url') : null,
      };
    },
    sweep(nowMs, most) {
      const { changes } = db
        .sql('DELETE FROM kv WHERE rowid IN (SELECT rowid FROM kv WHERE expiration <= ? LIMIT ?)')
        .run(Math.floor(nowMs / 1000), most);
      return Number(changes);
    },
  };
}

/** The first byte string after all that start with `prefix`. UTF-8 has no byte 0xff, so that one ends them all. */
export function beyond(prefix: Uint8Array): Uint8Array {
  return Buffer.concat([prefix, Buffer.from([0xff])]);
}

function readCursor(cursor: string, prefix: Buffer): Buffer {
  const key = Buffer.from(cursor, 'base64url');
  if (key.toString('base64url') !== cursor || !key.subarray(0, prefix.length).equals(prefix)) {
    throw new HearthError('BAD_REQUEST', 'The cursor is none that an earlier list of this prefix answered.');
  }
  return key;
}

function toJson(metadata: unknown): string | null {
  return metadata === undefined || metadata === null ? null : JSON.stringify(metadata);
}

function fromJson(text: string | null): unknown {
  return text === null ? null : JSON.parse(text);
}
