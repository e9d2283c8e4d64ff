/**
 * Whether a new version does worse than the one beside it. Pure statistics over one window in which both took calls.
 *
 * The question is asked four times a second, for as long as a step lasts. An ordinary test of significance allows one
 * look: at 99 %, and looked at two hundred times, it calls four to eleven of a hundred harmless steps bad (measured as in
 * guard.test.ts; here 0.3). So the evidence is a likelihood ratio, which by Ville's inequality reaches 1/α in a harmless
 * step with a chance of α at most, over all looks together.
 */
import type { Guard } from '../../functions/contract/rollout.ts';
import { type Arm, boundOf, bucketOf, type Histogram, type Window } from './windows.ts';

/** How much more often than on the old version an event may come on the new one, as alternatives to "just as often". */
const TIMES_AS_OFTEN = [1.25, 1.5, 2, 3, 5, 10, 30, 100];

/**
 * How much better than "equally often on both" it explains the events that they are more often on the new version.
 * `fresh` of `events` happened there, where `share` (0 to 1, both excluded) of all calls went: with no difference, each
 * event falls there with that chance, however rare events are and however uneven the arms. The mean of the likelihood
 * ratios of the alternatives.
 */
export function evidence(fresh: number, events: number, share: number): number {
  let sum = 0;
  for (const times of TIMES_AS_OFTEN) {
    const expected = (times * share) / (times * share + 1 - share);
    const log = fresh * Math.log(expected / share) + (events - fresh) * Math.log((1 - expected) / (1 - share));
    sum += Math.exp(log);
  }
  return sum / TIMES_AS_OFTEN.length;
}

export interface Verdict {
  readonly figure: 'errorRate' | 'p95' | 'coldStart';
  /** In words with numbers. */
  readonly why: string;
  /** Of what is slower: the new version's figures, and the bucket behind which they are too many. */
  readonly slow?: Slow;
}

export interface Slow {
  readonly fresh: Histogram;
  readonly limit: number;
}

/**
 * Which figure is worse; null while nothing says so. `functions`: how many are judged together. The chance of a harmless
 * step to be called bad is 1 - confidence at most, over all figures, functions and windows of that step: the n-th window
 * gets the n·(n+1)th part of it, which add up to one however long the step lasts.
 */
export function judge(window: Window, guard: Guard, functions: number): Verdict | null {
  const figures = [guard.errorRate, guard.p95, guard.coldStart].filter((figure) => figure !== false).length;
  const tests = figures + (guard.p95 === false ? 0 : 1);
  const { fresh, old, round } = window;
  const enough = (tests * functions * round * (round + 1)) / (1 - guard.confidence);
  return (
    failsMore(window, guard, enough) ??
    isSlower(fresh.latency, old.latency, guard, enough) ??
    // Where instances serve few calls each, as with keepAlive 0, both versions have nothing but early ones.
    isSlower(fresh.early, old.early, guard, enough) ??
    startsSlower(window, guard, enough)
  );
}

/** Requests that an arm still needs before it is judged. */
export function missing({ fresh, old }: Window, guard: Guard): { fresh: number; old: number } {
  const left = (arm: Arm) => Math.max(0, guard.minRequests - arm.requests);
  return { fresh: left(fresh), old: left(old) };
}

function failsMore({ fresh, old }: Window, { errorRate, minRequests }: Guard, enough: number): Verdict | null {
  if (errorRate === false || fresh.requests < minRequests || old.requests < minRequests) return null;
  const risen = fresh.errors / fresh.requests - old.errors / old.requests;
  if (risen * 100 <= errorRate.maxIncreasePoints) return null;
  const share = fresh.requests / (fresh.requests + old.requests);
  if (evidence(fresh.errors, fresh.errors + old.errors, share) < enough) return null;
  return { figure: 'errorRate', why: `error rate ${rateOf(fresh)} against ${rateOf(old)} of the version before` };
}

function isSlower(fresh: Histogram, old: Histogram, { p95, minRequests }: Guard, enough: number): Verdict | null {
  if (p95 === false) return null;
  const slower = compare(fresh, old, { quantile: 0.95, least: minRequests, enough, ...p95 });
  if (slower === null) return null;
  const [there, before] = [`${fresh.count} requests`, `${old.count} requests`];
  const why = `p95 latency ${slower.freshMs} (${there}) against ${slower.oldMs} (${before}) of the version before`;
  return { figure: 'p95', why, slow: slower.slow };
}

function startsSlower({ fresh, old }: Window, { coldStart, minColdStarts }: Guard, enough: number): Verdict | null {
  if (coldStart === false) return null;
  const slower = compare(fresh.coldStart, old.coldStart, { quantile: 0.5, least: minColdStarts, enough, ...coldStart });
  if (slower === null) return null;
  const [there, before] = [`of ${fresh.coldStart.count}`, `of ${old.coldStart.count}`];
  const why = `median cold start ${slower.freshMs} (${there}) against ${slower.oldMs} (${before}) of the version before`;
  return { figure: 'coldStart', why, slow: slower.slow };
}

interface Tolerance {
  quantile: number;
  least: number;
  enough: number;
  maxIncreasePercent: number;
  minIncreaseMs: number;
}

interface Slower {
  freshMs: string;
  oldMs: string;
  slow: Slow;
}

/** Slower: its quantile is beyond what is allowed, and so many more of its calls are, that chance does not explain it. */
function compare(fresh: Histogram, old: Histogram, wanted: Tolerance): Slower | null {
  const { quantile, least, enough, maxIncreasePercent, minIncreaseMs } = wanted;
  if (fresh.count < least || old.count < least) return null;
  const oldMs = boundOf(old.bucketAt(quantile));
  const limit = bucketOf(Math.max(oldMs * (1 + maxIncreasePercent / 100), oldMs + minIncreaseMs));
  const bucket = fresh.bucketAt(quantile);
  if (bucket <= limit) return null;
  const beyond = fresh.above(limit);
  const share = fresh.count / (fresh.count + old.count);
  if (evidence(beyond, beyond + old.above(limit), share) < enough) return null;
  return {
    freshMs: `${rounded(boundOf(bucket))} ms`,
    oldMs: `${rounded(oldMs)} ms`,
    slow: { fresh, limit },
  };
}

function rateOf({ errors, requests }: Arm): string {
  return `${rounded((100 * errors) / requests)} % (${errors} of ${requests} requests)`;
}

/** To three digits. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
