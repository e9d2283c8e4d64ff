/**
 * Functions, versions and their artifacts. Keys: functions (hash: name → record), function-names (sorted set of one score),
 * versions:FUNCTION (hash: version → time, a blank, the record), artifacts:FUNCTION and caches:FUNCTION (hash: version →
 * name of a blob).
 */
import type { Artifact, FunctionRecord, RegistryPage, RegistryStore, VersionRecord } from '../api/registry.ts';
import { changedMeanwhile, type RolloutRecord } from '../api/rollouts.ts';
import { packArtifact, packCache, unpackArtifact, unpackCache } from './artifact.ts';
import { BLOB_LOST, BLOBS, blobLost, createBlobs } from './blobs.ts';
import type { Reply } from './connection.ts';
import { REMOVE_CRON } from './crons.ts';
import { asList, asNumber, asText, asTexts } from './reply.ts';
import { PUT_ROLLOUT, rolloutArgs } from './rollouts.ts';
import { CHANGED, type Database } from './script.ts';

/** Functions of one page. */
const PAGE = 50;

const PUT_FUNCTION = `
local function put_function(name, record)
  redis.call('HSET', P .. 'functions', name, record)
  redis.call('ZADD', P .. 'function-names', 0, name)
  changed('function', name)
end
`;

const FUNCTIONS_NAMED = `
local function functions_named(names)
  if #names == 0 then return {} end
  local records = redis.call('HMGET', P .. 'functions', unpack(names))
  local revisions = redis.call('HMGET', P .. 'secret-revisions', unpack(names))
  local found = {}
  for i, name in ipairs(names) do
    if records[i] then
      found[#found + 1] = {name, records[i], revisions[i] or 0, redis.call('HVALS', P .. 'versions:' .. name)}
    end
  end
  return found
end
`;

const DROP_VERSION = `
local function drop_version(fn, version)
  for _, kind in ipairs({'artifacts:', 'caches:'}) do
    drop_blob(redis.call('HGET', P .. kind .. fn, version))
    redis.call('HDEL', P .. kind .. fn, version)
  end
  return redis.call('HDEL', P .. 'versions:' .. fn, version)
end
`;

export function registryDomain(db: Database): RegistryStore {
  const blobs = createBlobs(db);
  const page = db.script(
    'registry.page',
    `${FUNCTIONS_NAMED}
    return functions_named(redis.call('ZRANGEBYLEX', P .. 'function-names', ARGV[1], '+', 'LIMIT', 0, ${PAGE}))`,
  );
  const some = db.script('registry.functions', `${FUNCTIONS_NAMED} return functions_named(ARGV)`);
  // Function, version, its record; blobs of artifact and code cache ('' for none); the function's record, if there is one.
  const putVersion = db.script(
    'registry.putVersion',
    `${CHANGED}${PUT_FUNCTION}${BLOBS}
    local fn, version, record, artifact, cache, deployed = unpack(ARGV)
    if redis.call('HEXISTS', P .. 'versions:' .. fn, version) == 0 then
      if artifact == '' or not keep_blob(artifact) then return '${BLOB_LOST}' end
      redis.call('HSET', P .. 'versions:' .. fn, version, record)
      redis.call('HSET', P .. 'artifacts:' .. fn, version, artifact)
      if cache ~= '' and keep_blob(cache) then redis.call('HSET', P .. 'caches:' .. fn, version, cache) end
      if not deployed then changed('function', fn) end
    else
      if artifact ~= '' then drop_blob(artifact) end
      if cache ~= '' then drop_blob(cache) end
    end
    if deployed then put_function(fn, deployed) end
    return 'kept'`,
  );
  const hasVersion = db.script(
    'registry.hasVersion',
    `return redis.call('HEXISTS', P .. 'versions:' .. ARGV[1], ARGV[2])`,
  );
  const artifactOf = db.script(
    'registry.artifactOf',
    `return {redis.call('HGET', P .. 'artifacts:' .. ARGV[1], ARGV[2]), redis.call('HGET', P .. 'caches:' .. ARGV[1], ARGV[2])}`,
  );
  // Only beside a version that exists: its probe may end after it was deleted.
  const putCache = db.script(
    'registry.putCodeCache',
    `${BLOBS}
    local fn, version, cache = unpack(ARGV)
    if redis.call('HEXISTS', P .. 'versions:' .. fn, version) == 0 then return drop_blob(cache) end
    local before = redis.call('HGET', P .. 'caches:' .. fn, version)
    if not keep_blob(cache) then return end
    redis.call('HSET', P .. 'caches:' .. fn, version, cache)
    drop_blob(before)`,
  );
  // How many functions, then name and record of each; then a rollout, if there is one.
  const putFunctions = db.script(
    'registry.putFunctions',
    `${CHANGED}${PUT_FUNCTION}${PUT_ROLLOUT}
    local behind = 1 + 2 * ARGV[1]
    if ARGV[behind + 1] and not rollout_follows(ARGV[behind + 1], ARGV[behind + 2]) then return 0 end
    for i = 2, behind, 2 do put_function(ARGV[i], ARGV[i + 1]) end
    if ARGV[behind + 1] then put_rollout(unpack(ARGV, behind + 1)) end
    return 1`,
  );
  const deleteFunction = db.script(
    'registry.deleteFunction',
    `${CHANGED}${BLOBS}${DROP_VERSION}${REMOVE_CRON}
    local fn = ARGV[1]
    local found = redis.call('HDEL', P .. 'functions', fn)
    redis.call('ZREM', P .. 'function-names', fn)
    for _, version in ipairs(redis.call('HKEYS', P .. 'versions:' .. fn)) do drop_version(fn, version) end
    for _, id in ipairs(redis.call('SMEMBERS', P .. 'crons-of:' .. fn)) do remove_cron(id, fn) end
    for _, name in ipairs(redis.call('SMEMBERS', P .. 'publications-of:' .. fn)) do
      redis.call('HDEL', P .. 'publications', name)
      changed('publication', name)
    end
    redis.call('UNLINK', P .. 'secrets:' .. fn, P .. 'publications-of:' .. fn)
    if found == 1 then redis.call('HINCRBY', P .. 'secret-revisions', fn, 1) end
    changed('function', fn)
    return found`,
  );
  const deleteVersion = db.script(
    'registry.deleteVersion',
    `${CHANGED}${BLOBS}${DROP_VERSION}
    if drop_version(ARGV[1], ARGV[2]) == 0 then return 0 end
    changed('function', ARGV[1])
    return 1`,
  );

  async function store(version: VersionRecord, artifact: Artifact, record: FunctionRecord | null): Promise<void> {
    const id = [version.functionName, version.version] as const;
    const kept = `${version.createdAt} ${JSON.stringify(version)}`;
    const deployed = record === null ? [] : [functionText(record)];
    let written: [string, string] = ['', ''];
    if ((await hasVersion(...id)) === 0) {
      const cache = artifact.codeCache;
      written = [await blobs.write(packArtifact(artifact)), cache === null ? '' : await blobs.write(packCache(cache))];
    }
    if (asText(await putVersion(...id, kept, ...written, ...deployed)) === BLOB_LOST) throw blobLost();
  }

  async function putAll(records: FunctionRecord[], rollout?: RolloutRecord): Promise<void> {
    if (records.length === 0 && rollout === undefined) return;
    const given = records.flatMap((record) => [record.name, functionText(record)]);
    const taken = await putFunctions(records.length, ...given, ...(rollout === undefined ? [] : rolloutArgs(rollout)));
    if (taken === 0 && rollout !== undefined) throw changedMeanwhile(rollout);
  }

  return {
    async page(after) {
      const part = partOf(await page(after === null ? '-' : `(${after}`));
      return { ...part, next: part.functions.length < PAGE ? null : (part.functions.at(-1)?.name ?? null) };
    },
    async functions(names) {
      const all: Pick<RegistryPage, 'functions' | 'versions'> = { functions: [], versions: [] };
      const wanted = [...new Set(names)].sort();
      for (let at = 0; at < wanted.length; at += PAGE) {
        const part = partOf(await some(...wanted.slice(at, at + PAGE)));
        all.functions.push(...part.functions);
        all.versions.push(...part.versions);
      }
      return all;
    },
    putVersion: (version, artifact) => store(version, artifact, null),
    deploy: store,
    async getArtifact(functionName, version) {
      const [artifact, cache] = asList(await artifactOf(functionName, version));
      const packed = artifact === null ? null : await blobs.read(asText(artifact));
      if (packed === null) return null;
      const packedCache = cache === null ? null : await blobs.read(asText(cache));
      return { ...unpackArtifact(packed), codeCache: packedCache === null ? null : unpackCache(packedCache) };
    },
    async putCodeCache(functionName, version, cache) {
      await putCache(functionName, version, await blobs.write(packCache(cache)));
    },
    putFunction: (record) => putAll([record]),
    putFunctions: putAll,
    deleteFunction: async (name) => (await deleteFunction(name)) === 1,
    deleteVersion: async (functionName, version) => (await deleteVersion(functionName, version)) === 1,
  };
}

function partOf(reply: Reply): Pick<RegistryPage, 'functions' | 'versions'> {
  const found = asList(reply).map((each) => asList(each));
  return {
    functions: found.map(([, record, revision]) => ({
      ...(JSON.parse(asText(record)) as Omit<FunctionRecord, 'secretRevision'>),
      secretRevision: asNumber(revision),
    })),
    versions: found.flatMap(([name, , , versions]) =>
      versionTexts(versions).map((text) => ({ functionName: asText(name), text })),
    ),
  };
}

/** The oldest first. */
function versionTexts(versions: Reply | undefined): string[] {
  return asTexts(versions)
    .map((kept) => {
      const at = kept.indexOf(' ');
      return { createdAt: Number(kept.slice(0, at)), text: kept.slice(at + 1) };
    })
    .sort((a, b) => a.createdAt - b.createdAt || (a.text < b.text ? -1 : 1))
    .map(({ text }) => text);
}

function functionText({ secretRevision: _its_own, ...record }: FunctionRecord): string {
  return JSON.stringify(record);
}
