/**
 * Crons: what is due next, the last run of each, and the runs that have not ended. Keys: crons (hash: id → function, a line
 * end, what its manifest says as JSON), crons-next (hash: id → due time), crons-paused (set), crons-last (hash: id → see
 * readLast), crons-until (hash: id → firedUntil), crons-of:FUNCTION (set of ids); cron-runs (hash: invocation → cron, due time, begin, attempt, owner),
 * cron-runs-lease (sorted set of invocations), and sets of invocations: cron-runs-of:CRON, cron-runs-by:OWNER.
 */
import type { CronClaimed, CronRecord, CronStore } from '../api/crons.ts';
import { asList, asNumber, asText, asTexts, inTuples } from './reply.ts';
import { CHANGED, type Database } from './script.ts';

/** `run_of(invocation)`: cron, due time, begin, attempt, owner. `end_run(invocation)` forgets it. */
const RUNS = `
local function run_of(invocation)
  local kept = redis.call('HGET', P .. 'cron-runs', invocation)
  if kept then return string.match(kept, '^([^\\n]*)\\n(%d+) (%d+) (%d+) (.*)$') end
end
local function end_run(invocation)
  local cron, _, _, _, owner = run_of(invocation)
  if not cron then return end
  redis.call('HDEL', P .. 'cron-runs', invocation)
  redis.call('ZREM', P .. 'cron-runs-lease', invocation)
  redis.call('SREM', P .. 'cron-runs-of:' .. cron, invocation)
  redis.call('SREM', P .. 'cron-runs-by:' .. owner, invocation)
end
local function own_run(invocation, cron, due, started, attempt, owner, til)
  redis.call('HSET', P .. 'cron-runs', invocation,
    cron .. '\\n' .. due .. ' ' .. started .. ' ' .. attempt .. ' ' .. owner)
  redis.call('ZADD', P .. 'cron-runs-lease', til, invocation)
  redis.call('SADD', P .. 'cron-runs-by:' .. owner, invocation)
end
local function set_last(id, invocation, due, started, attempt, outcome, ended, why)
  redis.call('HSET', P .. 'crons-last', id,
    table.concat({invocation, due, started, attempt, outcome, ended, why}, '\\n'))
end
-- Of the last: invocation, outcome.
local function last_of(id)
  local last = redis.call('HGET', P .. 'crons-last', id)
  if last then return string.match(last, '^([^\\n]*)\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n([^\\n]*)') end
end
`;

/** `remove_cron(id, function)`: also when its function is deleted (registry.ts). */
export const REMOVE_CRON = `${RUNS}
local function remove_cron(id, fn)
  for _, invocation in ipairs(redis.call('SMEMBERS', P .. 'cron-runs-of:' .. id)) do end_run(invocation) end
  redis.call('HDEL', P .. 'crons', id)
  redis.call('HDEL', P .. 'crons-next', id)
  redis.call('HDEL', P .. 'crons-last', id)
  redis.call('HDEL', P .. 'crons-until', id)
  redis.call('SREM', P .. 'crons-paused', id)
  redis.call('SREM', P .. 'crons-of:' .. fn, id)
end
`;

/** `row(id, kept)`: what readRow takes. */
const ROW = `
local function row(id, kept)
  return {id, kept, redis.call('HGET', P .. 'crons-next', id), redis.call('SISMEMBER', P .. 'crons-paused', id),
    redis.call('SCARD', P .. 'cron-runs-of:' .. id), redis.call('HGET', P .. 'crons-last', id),
    redis.call('HGET', P .. 'crons-until', id)}
end
local function rows_of(fn)
  local found = {}
  for _, id in ipairs(redis.call('SMEMBERS', P .. 'crons-of:' .. fn)) do
    found[#found + 1] = row(id, redis.call('HGET', P .. 'crons', id))
  end
  return found
end
`;

type Settings = Pick<CronRecord, 'expression' | 'timezone' | 'missed' | 'overlap'>;
type Last = NonNullable<CronRecord['last']>;

/** A claim's arguments, and how many there are. */
const CLAIM = ['id', 'dueAt', 'nextAt', 'startedAt', 'invocationId', 'skipped', 'alone'] as const;

export function cronsDomain(db: Database): CronStore {
  const list = db.script(
    'crons.list',
    `${ROW}
    if ARGV[1] ~= '' then return rows_of(ARGV[1]) end
    local all = redis.call('HGETALL', P .. 'crons')
    local found = {}
    for i = 1, #all, 2 do found[#found + 1] = row(all[i], all[i + 1]) end
    return found`,
  );
  // The function, then of each cron its id, what is kept of it, when it is due, and what stays the same as long as that.
  const replace = db.script(
    'crons.replace',
    `${CHANGED}${REMOVE_CRON}${ROW}
    local fn, stays, differs = ARGV[1], {}, false
    for i = 2, #ARGV, 4 do stays[ARGV[i]] = true end
    for _, id in ipairs(redis.call('SMEMBERS', P .. 'crons-of:' .. fn)) do
      if not stays[id] then
        remove_cron(id, fn)
        differs = true
      end
    end
    for i = 2, #ARGV, 4 do
      local id, kept, due, when = ARGV[i], fn .. '\\n' .. ARGV[i + 3] .. '\\n' .. ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
      local before = redis.call('HGET', P .. 'crons', id)
      if before ~= kept then
        differs = true
        redis.call('HSET', P .. 'crons', id, kept)
        redis.call('SADD', P .. 'crons-of:' .. fn, id)
        local same = before and string.match(before, '^[^\\n]*\\n([^\\n]*)') == when
        if not same then
          if due == '' or redis.call('SISMEMBER', P .. 'crons-paused', id) == 1 then
            redis.call('HDEL', P .. 'crons-next', id)
          else
            redis.call('HSET', P .. 'crons-next', id, due)
          end
        end
      end
    end
    if differs then changed('cron', fn) end
    return rows_of(fn)`,
  );
  const claim = db.script(
    'crons.claim',
    `${RUNS}
    local owner, til, answers = ARGV[1], ARGV[2], {}
    for i = 3, #ARGV, ${CLAIM.length} do
      local id, due, next, started, invocation, skipped, alone = unpack(ARGV, i, i + ${CLAIM.length - 1})
      local at = redis.call('HGET', P .. 'crons-next', id)
      if redis.call('HEXISTS', P .. 'crons', id) == 0 then
        answers[#answers + 1] = {'gone'}
      elseif at ~= due then
        answers[#answers + 1] = {'passed', at, redis.call('SISMEMBER', P .. 'crons-paused', id)}
      elseif alone == '1' and redis.call('SCARD', P .. 'cron-runs-of:' .. id) > 0 then
        answers[#answers + 1] = {'busy'}
      else
        if next == '' then redis.call('HDEL', P .. 'crons-next', id)
        else redis.call('HSET', P .. 'crons-next', id, next) end
        local til_now = math.max(tonumber(due), tonumber(started), tonumber(redis.call('HGET', P .. 'crons-until', id) or 0))
        redis.call('HSET', P .. 'crons-until', id, string.format('%.0f', til_now))
        if skipped == '' then
          set_last(id, invocation, due, started, 1, 'running', '', '')
          own_run(invocation, id, due, started, 1, owner, til)
          redis.call('SADD', P .. 'cron-runs-of:' .. id, invocation)
        else
          set_last(id, invocation, due, started, 1, 'skipped', started, skipped)
        end
        answers[#answers + 1] = {'claimed'}
      end
    end
    return answers`,
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
      local cron, due, started, attempt, of = run_of(invocation)
      if not cron or (of == owner and not mine) then return end
      attempt = tonumber(attempt) + 1
      redis.call('SREM', P .. 'cron-runs-by:' .. of, invocation)
      own_run(invocation, cron, due, started, attempt, owner, til)
      if last_of(cron) == invocation then set_last(cron, invocation, due, started, attempt, 'running', '', '') end
      for _, value in ipairs({cron, due, started, invocation, attempt}) do taken[#taken + 1] = value end
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
  // The owner, then of each end its cron, invocation, time, outcome and error.
  const finish = db.script(
    'crons.finish',
    `${RUNS}
    local refused = {}
    for i = 2, #ARGV, 5 do
      local id, invocation, ended, outcome, why = unpack(ARGV, i, i + 4)
      local cron, due, started, attempt, owner = run_of(invocation)
      if owner ~= ARGV[1] then
        refused[#refused + 1] = invocation
      else
        end_run(invocation)
        local last, was = last_of(id)
        if last == invocation or was == 'skipped' then
          set_last(id, invocation, due, started, attempt, outcome, ended, why)
        end
      end
    end
    return refused`,
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
  const readRows = (reply: Parameters<typeof asList>[0]) =>
    asList(reply)
      .map((row) => readRow(asList(row)))
      .sort((a, b) => (a.id < b.id ? -1 : 1));

  return {
    list: async (functionName) => readRows(await list(functionName ?? '')),
    async replace(functionName, crons) {
      const given = crons.flatMap(({ id, expression, timezone, missed, overlap, nextAt }) => {
        const settings: Settings = { expression, timezone, missed, overlap };
        return [id, JSON.stringify(settings), nextAt ?? '', JSON.stringify([expression, timezone])];
      });
      return readRows(await replace(functionName, ...given));
    },
    async claim(claims, owner, leaseUntil) {
      const given = claims.flatMap(({ id, dueAt, nextAt, startedAt, invocationId, skipped, alone }) => [
        ...[id, dueAt, nextAt ?? '', startedAt, invocationId],
        ...[skipped === null ? '' : JSON.stringify(skipped), alone ? 1 : 0],
      ]);
      return asList(await claim(owner, leaseUntil, ...given)).map((answer): CronClaimed => {
        const [state, nextAt, paused] = asList(answer);
        if (asText(state) !== 'passed') return { state: asText(state) as 'claimed' | 'busy' | 'gone' };
        return { state: 'passed', nextAt: nextAt === null ? null : asNumber(nextAt), paused: paused === 1 };
      });
    },
    extend: async (owner, leaseUntil) => asTexts(await extend(owner, leaseUntil)),
    async takeOver(owner, nowMs, leaseUntil, mine) {
      const taken = inTuples(asList(await takeOver(owner, nowMs, leaseUntil, mine ? 1 : 0)), 5);
      return taken
        .map(([id, dueAt, startedAt, invocationId, attempt]) => ({
          id: asText(id),
          dueAt: asNumber(dueAt),
          startedAt: asNumber(startedAt),
          invocationId: asText(invocationId),
          attempt: asNumber(attempt),
        }))
        .sort((a, b) => a.dueAt - b.dueAt);
    },
    async finish(ends, owner) {
      const given = ends.flatMap(({ id, invocationId, endedAt, outcome, error }) => {
        return [id, invocationId, endedAt, outcome, error === null ? '' : JSON.stringify(error)];
      });
      return asTexts(await finish(owner, ...given));
    },
    setPaused: async (id, paused, nextAt) => (await setPaused(id, paused ? 1 : 0, nextAt ?? '')) === 1,
  };
}

function readRow([id, kept, next, paused, running, last, until]: ReturnType<typeof asList>): CronRecord {
  const [functionName = '', , settings = ''] = asText(kept).split('\n');
  return {
    id: asText(id),
    functionName,
    ...(JSON.parse(settings) as Settings),
    paused: paused === 1,
    nextAt: next === null ? null : asNumber(next),
    running: asNumber(running),
    firedUntil: until === null ? 0 : asNumber(until),
    last: last === null ? null : readLast(asText(last)),
  };
}

/** Lines: invocation, due time, begin, attempt, outcome, end, and why as JSON; the last two may be empty. */
function readLast(text: string): Last {
  const [invocationId = '', dueAt, startedAt, attempts, outcome, endedAt = '', error = ''] = text.split('\n');
  return {
    dueAt: Number(dueAt),
    startedAt: Number(startedAt),
    endedAt: endedAt === '' ? null : Number(endedAt),
    outcome: outcome as Last['outcome'],
    attempts: Number(attempts),
    invocationId,
    error: error === '' ? null : (JSON.parse(error) as string),
  };
}
