/** Which traffic setting each step of a rollout means. Pure: after a restart the same settings come out again. */
import type { RolloutStep } from '../../functions/contract/rollout.ts';
import type { Traffic } from '../../functions/contract/traffic.ts';

export interface Moved {
  readonly version: string;
  /** The setting that the rollout found. */
  readonly before: Traffic;
}

/** What shares the traffic with the new version: without any there is nothing to roll out. */
export function othersOf({ version, before }: Moved): Traffic['split'] {
  return before.split.filter((arm) => arm.version !== version && arm.percent > 0);
}

/**
 * The new version gets the step's percent, the others what is left, in the shares they had. Who matched a beta step stays
 * on the new version through all steps. Rules and stickyBy stay as they were.
 */
export function trafficAt(moved: Moved, steps: readonly RolloutStep[], index: number): Traffic {
  const { version, before } = moved;
  const percent = steps[index]?.percent ?? 0;
  const others = othersOf(moved);
  const whole = others.reduce((sum, arm) => sum + arm.percent, 0);
  const split = others.map((arm) => ({
    version: arm.version,
    percent: exact((arm.percent / whole) * (100 - percent)),
  }));
  const betas = steps.slice(0, index + 1).flatMap(({ beta }) => (beta === null ? [] : [{ when: beta, version }]));
  // With everything on the new version a rule that leads there says nothing.
  const rules = [...(percent === 100 ? [] : betas), ...(before.rules ?? [])];
  return {
    split: percent === 100 ? [{ version, percent }] : percent === 0 ? split : [...split, { version, percent }],
    ...(rules.length === 0 ? {} : { rules }),
    ...(before.stickyBy === undefined ? {} : { stickyBy: before.stickyBy }),
  };
}

/** Without the tail of digits that a division leaves. */
function exact(percent: number): number {
  return Math.round(percent * 1e6) / 1e6;
}
