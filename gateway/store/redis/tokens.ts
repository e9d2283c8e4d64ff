/** Scoped access tokens. Key: tokens (hash: id → record). */
import type { TokenRecord, TokenStore } from '../api/tokens.ts';
import { asJson, asList } from './reply.ts';
import { CHANGED, type Database } from './script.ts';

export function tokensDomain(db: Database): TokenStore {
  const put = db.script(
    'tokens.put',
    `${CHANGED}
    redis.call('HSET', P .. 'tokens', ARGV[1], ARGV[2])
    changed('token', ARGV[1])`,
  );
  const remove = db.script(
    'tokens.delete',
    `${CHANGED}
    if redis.call('HDEL', P .. 'tokens', ARGV[1]) == 0 then return 0 end
    changed('token', ARGV[1])
    return 1`,
  );

  return {
    async put(record) {
      await put(record.id, JSON.stringify(record));
    },
    async list() {
      const records = asList(await db.call('HVALS', 'tokens')).map((record) => asJson<TokenRecord>(record));
      return records.sort((a, b) => (a.id < b.id ? -1 : 1));
    },
    delete: async (id) => (await remove(id)) === 1,
  };
}
