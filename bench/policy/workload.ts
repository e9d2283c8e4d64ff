/**
 * Synthetic days made from what was published of the Azure Functions 2019 trace (Shahrad et al., ATC 2020). The page
 * (README.md) tells what is published and what is our own assumption.
 *
 * What a policy sees of a function is reduced to spans: level n is busy while the function needs n instances or more.
 * Instances are filled oldest first, so level n is one instance's life; level 1 is the function's own.
 */
import { HOLD_MS, SCHEDULE_GAP_MS } from '../../pool/keeper/policy/keep-alive.ts';
import { SURPLUS_HOLD_MS } from '../../pool/keeper/policy/spell.ts';
import { Random } from './random.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** Two uses closer than this are one span: every policy but "none" keeps an instance so long anyway. */
const MERGE_MS = HOLD_MS;
/** Of crons, whose next tick is known and loaded ahead. */
const MERGE_CRON_MS = SCHEDULE_GAP_MS;
const MERGE_ABOVE_MS = SURPLUS_HOLD_MS;
/** The manifest's default: invocations in flight in one instance. */
export const CONCURRENCY = 64;
/** Functions used more often are counted per bucket and not call by call. */
const EXACT_PER_DAY = 2 * 1440;
const BUCKET_MS = 10_000;
const MOST_RUN_MS = 600_000;
/** Calls of one burst: a user who clicks through an application, or a batch of messages. */
const BURST_CALLS = { http: 4, queue: 10, other: 2 };

export type Trigger = 'timer' | 'http' | 'queue' | 'other';

export interface Span {
  function: number;
  /** 1: its first instance. */
  level: number;
  startMs: number;
  endMs: number;
  /** Invocations in it, of level 1. */
  calls: number;
}

export interface FunctionLoad {
  trigger: Trigger;
  perDay: number;
  memoryMb: number;
  coldMs: number;
  /** Of timers, which are crons: next due times are known. */
  cron: boolean;
  /** On the measured day. */
  invocations: number;
  /** Gaps that were merged, on the measured day: only who keeps nothing pays for them. */
  shortGaps: number;
  shortGapMs: number;
}

export interface Workload {
  functions: FunctionLoad[];
  /** By start. */
  spans: Span[];
  /** What is measured is the last day; the days before are there to be learned from. */
  measureFromMs: number;
  endMs: number;
}

export interface WorkloadOptions {
  seed: number;
  functions: number;
  daysBefore: number;
  concurrency: number;
}

export function makeWorkload({ seed, functions: count, daysBefore, concurrency }: WorkloadOptions): Workload {
  const random = new Random(seed);
  const endMs = (daysBefore + 1) * DAY_MS;
  const measureFromMs = daysBefore * DAY_MS;
  const functions: FunctionLoad[] = [];
  const spans: Span[] = [];
  for (let index = 0; index < count; index++) {
    const load = drawFunction(random);
    functions.push(load);
    const recorder = new Recorder(index, load, spans, measureFromMs, endMs);
    const runMs = random.logNormal(-0.38, 2.36) * 1000;
    if (load.trigger === 'timer') periodic(random, load.perDay, runMs, recorder, endMs);
    else if (load.perDay <= EXACT_PER_DAY) callByCall(random, load, runMs, recorder, endMs, concurrency);
    else byBuckets(random, load.perDay, runMs, recorder, endMs, concurrency);
    recorder.finish();
  }
  spans.sort((a, b) => a.startMs - b.startMs);
  return { functions, spans, measureFromMs, endMs };
}

function drawFunction(random: Random): FunctionLoad {
  const kind = random.next();
  const trigger: Trigger = kind < 0.55 ? 'http' : kind < 0.7 ? 'queue' : kind < 0.86 ? 'timer' : 'other';
  return {
    trigger,
    perDay: drawRate(random),
    memoryMb: Math.min(random.burr(11.652, 0.221, 107.083), 4096),
    coldMs: random.logUniform(1.3, 35),
    cron: trigger === 'timer',
    invocations: 0,
    shortGaps: 0,
    shortGapMs: 0,
  };
}

/**
 * Invocations a day: 45 % at most 24, 81 % at most 1,440, straight between in the logarithm. The line goes on below with
 * the same slope (to 0.14 a day), and above to 1.15 million, with which the upper 19 % make 99.6 % of all.
 */
export function drawRate(random: Random): number {
  const at = random.next();
  if (at < 0.81) return 24 * (1440 / 24) ** ((at - 0.45) / (0.81 - 0.45));
  return 1440 * (1_150_000 / 1440) ** ((at - 0.81) / 0.19);
}

/** A day has its busy hours: two to one, busiest at 14:00. */
function diurnal(ms: number): number {
  return 1 + (1 / 3) * Math.cos((2 * Math.PI * (ms / HOUR_MS - 14)) / 24);
}

/** Takes busy times of levels in order and writes spans. */
class Recorder {
  readonly #function: number;
  readonly #load: FunctionLoad;
  readonly #spans: Span[];
  readonly #measureFromMs: number;
  readonly #endMs: number;
  readonly #open: Span[] = [];

  constructor(index: number, load: FunctionLoad, spans: Span[], measureFromMs: number, endMs: number) {
    this.#function = index;
    this.#load = load;
    this.#spans = spans;
    this.#measureFromMs = measureFromMs;
    this.#endMs = endMs;
  }

  invoked(count: number, atMs: number): void {
    if (atMs >= this.#measureFromMs) this.#load.invocations += count;
    const open = this.#open[1];
    if (open !== undefined) open.calls += count;
  }

  /** Starts must not go back within a level. */
  busy(level: number, startMs: number, untilMs: number): void {
    const endMs = Math.min(untilMs, this.#endMs);
    const open = this.#open[level];
    const merge = this.#load.cron ? MERGE_CRON_MS : MERGE_MS;
    if (open !== undefined && startMs - open.endMs < (level === 1 ? merge : MERGE_ABOVE_MS)) {
      const gapMs = startMs - open.endMs;
      if (gapMs > 0 && startMs >= this.#measureFromMs) {
        this.#load.shortGaps++;
        this.#load.shortGapMs += gapMs;
      }
      open.endMs = Math.max(open.endMs, endMs);
      return;
    }
    if (open !== undefined) this.#spans.push(open);
    this.#open[level] = { function: this.#function, level, startMs, endMs, calls: 0 };
  }

  finish(): void {
    for (const open of this.#open) if (open !== undefined) this.#spans.push(open);
  }
}

/** A cron, at the round period nearest to its rate. */
const PERIODS_S = [1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800];

function periodic(random: Random, perDay: number, runMs: number, recorder: Recorder, endMs: number): void {
  const wantedS = 86_400 / perDay;
  const distance = (periodS: number) => Math.abs(Math.log(periodS / wantedS));
  const periodMs = PERIODS_S.reduce((best, next) => (distance(next) < distance(best) ? next : best)) * 1000;
  const phaseMs = Math.floor((random.next() * periodMs) / 1000) * 1000;
  // A run that is longer than its period is skipped over, as `overlap: skip` does.
  const lengthMs = Math.min(runMs, MOST_RUN_MS, periodMs);
  for (let atMs = phaseMs; atMs < endMs; atMs += periodMs) {
    recorder.busy(1, atMs, atMs + lengthMs);
    recorder.invoked(1, atMs);
  }
}

/** Bursts come as a Poisson process that follows the day; the calls of a burst follow one another by some seconds. */
function callByCall(
  random: Random,
  load: FunctionLoad,
  runMs: number,
  recorder: Recorder,
  endMs: number,
  concurrency: number,
): void {
  const size = load.trigger === 'timer' ? 1 : BURST_CALLS[load.trigger];
  const meanGapMs = DAY_MS / (load.perDay / size);
  const spacingMs = load.trigger === 'queue' ? 500 : 5_000;
  const calls: number[] = [];
  for (let atMs = random.exponential(meanGapMs); atMs < endMs; atMs += random.exponential(meanGapMs / (4 / 3))) {
    // Thinned from the highest rate of the day.
    if (random.next() * (4 / 3) > diurnal(atMs)) continue;
    let callMs = atMs;
    do {
      calls.push(callMs);
      callMs += random.exponential(spacingMs);
    } while (random.next() < 1 - 1 / size);
  }
  calls.sort((a, b) => a - b);
  const running: number[] = [];
  for (const callMs of calls) {
    if (callMs >= endMs) break;
    for (let n = running.length - 1; n >= 0; n--) if ((running[n] ?? 0) <= callMs) running.splice(n, 1);
    // Runs of one function vary about their own mean, the published distribution is that of the means.
    const lengthMs = Math.min(runMs * random.logNormal(-0.125, 0.5), MOST_RUN_MS);
    running.push(callMs + lengthMs);
    const level = Math.ceil(running.length / concurrency);
    recorder.busy(level, callMs, callMs + lengthMs);
    // A call on a higher level may outlive those below, whose instances are then filled before it.
    for (let below = 1; below < level; below++) recorder.busy(below, callMs, callMs + lengthMs);
    recorder.invoked(1, callMs);
  }
}

/**
 * Often used: how many are in flight in each ten seconds, with bursts that last for minutes over the course of the day.
 */
function byBuckets(
  random: Random,
  perDay: number,
  runMs: number,
  recorder: Recorder,
  endMs: number,
  concurrency: number,
): void {
  const perBucket = (perDay * BUCKET_MS) / DAY_MS;
  const meanRunMs = Math.min(runMs, MOST_RUN_MS);
  let burst = 1;
  for (let atMs = 0; atMs < endMs; atMs += BUCKET_MS) {
    // Log-normal about 1, forgotten over some five minutes.
    burst = Math.exp(0.97 * Math.log(burst) + 0.243 * 0.5 * random.normal());
    const mean = perBucket * diurnal(atMs) * burst * Math.exp(-0.125);
    const calls = random.poisson(mean);
    if (calls === 0) continue;
    const inFlight = random.poisson((mean * meanRunMs) / BUCKET_MS);
    const levels = Math.max(1, Math.ceil(inFlight / concurrency));
    const lengthMs = levels > 1 || meanRunMs * calls > BUCKET_MS ? BUCKET_MS : meanRunMs;
    for (let level = 1; level <= levels; level++) recorder.busy(level, atMs, atMs + lengthMs);
    recorder.invoked(calls, atMs);
  }
}
