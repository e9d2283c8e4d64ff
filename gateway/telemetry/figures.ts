/**
 * What the last minutes brought, by function: differences of the counters that the metrics have anyway, taken every ten
 * seconds and whenever somebody asks. A call costs nothing more for it, and a function that was not called holds nothing.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Timers } from '../triggers/timers.ts';
import type { Counted, Metrics } from './metrics.ts';
import { type Bucket, quantile } from './quantile.ts';

export const STEP_MS = 10_000;
const STEPS = 30;
/** Functions looked at in one turn of the event loop: well under a millisecond's work. */
const FUNCTIONS_PER_TURN = 500;

export interface Step {
  /** Epoch ms of its begin; the last one is not over. */
  at: number;
  calls: number;
  /** Those that ended in an error of Hearth's table. A status 500 that the function itself answered is none. */
  errors: number;
  coldStarts: number;
  /** In the function, to the end of the answer; null: there was none. */
  p95Ms: number | null;
}

export interface FunctionFigures {
  /** How long back the figures reach, ms: the window, or since the gateway began when that is less. */
  spanMs: number;
  calls: number;
  errors: number;
  timeouts: number;
  coldStarts: number;
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
  /** Oldest first, without gaps. */
  steps: Step[];
}

export interface Figures {
  of(functionName: string): FunctionFigures;
  /** Of all functions that were called in that time; looked at in turns, so that requests get theirs. */
  all(): Promise<Map<string, FunctionFigures>>;
  end(): void;
}

export interface FiguresParts {
  source: Pick<Metrics, 'countedOf' | 'functionNames'>;
  /** Epoch ms. */
  now(): number;
  timers: Timers;
}

/** What was added to the counters of one function. */
interface Tally {
  /** Number of the step. */
  step: number;
  calls: number;
  errors: number;
  timeouts: number;
  coldStarts: number;
  /** By the index of the bucket. */
  durations: Map<number, number>;
}

/** What one cell had counted when it was looked at last. */
interface Seen {
  calls: number;
  invocations: number;
  coldStarts: number;
  errors: Map<string, number>;
  durations: number[];
}

export function createFigures({ source, now, timers }: FiguresParts): Figures {
  const begunAt = now();
  const recent = new Map<string, Tally[]>();
  const seen = new WeakMap<Counted, Seen>();
  let bounds: readonly number[] = [];
  /** The step that what is found next belongs to: the timer may come late. */
  let filling = Math.floor(begunAt / STEP_MS);
  let cancel: () => void = () => undefined;

  function look(functionName: string, step: number): void {
    const tally: Tally = { step, calls: 0, errors: 0, timeouts: 0, coldStarts: 0, durations: new Map() };
    for (const counted of source.countedOf(functionName)) {
      const before = seen.get(counted);
      if (callsOf(counted) === before?.calls) continue;
      bounds = counted.invokeDuration.bounds;
      addTo(tally, counted, before);
      seen.set(counted, snapshotOf(counted));
    }
    if (tally.calls === 0 && !recent.has(functionName)) return;
    const tallies = (recent.get(functionName) ?? []).filter((kept) => kept.step > step - STEPS);
    if (tally.calls > 0) {
      const last = tallies.at(-1);
      if (last?.step === step) merge(last, tally);
      else tallies.push(tally);
    }
    if (tallies.length === 0) recent.delete(functionName);
    else recent.set(functionName, tallies);
  }

  async function lookAtAll(step: number): Promise<void> {
    let looked = 0;
    // A copy: functions come and go between turns. Those that were deleted meanwhile age as well.
    for (const name of new Set([...source.functionNames(), ...recent.keys()])) {
      look(name, step);
      looked++;
      if (looked % FUNCTIONS_PER_TURN === 0) await nextTurn();
    }
  }

  async function tick(): Promise<void> {
    const step = filling;
    filling = Math.floor(now() / STEP_MS);
    schedule();
    await lookAtAll(step);
  }

  function schedule(): void {
    cancel = timers.after(STEP_MS - (now() % STEP_MS), () => void tick());
  }
  schedule();

  function figuresOf(functionName: string): FunctionFigures {
    const at = now();
    const last = Math.floor(at / STEP_MS);
    const first = Math.max(last - STEPS + 1, Math.floor(begunAt / STEP_MS));
    const tallies = (recent.get(functionName) ?? []).filter(({ step }) => step >= first);
    const whole: Tally = { step: last, calls: 0, errors: 0, timeouts: 0, coldStarts: 0, durations: new Map() };
    for (const tally of tallies) merge(whole, tally);
    const quantileMs = (tally: Tally, wanted: number) => {
      const buckets = [...tally.durations].sort(([a], [b]) => a - b).map((entry) => bucketOf(bounds, entry));
      const seconds = quantile(buckets, wanted);
      return seconds === null ? null : Math.round(seconds * 1e6) / 1e3;
    };
    const steps: Step[] = [];
    for (let step = first; step <= last; step++) {
      const tally = tallies.find((candidate) => candidate.step === step);
      steps.push({
        at: step * STEP_MS,
        calls: tally?.calls ?? 0,
        errors: tally?.errors ?? 0,
        coldStarts: tally?.coldStarts ?? 0,
        p95Ms: tally === undefined ? null : quantileMs(tally, 0.95),
      });
    }
    const { calls, errors, timeouts, coldStarts } = whole;
    return {
      spanMs: at - Math.max(begunAt, first * STEP_MS),
      calls,
      errors,
      timeouts,
      coldStarts,
      p50Ms: quantileMs(whole, 0.5),
      p95Ms: quantileMs(whole, 0.95),
      p99Ms: quantileMs(whole, 0.99),
      steps,
    };
  }

  return {
    of(functionName) {
      look(functionName, Math.floor(now() / STEP_MS));
      return figuresOf(functionName);
    },
    async all() {
      await lookAtAll(Math.floor(now() / STEP_MS));
      return new Map(Array.from(recent.keys(), (name) => [name, figuresOf(name)]));
    },
    end: () => cancel(),
  };
}

/** Each call is counted as one or the other. */
function callsOf({ invocations, errors }: Counted): number {
  let calls = invocations.value;
  for (const { value } of errors.values()) calls += value;
  return calls;
}

function addTo(tally: Tally, counted: Counted, before: Seen | undefined): void {
  tally.calls += counted.invocations.value - (before?.invocations ?? 0);
  tally.coldStarts += (counted.coldstarts?.value ?? 0) - (before?.coldStarts ?? 0);
  for (const [code, { value }] of counted.errors) {
    const added = value - (before?.errors.get(code) ?? 0);
    tally.calls += added;
    tally.errors += added;
    if (code === 'FUNCTION_TIMEOUT') tally.timeouts += added;
  }
  for (const [bucket, count] of Array.from(counted.invokeDuration.counts).entries()) {
    const added = count - (before?.durations[bucket] ?? 0);
    if (added > 0) tally.durations.set(bucket, (tally.durations.get(bucket) ?? 0) + added);
  }
}

function snapshotOf(counted: Counted): Seen {
  return {
    calls: callsOf(counted),
    invocations: counted.invocations.value,
    coldStarts: counted.coldstarts?.value ?? 0,
    errors: new Map(Array.from(counted.errors, ([code, { value }]) => [code, value])),
    durations: Array.from(counted.invokeDuration.counts),
  };
}

function merge(into: Tally, added: Tally): void {
  into.calls += added.calls;
  into.errors += added.errors;
  into.timeouts += added.timeouts;
  into.coldStarts += added.coldStarts;
  for (const [bucket, count] of added.durations) into.durations.set(bucket, (into.durations.get(bucket) ?? 0) + count);
}

/** The last bucket holds all that is over the last bound: nothing better is known of it than that bound. */
function bucketOf(bounds: readonly number[], [index, count]: readonly [number, number]): Bucket {
  const lower = bounds[index - 1] ?? 0;
  return { lower, upper: bounds[index] ?? lower, count };
}
