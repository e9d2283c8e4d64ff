import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NicenessJudge } from './niceness.ts';

const LOOK_MS = 250;

describe('a thread that stands back', () => {
  test('is one that computes for long between two waits, however many it has', () => {
    const judge = new NicenessJudge();
    judge.look([{ tid: 1, cpuMs: 0, waits: 0 }], LOOK_MS);
    assert.deepEqual(judge.look([{ tid: 1, cpuMs: 240, waits: 6 }], LOOK_MS), [{ tid: 1, computes: true }]);
    assert.deepEqual(judge.look([{ tid: 1, cpuMs: 480, waits: 12 }], LOOK_MS), []);
  });

  test('is one that does not wait at all', () => {
    const judge = new NicenessJudge();
    judge.look([{ tid: 1, cpuMs: 0, waits: 5 }], LOOK_MS);
    assert.deepEqual(judge.look([{ tid: 1, cpuMs: 60, waits: 5 }], LOOK_MS), [{ tid: 1, computes: true }]);
  });

  test('is none that answers short calls with all of a core', () => {
    const judge = new NicenessJudge();
    judge.look([{ tid: 1, cpuMs: 0, waits: 0 }], LOOK_MS);
    assert.deepEqual(judge.look([{ tid: 1, cpuMs: 250, waits: 400 }], LOOK_MS), []);
  });

  test('is none that used next to nothing, were it in one stretch', () => {
    const judge = new NicenessJudge();
    judge.look([{ tid: 1, cpuMs: 0, waits: 0 }], LOOK_MS);
    assert.deepEqual(judge.look([{ tid: 1, cpuMs: 20, waits: 1 }], LOOK_MS), []);
  });

  test('comes back when it waits again, and is unknown when its number is given out anew', () => {
    const judge = new NicenessJudge();
    judge.look([{ tid: 1, cpuMs: 0, waits: 0 }], LOOK_MS);
    judge.look([{ tid: 1, cpuMs: 250, waits: 1 }], LOOK_MS);
    assert.equal(judge.computing, true);
    assert.deepEqual(judge.look([{ tid: 1, cpuMs: 251, waits: 3 }], LOOK_MS), [{ tid: 1, computes: false }]);
    assert.equal(judge.computing, false);
    judge.look([], LOOK_MS);
    assert.deepEqual(judge.look([{ tid: 1, cpuMs: 500, waits: 0 }], LOOK_MS), []);
  });
});
