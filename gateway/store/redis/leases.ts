/** What only one may do at a time. Key: leases (hash: name → until, fence, owner). */
import type { LeaseStore } from '../api/leases.ts';
import { asNumber } from './reply.ts';
import type { Database } from './script.ts';

const FIND = `
local kept = redis.call('HGET', P .. 'leases', ARGV[1])
local til, fence, owner = '0', 0, ''
if kept then til, fence, owner = string.match(kept, '^(%d+) (%d+) (.*)$') end
`;

export function leasesDomain(db: Database): LeaseStore {
  const take = db.script(
    'leases.take',
    `${FIND}
    if kept and owner ~= ARGV[2] then
      if tonumber(til) > tonumber(ARGV[3]) then return false end
    end
    if owner ~= ARGV[2] or not kept then fence = tonumber(fence) + 1 end
    redis.call('HSET', P .. 'leases', ARGV[1], ARGV[4] .. ' ' .. fence .. ' ' .. ARGV[2])
    return tonumber(fence)`,
  );
  // It stays, ended: its fence must go on rising.
  const release = db.script(
    'leases.release',
    `${FIND}
    if kept and owner == ARGV[2] then
      redis.call('HSET', P .. 'leases', ARGV[1], '0 ' .. fence .. ' ' .. ARGV[2])
    end`,
  );

  return {
    async take(name, owner, nowMs, until) {
      const fence = await take(name, owner, nowMs, until);
      return fence === null ? null : { fence: asNumber(fence) };
    },
    async release(name, owner) {
      await release(name, owner);
    },
  };
}
