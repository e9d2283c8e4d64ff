/** One connection to hearth.db: how it is opened, its settings, and its prepared statements. Used in the store thread. */
import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { HearthError } from '../../../functions/contract/errors.ts';
import { StoreStartError } from '../start-error.ts';
import { MOST_LOG_BYTES } from './limits.ts';
import { migrate } from './schema.ts';

export interface DatabaseOptions {
  path: string;
  /** Most bytes the file may hold; null: what the disk holds. */
  maxBytes: number | null;
}

export interface Database {
  /** Prepared at first use, then kept: statements are few and known. */
  sql(text: string): StatementSync;
  exec(text: string): void;
  /** False when SQLite itself has rolled back, as it does when the disk is full. */
  readonly inTransaction: boolean;
  close(): void;
}

/** The caller holds the directory's lock (lock.ts). Throws StoreStartError. */
export function openDatabase(options: DatabaseOptions): Database {
  const { path, maxBytes } = options;
  let connection: DatabaseSync | undefined;
  try {
    connection = new DatabaseSync(path, { timeout: 5000, enableForeignKeyConstraints: false });
    // Read before anything is written: a foreign or newer file is refused as it was found.
    migrate(connection, path, () => configure(connection, maxBytes));
  } catch (error) {
    connection?.close();
    throw startError(error, path);
  }
  const opened = connection;
  const statements = new Map<string, StatementSync>();
  return {
    sql(text) {
      let statement = statements.get(text);
      if (statement === undefined) {
        statement = opened.prepare(text);
        statements.set(text, statement);
      }
      return statement;
    },
    exec: (text) => opened.exec(text),
    get inTransaction() {
      return opened.isTransaction;
    },
    close() {
      if (opened.isOpen) opened.close();
    },
  };
}

function configure(connection: DatabaseSync | undefined, maxBytes: number | null): void {
  if (connection === undefined) return;
  connection.exec('PRAGMA journal_mode = WAL');
  // FULL: an answer means that the change is on the disk, also when the power fails a moment later.
  connection.exec('PRAGMA synchronous = FULL');
  connection.exec('PRAGMA temp_store = MEMORY');
  // What is read again soon after is small; beyond it the system's own cache is next. 64 MB would be filled in time by
  // whatever is read once: the registry at a start, versions as they are deployed.
  connection.exec('PRAGMA cache_size = -4096');
  // Checkpoints cost two more fsyncs: under load one per 16 MB of log rather than one per 4 MB.
  connection.exec('PRAGMA wal_autocheckpoint = 4096');
  // After a burst, and after a full disk, the log gives its room back.
  connection.exec(`PRAGMA journal_size_limit = ${MOST_LOG_BYTES}`);
  if (maxBytes !== null) connection.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(maxBytes / 4096))}`);
}

/** Makes directory and file when they are missing. Throws StoreStartError when nothing can be written there. */
export function prepareDirectory(path: string): void {
  const directory = dirname(path);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    // SQLite would make it readable for all; its log and its shared memory take over the file's mode.
    if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
  } catch (error) {
    throw unwritable(directory, error);
  }
}

function unwritable(place: string, error: unknown): StoreStartError {
  const reason = error instanceof Error ? error.message : String(error);
  return new StoreStartError(
    'STORE_UNWRITABLE',
    `The data directory cannot be used (${place}: ${reason}); make it writable for this user, or set HEARTH_DATA_DIR to another one.`,
    error,
  );
}

/** Primary result codes of SQLite (sqlite.org/rescode.html); the extended ones have them in their lowest byte. */
const SQLITE = {
  busy: 5,
  locked: 6,
  noMemory: 7,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cantOpen: 14,
  tooBig: 18,
  notADb: 26,
};

export function resultCode(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return null;
  return error.errcode & 0xff;
}

function startError(error: unknown, path: string): unknown {
  switch (resultCode(error)) {
    case SQLITE.cantOpen:
    case SQLITE.readOnly:
    case SQLITE.io:
    case SQLITE.full:
      return unwritable(path, error);
    case SQLITE.busy:
    case SQLITE.locked:
      return new StoreStartError(
        'STORE_IN_USE',
        `The database ${path} is locked by another program; end it, then start again.`,
        error,
      );
    case SQLITE.notADb:
    case SQLITE.corrupt:
      return new StoreStartError(
        'STORE_DAMAGED',
        `The file ${path} is damaged or no database; restore it from a backup, or move it away to begin anew.`,
        error,
      );
    default:
      return error;
  }
}

/** What SQLite threw while running, with a code of the error table. */
export function toStoreError(error: unknown): HearthError {
  if (error instanceof HearthError) return error;
  switch (resultCode(error)) {
    case SQLITE.full:
      // The log is moved into the database before room is left for anything new, hence the amount.
      return new HearthError(
        'NO_CAPACITY',
        'The disk of the data directory is full, so nothing was stored; free some room (32 MB or more), then send again.',
        { cause: error },
      );
    case SQLITE.busy:
    case SQLITE.locked:
    case SQLITE.noMemory:
    case SQLITE.readOnly:
    case SQLITE.io:
    case SQLITE.cantOpen:
    case SQLITE.corrupt:
    case SQLITE.notADb:
      return new HearthError('NO_CAPACITY', `The store cannot be used now (${(error as Error).message}).`, {
        cause: error,
      });
    case SQLITE.tooBig:
      return new HearthError('PAYLOAD_TOO_LARGE', 'The value is larger than the store takes (1 GB).', { cause: error });
    default:
      return new HearthError('INTERNAL', 'The store failed.', { cause: error });
  }
}
