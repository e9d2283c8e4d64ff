/**
 * Key-value pairs with the semantics of Workers KV. An expired entry is gone for readers before sweep removes it. Keys:
 * kv:LENGTH:NAMESPACE:KEY (string: the value), kv-heads:NAMESPACE (hash: key → expiration, a blank, metadata as JSON),
 * kv-names:NAMESPACE (sorted set of one score: the keys in the order of their bytes), kv-expiring (sorted set: namespace, a
 * line end, key). LENGTH is the namespace's, so that no two pairs read as one.
 */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { KvStore } from '../store.ts';
import { asBytes, asList, asNumber, asText, inTuples, ownBytes } from './reply.ts';
import type { Database } from './script.ts';
import { SWEEP_PART, sweepAll } from './sweep.ts';

/** Names of one script, those passed over because they have expired among them. */
const LIST_PART = 500;

const VALUE = `
local function value_of(namespace, key) return P .. 'kv:' .. #namespace .. ':' .. namespace .. ':' .. key end
`;
const REMOVE = `${VALUE}
local function remove(namespace, key)
  redis.call('UNLINK', value_of(namespace, key))
  redis.call('HDEL', P .. 'kv-heads:' .. namespace, key)
  redis.call('ZREM', P .. 'kv-names:' .. namespace, key)
  redis.call('ZREM', P .. 'kv-expiring', namespace .. '\\n' .. key)
end
`;

export function kvDomain(db: Database): KvStore {
  const get = db.script(
    'kv.get',
    `${VALUE}
    local head = redis.call('HGET', P .. 'kv-heads:' .. ARGV[1], ARGV[2])
    if not head then return false end
    local til = string.match(head, '^%d+')
    if til and til * 1000 <= tonumber(ARGV[3]) then return false end
    return {head, redis.call('GET', value_of(ARGV[1], ARGV[2]))}`,
  );
  const put = db.script(
    'kv.put',
    `${VALUE}
    redis.call('SET', value_of(ARGV[1], ARGV[2]), ARGV[5])
    redis.call('HSET', P .. 'kv-heads:' .. ARGV[1], ARGV[2], ARGV[3] .. ' ' .. ARGV[4])
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
      const found = await get(namespace, key, nowMs);
      if (found === null) return null;
      const [head, value] = asList(found);
      return { value: ownBytes(asBytes(value)), ...readHead(asText(head)) };
    },
    async put(namespace, key, { value, metadata, expiration }) {
      const json = metadata === undefined || metadata === null ? '' : JSON.stringify(metadata);
      await put(namespace, key, expiration ?? '', json, value);
    },
    async delete(namespace, key) {
      await remove(namespace, key);
    },
    async list(namespace, options) {
      const prefix = Buffer.from(options.prefix);
      const last = bound('(', prefix, Buffer.from([0xff]));
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
        keys: page.map(({ name, head }) => ({ name: name.toString(), ...readHead(head) })),
        cursor: keys.length > page.length ? (page.at(-1)?.name.toString('base64url') ?? null) : null,
      };
    },
    sweep: (nowMs, most) =>
      sweepAll(most, async (part) => asNumber(await sweep(Math.floor(nowMs / 1000), part)), SWEEP_PART),
  };
}

function readHead(head: string): { metadata: unknown; expiration: number | null } {
  const at = head.indexOf(' ');
  return {
    metadata: at === head.length - 1 ? null : JSON.parse(head.slice(at + 1)),
    expiration: at === 0 ? null : Number(head.slice(0, at)),
  };
}

function bound(kind: '(' | '[', ...bytes: Buffer[]): Buffer {
  return Buffer.concat([Buffer.from(kind), ...bytes]);
}

function readCursor(cursor: string, prefix: Buffer): Buffer {
  const key = Buffer.from(cursor, 'base64url');
  if (key.toString('base64url') !== cursor || !key.subarray(0, prefix.length).equals(prefix)) {
    throw new HearthError('BAD_REQUEST', 'The cursor is none that an earlier list of this prefix answered.');
  }
  return key;
}
