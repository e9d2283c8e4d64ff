/** Where the control API is and with which token it is called: flags, then the environment, then the data directory. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UsageError } from './failure.ts';

export const DEFAULT_URL = 'http://127.0.0.1:8081';

export interface Connection {
  /** Without a slash at its end. */
  url: string;
  token: string | null;
  /** Where a token was looked for, as part of a sentence; for the error when there is none or it is refused. */
  tokenFrom: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws UsageError when the URL is none. */
export function connectionOf(given: { url?: string | undefined; env: Environment; cwd: string }): Connection {
  const { env } = given;
  const url = checkedUrl(
    given.url ?? (env.HEARTH_URL || DEFAULT_URL),
    given.url === undefined ? 'HEARTH_URL' : '--url',
  );
  for (const name of ['HEARTH_TOKEN', 'HEARTH_ADMIN_TOKEN']) {
    if (env[name]) return { url, token: env[name], tokenFrom: name };
  }
  const path = join(resolve(given.cwd, env.HEARTH_DATA_DIR || '.hearth'), 'admin-token');
  // The file is that of a gateway on this machine. Nobody else is to be shown it because a URL was mistyped.
  if (!isLoopback(url)) return { url, token: null, tokenFrom: `HEARTH_TOKEN (${path} is for this machine's gateway)` };
  return { url, token: readToken(path), tokenFrom: path };
}

function checkedUrl(given: string, from: string): string {
  const parsed = URL.parse(given);
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    throw new UsageError(`${from} is ${JSON.stringify(given)}; it has to be a URL such as ${DEFAULT_URL}.`);
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/, '');
}

/** An address of this machine only. */
export function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(hostname);
}

function readToken(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim() || null;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}
