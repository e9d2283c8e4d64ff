/** Configuration that running functions are told of. Key: configs (hash: namespace → version, a blank, the record as JSON). */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { ConfigRecord, ConfigStore } from '../api/configs.ts';
import { asList, asNumber, asText } from './reply.ts';
import { CHANGED, type Database } from './script.ts';

type Kept = Omit<ConfigRecord, 'version'>;

export function configsDomain(db: Database): ConfigStore {
  // Namespace, the record, and which version it has to have. Answers the version there is, and whether it was put.
  const put = db.script(
    'configs.put',
    `${CHANGED}
    local kept = redis.call('HGET', P .. 'configs', ARGV[1])
    local version = kept and tonumber(string.match(kept, '^%d+')) or 0
    if ARGV[3] and tonumber(ARGV[3]) ~= version then return {version, 0} end
    redis.call('HSET', P .. 'configs', ARGV[1], (version + 1) .. ' ' .. ARGV[2])
    changed('config', ARGV[1])
    return {version + 1, 1}`,
  );

  return {
    async get(namespace) {
      const kept = await db.call('HGET', 'configs', namespace);
      if (kept === null) return null;
      const text = asText(kept);
      const blank = text.indexOf(' ');
      return { version: Number(text.slice(0, blank)), ...(JSON.parse(text.slice(blank + 1)) as Kept) };
    },
    async put(namespace, values, expected, nowMs) {
      const kept: Kept = { values, updatedAt: nowMs };
      const answer = await put(namespace, JSON.stringify(kept), ...(expected === null ? [] : [expected]));
      const [version, done] = asList(answer).map(asNumber);
      if (done === 1 && version !== undefined) return { version, ...kept };
      throw new HearthError('CONFLICT', `The configuration has version ${version}, not ${expected}.`);
    },
  };
}
