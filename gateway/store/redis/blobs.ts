/**
 * Large bytes, kept in a key of their own and carried in parts, so that no command takes long and none holds up the calls
 * behind it. A blob is written first, to be gone by itself some minutes later; the script that names it makes it stay.
 * Key: blob:ID (string).
 */
import { randomUUID } from 'node:crypto';
import { HearthError } from '../../../functions/contract/errors.ts';
import { asBytes } from './reply.ts';
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
  return {
    async write(bytes) {
      const id = randomUUID();
      // A length of none would make no key.
      const parts = bytes.byteLength === 0 ? [new Uint8Array(1)] : partsOf(bytes);
      for (const [i, part] of parts.entries()) {
        if (i === 0) await db.call('SET', `blob:${id}`, part, 'EX', UNNAMED_S);
        else await db.call('APPEND', `blob:${id}`, part);
      }
      return `${id}:${bytes.byteLength}`;
    },
    async read(name) {
      const [id, length] = name.split(':');
      const bytes = new Uint8Array(Number(length));
      for (let at = 0; at < bytes.byteLength; at += PART_BYTES) {
        const wanted = Math.min(PART_BYTES, bytes.byteLength - at);
        const part = asBytes(await db.call('GETRANGE', `blob:${id}`, at, at + wanted - 1));
        if (part.byteLength !== wanted) return null;
        bytes.set(part, at);
      }
      return bytes;
    },
  };
}

function partsOf(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += PART_BYTES) parts.push(bytes.subarray(at, at + PART_BYTES));
  return parts;
}

/** What a script answers when a blob it was to keep is not there. */
export const BLOB_LOST = 'lost';

export function blobLost(): HearthError {
  return new HearthError('NO_CAPACITY', 'The store took too long to take the code.', { retryAfterS: 1 });
}
