/**
 * One gateway per data directory. The lock is an exclusive lock of SQLite on an empty file beside the database: the
 * kernel drops it when the process ends, however it ends, and nothing has to be cleaned up or guessed from a pid. It
 * is a file of its own because any other code of the process that opened and closed the database file itself would
 * drop POSIX locks on it. The pid file only names the holder in the error.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { StoreStartError } from '../start-error.ts';
import { resultCode } from './database.ts';

const SQLITE_BUSY = 5;

export interface Lock {
  release(): void;
}

/** Throws StoreStartError when another gateway holds it. */
export function acquireLock(path: string): Lock {
  const lockPath = `${path}.lock`;
  const pidPath = `${path}.pid`;
  let holder: DatabaseSync;
  try {
    holder = new DatabaseSync(lockPath, { timeout: 0 });
  } catch (error) {
    throw unusable(lockPath, error);
  }
  try {
    holder.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    holder.close();
    if (resultCode(error) !== SQLITE_BUSY) throw unusable(lockPath, error);
    const pid = readPid(pidPath);
    throw new StoreStartError(
      'STORE_IN_USE',
      `Another gateway${pid === null ? '' : ` (process ${pid})`} runs on ${path}; end it first, or set HEARTH_DATA_DIR to another directory.`,
      error,
    );
  }
  try {
    writeFileSync(pidPath, `${process.pid}\n`);
  } catch (error) {
    holder.close();
    throw unusable(pidPath, error);
  }
  return {
    release() {
      if (!holder.isOpen) return;
      rmSync(pidPath, { force: true });
      holder.close();
    },
  };
}

function readPid(pidPath: string): number | null {
  try {
    const pid = Number(readFileSync(pidPath, 'utf8'));
    return Number.isInteger(pid) && pid > 0 ? pid : null;
  } catch {
    // Only makes the sentence poorer: the lock itself has already said no.
    return null;
  }
}

function unusable(place: string, error: unknown): StoreStartError {
  const reason = error instanceof Error ? error.message : String(error);
  return new StoreStartError(
    'STORE_UNWRITABLE',
    `The data directory cannot be used (${place}: ${reason}); make it writable for this user, or set HEARTH_DATA_DIR to another one.`,
    error,
  );
}
