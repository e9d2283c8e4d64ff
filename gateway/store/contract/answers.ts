/** Answers under idempotency keys: one caller does the work, the others learn what came of it. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { Store } from '../store.ts';
import { DAY, NOW, type StoreTest } from './harness.ts';

const LEASE_MS = 10_000;

interface Ask {
  scope?: string;
  key?: string;
  request?: string;
  owner?: string;
  nowMs?: number;
}

function begin(store: Store, { scope = 's', key = 'k', request = 'r', owner = 'me', nowMs = NOW }: Ask = {}) {
  const times = { nowMs, leaseUntil: nowMs + LEASE_MS, expiresAt: nowMs + DAY };
  return store.answers.begin(scope, key, request, owner, times);
}

const ANSWER = { head: { status: 201, headers: [['x-ü', 'ä']] }, body: new Uint8Array([0, 255, 10]) };

export function answersContract(test: StoreTest): void {
  describe('answers under idempotency keys', () => {
    test('lets exactly one of many begin', async (store) => {
      const states = await Promise.all(Array.from({ length: 50 }, (_, i) => begin(store, { owner: `o${i}` })));
      assert.equal(states.filter(({ state }) => state === 'begin').length, 1);
      assert.equal(states.filter(({ state }) => state === 'running').length, 49);
    });

    test('gives the answer to whoever asks the same later, over a restart, until it expires', async (store, again) => {
      assert.deepEqual(await begin(store), { state: 'begin' });
      await store.answers.finish('s', 'k', 'me', ANSWER);
      const opened = await again();
      const found = await begin(opened, { owner: 'you', nowMs: NOW + DAY - 1 });
      assert.ok(found.state === 'done');
      assert.deepEqual(found.answer.head, ANSWER.head);
      assert.deepEqual(new Uint8Array(found.answer.body), ANSWER.body);
      assert.deepEqual(await begin(opened, { owner: 'you', nowMs: NOW + DAY }), { state: 'begin' });
    });

    test('keeps an answer without a body', async (store) => {
      await begin(store);
      await store.answers.finish('s', 'k', 'me', { head: null, body: new Uint8Array(0) });
      const found = await begin(store);
      assert.ok(found.state === 'done');
      assert.equal(found.answer.head, null);
      assert.equal(found.answer.body.byteLength, 0);
    });

    test('tells another request under the same key, while it runs and afterwards', async (store) => {
      await begin(store);
      assert.deepEqual(await begin(store, { request: 'other' }), { state: 'mismatch' });
      await store.answers.finish('s', 'k', 'me', ANSWER);
      assert.deepEqual(await begin(store, { request: 'other' }), { state: 'mismatch' });
    });

    test('keeps scopes and keys apart', async (store) => {
      await begin(store);
      assert.deepEqual(await begin(store, { scope: 'other' }), { state: 'begin' });
      assert.deepEqual(await begin(store, { key: 'other' }), { state: 'begin' });
      assert.deepEqual(await begin(store, { scope: 's k', key: '' }), { state: 'begin' });
    });

    test('begins anew once it was abandoned, with another request too', async (store) => {
      await begin(store);
      await store.answers.abandon('s', 'k', 'other');
      assert.deepEqual(await begin(store), { state: 'running' });
      await store.answers.abandon('s', 'k', 'me');
      assert.deepEqual(await begin(store, { request: 'other' }), { state: 'begin' });
    });

    test('an answer that is there is not abandoned, and not replaced', async (store) => {
      await begin(store);
      await store.answers.finish('s', 'k', 'me', ANSWER);
      await store.answers.abandon('s', 'k', 'me');
      await store.answers.finish('s', 'k', 'me', { head: 'second', body: new Uint8Array(0) });
      const found = await begin(store);
      assert.ok(found.state === 'done');
      assert.deepEqual(found.answer.head, ANSWER.head);
    });

    test('gives a begin whose lease has ended to the next, and takes nothing from its first owner', async (store) => {
      await begin(store);
      assert.deepEqual(await begin(store, { owner: 'you', nowMs: NOW + LEASE_MS - 1 }), { state: 'running' });
      assert.deepEqual(await begin(store, { owner: 'you', nowMs: NOW + LEASE_MS }), { state: 'begin' });
      await store.answers.finish('s', 'k', 'me', ANSWER);
      await store.answers.abandon('s', 'k', 'me');
      assert.equal(await store.answers.extend('s', 'k', 'me', NOW + DAY), false);
      assert.deepEqual(await begin(store, { nowMs: NOW + LEASE_MS + 1 }), { state: 'running' });
    });

    test('lengthens the lease of what runs, and of nothing else', async (store) => {
      await begin(store);
      assert.equal(await store.answers.extend('s', 'k', 'me', NOW + 3 * LEASE_MS), true);
      assert.equal(await store.answers.extend('s', 'unknown', 'me', NOW + 3 * LEASE_MS), false);
      assert.deepEqual(await begin(store, { owner: 'you', nowMs: NOW + 2 * LEASE_MS }), { state: 'running' });
      await store.answers.finish('s', 'k', 'me', ANSWER);
      assert.equal(await store.answers.extend('s', 'k', 'me', NOW + 3 * LEASE_MS), false);
    });

    test('sweeps what has expired, no more of it than asked, and nothing else', async (store) => {
      for (const key of ['a', 'b', 'c']) await begin(store, { key });
      await store.answers.finish('s', 'a', 'me', ANSWER);
      await begin(store, { key: 'later', nowMs: NOW + 1 });
      assert.equal(await store.answers.sweep(NOW + DAY - 1, 10), 0);
      assert.equal(await store.answers.sweep(NOW + DAY, 2), 2);
      assert.equal(await store.answers.sweep(NOW + DAY, 2), 1);
      assert.equal(await store.answers.sweep(NOW + DAY, 2), 0);
    });
  });
}
