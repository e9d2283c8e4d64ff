/**
 * What is published beyond what manifests say, and what of that is not. Keys: publications (hash: name → the function's
 * name, a line end, the record; no record: taken back), publications-of:FUNCTION (set of names).
 */
import type { PublicationRecord, PublicationStore } from '../api/publications.ts';
import { asTexts } from './reply.ts';
import { CHANGED, type Database } from './script.ts';

/** `publication_of(name)`: its function and its record, nil where there is none. */
const FIND = `
local function publication_of(name)
  local kept = redis.call('HGET', P .. 'publications', name)
  if kept then return string.match(kept, '^([^\\n]*)\\n(.*)$') end
end
`;

export function publicationsDomain(db: Database): PublicationStore {
  const put = db.script(
    'publications.put',
    `${CHANGED}${FIND}
    local name, fn = ARGV[1], ARGV[2]
    local before = publication_of(name)
    redis.call('HSET', P .. 'publications', name, fn .. '\\n' .. ARGV[3])
    if before and before ~= fn then redis.call('SREM', P .. 'publications-of:' .. before, name) end
    redis.call('SADD', P .. 'publications-of:' .. fn, name)
    changed('publication', name)`,
  );
  const remove = db.script(
    'publications.delete',
    `${CHANGED}${FIND}
    local fn, record = publication_of(ARGV[1])
    if not fn or record == '' then return 0 end
    redis.call('HDEL', P .. 'publications', ARGV[1])
    redis.call('SREM', P .. 'publications-of:' .. fn, ARGV[1])
    changed('publication', ARGV[1])
    return 1`,
  );

  return {
    async load() {
      const kept = asTexts(await db.call('HGETALL', 'publications'));
      const rows = kept.flatMap((name, i) => {
        const value = kept[i + 1] ?? '';
        return i % 2 === 0 ? [{ name, record: value.slice(value.indexOf('\n') + 1) }] : [];
      });
      rows.sort((a, b) => (a.name < b.name ? -1 : 1));
      return {
        publications: rows.flatMap(({ record }) => (record === '' ? [] : [JSON.parse(record) as PublicationRecord])),
        withdrawn: rows.flatMap(({ name, record }) => (record === '' ? [name] : [])),
      };
    },
    async put(record) {
      await put(record.name, record.function, JSON.stringify(record));
    },
    delete: async (name) => (await remove(name)) === 1,
    async withdraw(functionName) {
      await put(functionName, functionName, '');
    },
  };
}
