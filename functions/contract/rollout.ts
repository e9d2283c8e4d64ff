/** Rollouts: moving the traffic of one or several functions to a new version, step by step and under guard. */
import { z } from 'zod';
import { NAME_PATTERN, NAME_RULE } from './limits.ts';
import { whenSchema } from './traffic.ts';

const MOST_FUNCTIONS = 20;
const MOST_STEPS = 100;
const MOST_BATCHES = 50;
const WEEK_S = 7 * 24 * 60 * 60;
/** Of a step that names neither a pause nor a confirmation, and is not the last one. */
const DEFAULT_PAUSE_S = 60;

/** How a step ends. Without either: a pause of a minute; of the last step, at once. */
const ending = {
  /** Seconds for which the step is watched before the next one. */
  pauseSeconds: z.number().min(0).max(WEEK_S).optional(),
  /** After the pause (then none by default) it waits until somebody confirms. */
  confirm: z.boolean().optional(),
};

const givenStepSchema = z.union(
  [
    /** So much of the split goes to the new versions. */
    z.strictObject({ percent: z.number().gt(0).max(100), ...ending }),
    /** Whoever matches gets the new versions, all through the rollout; nobody else does in this step. */
    z.strictObject({ beta: whenSchema, ...ending }),
    /** So many steps of equal size, from where the step before this came to, to 100 percent. */
    z.strictObject({ batches: z.int().min(1).max(MOST_BATCHES), ...ending }),
  ],
  { error: 'A step is one of {percent}, {beta} and {batches}, with pauseSeconds and confirm where wanted.' },
);

/** A figure is worse when it rose by more than what is allowed here, and when chance is no explanation. */
const guardSchema = z.strictObject({
  /** Share of calls that failed: status 500 and above, or no answer. In percentage points. */
  errorRate: z
    .union([z.literal(false), z.strictObject({ maxIncreasePoints: z.number().min(0).max(100).default(0.5) })])
    .prefault({}),
  /** In the function, to the response head: its 95th percentile. It must have risen by both. */
  p95: z
    .union([
      z.literal(false),
      z.strictObject({
        maxIncreasePercent: z.number().min(0).max(10_000).default(25),
        minIncreaseMs: z.number().min(0).max(60_000).default(5),
      }),
    ])
    .prefault({}),
  /** Loading at a cold start: its median, since there are few. It must have risen by both. */
  coldStart: z
    .union([
      z.literal(false),
      z.strictObject({
        maxIncreasePercent: z.number().min(0).max(10_000).default(50),
        minIncreaseMs: z.number().min(0).max(60_000).default(10),
      }),
    ])
    .prefault({}),
  /** Requests that each arm needs in the step before it is judged. */
  minRequests: z.int().min(1).max(1_000_000).default(50),
  /** Cold starts that each arm needs before they are judged. */
  minColdStarts: z.int().min(1).max(1_000_000).default(10),
  /** That a step which is no worse is let through, however often it is looked at. */
  confidence: z.number().min(0.5).max(0.999_999).default(0.99),
  /** What a step does whose pause is over before both arms had minRequests. */
  whenTooFew: z.enum(['proceed', 'wait']).default('proceed'),
});
export type Guard = z.output<typeof guardSchema>;

export const rolloutRequestSchema = z
  .strictObject({
    /** They move together: each step is one commit over all of them. */
    functions: z
      .array(
        z.strictObject({
          name: z.string().regex(NAME_PATTERN, `a name ${NAME_RULE}`),
          version: z.string().min(1).max(128),
        }),
      )
      .min(1)
      .max(MOST_FUNCTIONS),
    steps: z.array(givenStepSchema).min(1).max(MOST_STEPS),
    /** false: nobody watches. */
    guard: z.union([z.literal(false), guardSchema]).prefault({}),
  })
  .superRefine(({ functions, steps }, context) => {
    if (new Set(functions.map(({ name }) => name)).size < functions.length) {
      context.addIssue({ code: 'custom', path: ['functions'], message: 'A function is named once.' });
    }
    const wrong = flawOf(steps);
    if (wrong !== null) context.addIssue({ code: 'custom', path: ['steps', wrong.at], message: wrong.message });
  });
export type RolloutRequest = z.output<typeof rolloutRequestSchema>;
type GivenStep = z.output<typeof givenStepSchema>;

/** The order in which steps may stand: beta first, then ever more percent, and in the end all. */
function flawOf(steps: readonly GivenStep[]): { at: number; message: string } | null {
  let reached = 0;
  let share = false;
  for (const [at, step] of steps.entries()) {
    if ('beta' in step) {
      if (share) return { at, message: 'A beta step comes before all others.' };
      continue;
    }
    share = true;
    if (reached >= 100) return { at, message: 'Nothing is left to do after 100 percent.' };
    if ('batches' in step) {
      reached = 100;
    } else {
      if (step.percent <= reached) return { at, message: `Each step takes more than the one before (${reached}).` };
      reached = step.percent;
    }
  }
  return reached === 100 ? null : { at: steps.length - 1, message: 'The last step is one of 100 percent, or batches.' };
}

export const stepSchema = z.object({
  /** Of the split; 0 in a beta step. */
  percent: z.number(),
  beta: whenSchema.nullable(),
  pauseSeconds: z.number(),
  confirm: z.boolean(),
});
export type RolloutStep = z.output<typeof stepSchema>;

/** Each step by itself: batches are told apart, and what was left out is filled in. */
export function stepsOf(given: readonly GivenStep[]): RolloutStep[] {
  const steps: RolloutStep[] = [];
  for (const step of given) {
    const { confirm = false } = step;
    const pauseSeconds = step.pauseSeconds ?? (confirm ? 0 : DEFAULT_PAUSE_S);
    if ('beta' in step) {
      steps.push({ percent: 0, beta: step.beta, pauseSeconds, confirm });
    } else if ('percent' in step) {
      const last = step.percent === 100;
      steps.push({
        percent: step.percent,
        beta: null,
        pauseSeconds: last ? (step.pauseSeconds ?? 0) : pauseSeconds,
        confirm,
      });
    } else {
      const from = steps.at(-1)?.percent ?? 0;
      for (let batch = 1; batch <= step.batches; batch++) {
        const percent = Math.round((from + ((100 - from) * batch) / step.batches) * 1e6) / 1e6;
        const last = percent === 100;
        // Between batches: behind the last one there is nothing to wait for.
        steps.push({ percent, beta: null, pauseSeconds: last ? 0 : pauseSeconds, confirm: confirm && !last });
      }
    }
  }
  return steps;
}

export const ROLLOUT_STATES = ['running', 'paused', 'waiting', 'completed', 'stopped', 'aborted'] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

export const rolloutActionSchema = z.strictObject({
  /** `confirm`: on to the next step now. `abort`: back to the traffic before the rollout. */
  action: z.enum(['pause', 'resume', 'confirm', 'abort']),
});
export type RolloutAction = z.output<typeof rolloutActionSchema>['action'];
