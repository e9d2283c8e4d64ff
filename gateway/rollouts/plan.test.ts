import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rolloutRequestSchema, stepsOf } from '../../functions/contract/rollout.ts';
import { type Traffic, trafficSchema } from '../../functions/contract/traffic.ts';
import { othersOf, trafficAt } from './plan.ts';

const FUNCTIONS = [{ name: 'shop', version: 'v2' }];

function plan(before: Traffic, ...given: unknown[]): Traffic[] {
  const steps = stepsOf(rolloutRequestSchema.parse({ functions: FUNCTIONS, steps: given }).steps);
  const settings = steps.map((_, index) => trafficAt({ version: 'v2', before }, steps, index));
  // Whatever comes out is what the API itself would take.
  for (const setting of settings) assert.deepEqual(trafficSchema.parse(setting), setting);
  return settings;
}

function refusal(more: Record<string, unknown>): string {
  const result = rolloutRequestSchema.safeParse({ functions: FUNCTIONS, steps: [{ percent: 100 }], ...more });
  assert.equal(result.success, false);
  return result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('\n');
}

const ALL_OLD: Traffic = { split: [{ version: 'v1', percent: 100 }] };
const beta = { header: { 'x-beta': 'yes' } };

describe('the traffic of a rollout’s steps', () => {
  it('gives the new version its percent and the old one the rest', () => {
    assert.deepEqual(plan(ALL_OLD, { percent: 1 }, { percent: 33.3 }, { percent: 100 }), [
      {
        split: [
          { version: 'v1', percent: 99 },
          { version: 'v2', percent: 1 },
        ],
      },
      {
        split: [
          { version: 'v1', percent: 66.7 },
          { version: 'v2', percent: 33.3 },
        ],
      },
      { split: [{ version: 'v2', percent: 100 }] },
    ]);
  });

  it('divides what is left to do by batches, behind a step before them too', () => {
    const shares = (settings: Traffic[]) =>
      settings.map(({ split }) => split.find((arm) => arm.version === 'v2')?.percent);
    assert.deepEqual(shares(plan(ALL_OLD, { batches: 4 })), [25, 50, 75, 100]);
    assert.deepEqual(shares(plan(ALL_OLD, { percent: 10 }, { batches: 3 })), [10, 40, 70, 100]);
    assert.deepEqual(shares(plan(ALL_OLD, { batches: 3 })), [33.333333, 66.666667, 100]);
    assert.deepEqual(shares(plan(ALL_OLD, { batches: 1 })), [100]);
  });

  it('begins with a beta that takes nobody else along, and keeps its callers on the new version to the end', () => {
    const settings = plan(ALL_OLD, { beta }, { percent: 50 }, { percent: 100 });
    const rules = [{ when: beta, version: 'v2' }];
    assert.deepEqual(settings, [
      { split: [{ version: 'v1', percent: 100 }], rules },
      {
        split: [
          { version: 'v1', percent: 50 },
          { version: 'v2', percent: 50 },
        ],
        rules,
      },
      { split: [{ version: 'v2', percent: 100 }] },
    ]);
  });

  it('leaves the shares of several old versions, rules and stickiness as they were', () => {
    const before: Traffic = {
      split: [
        { version: 'v0', percent: 20 },
        { version: 'v1', percent: 60 },
        { version: 'v2', percent: 20 },
      ],
      rules: [{ when: { cookie: { old: '1' } }, version: 'v0' }],
      stickyBy: { header: 'x-user' },
    };
    const { rules, stickyBy } = before;
    assert.deepEqual(plan(before, { percent: 60 }, { percent: 100 }), [
      {
        split: [
          { version: 'v0', percent: 10 },
          { version: 'v1', percent: 30 },
          { version: 'v2', percent: 60 },
        ],
        rules,
        stickyBy,
      },
      { split: [{ version: 'v2', percent: 100 }], rules, stickyBy },
    ]);
  });

  it('knows that there is nothing to do for a version that has everything', () => {
    assert.deepEqual(othersOf({ version: 'v1', before: ALL_OLD }), []);
    const named = {
      split: [
        { version: 'v1', percent: 100 },
        { version: 'v0', percent: 0 },
      ],
    };
    assert.deepEqual(othersOf({ version: 'v1', before: named }), []);
  });
});

describe('a request for a rollout', () => {
  it('is refused where its steps make no sense, naming the step', () => {
    assert.match(refusal({ steps: [] }), /^steps: /);
    assert.match(refusal({ steps: [{ percent: 10 }] }), /^steps\.0: The last step is one of 100 percent/);
    assert.match(
      refusal({ steps: [{ percent: 50 }, { percent: 20 }, { percent: 100 }] }),
      /^steps\.1: Each step takes more/,
    );
    assert.match(refusal({ steps: [{ percent: 100 }, { percent: 100 }] }), /^steps\.1: Nothing is left/);
    assert.match(refusal({ steps: [{ batches: 2 }, { percent: 100 }] }), /^steps\.1: Nothing is left/);
    assert.match(
      refusal({ steps: [{ percent: 5 }, { beta }, { percent: 100 }] }),
      /^steps\.1: A beta step comes before/,
    );
    assert.match(refusal({ steps: [{ beta }] }), /^steps\.0: The last step/);
  });

  it('is refused with a step, a guard or a list of functions that is none', () => {
    for (const step of [
      {},
      { percent: 0 },
      { percent: 101 },
      { percent: 100, pauseSeconds: -1 },
      { batches: 0 },
      { beta: {} },
    ]) {
      assert.match(refusal({ steps: [step] }), /^steps\.0/);
    }
    assert.match(refusal({ guard: { confidence: 1 } }), /^guard/);
    assert.match(refusal({ guard: { minRequests: 0 } }), /^guard/);
    assert.match(refusal({ guard: { latency: {} } }), /^guard/);
    assert.match(refusal({ functions: [] }), /^functions/);
    assert.match(refusal({ functions: [...FUNCTIONS, ...FUNCTIONS] }), /^functions: A function is named once/);
    assert.match(refusal({ functions: [{ name: 'Shop', version: 'v2' }] }), /^functions\.0\.name/);
  });

  it('has a guard over all figures unless it says otherwise, and pauses that suit each step', () => {
    const parsed = rolloutRequestSchema.parse({
      functions: FUNCTIONS,
      steps: [{ percent: 5 }, { percent: 9, confirm: true }, { batches: 2, pauseSeconds: 7, confirm: true }],
    });
    assert.deepEqual(parsed.guard, {
      errorRate: { maxIncreasePoints: 0.5 },
      p95: { maxIncreasePercent: 25, minIncreaseMs: 5 },
      coldStart: { maxIncreasePercent: 50, minIncreaseMs: 10 },
      minRequests: 50,
      minColdStarts: 10,
      confidence: 0.99,
      whenTooFew: 'proceed',
    });
    assert.deepEqual(
      stepsOf(parsed.steps).map(({ percent, pauseSeconds, confirm }) => [percent, pauseSeconds, confirm]),
      [
        [5, 60, false],
        [9, 0, true],
        [54.5, 7, true],
        [100, 0, false],
      ],
    );
    assert.equal(
      rolloutRequestSchema.parse({ functions: FUNCTIONS, steps: [{ percent: 100 }], guard: false }).guard,
      false,
    );
  });
});
