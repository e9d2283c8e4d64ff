/** What a base may ask of files, locks, counters, configuration, rates and topics; and what becomes of one that is hostile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ManifestInput } from '../../functions/contract/manifest.ts';
import { FILE_PART_BYTES } from '../store/api/files.ts';
import { openBindings } from './testing/rig.ts';

const MANIFEST: ManifestInput = {
  r2_buckets: [{ binding: 'FILES', bucket_name: 'files' }],
  ratelimits: [{ name: 'LIMIT', namespace_id: '1', simple: { limit: 1, period: 60 } }],
  hearth: {
    locks: [{ binding: 'LOCKS', namespace: 'ns' }],
    counters: [{ binding: 'COUNT', namespace: 'ns' }],
    config: [{ binding: 'CONFIG', namespace: 'shop' }],
    topics: { publishers: [{ binding: 'NEWS', topic: 'news' }] },
    outbound: [{ binding: 'PAY', origin: 'https://pay.example' }],
  },
};

const putFile = (changes: object = {}) => ({
  op: 'r2.put',
  key: 'k',
  onlyIf: null,
  http: {},
  custom: {},
  expected: null,
  ...changes,
});
const getFile = (changes: object = {}) => ({ op: 'r2.get', key: 'k', onlyIf: null, range: null, ...changes });
const listFiles = (changes: object = {}) => {
  return { op: 'r2.list', prefix: '', delimiter: null, startAfter: null, cursor: null, limit: 10, ...changes };
};
const acquire = (changes: object = {}) => ({ op: 'lock.acquire', lock: 'a', ttlMs: 1000, waitMs: 0, ...changes });
const condition = { etagMatches: null, etagDoesNotMatch: null, uploadedBefore: null, uploadedAfter: null };

test('a malformed call is refused as BAD_REQUEST, whichever binding it is of', async (t) => {
  const { ask } = await openBindings(t, MANIFEST);
  const bad: [string, unknown][] = [
    ['FILES', { op: 'r2.head' }],
    ['FILES', { op: 'r2.head', key: '' }],
    ['FILES', { op: 'r2.head', key: 'ü'.repeat(513) }],
    ['FILES', { op: 'r2.multipart', key: 'k' }],
    ['FILES', { op: 'kv.get', key: 'k' }],
    ['FILES', getFile({ range: { offset: -1, length: null } })],
    ['FILES', getFile({ range: { offset: 0.5, length: 1 } })],
    ['FILES', getFile({ range: { suffix: 1e300 } })],
    ['FILES', getFile({ onlyIf: { etagMatches: 'x' } })],
    ['FILES', getFile({ onlyIf: { ...condition, uploadedBefore: 1e17 } })],
    ['FILES', putFile({ http: { contentType: 7 } })],
    ['FILES', putFile({ custom: { a: 1 } })],
    ['FILES', putFile({ expected: { digest: 'md5', hex: 'ff' } })],
    ['FILES', putFile({ expected: { digest: 'crc', hex: 'ff' } })],
    ['FILES', { op: 'r2.delete', keys: ['k', ''] }],
    ['FILES', { op: 'r2.delete', keys: Array.from({ length: 1001 }, () => 'k') }],
    ['FILES', listFiles({ limit: 0 })],
    ['FILES', listFiles({ cursor: 'not base64!' })],
    ['FILES', listFiles({ prefix: 'x', cursor: Buffer.from('y').toString('base64url') })],
    ['LOCKS', acquire({ lock: '' })],
    ['LOCKS', acquire({ lock: 'x'.repeat(513) })],
    ['LOCKS', acquire({ ttlMs: 99 })],
    ['LOCKS', acquire({ ttlMs: 3_600_001 })],
    ['LOCKS', acquire({ waitMs: -1 })],
    ['LOCKS', { op: 'lock.renew', lock: 'a', fencing: '1', ttlMs: 1000 }],
    ['LOCKS', { op: 'lock.release', lock: 'a', fencing: 2 ** 53 }],
    ['COUNT', { op: 'counter.add', counter: 'a', by: 0.5 }],
    ['COUNT', { op: 'counter.add', counter: 'a', by: 2 ** 53 }],
    ['COUNT', { op: 'counter.next' }],
    ['CONFIG', { op: 'config.watch', version: -1 }],
    ['LIMIT', { op: 'ratelimit.limit', key: 7 }],
    ['NEWS', { op: 'topic.publish', messages: [] }],
    ['NEWS', { op: 'queue.send', messages: [{ contentType: 'json', bytes: 0, delayS: null }] }],
  ];
  for (const [binding, call] of bad) {
    const answer = await ask(binding, call);
    assert.equal(answer.error?.code, 'BAD_REQUEST', JSON.stringify(call));
  }
  // What a base does by itself is nothing to ask a gateway for.
  assert.equal((await ask('PAY', { op: 'outbound.fetch' })).error?.code, 'FORBIDDEN');
  const heavy = putFile({ custom: { a: 'x'.repeat(9000) } });
  assert.equal((await ask('FILES', heavy)).error?.code, 'PAYLOAD_TOO_LARGE');
});

test('a file that is too large, or whose sender goes away, is not there, and leaves nothing', async (t) => {
  const { store, clock, open, ask } = await openBindings(t, MANIFEST);
  const large = open('FILES', putFile(), null, false);
  large.exchange?.write(Buffer.alloc(4 * 1024 * 1024));
  await large.done.promise;
  assert.equal(large.error?.code, 'PAYLOAD_TOO_LARGE');
  const cut = open('FILES', putFile(), null, false);
  cut.exchange?.write(Buffer.alloc(FILE_PART_BYTES * 2 + 10));
  // The store has the first part, once another call that came later is answered.
  await ask('FILES', putFile({ key: 'other' }), Buffer.alloc(FILE_PART_BYTES + 1));
  cut.exchange?.cancel({ code: 'CANCELLED', message: 'gone' });
  await ask('FILES', putFile({ key: 'later' }));
  assert.deepEqual((await ask('FILES', { op: 'r2.head', key: 'k' })).headValue, { file: null });
  clock.advance(60 * 60_000);
  let _swept = 0;
  for (let now = 1; now > 0; _swept += now) now = await store.files.sweep(clock.now(), 100);
  const { files } = (await ask('FILES', listFiles())).headValue as { files: { key: string }[] };
  assert.deepEqual(
    files.map(({ key }) => key),
    ['later', 'other'],
  );
});

test('a file is sent as fast as it is read, and one that is replaced meanwhile comes whole', async (t) => {
  const { open, ask } = await openBindings(t, MANIFEST);
  const bytes = Buffer.alloc(FILE_PART_BYTES * 3 + 5, 'abc');
  await ask('FILES', putFile(), bytes);
  const slow = open('FILES', getFile());
  slow.takes = false;
  await slow.headSeen.promise;
  await ask('FILES', putFile(), Buffer.from('new'));
  assert.ok(slow.body.byteLength <= 256 * 1024, 'no more than its credit');
  slow.takes = true;
  slow.exchange?.consumed(slow.body.byteLength);
  await slow.done.promise;
  assert.ok(slow.body.equals(bytes));
  const piece = await ask('FILES', getFile({ range: { offset: 1, length: 1 } }));
  assert.equal(piece.body.toString(), 'e');
});

test('a lock is given to the first who waits once it is released, and is free when its holder goes', async (t) => {
  const { open, ask } = await openBindings(t, MANIFEST);
  const holder = open('LOCKS', acquire({ ttlMs: 3_600_000 }));
  const { fencing } = (await holder.headSeen.promise) as { fencing: number };
  assert.deepEqual((await ask('LOCKS', acquire())).headValue, { fencing: null, waitedMs: 0 });
  const waiter = open('LOCKS', acquire({ ttlMs: 3_600_000, waitMs: 600_000 }));
  // Somebody else's fence releases nothing.
  const wrong = await ask('LOCKS', { op: 'lock.release', lock: 'a', fencing: fencing + 1 });
  assert.deepEqual(wrong.headValue, { held: false });
  const released = await ask('LOCKS', { op: 'lock.release', lock: 'a', fencing });
  assert.deepEqual(released.headValue, { held: true });
  const next = (await waiter.headSeen.promise) as { fencing: number };
  assert.ok(next.fencing > fencing);
  // The end of the first exchange is nothing to the second holder.
  holder.exchange?.cancel({ code: 'CANCELLED', message: 'over' });
  const renewed = await ask('LOCKS', { op: 'lock.renew', lock: 'a', fencing: next.fencing, ttlMs: 3_600_000 });
  assert.deepEqual(renewed.headValue, { held: true });
  // Fences are of all locks: under the name of another one this is nobody's.
  const elsewhere = await ask('LOCKS', { op: 'lock.release', lock: 'b', fencing: next.fencing });
  assert.deepEqual(elsewhere.headValue, { held: false });
  const last = open('LOCKS', acquire({ waitMs: 600_000 }));
  waiter.exchange?.cancel({ code: 'CANCELLED', message: 'died' });
  assert.ok(((await last.headSeen.promise) as { fencing: number }).fencing > next.fencing);
});

test('a lock that nobody renews is another one after its time', async (t) => {
  const { clock, open, ask } = await openBindings(t, MANIFEST);
  const holder = open('LOCKS', acquire({ ttlMs: 1000 }));
  const { fencing } = (await holder.headSeen.promise) as { fencing: number };
  clock.advance(1000);
  const next = open('LOCKS', acquire({ ttlMs: 1000 }));
  assert.ok(((await next.headSeen.promise) as { fencing: number }).fencing > fencing);
  const late = await ask('LOCKS', { op: 'lock.renew', lock: 'a', fencing, ttlMs: 1000 });
  assert.deepEqual(late.headValue, { held: false });
});

test('those who wait for a lock get it in their order, and one look is for all of them', async (t) => {
  const { store, clock, open, ask } = await openBindings(t, MANIFEST);
  const first = open('LOCKS', acquire({ ttlMs: 3_600_000 }));
  let { fencing } = (await first.headSeen.promise) as { fencing: number };
  const waiters = Array.from({ length: 50 }, () => open('LOCKS', acquire({ ttlMs: 3_600_000, waitMs: 600_000 })));
  // Each has looked once when it came.
  await ask('COUNT', { op: 'counter.get', counter: 'a' });
  let looks = 0;
  const { take } = store.locks;
  t.mock.method(store.locks, 'take', (...args: Parameters<typeof take>) => {
    looks++;
    return take(...args);
  });
  for (const waiter of waiters.slice(0, 5)) {
    await ask('LOCKS', { op: 'lock.release', lock: 'a', fencing });
    ({ fencing } = (await waiter.headSeen.promise) as { fencing: number });
  }
  assert.ok(looks <= 15, `${looks} looks`);
  clock.advance(600_000);
  for (const waiter of waiters.slice(5)) {
    assert.deepEqual(((await waiter.headSeen.promise) as { fencing: null }).fencing, null);
  }
});
