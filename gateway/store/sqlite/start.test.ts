import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { StoreStartError } from '../start-error.ts';
import { openSqliteStore } from './client.ts';
import { SCHEMA_VERSION } from './schema.ts';
import { memoryLog, messageOf, withDir } from './testing/samples.ts';

const log = memoryLog();

function refusal(code: string, pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof StoreStartError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  };
}

describe('starting the SQLite store', () => {
  it(
    'makes the data directory and a file that only its owner can read',
    withDir(async (dir) => {
      const path = join(dir, 'deep', 'er', 'hearth.db');
      const store = await openSqliteStore({ path, log });
      try {
        await store.queues.enqueue('q', [messageOf('a')], 1);
        for (const suffix of ['', '-wal']) assert.equal(statSync(path + suffix).mode & 0o077, 0, `hearth.db${suffix}`);
        assert.equal(statSync(join(dir, 'deep', 'er')).mode & 0o077, 0);
      } finally {
        await store.close();
      }
    }),
  );

  it(
    'refuses a file from a newer Hearth, naming both versions, and leaves it as it was',
    withDir(async (dir) => {
      const path = join(dir, 'hearth.db');
      await (await openSqliteStore({ path, log })).close();
      const newer = new DatabaseSync(path);
      newer.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 41}`);
      newer.close();
      const before = readFileSync(path);
      await assert.rejects(openSqliteStore({ path, log }), (error) => {
        assert.ok(error instanceof Error && error.message.includes(path));
        return refusal('STORE_NEWER', new RegExp(`version ${SCHEMA_VERSION + 41} .* up to ${SCHEMA_VERSION};`))(error);
      });
      assert.deepEqual(readFileSync(path), before);
    }),
  );

  it(
    'refuses what is no database of Hearth',
    withDir(async (dir) => {
      const garbage = join(dir, 'garbage.db');
      writeFileSync(garbage, 'this is a letter to my grandmother, not a database'.repeat(100));
      await assert.rejects(openSqliteStore({ path: garbage, log }), refusal('STORE_DAMAGED', /damaged or no database/));

      const foreign = join(dir, 'foreign.db');
      const other = new DatabaseSync(foreign);
      other.exec('CREATE TABLE functions (mine TEXT)');
      other.close();
      await assert.rejects(
        openSqliteStore({ path: foreign, log }),
        refusal('STORE_DAMAGED', /not a database of Hearth/),
      );
    }),
  );

  it(
    'refuses a data directory that cannot be made',
    withDir(async (dir) => {
      writeFileSync(join(dir, 'file'), '');
      const path = join(dir, 'file', 'data', 'hearth.db');
      await assert.rejects(
        openSqliteStore({ path, log }),
        refusal('STORE_UNWRITABLE', /data directory cannot be used .*HEARTH_DATA_DIR/),
      );
    }),
  );

  it(
    'refuses a data directory that cannot be written',
    withDir(async (dir) => {
      // Permissions do not stop root; a file in the way does.
      const inTheWay = join(dir, 'file');
      writeFileSync(inTheWay, '');
      const locked = join(dir, 'locked');
      mkdirSync(locked);
      chmodSync(locked, 0o500);
      for (const data of process.getuid?.() === 0 ? [inTheWay] : [inTheWay, locked]) {
        await assert.rejects(
          openSqliteStore({ path: join(data, 'hearth.db'), log }),
          refusal('STORE_UNWRITABLE', /make it writable/),
        );
      }
    }),
  );

  it(
    'refuses a second gateway on the same data directory and names the first',
    withDir(async (dir) => {
      const path = join(dir, 'hearth.db');
      const store = await openSqliteStore({ path, log });
      try {
        const pattern = new RegExp(`Another gateway \\(process ${process.pid}\\) runs on .*hearth\\.db; end it first`);
        await assert.rejects(openSqliteStore({ path, log }), refusal('STORE_IN_USE', pattern));
        await assert.rejects(
          openSqliteStore({ path, log }),
          refusal('STORE_IN_USE', pattern),
          'a refusal frees no lock',
        );
        await store.queues.enqueue('q', [messageOf('a')], 1);
      } finally {
        await store.close();
      }
      await (await openSqliteStore({ path, log })).close();
    }),
  );

  it(
    'has every acknowledged message, and no lock left, after kill -9 of the process that held it',
    withDir(async (dir) => {
      const path = join(dir, 'hearth.db');
      const producer = spawn(process.execPath, [new URL('./testing/producer.ts', import.meta.url).pathname, path], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(producer, 'exit');
      let printed = '';
      try {
        for await (const chunk of producer.stdout.setEncoding('utf8')) {
          printed += chunk;
          if (printed.split('\n').length < 200) continue;
          await assert.rejects(
            openSqliteStore({ path, log }),
            refusal('STORE_IN_USE', new RegExp(`process ${producer.pid}`)),
          );
          break;
        }
      } finally {
        producer.kill('SIGKILL');
        await exited;
      }
      const acknowledged = printed.slice(0, printed.lastIndexOf('\n')).split('\n').slice(1);
      assert.ok(acknowledged.length > 100);
      const store = await openSqliteStore({ path, log });
      try {
        const all = await store.queues.claim('q', {
          most: 1_000_000,
          nowMs: Date.now() + 1000,
          leaseUntil: Date.now() + 60_000,
          owner: 'test',
        });
        const kept = new Set(all.map(({ id }) => id));
        assert.deepEqual(
          acknowledged.filter((id) => !kept.has(id)),
          [],
        );
      } finally {
        await store.close();
      }
    }),
  );
});
