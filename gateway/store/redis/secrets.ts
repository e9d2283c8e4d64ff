/**
 * Sealed secrets, and the count of their changes. Keys: secret-revisions (hash: function → count), secrets:FUNCTION (hash:
 * key → time of the change, a blank, the sealed value).
 */
import type { FunctionSecrets, SecretStore } from '../api/secrets.ts';
import type { Reply } from './connection.ts';
import { asBytes, asList, asNumber, asText, asTexts, inTuples, ownBytes } from './reply.ts';
import { CHANGED, type Database } from './script.ts';

/** Functions of one script, so that none takes long. */
const PART = 200;
const BLANK = 32;

export function secretsDomain(db: Database): SecretStore {
  const put = db.script(
    'secrets.put',
    `${CHANGED}
    redis.call('HSET', P .. 'secrets:' .. ARGV[1], ARGV[2], ARGV[4] .. ' ' .. ARGV[3])
    changed('function', ARGV[1])
    return redis.call('HINCRBY', P .. 'secret-revisions', ARGV[1], 1)`,
  );
  const remove = db.script(
    'secrets.delete',
    `${CHANGED}
    if redis.call('HDEL', P .. 'secrets:' .. ARGV[1], ARGV[2]) == 0 then
      return {0, redis.call('HGET', P .. 'secret-revisions', ARGV[1]) or 0}
    end
    changed('function', ARGV[1])
    return {1, redis.call('HINCRBY', P .. 'secret-revisions', ARGV[1], 1)}`,
  );
  const load = db.script(
    'secrets.load',
    `local found = {}
    for i, name in ipairs(ARGV) do
      found[2 * i - 1] = redis.call('HGET', P .. 'secret-revisions', name)
      found[2 * i] = redis.call('HGETALL', P .. 'secrets:' .. name)
    end
    return found`,
  );
  const reseal = db.script(
    'secrets.reseal',
    `local key = P .. 'secrets:' .. ARGV[1]
    local kept = redis.call('HGET', key, ARGV[2])
    if not kept then return end
    local at = string.find(kept, ' ', 1, true)
    if string.sub(kept, at + 1) ~= ARGV[3] then return end
    redis.call('HSET', key, ARGV[2], string.sub(kept, 1, at) .. ARGV[4])`,
  );

  async function loadSome(names: string[]): Promise<FunctionSecrets[]> {
    const found = inTuples(asList(await load(...names)), 2);
    return found.flatMap(([revision, pairs], i) => {
      if (revision === null) return [];
      const secrets = secretsOf(pairs).map(({ key, sealed }) => ({ key, sealed }));
      return [{ functionName: names[i] ?? '', revision: asNumber(revision), secrets }];
    });
  }

  return {
    put: async (functionName, key, sealed, nowMs) => asNumber(await put(functionName, key, sealed, nowMs)),
    async delete(functionName, key) {
      const [found, revision] = asList(await remove(functionName, key));
      return { found: found === 1, revision: asNumber(revision) };
    },
    all: async (functionName) => secretsOf(await db.call('HGETALL', `secrets:${functionName}`)),
    async load(functionName) {
      if (functionName !== null) return loadSome([functionName]);
      const names = asTexts(await db.call('HKEYS', 'secret-revisions')).sort();
      const all: FunctionSecrets[] = [];
      for (let at = 0; at < names.length; at += PART) all.push(...(await loadSome(names.slice(at, at + PART))));
      return all;
    },
    async reseal(functionName, key, old, sealed) {
      await reseal(functionName, key, old, sealed);
    },
  };
}

function secretsOf(pairs: Reply | undefined): { key: string; sealed: Uint8Array; updatedAt: number }[] {
  return inTuples(asList(pairs), 2)
    .map(([key, kept]) => {
      const bytes = asBytes(kept);
      const at = bytes.indexOf(BLANK);
      return {
        key: asText(key),
        sealed: ownBytes(bytes.subarray(at + 1)),
        updatedAt: Number(bytes.subarray(0, at).toString()),
      };
    })
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}
