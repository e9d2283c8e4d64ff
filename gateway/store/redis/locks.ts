/**
 * Locks that functions hold. Keys: locks (hash: namespace, a line end, name → until, fence), locks-ending (sorted set of the
 * same names by until), lock-fence (the last one).
 */
import type { LockStore } from '../api/locks.ts';
import { asList, asNumber } from './reply.ts';
import type { Database } from './script.ts';
import { SWEEP_PART, sweepAll } from './sweep.ts';

const SHARED = `
local lock = ARGV[1] .. '\\n' .. ARGV[2]
local kept = redis.call('HGET', P .. 'locks', lock)
local til, fence = 0, nil
if kept then til, fence = string.match(kept, '^(%d+) (%d+)$') end
local function keep(at, by)
  redis.call('HSET', P .. 'locks', lock, at .. ' ' .. by)
  redis.call('ZADD', P .. 'locks-ending', at, lock)
end
`;

export function locksDomain(db: Database): LockStore {
  // Beyond the clock's microseconds: a counter that a failover or a restore has set back has no number twice.
  const take = db.script(
    'locks.take',
    `${SHARED}
    if kept and tonumber(til) > tonumber(ARGV[3]) then return {false, tonumber(til)} end
    local last = tonumber(redis.call('GET', P .. 'lock-fence') or '0')
    local new = string.format('%.0f', math.max(last + 1, tonumber(ARGV[3]) * 1000))
    redis.call('SET', P .. 'lock-fence', new)
    keep(ARGV[4], new)
    return {new, 0}`,
  );
  const extend = db.script(
    'locks.extend',
    `${SHARED}
    if fence ~= ARGV[3] or tonumber(til) <= tonumber(ARGV[4]) then return 0 end
    keep(ARGV[5], fence)
    return 1`,
  );
  const release = db.script(
    'locks.release',
    `${SHARED}
    if fence ~= ARGV[3] then return 0 end
    redis.call('HDEL', P .. 'locks', lock)
    redis.call('ZREM', P .. 'locks-ending', lock)
    return 1`,
  );
  const sweep = db.script(
    'locks.sweep',
    `local gone = redis.call('ZRANGEBYSCORE', P .. 'locks-ending', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    for _, lock in ipairs(gone) do
      redis.call('ZREM', P .. 'locks-ending', lock)
      redis.call('HDEL', P .. 'locks', lock)
    end
    return #gone`,
  );

  return {
    async take(namespace, name, nowMs, until) {
      const [fence, heldUntil] = asList(await take(namespace, name, nowMs, until));
      return fence === null ? { fence: null, heldUntil: asNumber(heldUntil) } : { fence: asNumber(fence) };
    },
    async extend(namespace, name, fence, nowMs, until) {
      return asNumber(await extend(namespace, name, fence, nowMs, until)) === 1;
    },
    async release(namespace, name, fence) {
      return asNumber(await release(namespace, name, fence)) === 1;
    },
    sweep: (nowMs, most) => sweepAll(most, async (part) => asNumber(await sweep(nowMs, part)), SWEEP_PART),
  };
}
