import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HearthError } from '../../../functions/contract/errors.ts';
import { canMount } from '../../testing/mounts.ts';
import type { Store } from '../store.ts';
import { openOver, openSqliteStore } from './client.ts';
import { STORE_PROTOCOL } from './protocol.ts';
import { memoryLog, messageOf, withDir } from './testing/samples.ts';

const NOW = 1_800_000_000_000;
const noCapacity = (pattern: RegExp) => (error: unknown) =>
  error instanceof HearthError && error.code === 'NO_CAPACITY' && pattern.test(error.message);

/** Enqueues until one is refused; returns the ids that were acknowledged. */
async function fill(store: Store): Promise<string[]> {
  const accepted: string[] = [];
  for (let i = 0; i < 10_000; i++) {
    try {
      const { ids } = await store.queues.enqueue('q', [messageOf(`m${i}`, 60_000)], NOW);
      accepted.push(...ids);
    } catch (error) {
      assert.ok(noCapacity(/disk of the data directory is full.*free some room/)(error), String(error));
      return accepted;
    }
  }
  throw new Error('The disk never became full.');
}

async function idsIn(store: Store): Promise<string[]> {
  const claimed = await store.queues.claim('q', { most: 100_000, nowMs: NOW, leaseUntil: NOW + 1, owner: 'test' });
  return claimed.map(({ id }) => id);
}

it(
  'a message that was in flight when its file was closed is delivered again at once, and what its holder says late is refused',
  withDir(async (dir) => {
    const path = join(dir, 'hearth.db');
    const log = memoryLog();
    let store = await openSqliteStore({ path, log });
    try {
      await store.queues.enqueue('q', [messageOf('a', 1), messageOf('b', 1)], NOW);
      const lease = { most: 1, nowMs: NOW, leaseUntil: NOW + 10_000, owner: 'first' };
      const [held] = await store.queues.claim('q', lease);
      assert.ok(held !== undefined);
      await store.close();
      store = await openSqliteStore({ path, log });
      const again = await store.queues.claim('q', { ...lease, most: 2, owner: 'second' });
      assert.deepEqual(
        again.map(({ id, attempts }) => [id, attempts]),
        [
          ['a', 2],
          ['b', 1],
        ],
      );
      const late = { id: 'a', fence: held.fence, verdict: 'ack' as const };
      assert.deepEqual(await store.queues.settle('q', [late], NOW), { refused: ['a'] });
    } finally {
      await store.close();
    }
  }),
);

describe('a full disk', () => {
  it(
    'acknowledges nothing it does not keep, still answers reads, and goes on once there is room',
    withDir(async (dir) => {
      const path = join(dir, 'hearth.db');
      const log = memoryLog();
      let store = await openSqliteStore({ path, log, maxBytes: 2 * 1024 * 1024 });
      try {
        const accepted = await fill(store);
        assert.ok(accepted.length > 5);
        const refused = await Promise.allSettled(
          Array.from({ length: 20 }, (_, i) => store.queues.enqueue('q', [messageOf(`late${i}`, 60_000)], NOW)),
        );
        assert.deepEqual([...new Set(refused.map(({ status }) => status))], ['rejected']);
        assert.equal((await store.queues.stats('q', NOW)).depth, accepted.length);
        assert.ok(log.lines.some((line) => /disk of the data directory is full/.test(line)));

        // A claim changes small rows only: what is kept can be worked off, and so makes room.
        const held = await store.queues.claim('q', { most: 3, nowMs: NOW, leaseUntil: NOW + 1, owner: 'test' });
        assert.equal(held.length, 3);
        await store.queues.settle(
          'q',
          held.map(({ id, fence }) => ({ id, fence, verdict: 'ack' as const })),
          NOW,
        );
        await store.queues.enqueue('q', [messageOf('again', 60_000)], NOW);

        await store.close();
        store = await openSqliteStore({ path, log });
        assert.deepEqual((await idsIn(store)).sort(), [...accepted.slice(3), 'again'].sort());
      } finally {
        await store.close();
      }
    }),
  );

  const tmpfs = process.platform === 'linux' && process.getuid?.() === 0 && canMount();
  it(
    'is survived on a real file system too, without a restart',
    { skip: tmpfs ? false : 'needs root and mount(8) for a small tmpfs' },
    withDir(async (dir) => {
      const mounted = join(dir, 'small');
      mkdirSync(mounted);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'hearth-test', mounted]);
      try {
        const ballast = join(mounted, 'ballast');
        writeFileSync(ballast, new Uint8Array(1024 * 1024));
        const store = await openSqliteStore({ path: join(mounted, 'hearth.db'), log: memoryLog() });
        try {
          const accepted = await fill(store);
          rmSync(ballast);
          await store.queues.enqueue('q', [messageOf('again', 60_000)], NOW);
          assert.deepEqual(await idsIn(store), [...accepted, 'again']);
        } finally {
          await store.close();
        }
      } finally {
        execFileSync('umount', [mounted]);
      }
    }),
  );
});

describe('the store thread', () => {
  it(
    'leaves the caller its bytes, whatever they are a view of',
    withDir(async (dir) => {
      const store = await openSqliteStore({ path: join(dir, 'hearth.db'), log: memoryLog() });
      try {
        const large = new Uint8Array(200_000).fill(7);
        const pooled = Buffer.from('pooled');
        const bodies = [large, pooled, large.subarray(5, 10), new Uint8Array(0)];
        await store.queues.enqueue(
          'q',
          bodies.map((body, i) => ({ ...messageOf(`m${i}`), body })),
          NOW,
        );
        assert.equal(large.length, 200_000);
        assert.equal(pooled.toString(), 'pooled');
        const claimed = await store.queues.claim('q', { most: 9, nowMs: NOW, leaseUntil: NOW + 1, owner: 'test' });
        assert.deepEqual(
          claimed.map(({ body }) => Buffer.from(body)),
          bodies.map((body) => Buffer.from(body)),
        );
      } finally {
        await store.close();
      }
    }),
  );

  it(
    'refuses new calls while too many bytes wait for it, and takes them again later',
    withDir(async (dir) => {
      const path = join(dir, 'hearth.db');
      const store = await openSqliteStore({ path, log: memoryLog(), mostPendingBytes: 1024 * 1024 });
      try {
        const value = new Uint8Array(512 * 1024);
        const put = () => store.kv.put('ns', 'k', { value, metadata: null, expiration: null });
        const waiting = [put(), put()];
        await assert.rejects(put(), noCapacity(/fallen behind/));
        await Promise.all(waiting);
        await put();
      } finally {
        await store.close();
      }
    }),
  );

  it(
    'answers what waits with NO_CAPACITY when it dies, and says so in the log',
    withDir(async (dir) => {
      const dying = `
        import { workerData } from 'node:worker_threads';
        workerData.port.on('message', () => { throw new Error('a defect'); });
        workerData.port.postMessage({ kind: 'ready', protocol: ${STORE_PROTOCOL} });`;
      const log = memoryLog();
      const thread = new URL(`data:text/javascript,${encodeURIComponent(dying)}`);
      const store = await openOver(thread, { path: join(dir, 'hearth.db'), log });
      const calls = await Promise.allSettled([store.queues.list(), store.tokens.list()]);
      for (const call of calls) {
        assert.ok(call.status === 'rejected' && noCapacity(/store has failed/)(call.reason));
      }
      assert.match(log.lines.join(), /store thread ended/);
      await assert.rejects(store.queues.list(), noCapacity(/./));
      await store.close();
    }),
  );

  it(
    'is not taken when it is of another version',
    withDir(async (dir) => {
      const other = `
        import { workerData } from 'node:worker_threads';
        workerData.port.postMessage({ kind: 'ready', protocol: ${STORE_PROTOCOL + 1} });
        workerData.port.ref();`;
      const thread = new URL(`data:text/javascript,${encodeURIComponent(other)}`);
      await assert.rejects(openOver(thread, { path: join(dir, 'hearth.db'), log: memoryLog() }), /another version/);
    }),
  );
});
