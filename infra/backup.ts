/**
 * A copy of a data directory while its gateway runs: `node infra/backup.ts DATA_DIRECTORY COPY`. The copy is a data
 * directory itself; to restore is to start Hearth on it. It holds all that was committed when the copy began, and nothing
 * of what is half done. Of a gateway on Redis, Redis holds the state, and this copies what is the gateway's own.
 */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const DATABASE = 'hearth.sqlite';
/** Missing where the settings give them. */
const KEYS = ['secret-key', 'admin-token'];

try {
  const [from, to, ...rest] = process.argv.slice(2);
  if (from === undefined || to === undefined || rest.length > 0) {
    throw new Error('Usage: node infra/backup.ts DATA_DIRECTORY COPY');
  }
  console.log(backUp(resolve(from), resolve(to)));
} catch (error) {
  console.error(`backup: ${(error as Error).message}`);
  process.exitCode = 1;
}

/** Says what was copied. Leaves nothing half done at `to`. */
function backUp(from: string, to: string): string {
  const database = join(from, DATABASE);
  const keys = KEYS.filter((name) => existsSync(join(from, name)));
  if (!existsSync(database) && keys.length === 0) throw new Error(`${from} is no data directory of Hearth.`);
  if (existsSync(to)) throw new Error(`${to} is there already; name a directory that is not.`);

  const partial = `${to}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(dirname(partial), { recursive: true });
  // What it holds opens secrets. Not into one that somebody else has put there meanwhile.
  mkdirSync(partial, { mode: 0o700 });
  try {
    for (const name of keys) copyPrivate(join(from, name), join(partial, name));
    if (existsSync(database)) copyDatabase(database, join(partial, DATABASE));
    flush(partial);
    renameSync(partial, to);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw error;
  }
  const missing = KEYS.filter((name) => !keys.includes(name));
  const note =
    missing.length === 0 ? '' : ` Not there, so given by settings, which you have to keep: ${missing.join(', ')}.`;
  return `Copied to ${to}.${note}`;
}

/** One read of the whole, which sees one moment and keeps nobody from writing. */
function copyDatabase(from: string, to: string): void {
  const source = new DatabaseSync(from, { readOnly: true, timeout: 10_000 });
  try {
    source.prepare('VACUUM INTO ?').run(to);
  } finally {
    source.close();
  }
  chmodSync(to, 0o600);
  const copy = new DatabaseSync(to, { readOnly: true });
  try {
    const result = copy.prepare('PRAGMA integrity_check').get() as { integrity_check: string };
    if (result.integrity_check !== 'ok') throw new Error(`The copy is damaged: ${result.integrity_check}`);
  } finally {
    copy.close();
  }
  flush(to);
}

function copyPrivate(from: string, to: string): void {
  copyFileSync(from, to);
  chmodSync(to, 0o600);
  flush(to);
}

/** On the disk before anybody is told that it is there. */
function flush(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
