import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RolloutStep } from '../../functions/contract/rollout.ts';
import { advance, begun, type Happening, isOver, type Progress, passedMs, resumed } from './state.ts';
import { rejectsWith } from './testing/errors.ts';

const NOW = 1_000_000;

function step(percent: number, pauseSeconds: number, confirm = false): RolloutStep {
  return { percent, beta: null, pauseSeconds, confirm };
}

const STEPS = [step(10, 5), step(50, 2, true), step(100, 1)];
const TICK: Happening = { what: 'tick', hold: false };

/** Goes through all of it, each with the ms it comes after the beginning. */
function after(...happenings: [atMs: number, happening: Happening][]): Progress {
  return happenings.reduce((progress, [at, happening]) => {
    return advance(progress, STEPS, happening, NOW + at).progress;
  }, begun(NOW));
}

describe('a rollout', () => {
  it('goes from step to step as their pauses pass, waits where it is told to, and completes', () => {
    const seen: string[] = [];
    let progress = begun(NOW);
    for (let ms = 0; ms <= 12_000 && !isOver(progress); ms += 250) {
      const happening: Happening = progress.state === 'waiting' && ms === 9000 ? { what: 'confirm' } : TICK;
      const outcome = advance(progress, STEPS, happening, NOW + ms);
      if (outcome.progress !== progress) {
        seen.push(`${ms}: ${outcome.progress.state} ${outcome.progress.step} ${outcome.traffic}`);
      }
      progress = outcome.progress;
    }
    assert.deepEqual(seen, [
      '5000: running 1 set',
      '7000: waiting 1 keep',
      '9000: running 2 set',
      '10000: completed 2 keep',
    ]);
    assert.equal(progress.why, null);
  });

  it('changes nothing, not even the object, while there is nothing to do', () => {
    const progress = begun(NOW);
    assert.equal(advance(progress, STEPS, TICK, NOW + 4999).progress, progress);
    const paused = after([1000, { what: 'pause' }]);
    assert.equal(advance(paused, STEPS, TICK, NOW + 99_999).progress, paused);
    const waiting = after([5000, TICK], [7000, TICK]);
    assert.equal(waiting.state, 'waiting');
    assert.equal(advance(waiting, STEPS, TICK, NOW + 99_999).progress, waiting);
  });

  it('takes no step for which there were too few calls, and takes it when there are enough', () => {
    const progress = begun(NOW);
    assert.equal(advance(progress, STEPS, { what: 'tick', hold: true }, NOW + 60_000).progress, progress);
    assert.equal(advance(progress, STEPS, TICK, NOW + 60_250).progress.step, 1);
  });

  it('lets no time pass while it is paused', () => {
    const paused = after([3000, { what: 'pause' }]);
    assert.equal(paused.state, 'paused');
    assert.equal(passedMs(paused, NOW + 60_000), 3000);
    const progress = advance(paused, STEPS, { what: 'resume' }, NOW + 60_000).progress;
    assert.equal(advance(progress, STEPS, TICK, NOW + 61_999).progress, progress);
    assert.deepEqual(advance(progress, STEPS, TICK, NOW + 62_000), {
      progress: { state: 'running', step: 1, elapsedMs: 0, since: NOW + 62_000, why: null },
      traffic: 'set',
    });
  });

  it('waits again when it was paused while it waited', () => {
    const resumedNow = after([5000, TICK], [7000, TICK], [8000, { what: 'pause' }], [9000, { what: 'resume' }]);
    assert.equal(resumedNow.state, 'running');
    assert.equal(advance(resumedNow, STEPS, TICK, NOW + 9250).progress.state, 'waiting');
  });

  it('takes the next step at once when it is confirmed, also before its time', () => {
    const outcome = advance(begun(NOW), STEPS, { what: 'confirm' }, NOW + 100);
    assert.deepEqual([outcome.progress.step, outcome.progress.since, outcome.traffic], [1, NOW + 100, 'set']);
    const last = after([0, { what: 'confirm' }], [0, { what: 'confirm' }], [0, { what: 'confirm' }]);
    assert.equal(last.state, 'completed');
  });

  for (const [name, way] of [
    ['running', []],
    [
      'waiting',
      [
        [5000, TICK],
        [7000, TICK],
      ],
    ],
    ['paused', [[1000, { what: 'pause' }]]],
  ] as [string, [number, Happening][]][]) {
    it(`returns the traffic from ${name}, whether it is bad, aborted, or somebody else moved it`, () => {
      const from = after(...way);
      assert.equal(from.state, name);
      for (const [happening, state, why] of [
        [{ what: 'bad', why: 'error rate 50 %' }, 'stopped', 'error rate 50 %'],
        [{ what: 'abort' }, 'aborted', 'it was aborted'],
        [{ what: 'moved', why: 'shop was deleted' }, 'aborted', 'shop was deleted'],
      ] as const) {
        const { progress, traffic } = advance(from, STEPS, happening, NOW + 9000);
        assert.deepEqual([progress.state, progress.why, progress.step, traffic], [state, why, from.step, 'return']);
      }
    });
  }

  it('refuses what cannot be done where it stands, and says where that is', () => {
    const paused = after([0, { what: 'pause' }]);
    rejectsWith('CONFLICT', /paused already/, () => advance(paused, STEPS, { what: 'pause' }, NOW));
    rejectsWith('CONFLICT', /resume it first/, () => advance(paused, STEPS, { what: 'confirm' }, NOW));
    rejectsWith('CONFLICT', /not paused, but running/, () => advance(begun(NOW), STEPS, { what: 'resume' }, NOW));
  });

  it('stays over once it is over', () => {
    for (const end of [
      after([0, { what: 'abort' }]),
      after([0, { what: 'bad', why: 'p95 latency' }]),
      after([0, { what: 'confirm' }], [0, { what: 'confirm' }], [0, { what: 'confirm' }]),
    ]) {
      assert.equal(advance(end, STEPS, TICK, NOW + 99_999).progress, end);
      for (const what of ['pause', 'resume', 'confirm', 'abort'] as const) {
        rejectsWith('CONFLICT', /is over \((aborted|stopped|completed)/, () => advance(end, STEPS, { what }, NOW));
      }
    }
  });

  it('begins the pause of its step anew after a restart, whatever the time is by then', () => {
    const later = NOW + 3_600_000;
    assert.deepEqual(resumed(after([5000, TICK], [6999, TICK]), later), {
      state: 'running',
      step: 1,
      elapsedMs: 0,
      since: later,
      why: null,
    });
    assert.equal(resumed(after([5000, TICK], [7000, TICK]), later).state, 'running');
    assert.equal(resumed(after([5000, { what: 'pause' }]), later).state, 'paused');
  });

  it('takes nothing off its pause when the clock is set back', () => {
    assert.equal(passedMs(begun(NOW), NOW - 10_000), 0);
  });
});
