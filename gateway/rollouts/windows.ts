/**
 * What the two arms of a function under rollout have done in the step that runs. Fed by every call of the gateway, so a
 * call of any other function costs one look-up, and one that counts some additions; nothing is allocated.
 */
import type { FinishedInvocation } from '../telemetry/telemetry.ts';

/** Bounds rise by a twelfth of themselves: that exact are quantiles. From 0.008 ms to 4 minutes. */
const PER_OCTAVE = 8;
const LOWEST_OCTAVE = -7;
const HIGHEST_OCTAVE = 18;
const BUCKETS = (HIGHEST_OCTAVE - LOWEST_OCTAVE) * PER_OCTAVE + 1;

/** Durations by size. Buckets hold what is at most their bound; the last one the rest. */
export class Histogram {
  count = 0;
  readonly #counts = new Uint32Array(BUCKETS);

  record(ms: number): void {
    const bucket = bucketOf(ms);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.count++;
  }

  /** Bucket that holds the quantile. Of an empty one: the first. */
  bucketAt(quantile: number): number {
    const wanted = Math.max(1, Math.ceil(quantile * this.count));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] ?? 0;
      if (seen >= wanted) return bucket;
    }
    return 0;
  }

  /** How many are in buckets behind this one. */
  above(bucket: number): number {
    let above = 0;
    for (let behind = bucket + 1; behind < BUCKETS; behind++) above += this.#counts[behind] ?? 0;
    return above;
  }

  /** Counts by bucket, of those that hold anything. */
  entries(): [bucket: number, count: number][] {
    return [...this.#counts.entries()].filter(([, count]) => count > 0);
  }

  add(entries: readonly (readonly [bucket: number, count: number])[]): void {
    for (const [bucket, count] of entries) {
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
      this.count += count;
    }
  }

  /** As it is now. */
  copy(): Histogram {
    const copy = new Histogram();
    copy.count = this.count;
    copy.#counts.set(this.#counts);
    return copy;
  }

  clear(): void {
    this.count = 0;
    this.#counts.fill(0);
  }
}

export function bucketOf(ms: number): number {
  // Also for what is no duration at all (NaN, below zero): the first.
  if (!(ms > 2 ** LOWEST_OCTAVE)) return 0;
  return Math.min(BUCKETS - 1, Math.ceil((Math.log2(ms) - LOWEST_OCTAVE) * PER_OCTAVE));
}

/** Upper bound of a bucket, ms. */
export function boundOf(bucket: number): number {
  return 2 ** (LOWEST_OCTAVE + bucket / PER_OCTAVE);
}

type Counts = ReturnType<Histogram['entries']>;

export interface ArmReport {
  requests: number;
  errors: number;
  latency: Counts;
  early: Counts;
  coldStart: Counts;
}

export interface WindowReport {
  fresh: ArmReport;
  old: ArmReport;
}

export class Arm {
  requests = 0;
  errors = 0;
  /**
   * In the function, to the response head. Not what was waited for before that: as a new version gets more calls, they
   * wait for instances of it by the dozen, which is the platform's doing and tells nothing of the version.
   */
  readonly latency = new Histogram();
  /**
   * The same of the first calls of each instance, when V8 has compiled little of it. A new version has young instances
   * and the old one has not: counted together, every release would look slow at first.
   */
  readonly early = new Histogram();
  /** Loading, of cold starts. */
  readonly coldStart = new Histogram();

  report(): ArmReport {
    const { requests, errors, latency, early, coldStart } = this;
    return {
      requests,
      errors,
      latency: latency.entries(),
      early: early.entries(),
      coldStart: coldStart.entries(),
    };
  }

  absorb({ requests, errors, latency, early, coldStart }: ArmReport): void {
    this.requests += requests;
    this.errors += errors;
    this.latency.add(latency);
    this.early.add(early);
    this.coldStart.add(coldStart);
  }

  clear(): void {
    this.requests = 0;
    this.errors = 0;
    this.latency.clear();
    this.early.clear();
    this.coldStart.clear();
  }
}

/** Calls of the new version in one window. In a longer one a fault that comes late would be a small part of all for long. */
export const WINDOW_CALLS = 20_000;

export class Window {
  /** The version that is rolled out. */
  readonly fresh = new Arm();
  /** Every other version of the function. */
  readonly old = new Arm();
  /** Which window of its step it is, from 1. */
  round = 1;

  get isFull(): boolean {
    return this.fresh.requests >= WINDOW_CALLS;
  }

  /** What was counted, which is forgotten here; null: nothing was. */
  take(): WindowReport | null {
    if (this.fresh.requests + this.old.requests === 0) return null;
    const report = { fresh: this.fresh.report(), old: this.old.report() };
    this.fresh.clear();
    this.old.clear();
    return report;
  }

  /** Adds what was counted elsewhere. */
  absorb({ fresh, old }: WindowReport): void {
    this.fresh.absorb(fresh);
    this.old.absorb(old);
  }

  /** Counts from nothing; `keepOld`: only the new version. */
  begin(round: number, keepOld: boolean): void {
    this.round = round;
    this.fresh.clear();
    if (!keepOld) this.old.clear();
  }
}

export interface Windows {
  /** From now on this function is counted. */
  watch(functionName: string, freshVersion: string): Window;
  unwatch(functionName: string): void;
  finished(invocation: FinishedInvocation): void;
}

/** Calls of an instance that are held to be early. */
const EARLY_CALLS = 5;
/** Instances whose calls are counted: beyond that it is forgotten which of them are young. */
const MOST_INSTANCES = 1000;

interface Watched {
  readonly freshVersion: string;
  readonly window: Window;
  /** Of each instance, counted until it is no longer young. */
  readonly calls: Map<string, number>;
}

export function createWindows(): Windows {
  const watched = new Map<string, Watched>();

  return {
    watch(functionName, freshVersion) {
      const window = new Window();
      watched.set(functionName, { freshVersion, window, calls: new Map() });
      return window;
    },
    unwatch: (functionName) => void watched.delete(functionName),
    finished(invocation) {
      if (watched.size === 0) return;
      const found = watched.get(invocation.functionName);
      if (found === undefined || invocation.probe) return;
      count(invocation, found);
    },
  };
}

function count(invocation: FinishedInvocation, { freshVersion, window, calls }: Watched): void {
  const { facts, error, http } = invocation;
  const isFresh = invocation.version === freshVersion;
  const arm = isFresh ? window.fresh : window.old;
  arm.requests++;
  if (error !== null || (http?.status ?? 0) >= 500) arm.errors++;
  if (facts === null) return;
  const { run, acquire = 0, transfer = 0, compile = 0, evaluate = 0 } = facts.phases;
  const isCold = facts.start === 'cold';
  const early = isEarly(calls, facts.instance, isFresh || isCold);
  (early ? arm.early : arm.latency).record(run);
  if (isCold) arm.coldStart.record(acquire + transfer + compile + evaluate);
}

/** `isNew`: it is young when nothing is known of it. Those of the old version were there before, unless seen to start. */
function isEarly(calls: Map<string, number>, instance: string, isNew: boolean): boolean {
  const known = calls.get(instance);
  const before = known ?? (isNew ? 0 : EARLY_CALLS);
  if (before <= EARLY_CALLS) {
    if (known === undefined && calls.size >= MOST_INSTANCES) calls.clear();
    calls.set(instance, before + 1);
  }
  return before < EARLY_CALLS;
}
