import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import { artifactOf, versionRecord } from '../registry/testing/records.ts';
import { ManualClock, openStore, SILENT } from '../triggers/testing/harness.ts';
import { createQuota, type QuotaParts } from './quota.ts';
import { withinQuota } from './within-quota.ts';

const MB = 2 ** 20;

/** What is measured is what the test says; a look is made when the clock is moved on. */
async function quotaOver(limitMb: number | null, parts: Partial<QuotaParts> = {}) {
  const measured = { used: 0, free: 1_000 * MB, total: 10_000 * MB, fails: false };
  const clock = new ManualClock(0);
  const warned: string[] = [];
  const quota = createQuota({
    used: () => (measured.fails ? Promise.reject(new Error('away')) : Promise.resolve(measured.used)),
    limitBytes: limitMb === null ? null : limitMb * MB,
    logBytes: 0,
    disk: () => Promise.resolve({ freeBytes: measured.free, totalBytes: measured.total }),
    timers: clock,
    log: { ...SILENT, warn: (message: string) => void warned.push(message) },
    ...parts,
  });
  await quota.start();
  const look = async () => {
    clock.advance(2_000);
    await new Promise(setImmediate);
  };
  return { quota, measured, look, warned, clock };
}

const isFull = (error: unknown) => error instanceof HearthError && error.code === 'NO_CAPACITY';

test('from nine tenths on nothing new is taken, and it says so once; below that it is again', async () => {
  const { quota, measured, look, warned } = await quotaOver(100);
  assert.equal(quota.refusal(), null);
  measured.used = 90 * MB;
  await look();
  assert.ok(isFull(quota.refusal()));
  assert.match(quota.refusal()?.message ?? '', /takes 90 MB of the 100 it may \(HEARTH_DISK_MB\)/);
  await look();
  assert.equal(warned.length, 1);
  measured.used = 89 * MB;
  await look();
  assert.equal(quota.refusal(), null);
  assert.deepEqual(quota.level(), { usedBytes: 89 * MB, limitBytes: 100 * MB });
});

test('what the log of the database may take is not there for the state', async () => {
  const { quota, measured, look } = await quotaOver(100, { logBytes: 50 * MB });
  measured.used = 45 * MB;
  await look();
  assert.match(quota.refusal()?.message ?? '', /takes 45 MB of the 50 it may \(HEARTH_DISK_MB less 50 for its log\)/);
  assert.equal(quota.level().limitBytes, 50 * MB);
});

test('what is taken between two looks counts at once, and not twice', async () => {
  const { quota, measured, look } = await quotaOver(100);
  for (let n = 0; n < 9; n++) quota.taking(10 * MB);
  assert.ok(isFull(quota.refusal()));
  measured.used = 45 * MB;
  await look();
  assert.equal(quota.refusal(), null, 'it came to less');
  assert.equal(quota.level().usedBytes, 45 * MB);
});

test('a store that cannot be asked leaves what was known, and what is taken goes on counting', async () => {
  const { quota, measured, look } = await quotaOver(100);
  measured.used = 50 * MB;
  await look();
  measured.fails = true;
  quota.taking(41 * MB);
  await look();
  assert.ok(isFull(quota.refusal()));
});

test('without a limit the disk is one: 64 MB of it are left, and of a small one a twentieth', async () => {
  const { quota, measured, look, clock } = await quotaOver(null);
  measured.free = 63 * MB;
  await look();
  assert.match(quota.refusal()?.message ?? '', /disk of the data directory is full but for 64 MB/);
  measured.total = 100 * MB;
  await look();
  assert.equal(quota.refusal(), null);
  measured.free = 4 * MB;
  await look();
  assert.ok(isFull(quota.refusal()));
  quota.end();
  assert.equal(clock.timers, 0);
});

test('over the quota a store takes no deploy, value, message or file, and does all that frees room', async (t) => {
  const store = await openStore(t);
  let full = false;
  const taken: number[] = [];
  const refusal = () => (full ? new HearthError('NO_CAPACITY', 'full') : null);
  const bounded = withinQuota(store, { refusal, taking: (bytes) => void taken.push(bytes) });
  const version = versionRecord('hi', 'v1');
  const artifact = artifactOf('exports.a = 1');
  const entry = { value: Buffer.from('value'), metadata: null, expiration: null };
  const message = {
    ...{ id: 'm-1', generatedId: false, body: Buffer.from('body'), contentType: 'text' as const },
    ...{ delayS: 0, traceparent: null, hops: 0 },
  };
  const emptyFile = { key: 'file', upload: 'empty', size: 0, etag: 'e', uploadedAt: 1, meta: {} };
  const growing = [
    () => bounded.registry.putVersion(version, artifact),
    () => bounded.kv.put('space', 'key', entry),
    () => bounded.queues.enqueue('jobs', [message], 1),
    () => bounded.queues.publish(['topic.news.a', 'topic.news.b'], [message], 1),
    () => bounded.files.writePart('upload', 0, Buffer.from('part'), 1),
    () => bounded.files.put('bucket', emptyFile, undefined, 1),
    () => bounded.counters.add('space', 'counter', 1),
  ];
  for (const grow of growing) await grow();
  assert.deepEqual(taken, [artifact.code.byteLength + (artifact.sourceMap?.byteLength ?? 0), 5, 4, 8, 4, 0, 0]);
  full = true;
  for (const grow of growing) await assert.rejects(async () => grow(), isFull);
  assert.equal((await bounded.kv.get('space', 'key', 1))?.value.byteLength, 5);
  await bounded.kv.delete('space', 'key');
  await bounded.queues.purge('jobs');
  assert.equal((await bounded.queues.stats('jobs', 1)).depth, 0);
  assert.equal(await bounded.registry.deleteVersion('hi', 'v1'), true);
});
