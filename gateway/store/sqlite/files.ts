/** Files of buckets. */
import { HearthError } from '../../../functions/contract/errors.ts';
import { FILE_PART_BYTES, type FileHead, type FileStore, UNNAMED_FILE_MS } from '../api/files.ts';
import type { Database } from './database.ts';
import { beyond } from './kv.ts';
import type { Sync } from './protocol.ts';

interface FileRow {
  key: Uint8Array;
  upload: string;
  size: number;
  etag: string;
  uploaded_at: number;
  meta: string;
}

const COLUMNS = 'key, upload, size, etag, uploaded_at, meta';

export function filesDomain(db: Database): Sync<FileStore> {
  function uploadOf(bucket: string, key: Uint8Array): string | null {
    const row = db.sql('SELECT upload FROM files WHERE bucket = ? AND key = ?').get(bucket, key);
    return (row as { upload: string } | undefined)?.upload ?? null;
  }

  function unname(upload: string, expiresAt: number): void {
    db.sql('UPDATE file_uploads SET expires_at = ? WHERE upload = ?').run(expiresAt, upload);
  }

  return {
    writePart(upload, number, bytes, nowMs) {
      db.sql(
        `INSERT INTO file_uploads (upload, expires_at) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at`,
      ).run(upload, nowMs + UNNAMED_FILE_MS);
      db.sql('INSERT INTO file_parts (upload, number, bytes) VALUES (?, ?, ?)').run(upload, number, bytes);
    },
    put(bucket, { key: name, upload, size, etag, uploadedAt, meta }, before, nowMs) {
      const key = Buffer.from(name);
      const current = uploadOf(bucket, key);
      if (before !== undefined && before !== current) return false;
      const row = db.sql('SELECT count(*) AS parts FROM file_parts WHERE upload = ?').get(upload);
      if (Number(row?.parts) !== Math.ceil(size / FILE_PART_BYTES)) {
        throw new HearthError('NO_CAPACITY', `The content of ${name} took too long to come; send it again.`);
      }
      if (current !== null) unname(current, nowMs + UNNAMED_FILE_MS);
      db.sql('UPDATE file_uploads SET expires_at = NULL WHERE upload = ?').run(upload);
      db.sql(
        `INSERT INTO files (bucket, ${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET upload = excluded.upload, size = excluded.size, etag = excluded.etag,
           uploaded_at = excluded.uploaded_at, meta = excluded.meta`,
      ).run(bucket, key, upload, size, etag, uploadedAt, JSON.stringify(meta));
      return true;
    },
    head(bucket, key) {
      const row = db.sql(`SELECT ${COLUMNS} FROM files WHERE bucket = ? AND key = ?`).get(bucket, Buffer.from(key));
      return row === undefined ? null : toHead(row as unknown as FileRow);
    },
    readPart(upload, number) {
      const row = db.sql('SELECT bytes FROM file_parts WHERE upload = ? AND number = ?').get(upload, number);
      return (row as { bytes: Uint8Array } | undefined)?.bytes ?? null;
    },
    delete(bucket, keys, nowMs) {
      for (const name of keys) {
        const key = Buffer.from(name);
        const upload = uploadOf(bucket, key);
        if (upload === null) continue;
        unname(upload, nowMs + UNNAMED_FILE_MS);
        db.sql('DELETE FROM files WHERE bucket = ? AND key = ?').run(bucket, key);
      }
    },
    drop(upload, nowMs) {
      db.sql('UPDATE file_uploads SET expires_at = ? WHERE upload = ? AND expires_at IS NOT NULL').run(nowMs, upload);
    },
    list(bucket, { prefix, after, limit }) {
      const from = Buffer.from(prefix);
      const rows = db
        .sql(
          `SELECT ${COLUMNS} FROM files
           WHERE bucket = ?1 AND key >= ?2 AND key < ?3 AND (?4 IS NULL OR key > ?4) ORDER BY key LIMIT ?5`,
        )
        // The lower bound moves along, so that a late page does not pass over the early ones again.
        .all(bucket, after !== null && Buffer.compare(after, from) > 0 ? after : from, beyond(from), after, limit);
      return (rows as unknown as FileRow[]).map(toHead);
    },
    sweep(nowMs, most) {
      const { changes } = db
        .sql(
          `DELETE FROM file_parts WHERE rowid IN (
             SELECT p.rowid FROM file_uploads u JOIN file_parts p ON p.upload = u.upload
             WHERE u.expires_at <= ? LIMIT ?)`,
        )
        .run(nowMs, most);
      const left = most - Number(changes);
      if (left === 0) return most;
      const uploads = db
        .sql('DELETE FROM file_uploads WHERE upload IN (SELECT upload FROM file_uploads WHERE expires_at <= ? LIMIT ?)')
        .run(nowMs, left);
      return most - left + Number(uploads.changes);
    },
  };
}

function toHead(row: FileRow): FileHead {
  const { upload, size, etag, uploaded_at: uploadedAt } = row;
  return { key: Buffer.from(row.key).toString(), upload, size, etag, uploadedAt, meta: JSON.parse(row.meta) };
}
