import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HearthError } from '../../functions/contract/errors.ts';
import type { AnswerStore, KeptAnswer } from '../store/api/answers.ts';
import type { Store } from '../store/store.ts';
import { ManualClock, openStore, rejection, SILENT, settle } from '../triggers/testing/harness.ts';
import { type IdempotencyParts, type Idempotent, idempotent, MAX_KEPT_BYTES } from './idempotency.ts';

const DAY = 24 * 60 * 60 * 1000;

interface Rig {
  store: Store;
  clock: ManualClock;
  /** How often work was begun. */
  begun(): number;
  ask(work?: () => Promise<KeptAnswer | null>, more?: Partial<Ask>): Promise<Idempotent<string>>;
}

interface Ask {
  scope: string;
  key: string;
  request: readonly (string | Uint8Array)[];
  answers: AnswerStore;
}

const answer = (text: string): KeptAnswer => ({ head: { status: 200 }, body: Buffer.from(text) });

async function openIdempotency(t: TestContext): Promise<Rig> {
  const store = await openStore(t);
  const clock = new ManualClock(1_800_000_000_000);
  let begun = 0;
  let ids = 0;
  return {
    store,
    clock,
    begun: () => begun,
    ask(work = () => Promise.resolve(answer('first')), more = {}) {
      const { scope = 's', key = 'k', request = ['r'], answers = store.answers } = more;
      const newId = () => {
        ids += 1;
        return `id${ids}`;
      };
      const parts: IdempotencyParts = { store: answers, now: clock.now, timers: clock, newId, log: SILENT };
      return idempotent(parts, { scope, key, request }, async () => {
        begun += 1;
        return { answer: 'done', keep: await work() };
      });
    },
  };
}

test('the same key has the same answer for a day, and the work is done once', async (t) => {
  const { ask, begun, clock } = await openIdempotency(t);
  assert.deepEqual(await ask(), { replayed: false, answer: 'done', kept: true });
  const again = await ask();
  assert.ok(again.replayed);
  assert.equal(Buffer.from(again.answer.body).toString(), 'first');
  assert.equal(begun(), 1);
  clock.advance(DAY);
  assert.equal((await ask()).replayed, false);
  assert.equal(begun(), 2);
  assert.equal(clock.timers, 0);
});

test('of many at once one does the work, however long it takes, and the others are told to come back', async (t) => {
  const { ask, begun, clock, store } = await openIdempotency(t);
  const { promise, resolve } = Promise.withResolvers<KeptAnswer>();
  const first = ask(() => promise);
  const others = await Promise.all(Array.from({ length: 10 }, () => rejection(ask())));
  for (const { code, retryAfterS } of others) assert.deepEqual([code, retryAfterS], ['CONFLICT', 1]);
  for (let minute = 0; minute < 20; minute++) {
    clock.advance(3_000);
    await settle(store);
  }
  assert.equal((await rejection(ask())).code, 'CONFLICT', 'its lease was lengthened');
  resolve(answer('late'));
  assert.equal((await first).replayed, false);
  const again = await ask();
  assert.ok(again.replayed);
  assert.equal(begun(), 1);
  assert.equal(clock.timers, 0);
});

test('another request under the key is refused, and keys of another scope are others', async (t) => {
  const { ask, begun } = await openIdempotency(t);
  await ask();
  assert.equal((await rejection(ask(undefined, { request: ['other'] }))).code, 'BAD_REQUEST');
  assert.equal((await rejection(ask(undefined, { request: ['r', ''] }))).code, 'BAD_REQUEST');
  assert.equal((await ask(undefined, { scope: 'other' })).replayed, false);
  assert.equal((await ask(undefined, { key: 'other' })).replayed, false);
  assert.equal(begun(), 3);
});

test('what comes to nothing, or fails, leaves the key free', async (t) => {
  const { ask, begun, clock } = await openIdempotency(t);
  assert.deepEqual(await ask(() => Promise.resolve(null)), { replayed: false, answer: 'done', kept: false });
  const failed = ask(() => Promise.reject(new HearthError('OVERLOADED', 'full')), { request: ['other'] });
  assert.equal((await rejection(failed)).code, 'OVERLOADED');
  assert.equal((await ask()).replayed, false);
  assert.equal(begun(), 3);
  assert.equal(clock.timers, 0);
});

test('an answer too large to keep is given once, and the work is still not done twice', async (t) => {
  const { ask, begun } = await openIdempotency(t);
  const large = () => Promise.resolve({ head: null, body: new Uint8Array(MAX_KEPT_BYTES + 1) });
  assert.deepEqual(await ask(large), { replayed: false, answer: 'done', kept: false });
  const { code, message, retryAfterS } = await rejection(ask(large));
  assert.deepEqual([code, retryAfterS], ['CONFLICT', undefined]);
  assert.match(message, /over 1 MB/);
  assert.equal(begun(), 1);
});

test('what a gateway did when it died is done again once its lease has ended', async (t) => {
  const { ask, clock, store } = await openIdempotency(t);
  const times = { nowMs: clock.now(), leaseUntil: clock.now() + 10_000, expiresAt: clock.now() + DAY };
  const hash = await hashSeenBy(ask, store);
  assert.equal((await store.answers.begin('s', 'dead', hash, 'dead gateway', times)).state, 'begin');
  assert.equal((await rejection(ask(undefined, { key: 'dead' }))).code, 'CONFLICT');
  clock.advance(10_000);
  assert.equal((await ask(undefined, { key: 'dead' })).replayed, false);
});

/** The hash under which this very request is kept. */
async function hashSeenBy(ask: Rig['ask'], store: Store): Promise<string> {
  let seen = '';
  const answers: AnswerStore = {
    ...store.answers,
    begin: (scope, key, request, ...rest) => {
      seen = request;
      return store.answers.begin(scope, key, request, ...rest);
    },
  };
  await ask(undefined, { key: 'probe', answers });
  return seen;
}

test('without the store nothing is begun; when it goes away later the answer goes out all the same', async (t) => {
  const { ask, begun, store } = await openIdempotency(t);
  const away = () => Promise.reject(new HearthError('NO_CAPACITY', 'The store is away.'));
  assert.equal((await rejection(ask(undefined, { answers: { ...store.answers, begin: away } }))).code, 'NO_CAPACITY');
  assert.equal(begun(), 0);
  const late = await ask(undefined, { answers: { ...store.answers, finish: away } });
  assert.deepEqual(late, { replayed: false, answer: 'done', kept: false });
});

for (const [what, key] of [
  ['empty', ''],
  ['too long', 'k'.repeat(256)],
  ['not printable', 'a\u0007b'],
  ['not ASCII', 'schlüssel'],
] as const) {
  test(`a key that is ${what} is refused before anything is done`, async (t) => {
    const { ask, begun } = await openIdempotency(t);
    assert.equal((await rejection(ask(undefined, { key }))).code, 'BAD_REQUEST');
    assert.equal(begun(), 0);
  });
}
