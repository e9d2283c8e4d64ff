import { createHash } from 'node:crypto';

/** What decides, beside the source, whether V8 takes a code cache. */
export interface CodeCacheRuntime {
  /** `process.version`. */
  version: string;
  arch: string;
  /** Flags of the process that made the cache and of those that will use it. */
  execArgv: readonly string[];
}

/**
 * Names the code cache of this very code under this very runtime, 64 hex digits. V8 does not check that a cache
 * belongs to the source it is given with (it would run the other one's code), so the source's hash is in the key.
 */
export function codeCacheKey(code: Uint8Array, runtime: CodeCacheRuntime = process): string {
  const flags = [...runtime.execArgv].sort();
  const hash = createHash('sha256').update(JSON.stringify([runtime.version, runtime.arch, flags]));
  return hash.update('\0').update(code).digest('hex');
}
