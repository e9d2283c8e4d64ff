/**
 * Rollouts: those that run, and what became of the others. Keys: rollouts (hash: id → record), and sorted sets of ids by
 * the time of their beginning: rollouts-all, rollouts-running, rollouts-ended.
 */
import { changedMeanwhile, type RolloutRecord, type RolloutStore } from '../api/rollouts.ts';
import { asList, asText } from './reply.ts';
import { CHANGED, type Database } from './script.ts';

/** What has ended is kept, so many of it, the last ones. */
const MOST_ENDED = 1000;

/**
 * `rollout_follows(id, revision)`: whether it is the next one. `put_rollout(id, revision, created, ended, record)`: also
 * part of a commit that moves traffic (registry.ts). Needs CHANGED.
 */
export const PUT_ROLLOUT = `
local function rollout_follows(id, revision)
  local kept = redis.call('HGET', P .. 'rollouts', id)
  local before = kept and (cjson.decode(kept).revision or 1) or 0
  return tonumber(revision) == before + 1
end
local function put_rollout(id, revision, created, ended, record)
  redis.call('HSET', P .. 'rollouts', id, record)
  redis.call('ZADD', P .. 'rollouts-all', 'NX', created, id)
  if ended == '1' then
    redis.call('ZREM', P .. 'rollouts-running', id)
    redis.call('ZADD', P .. 'rollouts-ended', 'NX', created, id)
    local over = redis.call('ZCARD', P .. 'rollouts-ended') - ${MOST_ENDED}
    if over > 0 then
      for _, old in ipairs(redis.call('ZRANGE', P .. 'rollouts-ended', 0, over - 1)) do
        redis.call('ZREM', P .. 'rollouts-ended', old)
        redis.call('ZREM', P .. 'rollouts-all', old)
        redis.call('HDEL', P .. 'rollouts', old)
      end
    end
  else
    redis.call('ZREM', P .. 'rollouts-ended', id)
    redis.call('ZADD', P .. 'rollouts-running', 'NX', created, id)
  end
  changed('rollout', id)
end
`;

/** What `put_rollout` is given. */
export function rolloutArgs(record: RolloutRecord): [string, number, number, number, string] {
  return [record.id, record.revision, record.createdAt, OVER.has(record.state) ? 1 : 0, JSON.stringify(record)];
}

export function rolloutsDomain(db: Database): RolloutStore {
  const put = db.script(
    'rollouts.put',
    `${CHANGED}${PUT_ROLLOUT}
    if not rollout_follows(ARGV[1], ARGV[2]) then return 0 end
    put_rollout(unpack(ARGV))
    return 1`,
  );
  const get = db.script('rollouts.get', `return redis.call('HGET', P .. 'rollouts', ARGV[1])`);
  // A set of ids, from where to where, and in which order.
  const range = db.script(
    'rollouts.range',
    `local ids = redis.call(ARGV[1], P .. ARGV[2], 0, ARGV[3])
    if #ids == 0 then return {} end
    local records = {}
    for i, id in ipairs(ids) do records[i] = redis.call('HGET', P .. 'rollouts', id) end
    return records`,
  );
  const recordsOf = async (...args: Parameters<typeof range>) =>
    asList(await range(...args)).map((record) => JSON.parse(asText(record)) as RolloutRecord);

  return {
    async put(record) {
      if ((await put(...rolloutArgs(record))) === 0) throw changedMeanwhile(record);
    },
    async get(id) {
      const record = await get(id);
      return record === null ? null : (JSON.parse(asText(record)) as RolloutRecord);
    },
    list: async (most) => (most <= 0 ? [] : recordsOf('ZREVRANGE', 'rollouts-all', most - 1)),
    running: () => recordsOf('ZRANGE', 'rollouts-running', -1),
  };
}

const OVER: ReadonlySet<RolloutRecord['state']> = new Set(['completed', 'stopped', 'aborted']);
