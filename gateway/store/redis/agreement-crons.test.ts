import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { CronClaim, CronRecord } from '../api/crons.ts';
import { cronOf, NOW } from '../contract/harness.ts';
import { agree, type Call, type Course, call, later } from './testing/courses.ts';
import { REDIS_MISSING } from './testing/server.ts';

const fn = fc.constantFrom('f', 'g');
const cron = fc.constantFrom('f/0', 'f/1', 'g/0');
const owner = fc.constantFrom('one', 'two');
const due = fc.constantFrom(NOW, NOW + 1, NOW + 2);
const LEASE_MS = 1000;

function planOf({ name }: Course, of: string, index: number, nextAt: number, timezone: string) {
  return { ...cronOf(name(of), index), nextAt, timezone };
}

/** The records of this course alone. */
async function listed({ store, name }: Course): Promise<CronRecord[]> {
  return [...(await store.crons.list(name('f'))), ...(await store.crons.list(name('g')))];
}

const replace = fc
  .tuple(fn, fc.nat({ max: 2 }), due, fc.constantFrom('UTC', 'Asia/Tokyo'))
  .map(([of, count, nextAt, timezone]) =>
    call(`${of} has ${count} crons, due at ${nextAt - NOW}, ${timezone}`, (course) =>
      course.store.crons.replace(
        course.name(of),
        Array.from({ length: count }, (_, i) => planOf(course, of, i, nextAt, timezone)),
      ),
    ),
  );
const claim = fc
  .tuple(
    owner,
    fc.array(
      fc.record({
        of: cron,
        dueAt: due,
        nextAt: fc.option(due),
        skipped: fc.option(fc.constant('overlap'), { freq: 3 }),
        alone: fc.boolean(),
      }),
      { maxLength: 3 },
    ),
  )
  .map(([by, claims]) =>
    call(`${by} claims ${JSON.stringify(claims)}`, (course) => {
      const { store, name, nowMs } = course;
      const given = claims.map(
        ({ of, ...rest }): CronClaim => ({
          ...rest,
          id: name(of),
          startedAt: nowMs,
          invocationId: name(`run-${course.made++}`),
        }),
      );
      return store.crons.claim(given, name(by), nowMs + LEASE_MS);
    }),
  );
const finish = fc
  .tuple(owner, cron, fc.array(fc.nat({ max: 9 }), { maxLength: 3 }), fc.constantFrom('ok' as const, 'error' as const))
  .map(([by, of, runs, outcome]) =>
    call(`${by} ends ${runs.toString()} of ${of}: ${outcome}`, (course) => {
      const { store, name, nowMs } = course;
      const error = outcome === 'ok' ? null : 'why';
      const ends = runs.map((back) => ({
        id: name(of),
        invocationId: name(`run-${course.made - 1 - back}`),
        endedAt: nowMs,
        outcome,
        error,
      }));
      return store.crons.finish(ends, name(by));
    }),
  );
const extend = owner.map((by) =>
  call(`${by} extends`, async ({ store, name, nowMs }) =>
    (await store.crons.extend(name(by), nowMs + LEASE_MS)).toSorted(),
  ),
);
const takeOver = fc.tuple(owner, fc.boolean()).map(([by, mine]) =>
  call(`${by} takes over${mine ? ', its own too' : ''}`, async ({ store, name, nowMs }) => {
    const taken = await store.crons.takeOver(name(by), nowMs, nowMs + LEASE_MS, mine);
    return taken.map((each) => JSON.stringify(Object.entries(each).toSorted())).toSorted();
  }),
);
const pause = fc
  .tuple(cron, fc.boolean())
  .map(([of, paused]) =>
    call(`${of} ${paused ? 'pauses' : 'goes on'}`, ({ store, name }) =>
      store.crons.setPaused(name(of), paused, paused ? null : NOW),
    ),
  );
const removeOf = (of: string) => call(`delete ${of}`, ({ store, name }) => store.registry.deleteFunction(name(of)));

const calls: fc.Arbitrary<Call[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: replace },
    { weight: 8, arbitrary: claim },
    { weight: 4, arbitrary: finish },
    { weight: 1, arbitrary: extend },
    { weight: 3, arbitrary: takeOver },
    { weight: 2, arbitrary: pause },
    { weight: 1, arbitrary: fn.map(removeOf) },
    { weight: 3, arbitrary: fc.constantFrom(1, 500, LEASE_MS).map(later) },
    { weight: 3, arbitrary: fc.constant(call('list', listed)) },
  ),
  { minLength: 5, maxLength: 30 },
);

describe('SQLite and Redis', { skip: REDIS_MISSING }, () => {
  // Whoever takes over takes the runs of everybody: none of a course is left to the next.
  it('answer the same about crons', () =>
    agree(
      calls.map((each) => [...each, removeOf('f'), removeOf('g')]),
      500,
    ));
});
