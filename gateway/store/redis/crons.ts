/**
 * Crons: what is due next, the last run of each, and the runs that have not ended. Keys: crons (hash: id → function, a line
 * end, what its manifest says as JSON), crons-next (hash: id → due time), crons-paused (set), crons-last (hash: id →
 * invocation, a line end, its begin and, once it has ended, its end as JSON objects), crons-of:FUNCTION (set of ids);
 * cron-runs (hash: invocation → cron, due time, begin, owner), cron-runs-lease (sorted set of invocations), and sets of
 * invocations: cron-runs-of:CRON, cron-runs-by:OWNER.
 */
import type { CronRecord, CronStore } from '../store.ts';
import { asList, asNumber, asText, asTexts, inTuples } from './reply.ts';
import { CHANGED, type Database } from './script.ts';

/** `run_of(invocation)`: cron, due time, begin, owner. `end_run(invocation)` forgets it. */
const RUNS = `
local function run_of(invocation)
  local kept = redis.call('HGET', P .. 'cron-runs', invocation)
  if kept then return string.match(kept, '^([^\\n]*)\\n(%d+) (%d+) (.*)$') end
end
local function end_run(invocation)
  local cron, _, _, owner = run_of(invocation)
  if not cron then return end
  redis.call('HDEL', P .. 'cron-runs', invocation)
  redis.call('ZREM', P .. 'cron-runs-lease', invocation)
  redis.call('SREM', P .. 'cron-runs-of:' .. cron, invocation)
  redis.call('SREM', P .. 'cron-runs-by:' .. owner, invocation)
end
local function own_run(invocation, cron, due, started, owner, til)
  redis.call('HSET', P .. 'cron-runs', invocation, cron .. '\\n' .. due .. ' ' .. started .. ' ' .. owner)
  redis.call('ZADD', P .. 'cron-runs-lease', til, invocation)
  redis.call('SADD', P .. 'cron-runs-by:' .. owner, invocation)
end
`;

/** `remove_cron(id, function)`: also when its function is deleted (registry.ts). */
export const REMOVE_CRON = `${RUNS}
local function remove_cron(id, fn)
  for _, invocation in ipairs(redis.call('SMEMBERS', P .. 'cron-runs-of:' .. id)) do end_run(invocation) end
  redis.call('HDEL', P .. 'crons', id)
  redis.call('HDEL', P .. 'crons-next', id)
  redis.call('HDEL', P .. 'crons-last', id)
  redis.call('SREM', P .. 'crons-paused', id)
  redis.call('SREM', P .. 'crons-of:' .. fn, id)
end
`;

type Settings = Pick<CronRecord, 'expression' | 'timezone' | 'missed' | 'overlap'>;
type Last = NonNullable<CronRecord['last']>;

export function cronsDomain(db: Database): CronStore {
  const list = db.script(
    'crons.list',
    `local all = redis.call('HGETALL', P .. 'crons')
    local found = {}
    for i = 1, #all, 2 do
      local id = all[i]
      found[#found + 1] = {id, all[i + 1], redis.call('HGET', P .. 'crons-next', id),
        redis.call('SISMEMBER', P .. 'crons-paused', id), redis.call('HGET', P .. 'crons-last', id)}
    end
    return found`,
  );
  // The function, then of each cron its id, what is kept of it, and when it is due.
  const replace = db.script(
    'crons.replace',
    `${CHANGED}${REMOVE_CRON}
    local fn, stays = ARGV[1], {}
    for i = 2, #ARGV, 3 do stays[ARGV[i]] = true end
    for _, id in ipairs(redis.call('SMEMBERS', P .. 'crons-of:' .. fn)) do
      if not stays[id] then remove_cron(id, fn) end
    end
    for i = 2, #ARGV, 3 do
      local id, due = ARGV[i], ARGV[i + 2]
      redis.call('HSET', P .. 'crons', id, fn .. '\\n' .. ARGV[i + 1])
      redis.call('SADD', P .. 'crons-of:' .. fn, id)
      if due == '' or redis.call('SISMEMBER', P .. 'crons-paused', id) == 1 then
        redis.call('HDEL', P .. 'crons-next', id)
      else
        redis.call('HSET', P .. 'crons-next', id, due)
      end
    end
    changed('cron', fn)`,
  );
  const claim = db.script(
    'crons.claim',
    `${RUNS}
    local id, due, next = ARGV[1], ARGV[2], ARGV[3]
    if redis.call('HGET', P .. 'crons-next', id) ~= due then return 0 end
    if next == '' then redis.call('HDEL', P .. 'crons-next', id)
    else redis.call('HSET', P .. 'crons-next', id, next) end
    local started, invocation, owner = ARGV[4], ARGV[5], ARGV[6]
    redis.call('HSET', P .. 'crons-last', id, invocation .. '\\n' .. ARGV[8])
    own_run(invocation, id, due, started, owner, ARGV[7])
    redis.call('SADD', P .. 'cron-runs-of:' .. id, invocation)
    return 1`,
  );
  const extend = db.script(
    'crons.extend',
    `local mine = redis.call('SMEMBERS', P .. 'cron-runs-by:' .. ARGV[1])
    for _, invocation in ipairs(mine) do redis.call('ZADD', P .. 'cron-runs-lease', ARGV[2], invocation) end
    return mine`,
  );
  const takeOver = db.script(
    'crons.takeOver',
    `${RUNS}
    local owner, now, til, mine = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
    local taken = {}
    local function take(invocation)
      local cron, due, started, of = run_of(invocation)
      if not cron or (of == owner and not mine) then return end
      redis.call('SREM', P .. 'cron-runs-by:' .. of, invocation)
      own_run(invocation, cron, due, started, owner, til)
      taken[#taken + 1] = cron
      taken[#taken + 1] = due
      taken[#taken + 1] = started
      taken[#taken + 1] = invocation
    end
    local own = mine and redis.call('SMEMBERS', P .. 'cron-runs-by:' .. owner) or {}
    local seen = {}
    for _, invocation in ipairs(own) do
      seen[invocation] = true
      take(invocation)
    end
    for _, invocation in ipairs(redis.call('ZRANGEBYSCORE', P .. 'cron-runs-lease', '-inf', now)) do
      if not seen[invocation] then take(invocation) end
    end
    return taken`,
  );
  const finish = db.script(
    'crons.finish',
    `${RUNS}
    end_run(ARGV[2])
    local last = redis.call('HGET', P .. 'crons-last', ARGV[1])
    if not last then return end
    local invocation, began = string.match(last, '^([^\\n]*)\\n([^\\n]*)')
    if invocation ~= ARGV[2] then return end
    redis.call('HSET', P .. 'crons-last', ARGV[1], invocation .. '\\n' .. began .. '\\n' .. ARGV[3])`,
  );
  const setPaused = db.script(
    'crons.setPaused',
    `${CHANGED}
    local kept = redis.call('HGET', P .. 'crons', ARGV[1])
    if not kept then return 0 end
    redis.call(ARGV[2] == '1' and 'SADD' or 'SREM', P .. 'crons-paused', ARGV[1])
    if ARGV[3] == '' then redis.call('HDEL', P .. 'crons-next', ARGV[1])
    else redis.call('HSET', P .. 'crons-next', ARGV[1], ARGV[3]) end
    changed('cron', string.match(kept, '^[^\\n]*'))
    return 1`,
  );

  return {
    async list() {
      const crons = asList(await list()).map((reply): CronRecord => {
        const [id, kept, next, paused, last] = asList(reply);
        const [functionName = '', settings = ''] = asText(kept).split('\n');
        return {
          id: asText(id),
          functionName,
          ...(JSON.parse(settings) as Settings),
          paused: paused === 1,
          nextAt: next === null ? null : asNumber(next),
          last: last === null ? null : readLast(asText(last)),
        };
      });
      return crons.sort((a, b) => (a.id < b.id ? -1 : 1));
    },
    async replace(functionName, crons) {
      const given = crons.flatMap(({ id, expression, timezone, missed, overlap, nextAt }) => {
        const settings: Settings = { expression, timezone, missed, overlap };
        return [id, JSON.stringify(settings), nextAt ?? ''];
      });
      await replace(functionName, ...given);
    },
    async claim(id, dueAt, nextAt, { startedAt, invocationId, owner, leaseUntil }) {
      const began = JSON.stringify({ dueAt, startedAt });
      return (await claim(id, dueAt, nextAt ?? '', startedAt, invocationId, owner, leaseUntil, began)) === 1;
    },
    extend: async (owner, leaseUntil) => asTexts(await extend(owner, leaseUntil)),
    async takeOver(owner, nowMs, leaseUntil, mine) {
      const taken = inTuples(asList(await takeOver(owner, nowMs, leaseUntil, mine ? 1 : 0)), 4);
      return taken
        .map(([id, dueAt, startedAt, invocationId]) => ({
          id: asText(id),
          dueAt: asNumber(dueAt),
          startedAt: asNumber(startedAt),
          invocationId: asText(invocationId),
        }))
        .sort((a, b) => a.dueAt - b.dueAt);
    },
    async finish(id, invocationId, endedAt, outcome, error) {
      await finish(id, invocationId, JSON.stringify({ endedAt, outcome, error }));
    },
    setPaused: async (id, paused, nextAt) => (await setPaused(id, paused ? 1 : 0, nextAt ?? '')) === 1,
  };
}

function readLast(text: string): Last {
  const [invocationId = '', began = '', ended] = text.split('\n');
  return {
    ...(JSON.parse(began) as Pick<Last, 'dueAt' | 'startedAt'>),
    ...(ended === undefined
      ? { endedAt: null, outcome: 'running', error: null }
      : (JSON.parse(ended) as Pick<Last, 'endedAt' | 'outcome' | 'error'>)),
    invocationId,
  };
}
