/**
 * Large bytes, kept in a key of their own and carried in parts, so that no command takes long and none holds up the calls
 * behind it. A blob is written first, to be gone by itself some minutes later; the script that names it makes it stay.
 * Key: blob:ID (hash: number → part).
 */
import { randomUUID } from 'node:crypto';
import { HearthError } from '../../../functions/contract/errors.ts';
import type { Database } from './script.ts';

const PART_BYTES = 1024 * 1024;
const UNNAMED_S = 600;

/** `keep_blob(name)` in the script that names it; `drop_blob(name)` when nothing does any more. A name is ID:LENGTH. */
export const BLOBS = `
local function blob_key(name) return P .. 'blob:' .. string.match(name, '^[^:]*') end
local function keep_blob(name)
  return redis.call('PERSIST', blob_key(name)) == 1
end
local function drop_blob(name)
  if name then redis.call('UNLINK', blob_key(name)) end
end
`;

export interface Blobs {
  /** Returns its name, to be kept by a script within some minutes. */
  write(bytes: Uint8Array): Promise<string>;
  /** Null when it is gone. */
  read(name: string): Promise<Uint8Array | null>;
}

export function createBlobs(db: Database): Blobs {
  const writePart = db.script(
    'blobs.write',
    `redis.call('HSET', P .. 'blob:' .. ARGV[1], ARGV[2], ARGV[3])
    redis.call('EXPIRE', P .. 'blob:' .. ARGV[1], ${UNNAMED_S})`,
  );

  return {
    async write(bytes) {
      const id = randomUUID();
      for (const [i, part] of partsOf(bytes).entries()) await writePart(id, i, part);
      return `${id}:${bytes.byteLength}`;
    },
    async read(name) {
      const [id, length] = name.split(':');
      const bytes = new Uint8Array(Number(length));
      for (const [i, place] of partsOf(bytes).entries()) {
        const part = await db.call('HGET', `blob:${id}`, i);
        if (!Buffer.isBuffer(part) || part.byteLength !== place.byteLength) return null;
        place.set(part);
      }
      return bytes;
    },
  };
}

/** At least one, which is empty where there is nothing: a blob of no parts would be no key. */
function partsOf(bytes: Uint8Array): Uint8Array[] {
  const count = Math.max(1, Math.ceil(bytes.byteLength / PART_BYTES));
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * PART_BYTES, (i + 1) * PART_BYTES));
}

/** What a script answers when a blob it was to keep is not there. */
export const BLOB_LOST = 'lost';

export function blobLost(): HearthError {
  return new HearthError('NO_CAPACITY', 'The store took too long to take the code.', { retryAfterS: 1 });
}
