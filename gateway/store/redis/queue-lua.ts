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
import { ID_OF } from './message.ts';
import { CHANGED, MANY, WOKEN } from './script.ts';

/** Those who wait for messages are told of more of them at most so often, where some are due already. */
const WAKE_EVERY_MS = 20;

export const KEYS = `
local function Q(part, queue) return P .. part .. ':' .. queue end
local function digits(n) return string.format('%016.0f', n) end
`;

/**
 * `due(queue, at)`, before something is added that is due then: whoever sleeps until something later is told. Where there
 * is something due already they are at work, and are told now and then, for the sake of those who found nothing left.
 */
export const DUE = `${WOKEN}
local function due(queue, at)
  local first = redis.call('ZRANGE', Q('waiting', queue), 0, 0, 'WITHSCORES')
  if first[2] and tonumber(first[2]) <= tonumber(at)
    and not redis.call('SET', Q('told', queue), '', 'NX', 'PX', ${WAKE_EVERY_MS}) then return end
  woken(queue)
end
`;

/** `ensure(queue)`: makes it with default settings, which are kept as nothing. */
export const ENSURE = `${CHANGED}
local function ensure(queue)
  if redis.call('HSETNX', P .. 'queues', queue, '') == 1 then changed('queue', queue) end
end
`;

/** `forget(queue, numbers)`: all that is kept of them but their lease. */
export const FORGET = `${ID_OF}${MANY}
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

/** `move(from, to, number, at)`: due then, with no attempts used, and all else that was kept of it gone. */
export const MOVE = `
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
