/** Ids of invocations and messages: 32 hex digits that sort by the time they were made. */
import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;
const RANDOM_BYTES = 10;

/**
 * 12 hex digits of `now()` in ms, then 80 random bits. Random bytes are drawn by the pool: a call to the generator for
 * each id would cost more than the rest of a dispatch.
 */
export function createIdMaker(now: () => number): () => string {
  const pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  let used = POOL_BYTES;
  let prefixMs = Number.NaN;
  let prefix = '';

  return () => {
    const ms = Math.floor(now());
    if (ms !== prefixMs) {
      prefixMs = ms;
      prefix = ms.toString(16).padStart(12, '0');
    }
    if (used + RANDOM_BYTES > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    const start = used;
    used += RANDOM_BYTES;
    return prefix + pool.toString('hex', start, used);
  };
}
