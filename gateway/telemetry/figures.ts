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
/** Functions looked at in one turn of the event loop: half a millisecond's work. */
const FUNCTIONS_PER_TURN = 50;

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

export interface Totals {
  /** How long back the figures reach, ms: the window, or since the gateway began when that is less. */
  spanMs: number;
  calls: number;
  errors: number;
  timeouts: number;
  coldStarts: number;
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
}

/** Oldest first, without gaps. */
export interface FunctionFigures extends Totals {
  steps: Step[];
}

export interface FiguresRow extends Totals {
  callsByStep: number[];
}

export interface Figures {
  of(functionName: string): FunctionFigures;
  /** Of all functions that were called in that time; looked at in turns, so that requests get theirs. */
  all(): Promise<Map<string, FiguresRow>>;
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
    const tally = emptyTally(step);
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
    // A copy: functions come and go between turns. Those that were deleted meanwhile age as well.
    await inTurns(new Set([...source.functionNames(), ...recent.keys()]), (name) => look(name, step));
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

  /** What there is of the window, and where that begins. */
  function windowOf(functionName: string) {
    const at = now();
    const last = Math.floor(at / STEP_MS);
    const first = Math.max(last - STEPS + 1, Math.floor(begunAt / STEP_MS));
    const byStep = new Map<number, Tally>();
    for (const tally of recent.get(functionName) ?? []) if (tally.step >= first) byStep.set(tally.step, tally);
    const steps = Array.from({ length: last - first + 1 }, (_, n) => first + n);
    return { byStep, steps, spanMs: at - Math.max(begunAt, first * STEP_MS) };
  }

  function totalsOf(tallies: Iterable<Tally>, spanMs: number): Totals {
    const whole = emptyTally(0);
    for (const tally of tallies) merge(whole, tally);
    const { calls, errors, timeouts, coldStarts } = whole;
    const [p50Ms = null, p95Ms = null, p99Ms = null] = quantilesMs(whole, [0.5, 0.95, 0.99]);
    return { spanMs, calls, errors, timeouts, coldStarts, p50Ms, p95Ms, p99Ms };
  }

  function quantilesMs(tally: Tally, wanted: readonly number[]): (number | null)[] {
    const buckets = [...tally.durations].sort(([a], [b]) => a - b).map((entry) => bucketOf(bounds, entry));
    return wanted.map((share) => {
      const seconds = quantile(buckets, share);
      return seconds === null ? null : Math.round(seconds * 1e6) / 1e3;
    });
  }

  return {
    of(functionName) {
      look(functionName, Math.floor(now() / STEP_MS));
      const { byStep, steps, spanMs } = windowOf(functionName);
      return {
        ...totalsOf(byStep.values(), spanMs),
        steps: steps.map((step) => {
          const tally = byStep.get(step) ?? emptyTally(step);
          const { calls, errors, coldStarts } = tally;
          const [p95Ms = null] = quantilesMs(tally, [0.95]);
          return { at: step * STEP_MS, calls, errors, coldStarts, p95Ms };
        }),
      };
    },
    async all() {
      await lookAtAll(Math.floor(now() / STEP_MS));
      const rows = new Map<string, FiguresRow>();
      await inTurns([...recent.keys()], (name) => {
        const { byStep, steps, spanMs } = windowOf(name);
        const callsByStep = steps.map((step) => byStep.get(step)?.calls ?? 0);
        rows.set(name, { ...totalsOf(byStep.values(), spanMs), callsByStep });
      });
      return rows;
    },
    end: () => cancel(),
  };
}

async function inTurns(names: Iterable<string>, work: (name: string) => void): Promise<void> {
  let done = 0;
  for (const name of names) {
    work(name);
    done++;
    if (done % FUNCTIONS_PER_TURN === 0) await nextTurn();
  }
}

function emptyTally(step: number): Tally {
  return { step, calls: 0, errors: 0, timeouts: 0, coldStarts: 0, durations: new Map() };
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
