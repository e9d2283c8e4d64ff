/** What becomes of a message: enqueued, claimed, settled. The keys, and what these scripts share, are in queue-lua.ts. */
import { MOST_FAILURE_BYTES } from '../api/queues.ts';
import { DUE, ENSURE, FORGET, KEYS, MOVE } from './queue-lua.ts';
import { MANY } from './script.ts';

/** Ids that one enqueue clears away at most, beyond as many as it brings: so they never pile up and nobody waits long. */
const SWEEP_EXTRA = 50;

/** `held_by(queue, fences, ids)`: of each {attempts, number}, false where the lease is another's by now. */
const HELD = `
local function held_by(queue, fences, ids)
  local found = read('HMGET', Q('held', queue), fences)
  local taken = {}
  for i, kept in ipairs(found) do
    if kept and not taken[fences[i]] then
      local attempts, number, id = string.match(kept, '^(%d+):(%d+):(.*)$')
      found[i] = id == ids[i] and {attempts, number}
      taken[fences[i]] = found[i] and true
    else
      found[i] = false
    end
  end
  return found
end
`;

/** queue, now, up to when ids are forgotten; then of each message: due time, its id ('' is not remembered), the message. */
export const ENQUEUE = `${KEYS}${ENSURE}${DUE}${MANY}
local queue, now = ARGV[1], ARGV[2]
ensure(queue)
local given, seen = {}, {}
for i = 4, #ARGV, 3 do
  if ARGV[i + 1] ~= '' then given[#given + 1] = ARGV[i + 1] end
end
if #given > 0 then
  local at = read('ZMSCORE', Q('seen', queue), given)
  for i, id in ipairs(given) do
    if at[i] and tonumber(at[i]) > tonumber(ARGV[3]) then seen[id] = true end
  end
end
local duplicates, fresh, times, ages, bodies = {}, {}, {}, {}, {}
local first
local number = redis.call('INCRBY', P .. 'messages-made', (#ARGV - 3) / 3) - (#ARGV - 3) / 3
for i = 4, #ARGV, 3 do
  local at, id = ARGV[i], ARGV[i + 1]
  if id ~= '' and seen[id] then
    duplicates[#duplicates + 1] = (i - 4) / 3
  else
    if id ~= '' then
      seen[id] = true
      fresh[#fresh + 1] = now
      fresh[#fresh + 1] = id
    end
    number = number + 1
    local name = digits(number)
    local n = #times
    times[n + 1], times[n + 2] = at, name
    ages[n + 1], ages[n + 2] = now, name
    bodies[n + 1], bodies[n + 2] = name, ARGV[i + 2]
    if not first or tonumber(at) < first then first = tonumber(at) end
  end
end
if first then
  due(queue, first)
  call('HSET', Q('messages', queue), bodies)
  call('ZADD', Q('waiting', queue), times)
  call('ZADD', Q('age', queue), ages)
end
if #given > 0 then
  call('ZADD', Q('seen', queue), fresh)
  local old = redis.call('ZRANGEBYSCORE', Q('seen', queue), '-inf', ARGV[3], 'LIMIT', 0, #given + ${SWEEP_EXTRA})
  call('ZREM', Q('seen', queue), old)
end
return duplicates
`;

/** now, how many queues, the queues; then of each message: due time, the message. */
export const PUBLISH = `${KEYS}${ENSURE}${DUE}${MANY}
local now, first = ARGV[1], 3 + tonumber(ARGV[2])
local count = (#ARGV - first + 1) / 2
for q = 3, first - 1 do
  local queue = ARGV[q]
  ensure(queue)
  local number = redis.call('INCRBY', P .. 'messages-made', count) - count
  local times, ages, bodies, earliest = {}, {}, {}, nil
  for i = first, #ARGV, 2 do
    number = number + 1
    local name, n = digits(number), #times
    times[n + 1], times[n + 2] = ARGV[i], name
    ages[n + 1], ages[n + 2] = now, name
    bodies[n + 1], bodies[n + 2] = name, ARGV[i + 1]
    if not earliest or tonumber(ARGV[i]) < earliest then earliest = tonumber(ARGV[i]) end
  end
  due(queue, earliest)
  call('HSET', Q('messages', queue), bodies)
  call('ZADD', Q('waiting', queue), times)
  call('ZADD', Q('age', queue), ages)
end
`;

/** queue, most, now, until. Answers fence, attempts, kills (or '') and message of each. First what gives memory back: it works when full. */
export const CLAIM = `${KEYS}${MANY}
local queue, most, now, til = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local numbers, attempts, kills = {}, {}, {}
local ended = redis.call('ZRANGEBYSCORE', Q('leased', queue), '-inf', now, 'LIMIT', 0, most)
if #ended > 0 then
  local fences = {}
  for i, member in ipairs(ended) do
    numbers[i] = string.sub(member, 1, 16)
    fences[i] = string.sub(member, 18)
  end
  for i, kept in ipairs(read('HMGET', Q('held', queue), fences)) do
    attempts[i] = tonumber(string.match(kept, '^%d+'))
  end
  for i, kept in ipairs(read('HMGET', Q('tries', queue), numbers)) do
    kills[i] = kept and string.match(kept, ':(%d+)$')
  end
  call('ZREM', Q('leased', queue), ended)
  call('HDEL', Q('held', queue), fences)
end
if #ended < most then
  local due = redis.call('ZRANGEBYSCORE', Q('waiting', queue), '-inf', now, 'LIMIT', 0, most - #ended)
  if #due > 0 then
    call('ZREM', Q('waiting', queue), due)
    local tries = read('HMGET', Q('tries', queue), due)
    for i, number in ipairs(due) do
      numbers[#numbers + 1] = number
      attempts[#numbers] = tonumber(string.match(tries[i] or '0', '^%d+'))
      kills[#numbers] = tries[i] and string.match(tries[i], ':(%d+)$')
    end
  end
end
if #numbers == 0 then return {} end
local fence = redis.call('INCRBY', P .. 'fences-made', #numbers) - #numbers
local answer, leases, holds = {}, {}, {}
local letters = redis.call('EXISTS', Q('letters', queue)) == 1
for i, packed in ipairs(read('HMGET', Q('messages', queue), numbers)) do
  local name, n = digits(fence + i), #leases
  local attempt = attempts[i] + 1
  leases[n + 1], leases[n + 2] = til, numbers[i] .. ':' .. name
  holds[n + 1] = name
  holds[n + 2] = attempt .. ':' .. numbers[i] .. ':' .. string.sub(packed, 4, 3 + tonumber(string.sub(packed, 1, 3)))
  if letters and redis.call('HEXISTS', Q('letters', queue), numbers[i]) == 1 then
    redis.call('HSET', Q('letter-holds', queue), numbers[i], name)
  end
  n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = fence + i, attempt, kills[i] or '', packed
end
call('ZADD', Q('leased', queue), leases)
call('HSET', Q('held', queue), holds)
return answer
`;

/** queue, until, then fence and id of each. Answers the places of those that are held. */
export const EXTEND = `${KEYS}${MANY}${HELD}
local queue, fences, ids = ARGV[1], {}, {}
for i = 3, #ARGV, 2 do
  fences[#fences + 1] = digits(ARGV[i])
  ids[#ids + 1] = ARGV[i + 1]
end
local still, leases = {}, {}
for i, held in ipairs(held_by(queue, fences, ids)) do
  if held then
    still[#still + 1] = i - 1
    leases[#leases + 1] = ARGV[2]
    leases[#leases + 1] = held[2] .. ':' .. fences[i]
  end
end
call('ZADD', Q('leased', queue), leases)
return still
`;

/**
 * queue, now, then of each settlement: verdict, fence, id; of a retry also due time, whether the attempt counts, the
 * failure as JSON or '', and kills or ''; of a death the failure and the reason. Answers the places of those that were refused.
 */
export const SETTLE = `${KEYS}${ENSURE}${DUE}${FORGET}${HELD}${MOVE}
local queue, now = ARGV[1], ARGV[2]
local at, fences, ids = {}, {}, {}
local i = 3
while i <= #ARGV do
  at[#at + 1] = i
  fences[#fences + 1] = digits(ARGV[i + 1])
  ids[#ids + 1] = ARGV[i + 2]
  i = i + (ARGV[i] == 'ack' and 3 or ARGV[i] == 'dead' and 5 or 7)
end
local refused, leases, holds, done, again, dead = {}, {}, {}, {}, {}, {}
local letters = redis.call('EXISTS', Q('letters', queue)) == 1
for n, held in ipairs(held_by(queue, fences, ids)) do
  if not held then
    refused[#refused + 1] = n - 1
  else
    leases[#leases + 1] = held[2] .. ':' .. fences[n]
    holds[#holds + 1] = fences[n]
    local verdict = ARGV[at[n]]
    if verdict == 'ack' then
      done[#done + 1] = held[2]
    else
      local list = verdict == 'dead' and dead or again
      list[#list + 1] = {at[n], held[1], held[2]}
    end
  end
end
if #leases == 0 then return refused end
call('ZREM', Q('leased', queue), leases)
call('HDEL', Q('held', queue), holds)
forget(queue, done)
local function failures_with(number, failure, always)
  local kept = redis.call('HGET', Q('failures', queue), number)
  if not kept then return failure end
  if #kept >= ${MOST_FAILURE_BYTES} and not always then return kept end
  return kept .. ',' .. failure
end
for _, each in ipairs(again) do
  local place, attempts, number = each[1], tonumber(each[2]), each[3]
  if ARGV[place + 4] == '0' then attempts = attempts - 1 end
  if letters then redis.call('HDEL', Q('letter-holds', queue), number) end
  due(queue, ARGV[place + 3])
  redis.call('ZADD', Q('waiting', queue), ARGV[place + 3], number)
  local kills = ARGV[place + 6]
  redis.call('HSET', Q('tries', queue), number, kills == '' and attempts or attempts .. ':' .. kills)
  if ARGV[place + 5] ~= '' then
    redis.call('HSET', Q('failures', queue), number, failures_with(number, ARGV[place + 5]))
  end
end
if #dead > 0 then
  local settings = redis.call('HGET', P .. 'queues', queue)
  local grave = queue .. '.dead'
  if settings and settings ~= '' then grave = cjson.decode(settings).deadLetterQueue end
  ensure(grave)
  for _, each in ipairs(dead) do
    local place, attempts, number = each[1], each[2], each[3]
    local failures = failures_with(number, ARGV[place + 3], true)
    local id = move(queue, grave, number, now)
    local there, died = grave .. '/' .. queue, digits(now)
    redis.call('HSET', Q('letters', grave), number,
      queue .. '\\n' .. died .. '\\n' .. attempts .. '\\n' .. ARGV[place + 4] .. '\\n' .. failures)
    redis.call('ZADD', Q('from', there), 0, died .. ':' .. number)
    redis.call('ZADD', Q('ids', there), 0, id .. '\\0' .. number)
    redis.call('SADD', Q('sources', grave), queue)
    redis.call('SADD', Q('graves', queue), grave)
  end
end
return refused
`;

/** queue */
export const NEXT_DUE = `${KEYS}
local waiting = redis.call('ZRANGE', Q('waiting', ARGV[1]), 0, 0, 'WITHSCORES')[2]
local leased = redis.call('ZRANGE', Q('leased', ARGV[1]), 0, 0, 'WITHSCORES')[2]
if not waiting or (leased and tonumber(leased) < tonumber(waiting)) then return leased end
return waiting
`;
