import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HearthError } from '../../../functions/contract/errors.ts';
import { runBatch } from './batch.ts';
import { type Database, openDatabase } from './database.ts';
import { kvDomain } from './kv.ts';
import type { Operation, Request, SyncDomains } from './protocol.ts';
import { queuesDomain } from './queues.ts';
import { messageOf, withDir } from './testing/samples.ts';

const NOW = 1_800_000_000_000;

/** A real database that keeps of each commit how it was synchronised (2: FULL, 1: NORMAL), and domains one method of which can be made to fail. */
function withDatabase(
  body: (parts: { db: Database; domains: SyncDomains; commits: () => number; synced: unknown[] }) => void,
  maxBytes: number | null = null,
) {
  return withDir((dir) => {
    const opened = openDatabase({ path: join(dir, 'hearth.db'), maxBytes });
    const synced: unknown[] = [];
    const db: Database = {
      sql: opened.sql,
      exec(text) {
        if (text === 'COMMIT') synced.push(opened.sql('PRAGMA synchronous').get()?.synchronous);
        opened.exec(text);
      },
      get inTransaction() {
        return opened.inTransaction;
      },
      close: opened.close,
    };
    try {
      const domains = { kv: kvDomain(db), queues: queuesDomain(db) } as unknown as SyncDomains;
      body({ db, domains, commits: () => synced.length, synced });
    } finally {
      opened.close();
    }
  });
}

function requests(...operations: Operation[]): Request[] {
  return operations.map((operation, id) => ({ kind: 'request', id, operation }));
}

function enqueue(id: string, bytes = 10): Operation {
  return { domain: 'queues', method: 'enqueue', args: ['q', [messageOf(id, bytes)], NOW] };
}

const stats: Operation = { domain: 'queues', method: 'stats', args: ['q', NOW] };
const unexpected = (error: HearthError) => assert.fail(error);

describe('group commit', () => {
  it(
    'puts all requests that have come into one commit, reads too, in their order',
    withDatabase(({ db, domains, commits }) => {
      const answers = runBatch(db, domains, requests(enqueue('a'), stats, enqueue('b'), stats), unexpected);
      assert.equal(commits(), 1);
      assert.deepEqual(
        answers.map((answer) => answer.ok && (answer.value as { depth?: number }).depth),
        [undefined, 1, undefined, 2],
      );
    }),
  );

  it(
    'waits for the disk with whatever has to outlast a power failure: not with leases alone',
    withDatabase(({ db, domains, synced }) => {
      const options = { most: 1, nowMs: NOW, leaseUntil: NOW + 1, owner: 'test' };
      const claim: Operation = { domain: 'queues', method: 'claim', args: ['q', options] };
      const extend: Operation = { domain: 'queues', method: 'extend', args: ['q', [{ id: 'a', fence: 1 }], NOW + 2] };
      const ack: Operation = {
        domain: 'queues',
        method: 'settle',
        args: ['q', [{ id: 'a', fence: 1, verdict: 'ack' }], NOW],
      };
      for (const operations of [[enqueue('a')], [claim, stats], [extend], [extend, ack], [enqueue('b')]]) {
        runBatch(db, domains, requests(...operations), unexpected);
      }
      assert.deepEqual(synced, [2, 1, 1, 2, 2]);
    }),
  );

  it(
    'takes back all that a failing request did, and nothing of its neighbours',
    withDatabase(({ db, domains, commits }) => {
      const failing: SyncDomains = {
        ...domains,
        kv: {
          ...domains.kv,
          delete(namespace, key) {
            domains.kv.put(namespace, key, { value: new Uint8Array(1), metadata: null, expiration: null });
            throw new HearthError('CONFLICT', 'not now');
          },
        },
      };
      const bad: Operation = { domain: 'kv', method: 'delete', args: ['ns', 'k'] };
      const get: Operation = { domain: 'kv', method: 'get', args: ['ns', 'k', NOW] };
      const answers = runBatch(db, failing, requests(enqueue('a'), bad, enqueue('b'), get, stats), unexpected);
      assert.deepEqual(answers[1], { id: 1, ok: false, code: 'CONFLICT', message: 'not now' });
      assert.deepEqual(answers[3], { id: 3, ok: true, value: null });
      assert.deepEqual(
        answers.map(({ ok }) => ok),
        [true, false, true, true, true],
      );
      assert.equal(domains.queues.stats('q', NOW).depth, 2);
      assert.equal(commits(), 1);
    }),
  );

  it(
    'answers a defect with INTERNAL, tells the log, and shows the caller no SQL',
    withDatabase(({ db, domains }) => {
      const told: HearthError[] = [];
      const bad: Operation = {
        domain: 'kv',
        method: 'put',
        args: ['ns', 'k', { value: null as never, metadata: null, expiration: null }],
      };
      const [answer, other] = runBatch(db, domains, requests(bad, enqueue('a')), (error) => told.push(error));
      assert.deepEqual(answer, { id: 0, ok: false, code: 'INTERNAL', message: 'The store failed.' });
      assert.equal(other?.ok, true);
      assert.match(String(told[0]?.cause), /NOT NULL/);
    }),
  );

  it(
    'runs the neighbours of a request that fills the disk again, each alone',
    withDatabase(
      ({ db, domains }) => {
        const told: string[] = [];
        const batch = requests(enqueue('a'), stats, enqueue('huge', 4 * 1024 * 1024), enqueue('b'));
        const answers = runBatch(db, domains, batch, (error) => told.push(error.code));
        assert.deepEqual(
          answers.map((answer) => (answer.ok ? 'ok' : answer.code)),
          ['ok', 'ok', 'NO_CAPACITY', 'ok'],
        );
        assert.deepEqual(told, ['NO_CAPACITY']);
        assert.equal(domains.queues.stats('q', NOW).depth, 2);
        assert.equal(db.inTransaction, false);
      },
      2 * 1024 * 1024,
    ),
  );

  it(
    'answers every request of a transaction that cannot begin',
    withDatabase(({ db, domains }) => {
      db.exec('BEGIN');
      const answers = runBatch(db, domains, requests(enqueue('a'), enqueue('b')), () => undefined);
      assert.deepEqual(
        answers.map(({ ok }) => ok),
        [false, false],
      );
      db.exec('ROLLBACK');
      assert.equal(domains.queues.stats('q', NOW).depth, 0);
    }),
  );
});
