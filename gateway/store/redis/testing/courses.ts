/**
 * The same calls to SQLite and to Redis, in an order that chance finds: both have to answer the same. What is only
 * promised to rise (fences) or to lead on (cursors) is compared by what it does.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { HearthError } from '../../../../functions/contract/errors.ts';
import type { ClaimedMessage } from '../../api/queues.ts';
import { NOW } from '../../contract/harness.ts';
import { openSqliteStore } from '../../sqlite/client.ts';
import type { Store } from '../../store.ts';
import { openOn } from './open.ts';
import { startRedis } from './server.ts';

/** One store in the course of the calls: what it handed out so far, and when it is. */
export interface Course {
  store: Store;
  held: ClaimedMessage[];
  /** Ids that were made so far. */
  made: number;
  nowMs: number;
  /** What a queue or a function is called in this course: each begins with its own. */
  name(given: string): string;
}

export interface Call {
  /** Shown by fast-check instead of the code. */
  [fc.toStringMethod]: () => string;
  said: string;
  /** What it answers, without what may differ. */
  run(course: Course): Promise<unknown>;
}

export function call(said: string, run: Call['run']): Call {
  return { said, run, [fc.toStringMethod]: () => said };
}

export function later(by: number): Call {
  return call(`${by} ms later`, async (course) => {
    course.nowMs += by;
  });
}

/** Rejects with the shortest course in which they do not. */
export async function agree(courses: fc.Arbitrary<Call[]>, numRuns: number): Promise<void> {
  await using redis = await startRedis({ config: { appendonly: 'no' } });
  const dir = await mkdtemp(join(tmpdir(), 'hearth-agreement-'));
  const log = { warn: () => undefined, error: console.error };
  const sqlite = await openSqliteStore({ path: join(dir, 'hearth.db'), log });
  try {
    await using opened = await openOn(redis);
    let n = 0;
    await fc.assert(
      fc.asyncProperty(courses, async (calls) => {
        const own = `${n++}`;
        const name = (given: string) => given.replace(/^[a-z]+/, `$&${own}`);
        const both = [sqlite, opened.store].map((store): Course => ({ store, held: [], made: 0, nowMs: NOW, name }));
        for (const { said, run } of calls) {
          const [fromSqlite, fromRedis] = await Promise.all(both.map((course) => answerOf(run(course))));
          assert.deepEqual(fromRedis, fromSqlite, said);
        }
      }),
      { numRuns },
    );
  } finally {
    await sqlite.close();
    await rm(dir, { recursive: true, force: true });
  }
}

/** An error by its code: the words may be others. */
async function answerOf(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof HearthError) return { code: error.code };
    throw error;
  }
}
