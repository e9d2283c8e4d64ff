/**
 * Where a rollout stands. Pure: the clock is an argument, and what is to be done with the traffic is the answer.
 *
 *            ┌────────── next step ◄─ confirm ─┐
 *            ▼                                 │
 *         running ─ pause of the step over ─► waiting        (a step with `confirm`)
 *          │  ▲ │                              │ │
 *    pause │  │ └─ last step over ─► completed │ │ pause
 *          ▼  │ resume                         │ ▼
 *         paused ◄─────────────────────────────┘ paused
 *
 *   from running, waiting and paused:  bad figures or a step that cannot be taken ─► stopped
 *                                      abort, or somebody else moved the traffic ──► aborted
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { RolloutAction, RolloutState, RolloutStep } from '../../functions/contract/rollout.ts';

export interface Progress {
  readonly state: RolloutState;
  /** Index of the step whose traffic is set. */
  readonly step: number;
  /** Of the step's pause, ms that had passed at `since`. */
  readonly elapsedMs: number;
  /** Epoch ms from which the pause goes on; while paused it does not. */
  readonly since: number;
  /** How it ended, in words; null before that. */
  readonly why: string | null;
}

export type Happening =
  | { what: 'tick' /** Too few calls to judge the step, and it is to wait for more. */; hold: boolean }
  | { what: RolloutAction }
  /** The guard's verdict, or what kept a step from being taken. */
  | { what: 'bad'; why: string }
  /** Somebody else moved the traffic of one of the functions, or removed it. */
  | { what: 'moved'; why: string };

/** `set`: to that of the step in `progress`; `return`: to what was before the rollout; `keep`: as it is. */
export interface Outcome {
  progress: Progress;
  traffic: 'keep' | 'set' | 'return';
}

export function begun(nowMs: number): Progress {
  return { state: 'running', step: 0, elapsedMs: 0, since: nowMs, why: null };
}

/** After a restart: figures are gone, so the step's pause begins anew. */
export function resumed(progress: Progress, nowMs: number): Progress {
  const state = progress.state === 'waiting' ? 'running' : progress.state;
  return { ...progress, state, elapsedMs: 0, since: nowMs };
}

export function isOver({ state }: Pick<Progress, 'state'>): boolean {
  return state === 'completed' || state === 'stopped' || state === 'aborted';
}

/** Throws CONFLICT for what cannot be done where it stands. */
export function advance(
  progress: Progress,
  steps: readonly RolloutStep[],
  happening: Happening,
  nowMs: number,
): Outcome {
  if (isOver(progress)) {
    if (happening.what === 'tick') return { progress, traffic: 'keep' };
    throw new HearthError('CONFLICT', `The rollout is over (${progress.state}${because(progress.why)}).`);
  }
  switch (happening.what) {
    case 'tick':
      return tick(progress, steps, happening.hold, nowMs);
    case 'pause':
      if (progress.state === 'paused') throw new HearthError('CONFLICT', 'The rollout is paused already.');
      return { progress: { ...halted(progress, nowMs), state: 'paused' }, traffic: 'keep' };
    case 'resume':
      if (progress.state !== 'paused')
        throw new HearthError('CONFLICT', `The rollout is not paused, but ${progress.state}.`);
      return { progress: { ...progress, state: 'running', since: nowMs }, traffic: 'keep' };
    case 'confirm':
      if (progress.state === 'paused') throw new HearthError('CONFLICT', 'The rollout is paused; resume it first.');
      return next(progress, steps, nowMs);
    case 'abort':
      return { progress: ended(progress, 'aborted', 'it was aborted', nowMs), traffic: 'return' };
    case 'bad':
      return { progress: ended(progress, 'stopped', happening.why, nowMs), traffic: 'return' };
    case 'moved':
      return { progress: ended(progress, 'aborted', happening.why, nowMs), traffic: 'return' };
    default:
      return happening satisfies never;
  }
}

function tick(progress: Progress, steps: readonly RolloutStep[], hold: boolean, nowMs: number): Outcome {
  const step = steps[progress.step];
  if (progress.state !== 'running' || step === undefined || hold) return { progress, traffic: 'keep' };
  if (passedMs(progress, nowMs) < step.pauseSeconds * 1000) return { progress, traffic: 'keep' };
  if (!step.confirm) return next(progress, steps, nowMs);
  return { progress: { ...halted(progress, nowMs), state: 'waiting' }, traffic: 'keep' };
}

function next(progress: Progress, steps: readonly RolloutStep[], nowMs: number): Outcome {
  const step = progress.step + 1;
  // The last step took everything: what is set stays.
  if (step >= steps.length) return { progress: { ...halted(progress, nowMs), state: 'completed' }, traffic: 'keep' };
  return { progress: { ...begun(nowMs), step }, traffic: 'set' };
}

/** Of the step's pause, ms that have passed. */
export function passedMs({ state, elapsedMs, since }: Progress, nowMs: number): number {
  // A clock that was set back takes nothing away.
  return state === 'running' ? elapsedMs + Math.max(0, nowMs - since) : elapsedMs;
}

function halted(progress: Progress, nowMs: number): Progress {
  return { ...progress, elapsedMs: passedMs(progress, nowMs), since: nowMs };
}

function ended(progress: Progress, state: 'stopped' | 'aborted', why: string, nowMs: number): Progress {
  return { ...halted(progress, nowMs), state, why };
}

function because(why: string | null): string {
  return why === null ? '' : `: ${why}`;
}
