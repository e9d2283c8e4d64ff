/**
 * Queues in Redis. A message has a number, in the order of acceptance, and lies in the keys of the queue where it is:
 *
 *   messages:Q   hash: number → the message, never changed while it is here
 *   waiting:Q    sorted set: number by due time                   ┐ it is in one of these two
 *   leased:Q     sorted set: number:fence by the end of the lease ┘
 *   held:Q       hash: fence → attempts:number:id, of leased ones
 *   tries:Q      hash: number → attempts so far, where it waits again, and behind a colon its kills, where it has some
 *   failures:Q   hash: number → what each attempt failed with, JSON objects with commas between them
 *   age:Q        sorted set: number by time of acceptance
 *   seen:Q       sorted set: ids that producers gave, by time of acceptance
 *
 * A dead letter is an ordinary message of the queue it died into, and besides:
 *
 *   letters:Q    hash: number → source, time of death, attempts, reason as JSON, failures, behind line ends
 *   letter-holds:Q  hash: number → fence, while it is leased
 *   from:Q/S     sorted set of one score: time of death:number, of those that come from S
 *   ids:Q/S      sorted set of one score: id, a zero byte, number
 *   sources:Q    set of the S;   graves:S  set of the Q
 *
 * So claims and settlements cost the logarithm of a queue's length, and a queue is emptied by unlinking its keys, which
 * Redis frees beside its work. Numbers and fences have 16 digits: their order as text is their order.
 */
import { MOST_FAILURE_BYTES } from '../api/queues.ts';
import { ID_OF } from './message.ts';
import { CHANGED, MANY, WOKEN } from './script.ts';

/** Ids that one enqueue clears away at most, beyond as many as it brings: so they never pile up and nobody waits long. */
const SWEEP_EXTRA = 50;
/** Those who wait for messages are told of more of them at most so often, where some are due already. */
const WAKE_EVERY_MS = 20;

const KEYS = `
local function Q(part, queue) return P .. part .. ':' .. queue end
local function digits(n) return string.format('%016.0f', n) end
`;

/**
 * `due(queue, at)`, before something is added that is due then: whoever sleeps until something later is told. Where there
 * is something due already they are at work, and are told now and then, for the sake of those who found nothing left.
 */
const DUE = `${WOKEN}
local function due(queue, at)
  local first = redis.call('ZRANGE', Q('waiting', queue), 0, 0, 'WITHSCORES')
  if first[2] and tonumber(first[2]) <= tonumber(at)
    and not redis.call('SET', Q('told', queue), '', 'NX', 'PX', ${WAKE_EVERY_MS}) then return end
  woken(queue)
end
`;

/** `ensure(queue)`: makes it with default settings, which are kept as nothing. */
const ENSURE = `${CHANGED}
local function ensure(queue)
  if redis.call('HSETNX', P .. 'queues', queue, '') == 1 then changed('queue', queue) end
end
`;

/** `forget(queue, numbers)`: all that is kept of them but their lease. */
const FORGET = `${ID_OF}${MANY}
local function forget_letter(queue, number, letter, id)
  local source, died = string.match(letter, '^([^\\n]*)\\n(%d+)')
  local place = queue .. '/' .. source
  redis.call('ZREM', Q('ids', place), id .. '\\0' .. number)
  redis.call('ZREM', Q('from', place), died .. ':' .. number)
  redis.call('HDEL', Q('letters', queue), number)
  redis.call('HDEL', Q('letter-holds', queue), number)
  if redis.call('EXISTS', Q('from', place)) == 0 then
    redis.call('SREM', Q('sources', queue), source)
    redis.call('SREM', Q('graves', source), queue)
  end
end
local function forget(queue, numbers)
  if #numbers == 0 then return end
  if redis.call('EXISTS', Q('letters', queue)) == 1 then
    for _, number in ipairs(numbers) do
      local letter = redis.call('HGET', Q('letters', queue), number)
      if letter then
        forget_letter(queue, number, letter, id_of(redis.call('HGET', Q('messages', queue), number)))
      end
    end
  end
  call('HDEL', Q('messages', queue), numbers)
  call('ZREM', Q('age', queue), numbers)
  call('HDEL', Q('tries', queue), numbers)
  call('HDEL', Q('failures', queue), numbers)
end
`;

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

/** `move(from, to, number, at)`: due then, with no attempts used, and all else that was kept of it gone. */
const MOVE = `
local function move(from, to, number, at)
  local packed = redis.call('HGET', Q('messages', from), number)
  local accepted = redis.call('ZSCORE', Q('age', from), number)
  forget(from, {number})
  due(to, at)
  redis.call('HSET', Q('messages', to), number, packed)
  redis.call('ZADD', Q('age', to), accepted, number)
  redis.call('ZADD', Q('waiting', to), at, number)
  return id_of(packed)
end
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
