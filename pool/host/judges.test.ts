import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryJudge } from './memory-judge.ts';
import { TurnJudge } from './turn-judge.ts';

const MB = 2 ** 20;
const LIMIT = 64 * MB;

describe('memory of one base', () => {
  test('within the limit is left alone, and so is what comes back below it after collecting', () => {
    const judge = new MemoryJudge();
    assert.equal(judge.answered(0, 64 * MB, 0, LIMIT, true), 'within');
    assert.equal(judge.answered(25, 65 * MB, 0, LIMIT, true), 'collect');
    assert.equal(judge.answered(50, 70 * MB, 0, LIMIT, true), 'within');
    assert.equal(judge.answered(75, 20 * MB, 0, LIMIT, true), 'within');
    assert.equal(judge.answered(5_000, 65 * MB, 0, LIMIT, true), 'collect');
  });

  test('over the limit for longer than collecting takes is over', () => {
    const judge = new MemoryJudge();
    judge.answered(0, 70 * MB, 0, LIMIT, true);
    assert.equal(judge.answered(249, 70 * MB, 0, LIMIT, true), 'within');
    assert.equal(judge.answered(250, 70 * MB, 0, LIMIT, true), 'over');
  });

  test('Buffers alone are not held against a base that had no turn to collect them', () => {
    const judge = new MemoryJudge();
    assert.equal(judge.answered(0, 150 * MB, 120 * MB, LIMIT, false), 'collect');
    assert.equal(judge.answered(1_000, 150 * MB, 120 * MB, LIMIT, false), 'within');
    assert.equal(judge.answered(1_025, 150 * MB, 120 * MB, LIMIT, true), 'over');
    assert.equal(judge.answered(1_050, 150 * MB, 40 * MB, LIMIT, false), 'over');
  });

  test('far over is over at once, Buffers that may be garbage apart', () => {
    assert.equal(new MemoryJudge().answered(0, 129 * MB, 0, LIMIT, true), 'over');
    assert.equal(new MemoryJudge().answered(0, 200 * MB, 150 * MB, LIMIT, true), 'collect');
    assert.equal(new MemoryJudge().answered(0, 400 * MB, 390 * MB, LIMIT, true), 'over');
  });

  test('a Buffer that was counted when it was made does not count once more while it is filled', () => {
    const judge = new MemoryJudge();
    judge.answered(0, 288 * MB, 288 * MB, 512 * MB, false);
    judge.asked(10, 130 * MB, 8 * MB);
    assert.equal(judge.bytes + judge.grownSince(390 * MB, 8 * MB), 288 * MB + 260 * MB - 166 * MB);
    // What is not counted yet counts from its first byte.
    judge.asked(20, 400 * MB, 8 * MB);
    assert.equal(judge.grownSince(500 * MB, 8 * MB), 100 * MB);
  });

  test('of a silent base is what the process has grown by, less what the others have', () => {
    const judge = new MemoryJudge();
    assert.equal(judge.silent(1_000, 0), false);
    judge.asked(0, 500 * MB, 30 * MB);
    assert.equal(judge.silent(74, 0), false);
    assert.equal(judge.silent(75, 0), true);
    assert.equal(judge.silent(75, 1), false, 'asked before its silence says anything');
    assert.equal(judge.grownSince(620 * MB, 50 * MB), 100 * MB);
    assert.equal(judge.grownSince(400 * MB, 50 * MB), 0);
    judge.answered(80, 10 * MB, 0, LIMIT, true);
    assert.equal(judge.silent(1_000, 0), false);
  });
});

describe('a turn of the loop', () => {
  test('that is answered is followed by the next ping', () => {
    const judge = new TurnJudge();
    assert.equal(judge.step(0, true, 100, 0), 'ping');
  });

  test('is over when the thread has used its CPU time since it was first asked', () => {
    const judge = new TurnJudge();
    judge.pinged(0, 0);
    assert.equal(judge.step(25, false, 100, 25), 'ask');
    assert.equal(judge.usage(judge.turn, 1_000, 100), false);
    assert.equal(judge.step(50, false, 100, 50), 'ask');
    assert.equal(judge.usage(judge.turn, 1_099, 100), false);
    assert.equal(judge.step(5_000, false, 100, 75), 'ask');
    assert.equal(judge.usage(judge.turn, 1_100, 100), true);
  });

  test('is not judged by an answer about the one before', () => {
    const judge = new TurnJudge();
    judge.pinged(0, 0);
    const { turn } = judge;
    judge.step(25, false, 100, 0);
    judge.usage(turn, 0, 100);
    judge.pinged(50, 0);
    assert.equal(judge.usage(turn, 10_000, 100), false);
  });

  test('of a thread that answers nothing is over by the wall clock, but only if the process used CPU', () => {
    const judge = new TurnJudge();
    judge.pinged(0, 0);
    judge.step(25, false, 100, 0);
    assert.equal(judge.step(1_199, false, 100, 500), 'wait');
    assert.equal(judge.step(1_200, false, 100, 99), 'wait');
    assert.equal(judge.step(1_200, false, 100, 100), 'over');
  });
});
