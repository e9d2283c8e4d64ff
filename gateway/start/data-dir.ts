/**
 * The data directory: what the gateway keeps there beside the store, and whether it can. With its state in Redis that is
 * all there is in it: the admin token and the key of the secrets, where the settings give none, and sockets while it runs.
 */
import { randomBytes } from 'node:crypto';
import { access, chmod, constants, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartError } from './start-error.ts';

export interface DataDir {
  path: string;
  /** Of the database; where it is locked by the gateway that has the directory, whatever its store is. */
  storePath: string;
  /** Nothing was ever stored here, in SQLite. */
  isNew: boolean;
}

/** Makes the directory when it is missing. Throws StartError when it cannot be written. */
export async function openDataDir(path: string): Promise<DataDir> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    if (!(await stat(path)).isDirectory()) throw new Error('it is not a directory');
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new StartError(
      `The data directory ${path} cannot be written (${reasonOf(error)}); make it writable, or name another with HEARTH_DATA_DIR.`,
      { cause: error },
    );
  }
  const storePath = join(path, 'hearth.sqlite');
  return { path, storePath, isNew: !(await exists(storePath)) };
}

/** The token that may do everything: the setting, or the one in the directory, which is made when it is missing. */
export async function adminTokenOf(dataDir: string, setting: string | null): Promise<string> {
  if (setting !== null) return setting;
  const path = join(dataDir, 'admin-token');
  try {
    if (!(await exists(path))) {
      await writeFile(path, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
    }
    await chmod(path, 0o600);
    const token = (await readFile(path, 'utf8')).trim();
    if (token.length < 16) throw new Error('it holds fewer than 16 characters');
    return token;
  } catch (error) {
    throw new StartError(
      `The admin token in ${path} cannot be used (${reasonOf(error)}); mend or remove the file, or set HEARTH_ADMIN_TOKEN.`,
      { cause: error },
    );
  }
}

/** Longest path of a directory whose sockets still have names the kernel takes (108 bytes). */
const MOST_RUN_DIR_BYTES = 80;

/**
 * An empty directory for sockets and the files of bases. In the data directory, so that what a killed gateway left is
 * found and removed by the next one; in the system's own where that path is too long for a socket.
 */
export async function makeRunDir(dataDir: string): Promise<string> {
  const path = join(dataDir, 'run');
  if (Buffer.byteLength(path) > MOST_RUN_DIR_BYTES) return mkdtemp(join(tmpdir(), 'hearth-run-'));
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { mode: 0o700 });
  return path;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function reasonOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : String(error));
}
