/**
 * Files of buckets. Keys: file:UPLOAD (hash: number → part), file-uploads (sorted set of the uploads that no file names, by
 * when they expire), file-heads:BUCKET (hash: key → upload, a blank, the head as JSON), file-names:BUCKET (sorted set of
 * one score: the keys in the order of their bytes).
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import { FILE_PART_BYTES, type FileHead, type FileStore, UNNAMED_FILE_MS } from '../api/files.ts';
import { beyond, bound } from './kv.ts';
import { asBytes, asList, asNumber, asText, ownBytes } from './reply.ts';
import type { Database } from './script.ts';
import { SWEEP_PART, sweepAll } from './sweep.ts';

/** Keys deleted by one script. */
const DELETE_PART = 200;

const SHARED = `
local function upload_of(bucket, key)
  local head = redis.call('HGET', P .. 'file-heads:' .. bucket, key)
  return head and string.match(head, '^%S+')
end
local function unname(upload, expires)
  redis.call('ZADD', P .. 'file-uploads', expires, upload)
end
`;

export function filesDomain(db: Database): FileStore {
  const writePart = db.script(
    'files.writePart',
    `${SHARED}
    unname(ARGV[1], ARGV[4])
    redis.call('HSET', P .. 'file:' .. ARGV[1], ARGV[2], ARGV[3])`,
  );
  // Bucket, key, upload, head, parts, expiry of what was there; and which upload has to be there, '' for none.
  const put = db.script(
    'files.put',
    `${SHARED}
    local current = upload_of(ARGV[1], ARGV[2])
    if ARGV[7] and ARGV[7] ~= (current or '') then return 'other' end
    if redis.call('HLEN', P .. 'file:' .. ARGV[3]) ~= tonumber(ARGV[5]) then return 'lost' end
    if current then unname(current, ARGV[6]) end
    redis.call('ZREM', P .. 'file-uploads', ARGV[3])
    redis.call('HSET', P .. 'file-heads:' .. ARGV[1], ARGV[2], ARGV[3] .. ' ' .. ARGV[4])
    redis.call('ZADD', P .. 'file-names:' .. ARGV[1], 0, ARGV[2])
    return 'done'`,
  );
  const remove = db.script(
    'files.delete',
    `${SHARED}
    for i = 3, #ARGV do
      local upload = upload_of(ARGV[1], ARGV[i])
      if upload then
        unname(upload, ARGV[2])
        redis.call('HDEL', P .. 'file-heads:' .. ARGV[1], ARGV[i])
        redis.call('ZREM', P .. 'file-names:' .. ARGV[1], ARGV[i])
      end
    end`,
  );
  const list = db.script(
    'files.list',
    `local names = redis.call('ZRANGEBYLEX', P .. 'file-names:' .. ARGV[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
    if #names == 0 then return {} end
    return redis.call('HMGET', P .. 'file-heads:' .. ARGV[1], unpack(names))`,
  );
  const sweep = db.script(
    'files.sweep',
    `local gone = redis.call('ZRANGEBYSCORE', P .. 'file-uploads', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, upload in ipairs(gone) do
      redis.call('ZREM', P .. 'file-uploads', upload)
      redis.call('UNLINK', P .. 'file:' .. upload)
    end
    return #gone`,
  );

  return {
    async writePart(upload, number, bytes, nowMs) {
      await writePart(upload, number, bytes, nowMs + UNNAMED_FILE_MS);
    },
    async put(bucket, head, before, nowMs) {
      const parts = Math.ceil(head.size / FILE_PART_BYTES);
      const given = [bucket, head.key, head.upload, JSON.stringify(head), parts, nowMs + UNNAMED_FILE_MS];
      const outcome = asText(await put(...given, ...(before === undefined ? [] : [before ?? ''])));
      if (outcome !== 'lost') return outcome === 'done';
      throw new HearthError('NO_CAPACITY', `The content of ${head.key} took too long to come; send it again.`);
    },
    async head(bucket, key) {
      const head = await db.call('HGET', `file-heads:${bucket}`, key);
      return head === null ? null : readHead(asText(head));
    },
    async readPart(upload, number) {
      const part = await db.call('HGET', `file:${upload}`, number);
      return part === null ? null : ownBytes(asBytes(part));
    },
    async delete(bucket, keys, nowMs) {
      for (let at = 0; at < keys.length; at += DELETE_PART) {
        await remove(bucket, nowMs + UNNAMED_FILE_MS, ...keys.slice(at, at + DELETE_PART));
      }
    },
    async drop(upload, nowMs) {
      // Only where it stands: one that a file names does not.
      await db.call('ZADD', 'file-uploads', 'XX', nowMs, upload);
    },
    async list(bucket, { prefix, after, limit }) {
      const start = Buffer.from(prefix);
      const from =
        after !== null && Buffer.compare(after, start) >= 0 ? bound('(', Buffer.from(after)) : bound('[', start);
      const found = asList(await list(bucket, from, bound('(', beyond(start)), limit));
      return found.map((head) => readHead(asText(head)));
    },
    sweep: (nowMs, most) => sweepAll(most, async (part) => asNumber(await sweep(nowMs, part)), SWEEP_PART),
  };
}

function readHead(kept: string): FileHead {
  return JSON.parse(kept.slice(kept.indexOf(' ') + 1)) as FileHead;
}
