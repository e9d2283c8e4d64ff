/**
 * What became of asynchronous invocations. Keys: async:ID (hash: record, its since and attempts, body where there is one), asyncs-expiring (sorted
 * set of ids). They expire by the caller's clock, as everything here: Redis's own would know another time.
 */
import type { AsyncRecord, AsyncStore } from '../api/asyncs.ts';
import { asBytes, asJson, asList, asNumber, ownBytes } from './reply.ts';
import type { Database } from './script.ts';
import { SWEEP_PART, sweepAll } from './sweep.ts';

export function asyncsDomain(db: Database): AsyncStore {
  const put = db.script(
    'asyncs.put',
    `local key = P .. 'async:' .. ARGV[1]
    local since, attempts = unpack(redis.call('HMGET', key, 'since', 'attempts'))
    if since then
      local later = tonumber(since) - tonumber(ARGV[4])
      if later > 0 or (later == 0 and tonumber(attempts) > tonumber(ARGV[5])) then return end
    end
    redis.call('HSET', key, 'record', ARGV[3], 'since', ARGV[4], 'attempts', ARGV[5])
    if ARGV[6] then redis.call('HSET', key, 'body', ARGV[6]) else redis.call('HDEL', key, 'body') end
    redis.call('ZADD', P .. 'asyncs-expiring', ARGV[2], ARGV[1])`,
  );
  const get = db.script(
    'asyncs.get',
    `local til = redis.call('ZSCORE', P .. 'asyncs-expiring', ARGV[1])
    if not til or tonumber(til) <= tonumber(ARGV[2]) then return false end
    return redis.call('HMGET', P .. 'async:' .. ARGV[1], 'record', 'body')`,
  );
  const sweep = db.script(
    'asyncs.sweep',
    `local gone = redis.call('ZRANGEBYSCORE', P .. 'asyncs-expiring', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, id in ipairs(gone) do
      redis.call('ZREM', P .. 'asyncs-expiring', id)
      redis.call('UNLINK', P .. 'async:' .. id)
    end
    return #gone`,
  );

  return {
    async put(record, body) {
      const { id, expiresAt, since, attempts } = record;
      await put(id, expiresAt, JSON.stringify(record), since, attempts, ...(body === null ? [] : [body]));
    },
    async get(id, nowMs) {
      const found = await get(id, nowMs);
      if (found === null) return null;
      const [record, body] = asList(found);
      return {
        record: asJson<AsyncRecord>(record),
        body: body === null ? null : ownBytes(asBytes(body)),
      };
    },
    sweep: (nowMs, most) => sweepAll(most, async (part) => asNumber(await sweep(nowMs, part)), SWEEP_PART),
  };
}
