/** What an operator does with a queue: looks, redrives, empties, sets. The keys, and what these scripts share, are in queue-lua.ts. */
import { DUE, ENSURE, FORGET, KEYS, MOVE } from './queue-lua.ts';
import { CHANGED } from './script.ts';

/** queue, now */
export const STATS = `${KEYS}
local queue, later = ARGV[1], '(' .. ARGV[2]
local dead = 0
for _, place in ipairs(redis.call('SMEMBERS', Q('graves', queue))) do
  dead = dead + redis.call('ZCARD', Q('from', place .. '/' .. queue))
end
return {
  redis.call('ZCARD', Q('waiting', queue)) + redis.call('ZCARD', Q('leased', queue)),
  redis.call('ZCOUNT', Q('waiting', queue), later, '+inf'),
  redis.call('ZCOUNT', Q('leased', queue), later, '+inf'),
  redis.call('ZRANGE', Q('age', queue), 0, 0, 'WITHSCORES')[2] or false,
  dead,
}
`;

/** queue, behind which death ('' for the first), most. Answers place, death:number, letter and message of each. */
export const DEAD = `${KEYS}
local source, most = ARGV[1], tonumber(ARGV[3])
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local found = {}
for _, queue in ipairs(redis.call('SMEMBERS', Q('graves', source))) do
  local part = redis.call('ZRANGEBYLEX', Q('from', queue .. '/' .. source), from, '+', 'LIMIT', 0, most)
  for _, member in ipairs(part) do
    local number = string.sub(member, 18)
    found[#found + 1] = {member, redis.call('HGET', Q('letters', queue), number),
      redis.call('HGET', Q('messages', queue), number)}
  end
end
table.sort(found, function(a, b) return a[1] < b[1] end)
local answer = {}
for i = 1, math.min(most, #found) do answer[i] = found[i] end
return answer
`;

/** `revive(queue, place, number, now)`: false when a consumer holds it. */
const REVIVE = `
local function revive(queue, place, number, now)
  local fence = redis.call('HGET', Q('letter-holds', place), number)
  if fence then
    local member = number .. ':' .. fence
    if tonumber(redis.call('ZSCORE', Q('leased', place), member)) > tonumber(now) then return false end
    redis.call('ZREM', Q('leased', place), member)
    redis.call('HDEL', Q('held', place), fence)
  else
    redis.call('ZREM', Q('waiting', place), number)
  end
  move(place, queue, number, now)
  return true
end
`;

/** queue, place, behind which death, most, now. Answers how many came back, how many were looked at, and the last one. */
export const REDRIVE_ALL = `${KEYS}${ENSURE}${DUE}${FORGET}${MOVE}${REVIVE}
local queue, place = ARGV[1], ARGV[2]
ensure(queue)
local from = ARGV[3] == '' and '-' or '(' .. ARGV[3]
local part = redis.call('ZRANGEBYLEX', Q('from', place .. '/' .. queue), from, '+', 'LIMIT', 0, ARGV[4])
local revived = 0
for _, member in ipairs(part) do
  if revive(queue, place, string.sub(member, 18), ARGV[5]) then revived = revived + 1 end
end
return {revived, #part, part[#part] or ''}
`;

/** queue, place, now, then ids. Answers how many came back. */
export const REDRIVE = `${KEYS}${ENSURE}${DUE}${FORGET}${MOVE}${REVIVE}
local queue, place = ARGV[1], ARGV[2]
ensure(queue)
local revived = 0
for i = 4, #ARGV do
  local id = ARGV[i]
  local found = redis.call('ZRANGEBYLEX', Q('ids', place .. '/' .. queue), '[' .. id .. '\\0', '(' .. id .. '\\1')
  for _, member in ipairs(found) do
    if revive(queue, place, string.sub(member, #id + 2), ARGV[3]) then revived = revived + 1 end
  end
end
return revived
`;

/** `empty(queue)`: all its messages; returns how many. */
const EMPTY = `
local function empty(queue)
  local count = redis.call('ZCARD', Q('waiting', queue)) + redis.call('ZCARD', Q('leased', queue))
  for _, source in ipairs(redis.call('SMEMBERS', Q('sources', queue))) do
    redis.call('UNLINK', Q('from', queue .. '/' .. source), Q('ids', queue .. '/' .. source))
    redis.call('SREM', Q('graves', source), queue)
  end
  for _, part in ipairs({'messages', 'waiting', 'leased', 'held', 'tries', 'failures', 'age', 'letters', 'letter-holds',
    'sources'}) do
    redis.call('UNLINK', Q(part, queue))
  end
  return count
end
`;

/** queue */
export const PURGE = `${KEYS}${EMPTY} return empty(ARGV[1])`;

/** queue */
export const DELETE = `${KEYS}${CHANGED}${EMPTY}
if redis.call('HDEL', P .. 'queues', ARGV[1]) == 0 then return 0 end
empty(ARGV[1])
redis.call('UNLINK', Q('seen', ARGV[1]))
changed('queue', ARGV[1])
return 1
`;

/** queue, settings */
export const PUT = `${CHANGED}
redis.call('HSET', P .. 'queues', ARGV[1], ARGV[2])
changed('queue', ARGV[1])
`;
