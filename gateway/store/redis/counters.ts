/** Numbers that functions count with. Key: numbers:NAMESPACE (hash: name → value). */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { CounterStore } from '../api/counters.ts';
import { asNumber } from './reply.ts';
import type { Database } from './script.ts';

export function countersDomain(db: Database): CounterStore {
  const add = db.script(
    'counters.add',
    `local value = tonumber(redis.call('HGET', P .. 'numbers:' .. ARGV[1], ARGV[2]) or '0') + tonumber(ARGV[3])
    if math.abs(value) > ${Number.MAX_SAFE_INTEGER} then return false end
    local text = string.format('%.0f', value)
    redis.call('HSET', P .. 'numbers:' .. ARGV[1], ARGV[2], text)
    return text`,
  );

  return {
    async add(namespace, name, by) {
      const value = await add(namespace, name, by);
      if (value !== null) return asNumber(value);
      throw new HearthError('BAD_REQUEST', `The counter ${name} would be beyond what a number holds exactly.`);
    },
    async get(namespace, name) {
      const value = await db.call('HGET', `numbers:${namespace}`, name);
      return value === null ? 0 : asNumber(value);
    },
    async delete(namespace, name) {
      await db.call('HDEL', `numbers:${namespace}`, name);
    },
  };
}
