/** A page of a bucket: its files in the order of their keys, with those behind a common prefix as one. */
import { HearthError } from '../../functions/contract/errors.ts';
import { MAX_FILE_KEY_BYTES } from '../../functions/contract/limits.ts';
import type { R2Call, R2File, R2ListAnswer } from '../../functions/contract/service-calls.ts';
import type { FileHead, FileStore } from '../store/api/files.ts';

/** A head of the link is 512 KB at most. */
const MOST_BYTES = 400 * 1024;

/** Rejects with BAD_REQUEST. */
export async function listFiles(
  store: FileStore,
  bucket: string,
  { prefix, delimiter, startAfter, cursor, limit }: Extract<R2Call, { op: 'r2.list' }>,
  fileOf: (head: FileHead) => R2File,
): Promise<R2ListAnswer> {
  for (const given of [prefix, delimiter ?? '', startAfter ?? '']) {
    if (Buffer.byteLength(given) > MAX_FILE_KEY_BYTES) {
      throw new HearthError('BAD_REQUEST', `A prefix has at most ${MAX_FILE_KEY_BYTES} bytes.`);
    }
  }
  const page: R2ListAnswer = { files: [], prefixes: [], cursor: null };
  let after = cursor === null ? (startAfter === null ? null : Buffer.from(startAfter)) : readCursor(cursor, prefix);
  let left = limit;
  let bytes = 0;
  for (;;) {
    // One more than is wanted tells whether there are more.
    const asked = left + 1;
    const heads = await store.list(bucket, { prefix, after, limit: asked });
    let group: string | null = null;
    for (const head of heads) {
      if (group !== null && head.key.startsWith(group)) continue;
      if (left === 0 || bytes > MOST_BYTES) return { ...page, cursor: after?.toString('base64url') ?? null };
      left--;
      group = groupOf(head.key, prefix, delimiter);
      if (group === null) {
        const file = fileOf(head);
        page.files.push(file);
        bytes += Buffer.byteLength(JSON.stringify(file));
        after = Buffer.from(head.key);
      } else {
        page.prefixes.push(group);
        bytes += Buffer.byteLength(JSON.stringify(group));
        // Behind all keys that begin so: UTF-8 has no byte 0xff.
        after = Buffer.concat([Buffer.from(group), Buffer.from([0xff])]);
      }
    }
    if (heads.length < asked) return page;
  }
}

/** The part of the key up to the first delimiter behind the prefix; null: there is none. */
function groupOf(key: string, prefix: string, delimiter: string | null): string | null {
  if (delimiter === null || delimiter === '') return null;
  const at = key.indexOf(delimiter, prefix.length);
  return at === -1 ? null : key.slice(0, at + delimiter.length);
}

function readCursor(cursor: string, prefix: string): Buffer {
  const place = Buffer.from(cursor, 'base64url');
  const start = Buffer.from(prefix);
  if (place.toString('base64url') !== cursor || !place.subarray(0, start.length).equals(start)) {
    throw new HearthError('BAD_REQUEST', 'The cursor is none that an earlier list of this prefix answered.');
  }
  return place;
}
