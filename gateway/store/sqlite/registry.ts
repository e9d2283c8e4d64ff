/** Functions, versions and their artifacts. */
import type { Traffic } from '../../../functions/contract/traffic.ts';
import type { Artifact, FunctionRecord, RegistryPage, RegistryStore, VersionRecord } from '../api/registry.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';
import { putRollout } from './rollouts.ts';
import { raiseRevision } from './secrets.ts';

interface FunctionRow {
  name: string;
  traffic: string | null;
  previous_traffic: string | null;
  created_at: number;
  updated_at: number;
  revision: number;
}

interface VersionRow {
  function_name: string;
  record: string;
}

/** Functions of one page: with more of them in memory at once, V8 takes more for new objects, and keeps it. */
const PAGE = 50;

export function registryDomain(db: Database): Sync<RegistryStore> {
  function insertVersion(version: VersionRecord, artifact: Artifact): void {
    const id = [version.functionName, version.version] as const;
    const { changes } = db
      .sql(
        'INSERT INTO versions (function_name, version, created_at, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
      )
      .run(...id, version.createdAt, JSON.stringify(version));
    if (changes === 0) return;
    db.sql('INSERT INTO artifacts (function_name, version, code, source_map) VALUES (?, ?, ?, ?)').run(
      ...id,
      artifact.code,
      artifact.sourceMap,
    );
    for (const file of artifact.files) {
      db.sql('INSERT INTO artifact_files (function_name, version, path, bytes) VALUES (?, ?, ?, ?)').run(
        ...id,
        file.path,
        file.bytes,
      );
    }
    if (artifact.codeCache !== null) putCodeCache(...id, artifact.codeCache);
  }

  function putCodeCache(functionName: string, version: string, cache: { key: string; bytes: Uint8Array }): void {
    // Only beside a version that exists: its probe may end after it was deleted.
    db.sql(
      `INSERT INTO code_caches (function_name, version, key, bytes)
       SELECT function_name, version, ?3, ?4 FROM versions WHERE function_name = ?1 AND version = ?2
       ON CONFLICT DO UPDATE SET key = excluded.key, bytes = excluded.bytes`,
    ).run(functionName, version, cache.key, cache.bytes);
  }

  function putFunction(record: FunctionRecord): void {
    db.sql(
      `INSERT INTO functions (name, traffic, previous_traffic, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET traffic = excluded.traffic, previous_traffic = excluded.previous_traffic,
         created_at = excluded.created_at, updated_at = excluded.updated_at`,
    ).run(record.name, toJson(record.traffic), toJson(record.previousTraffic), record.createdAt, record.updatedAt);
  }

  const VERSION_TABLES = ['versions', 'artifacts', 'artifact_files', 'code_caches'] as const;

  return {
    page(after) {
      const functions = db
        .sql(
          `SELECT f.*, coalesce(r.revision, 0) AS revision
           FROM functions f LEFT JOIN secret_revisions r ON r.function_name = f.name
           WHERE f.name > ? ORDER BY f.name LIMIT ?`,
        )
        .all(after ?? '', PAGE) as unknown as FunctionRow[];
      const last = functions.at(-1)?.name ?? null;
      const versions = db
        .sql(
          `SELECT function_name, record FROM versions WHERE function_name > ? AND function_name <= ?
           ORDER BY function_name, created_at, version`,
        )
        .all(after ?? '', last ?? '') as unknown as VersionRow[];
      return { ...partOf(functions, versions), next: functions.length < PAGE ? null : last };
    },
    functions(names) {
      const wanted = JSON.stringify(names);
      const functions = db
        .sql(
          `SELECT f.*, coalesce(r.revision, 0) AS revision
           FROM functions f LEFT JOIN secret_revisions r ON r.function_name = f.name
           WHERE f.name IN (SELECT value FROM json_each(?)) ORDER BY f.name`,
        )
        .all(wanted) as unknown as FunctionRow[];
      const versions = db
        .sql(
          `SELECT function_name, record FROM versions WHERE function_name IN (SELECT value FROM json_each(?))
           ORDER BY function_name, created_at, version`,
        )
        .all(wanted) as unknown as VersionRow[];
      return partOf(functions, versions);
    },
    putVersion: insertVersion,
    deploy(version, artifact, record) {
      insertVersion(version, artifact);
      putFunction(record);
    },
    getArtifact(functionName, version) {
      const row = db
        .sql('SELECT code, source_map FROM artifacts WHERE function_name = ? AND version = ?')
        .get(functionName, version) as { code: Uint8Array; source_map: Uint8Array | null } | undefined;
      if (row === undefined) return null;
      const files = db
        .sql('SELECT path, bytes FROM artifact_files WHERE function_name = ? AND version = ? ORDER BY path')
        .all(functionName, version) as unknown as { path: string; bytes: Uint8Array }[];
      const cache = db
        .sql('SELECT key, bytes FROM code_caches WHERE function_name = ? AND version = ?')
        .get(functionName, version) as { key: string; bytes: Uint8Array } | undefined;
      return {
        code: row.code,
        sourceMap: row.source_map,
        files: files.map(({ path, bytes }) => ({ path, bytes })),
        codeCache: cache === undefined ? null : { key: cache.key, bytes: cache.bytes },
      };
    },
    putCodeCache,
    putFunction,
    putFunctions(records, rollout) {
      for (const record of records) putFunction(record);
      if (rollout !== undefined) putRollout(db, rollout);
    },
    deleteFunction(name) {
      const { changes } = db.sql('DELETE FROM functions WHERE name = ?').run(name);
      db.sql('DELETE FROM cron_runs WHERE cron IN (SELECT id FROM crons WHERE function_name = ?)').run(name);
      for (const table of [...VERSION_TABLES, 'secrets', 'crons', 'publications'] as const) {
        db.sql(`DELETE FROM ${table} WHERE function_name = ?`).run(name);
      }
      if (changes > 0) raiseRevision(db, name);
      return changes > 0;
    },
    deleteVersion(functionName, version) {
      let found = false;
      for (const table of VERSION_TABLES) {
        const { changes } = db
          .sql(`DELETE FROM ${table} WHERE function_name = ? AND version = ?`)
          .run(functionName, version);
        if (table === 'versions') found = changes > 0;
      }
      return found;
    },
  };
}

function partOf(
  functions: readonly FunctionRow[],
  versions: readonly VersionRow[],
): Pick<RegistryPage, 'functions' | 'versions'> {
  return {
    functions: functions.map((row) => ({
      name: row.name,
      traffic: fromJson(row.traffic),
      previousTraffic: fromJson(row.previous_traffic),
      createdAt: row.created_at,
      updatedAt: row.updated_at,
      secretRevision: row.revision,
    })),
    versions: versions.map((row) => ({ functionName: row.function_name, text: row.record })),
  };
}

function toJson(traffic: Traffic | null): string | null {
  return traffic === null ? null : JSON.stringify(traffic);
}

function fromJson(text: string | null): Traffic | null {
  return text === null ? null : (JSON.parse(text) as Traffic);
}
