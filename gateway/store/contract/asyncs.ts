/** Asynchronous invocations: their records, whole, until they expire. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { AsyncRecord } from '../api/asyncs.ts';
import { DAY, NOW, type StoreTest } from './harness.ts';

function recordOf(id: string, more: Partial<AsyncRecord> = {}): AsyncRecord {
  return {
    id,
    functionName: 'resize',
    trigger: 'http',
    state: 'queued',
    attempts: 0,
    failures: 0,
    acceptedAt: NOW,
    since: NOW,
    dueAt: NOW,
    endedAt: null,
    last: null,
    result: null,
    omittedBytes: null,
    error: null,
    destination: null,
    expiresAt: NOW + DAY,
    ...more,
  };
}

export function asyncsContract(test: StoreTest): void {
  describe('asynchronous invocations', () => {
    test('keeps all that is known of one, with its answer, over a restart', async (store, again) => {
      const ended = recordOf('a', {
        state: 'error',
        attempts: 3,
        failures: 2,
        dueAt: null,
        endedAt: NOW + 5,
        last: {
          version: 'v1',
          startedAt: NOW + 1,
          endedAt: NOW + 5,
          traceId: 'ab'.repeat(16),
          start: 'cold',
          instance: 'base-1',
          phases: { wait: 0.25, run: 4 },
        },
        result: { status: 500, headers: { 'x-ü': ['ä', '"'] } },
        error: { code: 'FUNCTION_EXCEPTION', message: 'Ünwell' },
        destination: { target: 'queue failed', outcome: 'failed', error: 'gone' },
      });
      const body = new Uint8Array([0, 255, 10, 13]);
      await store.asyncs.put(ended, body);
      const opened = await again();
      const found = await opened.asyncs.get('a', NOW);
      assert.deepEqual(found?.record, ended);
      assert.deepEqual(new Uint8Array(found.body ?? []), body);
      assert.equal(await opened.asyncs.get('b', NOW), null);
    });

    test('is not put back by what an earlier attempt says late', async (store) => {
      const said = async (more: Partial<AsyncRecord>) => {
        await store.asyncs.put(recordOf('a', more), null);
        const { attempts, state, since } = (await store.asyncs.get('a', NOW))?.record ?? {};
        return [attempts, state, since];
      };
      assert.deepEqual(await said({ attempts: 1, state: 'running' }), [1, 'running', NOW]);
      assert.deepEqual(await said({}), [1, 'running', NOW], 'that it was accepted');
      assert.deepEqual(await said({ attempts: 10, state: 'running' }), [10, 'running', NOW]);
      assert.deepEqual(await said({ attempts: 9, state: 'ok' }), [10, 'running', NOW]);
      assert.deepEqual(await said({ attempts: 10, state: 'ok' }), [10, 'ok', NOW]);
      // Taken out of the dead letters: its attempts begin anew.
      assert.deepEqual(await said({ attempts: 1, state: 'running', since: NOW + 1 }), [1, 'running', NOW + 1]);
      assert.deepEqual(await said({ attempts: 11, state: 'ok' }), [1, 'running', NOW + 1]);
    });

    test('takes the place of what it was, and of its answer', async (store) => {
      await store.asyncs.put(recordOf('a', { state: 'ok' }), new Uint8Array([1]));
      const later = recordOf('a', { state: 'running', attempts: 1 });
      await store.asyncs.put(later, null);
      assert.deepEqual(await store.asyncs.get('a', NOW), { record: later, body: null });
      await store.asyncs.put(later, new Uint8Array(0));
      assert.equal((await store.asyncs.get('a', NOW))?.body?.byteLength, 0, 'an empty answer is one');
    });

    test('is not seen from the moment it expires, and lives on when its end moves it', async (store) => {
      await store.asyncs.put(recordOf('a'), null);
      assert.notEqual(await store.asyncs.get('a', NOW + DAY - 1), null);
      assert.equal(await store.asyncs.get('a', NOW + DAY), null);
      await store.asyncs.put(recordOf('a', { state: 'ok', expiresAt: NOW + 2 * DAY }), null);
      assert.equal((await store.asyncs.get('a', NOW + DAY))?.record.state, 'ok');
    });

    test('sweeps what has expired, no more of it than asked, and nothing else', async (store) => {
      for (const id of ['a', 'b', 'c']) await store.asyncs.put(recordOf(id), new Uint8Array([1]));
      await store.asyncs.put(recordOf('later', { expiresAt: NOW + DAY + 1 }), null);
      assert.equal(await store.asyncs.sweep(NOW + DAY - 1, 10), 0);
      assert.equal(await store.asyncs.sweep(NOW + DAY, 2), 2);
      assert.equal(await store.asyncs.sweep(NOW + DAY, 2), 1);
      assert.equal(await store.asyncs.sweep(NOW + DAY, 2), 0);
      assert.equal((await store.asyncs.get('later', NOW + DAY))?.record.id, 'later');
    });

    test('an answer of a megabyte comes back as it was', async (store) => {
      const body = new Uint8Array(2 ** 20).map((_, i) => i % 251);
      await store.asyncs.put(recordOf('large', { state: 'ok' }), body);
      const found = await store.asyncs.get('large', NOW);
      assert.ok(found?.body !== null && found?.body !== undefined);
      assert.equal(Buffer.compare(found.body, body), 0);
    });
  });
}
