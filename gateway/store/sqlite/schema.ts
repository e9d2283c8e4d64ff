/**
 * The tables, as forward migrations: entry n takes a file from version n to n + 1 (`PRAGMA user_version`). Entries that
 * have been released are never edited.
 */
import type { DatabaseSync } from 'node:sqlite';
import { StoreStartError } from '../start-error.ts';

/** "Hrth": tells our files from any other SQLite database. */
const APPLICATION_ID = 0x48727468;

const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE functions (
    name TEXT PRIMARY KEY,
    traffic TEXT,
    previous_traffic TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Apart from functions: secrets may be set before the first deploy, and the count outlives the function.
  CREATE TABLE secret_revisions (
    function_name TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE secrets (
    function_name TEXT NOT NULL,
    key TEXT NOT NULL,
    sealed BLOB NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (function_name, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE versions (
    function_name TEXT NOT NULL,
    version TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (function_name, version)
  ) STRICT;

  -- Large values: rowid tables, so that an index search passes no payload.
  CREATE TABLE artifacts (
    function_name TEXT NOT NULL,
    version TEXT NOT NULL,
    code BLOB NOT NULL,
    source_map BLOB,
    PRIMARY KEY (function_name, version)
  ) STRICT;
  CREATE TABLE artifact_files (
    function_name TEXT NOT NULL,
    version TEXT NOT NULL,
    path TEXT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (function_name, version, path)
  ) STRICT;
  CREATE TABLE code_caches (
    function_name TEXT NOT NULL,
    version TEXT NOT NULL,
    key TEXT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (function_name, version)
  ) STRICT;

  -- Keys as UTF-8 bytes, since that is the order KV lists in. The value stands last: a list reads no overflow page.
  CREATE TABLE kv (
    namespace TEXT NOT NULL,
    key BLOB NOT NULL,
    expiration INTEGER,
    metadata TEXT,
    value BLOB NOT NULL,
    PRIMARY KEY (namespace, key)
  ) STRICT;
  CREATE INDEX kv_expiring ON kv (expiration) WHERE expiration IS NOT NULL;

  CREATE TABLE queues (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL
  ) STRICT;

  -- seq is the order of acceptance. due_at is when a message can be claimed: its due time while it waits, the end of
  -- its lease while it is leased.
  CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    leased INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    content_type TEXT NOT NULL,
    delay_s REAL NOT NULL,
    traceparent TEXT,
    hops INTEGER NOT NULL,
    reason TEXT,
    source TEXT,
    died_at INTEGER,
    died_attempts INTEGER
  ) STRICT;
  CREATE INDEX messages_due ON messages (queue, leased, due_at);
  CREATE INDEX messages_id ON messages (queue, id);
  CREATE INDEX messages_age ON messages (queue, accepted_at);
  CREATE INDEX messages_dead ON messages (source, died_at) WHERE source IS NOT NULL;

  -- Apart, since SQLite writes a whole row again for each change of its lease, and a body has up to 128 KB.
  CREATE TABLE message_bodies (
    seq INTEGER PRIMARY KEY,
    body BLOB NOT NULL
  ) STRICT;
  CREATE TRIGGER message_gone AFTER DELETE ON messages BEGIN
    DELETE FROM message_bodies WHERE seq = OLD.seq;
  END;

  -- Ids given by producers, kept for 24 h after acceptance.
  CREATE TABLE seen_ids (
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (queue, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX seen_ids_at ON seen_ids (at);

  CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO counters VALUES ('fence', 0);

  CREATE TABLE crons (
    id TEXT PRIMARY KEY,
    function_name TEXT NOT NULL,
    expression TEXT NOT NULL,
    timezone TEXT NOT NULL,
    missed TEXT NOT NULL,
    overlap TEXT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER,
    last TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX crons_function ON crons (function_name);

  CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    record TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX audit_time ON audit (time);
  `,
  `
  -- A row without a record: what the manifest of the function of that name publishes was taken back.
  CREATE TABLE publications (
    name TEXT PRIMARY KEY,
    function_name TEXT NOT NULL,
    record TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX publications_function ON publications (function_name);
  `,
  `
  CREATE TABLE bases (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- Bundles of setups that came over the API.
  CREATE TABLE base_setups (
    base TEXT NOT NULL,
    id TEXT NOT NULL,
    code BLOB NOT NULL,
    PRIMARY KEY (base, id)
  ) STRICT;
  `,
  `
  CREATE TABLE rollouts (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    record TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX rollouts_age ON rollouts (ended, created_at);
  `,
  `
  -- Runs that have not ended, and whose they are until when. Several of one cron where they may overlap.
  CREATE TABLE cron_runs (
    invocation_id TEXT PRIMARY KEY,
    cron TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    owner TEXT NOT NULL,
    lease_until INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX cron_runs_lease ON cron_runs (lease_until);
  CREATE INDEX cron_runs_cron ON cron_runs (cron);
  -- What ran when this version of Hearth came: its gateway is gone.
  INSERT INTO cron_runs
    SELECT last ->> 'invocationId', id, last ->> 'dueAt', last ->> 'startedAt', '', 0
    FROM crons WHERE last ->> 'outcome' = 'running';

  CREATE TABLE asyncs (
    id TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    body BLOB
  ) STRICT;
  CREATE INDEX asyncs_expiring ON asyncs (expires_at);

  -- Under an idempotency key; head and body are null while its first caller is at work.
  CREATE TABLE answers (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    owner TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    head TEXT,
    body BLOB,
    PRIMARY KEY (scope, key)
  ) STRICT;
  CREATE INDEX answers_expiring ON answers (expires_at);

  CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL,
    fence INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- What deliveries failed with, as JSON objects with commas between them: in the queue it is in, and in the one it died in.
  ALTER TABLE messages ADD COLUMN failures TEXT;
  ALTER TABLE messages ADD COLUMN died_failures TEXT;
  `,
  `
  -- How often a base died while it was delivered; null: it is suspected of nothing.
  ALTER TABLE messages ADD COLUMN kills INTEGER;
  `,
  `
  -- 2 and more: the gateway that ran it died.
  ALTER TABLE cron_runs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
  `,
  `
  -- Due times up to it have had their turn.
  ALTER TABLE crons ADD COLUMN fired_until INTEGER NOT NULL DEFAULT 0;
  UPDATE crons SET fired_until = max(last ->> 'dueAt', last ->> 'startedAt') WHERE last IS NOT NULL;
  `,
  `
  -- Files of buckets. What an upload holds is named by one file; expires_at null: it is.
  CREATE TABLE files (
    bucket TEXT NOT NULL,
    key BLOB NOT NULL,
    upload TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    uploaded_at INTEGER NOT NULL,
    meta TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE file_uploads (
    upload TEXT PRIMARY KEY,
    expires_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX file_uploads_expiring ON file_uploads (expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE file_parts (
    upload TEXT NOT NULL,
    number INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (upload, number)
  ) STRICT;

  CREATE TABLE locks (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    fence INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX locks_ending ON locks (until);
  INSERT INTO counters (name, value) VALUES ('lock', 0);

  CREATE TABLE numbers (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE configs (
    namespace TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    given TEXT NOT NULL,
    updated_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
];

export const SCHEMA_VERSION = MIGRATIONS.length;

/**
 * Brings the file to SCHEMA_VERSION, all or nothing. `configure` is called once the file is known to be ours, before
 * the first write. Throws StoreStartError when it is not ours or newer than we are.
 */
export function migrate(connection: DatabaseSync, path: string, configure: () => void): void {
  const version = pragma(connection, 'user_version');
  const application = pragma(connection, 'application_id');
  const tables = Number(connection.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n ?? 0);
  if (application !== APPLICATION_ID && (application !== 0 || tables > 0)) {
    throw new StoreStartError(
      'STORE_DAMAGED',
      `The file ${path} is not a database of Hearth; move it away, or set HEARTH_DATA_DIR to another directory.`,
    );
  }
  if (version > SCHEMA_VERSION) {
    throw new StoreStartError(
      'STORE_NEWER',
      `The database ${path} has schema version ${version} and this Hearth knows versions up to ${SCHEMA_VERSION}; start the newer Hearth that wrote it, or restore a backup from before the upgrade.`,
    );
  }
  configure();
  if (version === SCHEMA_VERSION) return;
  connection.exec('BEGIN IMMEDIATE');
  try {
    for (const migration of MIGRATIONS.slice(version)) connection.exec(migration);
    connection.exec(`PRAGMA user_version = ${SCHEMA_VERSION}; PRAGMA application_id = ${APPLICATION_ID};`);
    connection.exec('COMMIT');
  } catch (error) {
    if (connection.isTransaction) connection.exec('ROLLBACK');
    throw error;
  }
}

function pragma(connection: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return Number(connection.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
}
