/**
 * Base definitions that the API changed. Keys: bases (hash: name → record), base-setups:NAME (hash: id → bundle).
 */
import type { BaseGeneration, BaseRecord, BaseStore } from '../api/bases.ts';
import { asBytes, asJson, asList, ownBytes } from './reply.ts';
import { CHANGED, type Database } from './script.ts';

export function basesDomain(db: Database): BaseStore {
  // name, record, the ids it names or '' twice, then id and bundle of a setup that is new.
  const put = db.script(
    'bases.put',
    `${CHANGED}
    local setups = P .. 'base-setups:' .. ARGV[1]
    redis.call('HSET', P .. 'bases', ARGV[1], ARGV[2])
    if ARGV[5] then redis.call('HSETNX', setups, ARGV[5], ARGV[6]) end
    for _, id in ipairs(redis.call('HKEYS', setups)) do
      if id ~= ARGV[3] and id ~= ARGV[4] then redis.call('HDEL', setups, id) end
    end
    changed('base', ARGV[1])`,
  );
  const remove = db.script(
    'bases.delete',
    `${CHANGED}
    redis.call('UNLINK', P .. 'base-setups:' .. ARGV[1])
    if redis.call('HDEL', P .. 'bases', ARGV[1]) == 0 then return 0 end
    changed('base', ARGV[1])
    return 1`,
  );

  return {
    async list() {
      const records = asList(await db.call('HVALS', 'bases')).map((record) => asJson<BaseRecord>(record));
      return records.sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async put(record, setup) {
      const named = [setupOf(record.current), setupOf(record.previous)] as const;
      await put(record.name, JSON.stringify(record), ...named, ...(setup === null ? [] : [setup.id, setup.code]));
    },
    delete: async (name) => (await remove(name)) === 1,
    async getSetup(name, id) {
      const code = await db.call('HGET', `base-setups:${name}`, id);
      return code === null ? null : ownBytes(asBytes(code));
    },
  };
}

function setupOf(generation: BaseGeneration | null): string {
  return generation?.setup?.kind === 'code' ? generation.setup.id : '';
}
