import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Guard, rolloutRequestSchema } from '../../functions/contract/rollout.ts';
import { evidence, judge, missing } from './guard.ts';
import { call, randomFrom } from './testing/calls.ts';
import { createWindows, type Window } from './windows.ts';

function guardOf(given: Record<string, unknown> = {}): Guard {
  const functions = [{ name: 'shop', version: 'v2' }];
  const { guard } = rolloutRequestSchema.parse({ functions, steps: [{ percent: 100 }], guard: given });
  assert.ok(guard !== false);
  return guard;
}

interface ArmSketch {
  requests: number;
  errors?: number;
  /** Of the i-th call. */
  latencyMs?: (i: number) => number;
  coldMs?: (i: number) => number;
  /** Calls that each instance serves; default: one serves them all. */
  callsEach?: number;
}

function windowOf(fresh: ArmSketch, old: ArmSketch): Window {
  const windows = createWindows();
  const window = windows.watch('shop', 'v2');
  for (const [version, { requests, errors = 0, latencyMs = () => 1, coldMs, callsEach = Number.POSITIVE_INFINITY }] of [
    ['v2', fresh],
    ['v1', old],
  ] as const) {
    for (let i = 0; i < requests; i++) {
      const cold = coldMs === undefined ? {} : { coldMs: coldMs(i) };
      const instance = `${version} ${Math.floor(i / callsEach)}`;
      windows.finished(call({ version, status: i < errors ? 500 : 200, latencyMs: latencyMs(i), instance, ...cold }));
    }
  }
  return window;
}

describe('the evidence that an event is more frequent on the new version', () => {
  it('is the mean of the likelihood ratios, worked out by hand for one event and equal arms', () => {
    assert.equal(evidence(0, 0, 0.5), 1);
    // 2r/(r+1) and 2/(r+1) for r = 1.25, 1.5, 2, 3, 5, 10, 30, 100.
    const there = [10 / 9, 6 / 5, 4 / 3, 3 / 2, 5 / 3, 20 / 11, 60 / 31, 200 / 101];
    const elsewhere = [8 / 9, 4 / 5, 2 / 3, 1 / 2, 1 / 3, 2 / 11, 2 / 31, 2 / 101];
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    assert.ok(Math.abs(evidence(1, 1, 0.5) - mean(there)) < 1e-12);
    assert.ok(Math.abs(evidence(0, 1, 0.5) - mean(elsewhere)) < 1e-12);
    assert.ok(Math.abs(evidence(1, 2, 0.5) - mean(there.map((ratio, i) => ratio * (elsewhere[i] ?? 0)))) < 1e-12);
  });

  it('is 1 on average when there is no difference, whatever the share: the property that Ville’s inequality asks for', () => {
    for (const share of [0.01, 0.1, 0.5, 0.9]) {
      for (const events of [1, 7, 40]) {
        let mean = 0;
        let chance = (1 - share) ** events;
        for (let fresh = 0; fresh <= events; fresh++) {
          mean += chance * evidence(fresh, events, share);
          chance *= ((events - fresh) / (fresh + 1)) * (share / (1 - share));
        }
        assert.ok(Math.abs(mean - 1) < 1e-9, `${events} events at ${share}: ${mean}`);
      }
    }
  });

  it('asks for more than one stray event, also where the arms are very uneven', () => {
    // An exact test of the same data says p = 0.01.
    assert.ok(evidence(1, 1, 0.01) < 100);
    assert.ok(evidence(3, 3, 0.01) > 100);
  });

  it('neither overflows nor falls to nothing with a great many events', () => {
    assert.equal(evidence(1_000_000, 1_000_000, 0.1), Number.POSITIVE_INFINITY);
    assert.ok(evidence(0, 1_000_000, 0.5) >= 0);
    assert.ok(evidence(500_000, 1_000_000, 0.5) < 1);
  });
});

describe('the guard', () => {
  it('says which figure is worse, with the numbers', () => {
    assert.equal(
      judge(windowOf({ requests: 200, errors: 50 }, { requests: 1800, errors: 9 }), guardOf(), 1)?.why,
      'error rate 25 % (50 of 200 requests) against 0.5 % (9 of 1800 requests) of the version before',
    );
    const slow = judge(windowOf({ requests: 100, latencyMs: () => 80 }, { requests: 100 }), guardOf(), 1);
    assert.match(
      slow?.why ?? '',
      /^p95 latency 8\d(\.\d)? ms \(95 requests\) against 1(\.\d+)? ms \(100 requests\) of/,
    );
    const heavy = judge(windowOf({ requests: 60, coldMs: () => 90 }, { requests: 60, coldMs: () => 2 }), guardOf(), 1);
    assert.match(heavy?.why ?? '', /^median cold start 9\d(\.\d)? ms \(of 60\) against 2(\.\d+)? ms \(of 60\) of/);
  });

  it('says nothing of two versions that are alike', () => {
    const arm = {
      requests: 500,
      errors: 5,
      latencyMs: (i: number) => 1 + (i % 20),
      coldMs: (i: number) => 2 + (i % 5),
    };
    assert.equal(judge(windowOf(arm, arm), guardOf(), 1), null);
  });

  it('says nothing of a version that is better', () => {
    const good = { requests: 500, errors: 0, latencyMs: () => 1, coldMs: () => 1 };
    const bad = { requests: 500, errors: 100, latencyMs: () => 100, coldMs: () => 100 };
    assert.equal(judge(windowOf(good, bad), guardOf(), 1), null);
  });

  it('waits until both arms have had enough requests', () => {
    const guard = guardOf({ minRequests: 80 });
    const broken = { requests: 79, errors: 79, latencyMs: () => 100 };
    assert.equal(judge(windowOf(broken, { requests: 1000 }), guard, 1), null);
    assert.equal(judge(windowOf({ requests: 1000, errors: 1000 }, { requests: 79 }), guard, 1), null);
    assert.match(
      judge(windowOf({ requests: 80, errors: 80 }, { requests: 80 }), guard, 1)?.why ?? '',
      /^error rate 100 %/,
    );
    assert.deepEqual(missing(windowOf({ requests: 79 }, { requests: 90 }), guard), { fresh: 1, old: 0 });
  });

  it('waits until both arms have had enough cold starts', () => {
    const guard = guardOf({ minRequests: 1, minColdStarts: 30 });
    const cold = (requests: number, ms: number) => ({ requests, coldMs: () => ms });
    assert.equal(judge(windowOf(cold(29, 500), cold(100, 2)), guard, 1), null);
    assert.equal(judge(windowOf(cold(100, 500), cold(29, 2)), guard, 1), null);
    assert.notEqual(judge(windowOf(cold(30, 500), cold(30, 2)), guard, 1), null);
  });

  it('allows what its settings allow, however certain it is', () => {
    const errors = windowOf({ requests: 100_000, errors: 1400 }, { requests: 100_000, errors: 1000 });
    assert.equal(judge(errors, guardOf(), 1), null);
    assert.notEqual(judge(errors, guardOf({ errorRate: { maxIncreasePoints: 0.3 } }), 1), null);
    const later = windowOf({ requests: 5000, latencyMs: () => 12 }, { requests: 5000, latencyMs: () => 10 });
    assert.equal(judge(later, guardOf(), 1), null);
    assert.notEqual(judge(later, guardOf({ p95: { maxIncreasePercent: 5, minIncreaseMs: 0 } }), 1), null);
    // Four times as slow, and still only three milliseconds.
    const tiny = windowOf({ requests: 5000, latencyMs: () => 4 }, { requests: 5000, latencyMs: () => 1 });
    assert.equal(judge(tiny, guardOf(), 1), null);
  });

  it('takes slow first calls of young instances for what they are', () => {
    const warmingUp = { requests: 500, callsEach: 50, latencyMs: (i: number) => (i % 50 < 5 ? 40 : 1) };
    assert.equal(judge(windowOf(warmingUp, { requests: 500 }), guardOf(), 1), null);
  });

  it('compares first calls with first calls where instances serve few', () => {
    const short = { requests: 200, callsEach: 1, coldMs: () => 2 };
    assert.equal(judge(windowOf(short, short), guardOf(), 1), null);
    const slow = windowOf({ ...short, latencyMs: () => 80 }, short);
    assert.match(judge(slow, guardOf(), 1)?.why ?? '', /^p95 latency 8\d(\.\d)? ms \(200 requests\) against 1/);
  });

  it('looks at no figure that is switched off', () => {
    const bad = { requests: 500, errors: 400, latencyMs: () => 100, coldMs: () => 100 };
    const window = windowOf(bad, { requests: 500, coldMs: () => 1 });
    assert.equal(judge(window, guardOf({ errorRate: false, p95: false, coldStart: false }), 1), null);
    assert.equal(judge(window, guardOf({ errorRate: false }), 1)?.figure, 'p95');
    assert.equal(judge(window, guardOf({ errorRate: false, p95: false }), 1)?.figure, 'coldStart');
  });

  it('wants more evidence the more functions and windows there are, and the more confidence is asked for', () => {
    const window = windowOf({ requests: 100, errors: 12 }, { requests: 100, errors: 0 });
    assert.notEqual(judge(window, guardOf(), 1), null);
    assert.equal(judge(window, guardOf(), 20), null);
    assert.equal(judge(window, guardOf({ confidence: 0.9999 }), 1), null);
    window.round = 5;
    assert.equal(judge(window, guardOf(), 1), null);
  });
});

describe('the guard over many rollouts, looked at again and again', () => {
  const ROLLOUTS = 1000;
  const REQUESTS = 4000;
  const LOOK_EVERY = 20;

  /** How many of so many rollouts are stopped; each is looked at all along. */
  function stopped(random: () => number, rates: { fresh: number; old: number; share: number }, test: Test): number {
    let count = 0;
    for (let rollout = 0; rollout < ROLLOUTS; rollout++) {
      const seen = { fresh: 0, freshErrors: 0, old: 0, oldErrors: 0 };
      for (let request = 1; request <= REQUESTS; request++) {
        const fresh = random() < rates.share;
        const error = random() < (fresh ? rates.fresh : rates.old);
        if (fresh) seen.fresh += 1;
        else seen.old += 1;
        if (error && fresh) seen.freshErrors += 1;
        else if (error) seen.oldErrors += 1;
        if (request % LOOK_EVERY !== 0 || seen.fresh < 50 || seen.old < 50 || !test(seen)) continue;
        count += 1;
        break;
      }
    }
    return count;
  }
  type Test = (seen: { fresh: number; freshErrors: number; old: number; oldErrors: number }) => boolean;

  const ours: Test = ({ fresh, freshErrors, old, oldErrors }) =>
    evidence(freshErrors, freshErrors + oldErrors, fresh / (fresh + old)) >= 100;
  /** The test of textbooks, for one look at 99 %. */
  const twoProportions: Test = ({ fresh, freshErrors, old, oldErrors }) => {
    const pooled = (freshErrors + oldErrors) / (fresh + old);
    const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / fresh + 1 / old));
    return deviation > 0 && (freshErrors / fresh - oldErrors / old) / deviation > 2.326;
  };

  it('stops at most one harmless step in a hundred, where an ordinary test stops many', () => {
    for (const share of [0.1, 0.5]) {
      for (const rate of [0.005, 0.05]) {
        const rates = { fresh: rate, old: rate, share };
        const wrongly = stopped(randomFrom(share * 1000 + rate), rates, ours);
        assert.ok(wrongly <= ROLLOUTS / 100, `${wrongly} of ${ROLLOUTS} at ${rate} and ${share}`);
        const ordinary = stopped(randomFrom(share * 1000 + rate), rates, twoProportions);
        assert.ok(ordinary > ROLLOUTS / 40, `${ordinary} of ${ROLLOUTS} at ${rate} and ${share}`);
      }
    }
  });

  it('stops every bad one', () => {
    assert.equal(stopped(randomFrom(1), { fresh: 0.2, old: 0.001, share: 0.1 }, ours), ROLLOUTS);
    assert.equal(stopped(randomFrom(2), { fresh: 0.05, old: 0.01, share: 0.5 }, ours), ROLLOUTS);
  });

  it('calls the latency of equal versions bad in at most one of a hundred, and finds the slower one', () => {
    const random = randomFrom(7);
    // Long-tailed, as latencies are.
    const latency = (scale: number) =>
      scale * Math.exp(Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
    const guard = guardOf({ errorRate: false, coldStart: false, p95: { maxIncreasePercent: 0, minIncreaseMs: 0 } });
    const run = (scale: number): boolean => {
      const windows = createWindows();
      const window = windows.watch('shop', 'v2');
      for (let i = 1; i <= 1500; i++) {
        const fresh = random() < 0.3;
        windows.finished(call({ version: fresh ? 'v2' : 'v1', latencyMs: latency(fresh ? scale : 20) }));
        if (i % 50 === 0 && judge(window, guard, 1) !== null) return true;
      }
      return false;
    };
    let wrongly = 0;
    for (let rollout = 0; rollout < 200; rollout++) if (run(20)) wrongly += 1;
    assert.ok(wrongly <= 2, `${wrongly} of 200`);
    for (let rollout = 0; rollout < 20; rollout++) assert.equal(run(60), true);
  });
});
