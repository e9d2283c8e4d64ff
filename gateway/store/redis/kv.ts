/**
 * Key-value pairs with the semantics of Workers KV. An expired entry is gone for readers before sweep removes it. Keys:
 * kv:LENGTH:NAMESPACE:KEY (string: the value), kv-heads:NAMESPACE (hash: key → expiration, name of the blob that a large value
 * is kept in, metadata as JSON, with blanks between them; each may be empty),
 * kv-names:NAMESPACE (sorted set of one score: the keys in the order of their bytes), kv-expiring (sorted set: namespace, a
 * line end, key). LENGTH is the namespace's, so that no two pairs read as one.
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { KvStore } from '../api/kv.ts';
import { BLOB_LOST, BLOBS, blobLost, createBlobs } from './blobs.ts';
import { asBytes, asList, asNumber, asText, inTuples, ownBytes } from './reply.ts';
import type { Database } from './script.ts';
import { SWEEP_PART, sweepAll } from './sweep.ts';

/** Names of one script, those passed over because they have expired among them. */
const LIST_PART = 500;
/** Larger values are carried in parts. */
const MOST_INLINE_BYTES = 1024 * 1024;
/** How often a value may be replaced while it is read, before it is too much. */
const MOST_READS = 10;

/** `blob_of(namespace, key)`: the name of the blob that the value is kept in; nil for a small one. */
const VALUE = `${BLOBS}
local function value_of(namespace, key) return P .. 'kv:' .. #namespace .. ':' .. namespace .. ':' .. key end
local function blob_of(namespace, key)
  local head = redis.call('HGET', P .. 'kv-heads:' .. namespace, key)
  return head and string.match(head, '^%d* (%S+) ')
end
`;
const REMOVE = `${VALUE}
local function remove(namespace, key)
  drop_blob(blob_of(namespace, key))
  redis.call('UNLINK', value_of(namespace, key))
  redis.call('HDEL', P .. 'kv-heads:' .. namespace, key)
  redis.call('ZREM', P .. 'kv-names:' .. namespace, key)
  redis.call('ZREM', P .. 'kv-expiring', namespace .. '\\n' .. key)
end
`;

export function kvDomain(db: Database): KvStore {
  const blobs = createBlobs(db);
  const get = db.script(
    'kv.get',
    `${VALUE}
    local head = redis.call('HGET', P .. 'kv-heads:' .. ARGV[1], ARGV[2])
    if not head then return false end
    local til = string.match(head, '^%d+')
    if til and til * 1000 <= tonumber(ARGV[3]) then return false end
    return {head, redis.call('GET', value_of(ARGV[1], ARGV[2]))}`,
  );
  // Namespace, key, expiration, metadata; the value, or '' and the name of its blob.
  const put = db.script(
    'kv.put',
    `${VALUE}
    local before, blob = blob_of(ARGV[1], ARGV[2]), ARGV[6] or ''
    if blob == '' then
      redis.call('SET', value_of(ARGV[1], ARGV[2]), ARGV[5])
    else
      if not keep_blob(blob) then return '${BLOB_LOST}' end
      redis.call('UNLINK', value_of(ARGV[1], ARGV[2]))
    end
    drop_blob(before)
    redis.call('HSET', P .. 'kv-heads:' .. ARGV[1], ARGV[2], ARGV[3] .. ' ' .. blob .. ' ' .. ARGV[4])
    redis.call('ZADD', P .. 'kv-names:' .. ARGV[1], 0, ARGV[2])
    local member = ARGV[1] .. '\\n' .. ARGV[2]
    if ARGV[3] == '' then redis.call('ZREM', P .. 'kv-expiring', member)
    else redis.call('ZADD', P .. 'kv-expiring', ARGV[3], member) end`,
  );
  const remove = db.script('kv.delete', `${REMOVE} remove(ARGV[1], ARGV[2])`);
  // Of at most so many names: those that have not expired with their heads, and behind which to go on.
  const list = db.script(
    'kv.list',
    `local names = redis.call('ZRANGEBYLEX', P .. 'kv-names:' .. ARGV[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
    if #names == 0 then return {false, {}} end
    local now = tonumber(ARGV[5])
    local found = {}
    for i, head in ipairs(redis.call('HMGET', P .. 'kv-heads:' .. ARGV[1], unpack(names))) do
      local til = head and string.match(head, '^%d+')
      if head and (not til or til * 1000 > now) then
        found[#found + 1] = names[i]
        found[#found + 1] = head
      end
    end
    return {#names == tonumber(ARGV[4]) and names[#names], found}`,
  );
  const sweep = db.script(
    'kv.sweep',
    `${REMOVE}
    local gone = redis.call('ZRANGEBYSCORE', P .. 'kv-expiring', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, member in ipairs(gone) do
      local at = string.find(member, '\\n', 1, true)
      remove(string.sub(member, 1, at - 1), string.sub(member, at + 1))
    end
    return #gone`,
  );

  return {
    async get(namespace, key, nowMs) {
      for (let reads = 0; reads < MOST_READS; reads++) {
        const found = await get(namespace, key, nowMs);
        if (found === null) return null;
        const [kept, value] = asList(found);
        const { blob, ...head } = readHead(asText(kept));
        const bytes = blob === '' ? ownBytes(asBytes(value)) : await blobs.read(blob);
        if (bytes !== null) return { value: bytes, ...head };
        // It was replaced in the middle of it.
      }
      throw new HearthError('NO_CAPACITY', `The value of ${key} is replaced faster than it can be read.`);
    },
    async put(namespace, key, { value, metadata, expiration }) {
      const json = metadata === undefined || metadata === null ? '' : JSON.stringify(metadata);
      const given =
        value.byteLength > MOST_INLINE_BYTES ? (['', await blobs.write(value)] as const) : ([value] as const);
      if ((await put(namespace, key, expiration ?? '', json, ...given)) !== null) throw blobLost();
    },
    async delete(namespace, key) {
      await remove(namespace, key);
    },
    async list(namespace, options) {
      const prefix = Buffer.from(options.prefix);
      const last = bound('(', beyond(prefix));
      let from = options.cursor === null ? bound('[', prefix) : bound('(', readCursor(options.cursor, prefix));
      const keys: { name: Buffer; head: string }[] = [];
      // One more than asked for tells whether there are more.
      while (keys.length <= options.limit) {
        const most = Math.min(LIST_PART, options.limit + 1 - keys.length);
        const [next, found] = asList(await list(namespace, from, last, most, options.nowMs));
        for (const [name, head] of inTuples(asList(found), 2)) keys.push({ name: asBytes(name), head: asText(head) });
        if (!Buffer.isBuffer(next)) break;
        from = bound('(', next);
      }
      const page = keys.slice(0, options.limit);
      return {
        keys: page.map(({ name, head }) => {
          const { expiration, metadata } = readHead(head);
          return { name: name.toString(), expiration, metadata };
        }),
        cursor: keys.length > page.length ? (page.at(-1)?.name.toString('base64url') ?? null) : null,
      };
    },
    sweep: (nowMs, most) =>
      sweepAll(most, async (part) => asNumber(await sweep(Math.floor(nowMs / 1000), part)), SWEEP_PART),
  };
}

function readHead(head: string): { blob: string; metadata: unknown; expiration: number | null } {
  const [, expiration = '', blob = '', metadata = ''] = /^(\d*) (\S*) (.*)$/.exec(head) ?? [];
  return {
    blob,
    metadata: metadata === '' ? null : JSON.parse(metadata),
    expiration: expiration === '' ? null : Number(expiration),
  };
}

/** The first byte string after all that start with `prefix`: UTF-8 has no byte 0xff. */
export function beyond(prefix: Buffer): Buffer {
  return Buffer.concat([prefix, Buffer.from([0xff])]);
}

export function bound(kind: '(' | '[', ...bytes: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from(kind), ...bytes]);
}

function readCursor(cursor: string, prefix: Buffer): Buffer {
  const key = Buffer.from(cursor, 'base64url');
  if (key.toString('base64url') !== cursor || !key.subarray(0, prefix.length).equals(prefix)) {
    throw new HearthError('BAD_REQUEST', 'The cursor is none that an earlier list of this prefix answered.');
  }
  return key;
}
