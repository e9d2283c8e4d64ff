import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { defaultQueueSettings, type Settlement } from '../api/queues.ts';
import { DAY } from '../contract/harness.ts';
import { messageOf } from '../contract/messages.ts';
import type { Store } from '../store.ts';
import { agree, type Call, call, later } from './testing/courses.ts';
import { REDIS_MISSING } from './testing/server.ts';

const QUEUES = ['q', 'q.dead', 'other'];
const queue = fc.constantFrom(...QUEUES);
const id = fc.constantFrom('a', 'b', 'c', 'ü', 'ab', 'a b');
const ms = fc.constantFrom(0, 1, 999, 1000, 5000, DAY - 1, DAY);

const enqueue = fc
  .tuple(
    queue,
    fc.array(fc.record({ id, delayS: fc.constantFrom(0, 0.5, 5), generatedId: fc.boolean() }), { maxLength: 4 }),
  )
  .map(([to, messages]) =>
    call(`enqueue ${to} ${JSON.stringify(messages)}`, ({ store, name, nowMs }) =>
      store.queues.enqueue(
        name(to),
        messages.map((message) => ({ ...messageOf(message.id), ...message })),
        nowMs,
      ),
    ),
  );
const claim = fc.tuple(queue, fc.nat({ max: 4 }), fc.constantFrom(1, 1000, 30_000)).map(([from, most, leaseMs]) =>
  call(`claim ${most} of ${from} for ${leaseMs} ms`, async ({ store, name, held, nowMs }) => {
    const claimed = await store.queues.claim(name(from), { most, nowMs, leaseUntil: nowMs + leaseMs, owner: 'o' });
    const before = Math.max(0, ...held.map(({ fence }) => fence));
    for (const { fence } of claimed) assert.ok(fence > before);
    held.push(...claimed);
    return claimed.map(({ fence: _fence, ...message }) => message);
  }),
);
const verdict = fc.constantFrom('ack', 'retry', 'retry uncounted', 'dead');
const settle = fc
  .array(fc.tuple(fc.nat(), verdict, fc.constantFrom(0, 1, 2000)), { maxLength: 4 })
  .chain((picks) => queue.map((from) => ({ picks, from })))
  .map(({ picks, from }) =>
    call(`settle in ${from} ${JSON.stringify(picks)}`, async ({ store, name, held, nowMs }) => {
      const settlements = picks.flatMap(([pick, what, delayMs]): Settlement[] => {
        const message = held.filter((each) => each.queue === name(from)).at(-1 - (pick % 6));
        if (message === undefined) return [];
        const { id: of, fence } = message;
        if (what === 'ack') return [{ id: of, fence, verdict: 'ack' }];
        if (what === 'dead') return [{ id: of, fence, verdict: 'dead', reason: `died of ${pick % 3}` }];
        const countAttempt = what === 'retry';
        const reason = pick % 5 === 0 ? null : `failed by ${pick % 7}`;
        const kills = pick % 4 === 3 ? null : pick % 4;
        return [{ id: of, fence, verdict: 'retry', dueAt: nowMs + delayMs, countAttempt, reason, kills }];
      });
      return store.queues.settle(name(from), settlements, nowMs);
    }),
  );
const extend = fc
  .tuple(queue, fc.nat(), fc.constantFrom(-1, 5000))
  .map(([from, pick, byMs]) =>
    call(`extend in ${from} the ${pick % 6}th by ${byMs} ms`, ({ store, name, held, nowMs }) =>
      store.queues.extend(
        name(from),
        held.filter((each) => each.queue === name(from)).slice(-1 - (pick % 6)),
        nowMs + byMs,
      ),
    ),
  );
const look = queue.map((at) =>
  call(`look at ${at}`, async ({ store, name, nowMs }) => {
    const letters = [];
    for (let cursor: string | null = null; ; ) {
      const page: Awaited<ReturnType<Store['queues']['dead']>> = await store.queues.dead(name(at), { most: 2, cursor });
      letters.push(page.messages);
      if (page.cursor === null) break;
      cursor = page.cursor;
    }
    return [await store.queues.stats(name(at), nowMs), await store.queues.nextDue(name(at)), letters];
  }),
);
const redrive = fc
  .tuple(queue, fc.oneof(fc.constant('all' as const), fc.array(id, { maxLength: 3 })))
  .map(([to, ids]) =>
    call(`redrive ${to} ${ids.toString()}`, ({ store, name, nowMs }) => store.queues.redrive(name(to), ids, nowMs)),
  );
const clear = fc
  .tuple(queue, fc.constantFrom('purge', 'delete'))
  .map(([at, how]) =>
    call(
      `${how} ${at}`,
      ({ store, name }): Promise<unknown> =>
        how === 'purge' ? store.queues.purge(name(at)) : store.queues.delete(name(at)),
    ),
  );
const bury = fc
  .tuple(queue, queue)
  .map(([from, grave]) =>
    call(`dead letters of ${from} go to ${grave}`, ({ store, name }) =>
      store.queues.put(name(from), { ...defaultQueueSettings(name(from)), deadLetterQueue: name(grave) }),
    ),
  );

const calls: fc.Arbitrary<Call[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: enqueue },
    { weight: 6, arbitrary: claim },
    { weight: 6, arbitrary: settle },
    { weight: 2, arbitrary: ms.map(later) },
    { weight: 2, arbitrary: look },
    { weight: 1, arbitrary: extend },
    { weight: 1, arbitrary: redrive },
    { weight: 1, arbitrary: bury },
    { weight: 1, arbitrary: clear },
  ),
  { minLength: 5, maxLength: 40 },
);

describe('SQLite and Redis', { skip: REDIS_MISSING }, () => {
  it('answer the same about queues', () => agree(calls, 1000));
});
