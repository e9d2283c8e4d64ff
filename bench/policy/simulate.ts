/**
 * One workload against one policy: a discrete-event simulation in which every decision is asked of the pool's own
 * policy functions. What it leaves out stands in README.md.
 */
import { priority } from '../../pool/keeper/policy/evict.ts';
import { IdleHistory, type KeepAlivePlan } from '../../pool/keeper/policy/keep-alive.ts';
import { CRON_KEEP_MS, CRON_LEAD_MS, prewarmAt } from '../../pool/keeper/policy/prewarm.ts';
import { nextRegrets, surplusKeepMs } from '../../pool/keeper/scaling.ts';
import { Heap } from './heap.ts';
import type { Span, Workload } from './workload.ts';

export type Policy =
  /** Gone as soon as nothing runs. */
  | { kind: 'none' }
  | { kind: 'fixed'; keepMs: number }
  /** Kept until the memory is needed; then the least recently used goes. */
  | { kind: 'lru'; capMb: number }
  /** The pool's own: histogram, cron prewarm, scale-in, and greedy-dual eviction where there is a cap. */
  | { kind: 'hearth'; capMb: number };

export interface Outcome {
  invocations: number;
  coldStarts: number;
  /** Of these, on levels above the first. */
  scaleOuts: number;
  /** Time that callers waited for these, s. */
  coldSeconds: number;
  /** Share of cold starts of each function that was invoked, ascending. */
  shares: number[];
  /** MB × hours: loaded and idle, loaded at all. */
  idleMbHours: number;
  totalMbHours: number;
  evicted: number;
  prewarmed: number;
}

interface Instance {
  function: number;
  level: number;
  loaded: boolean;
  busyUntilMs: number;
  /** Since when it has been loaded and idle. */
  idleFromMs: number;
  /** Makes timers and heap entries that were set before obsolete. */
  generation: number;
}

type Timer = {
  atMs: number;
  what: 'end' | 'retire' | 'load';
  instance: Instance;
  generation: number;
  span: Span | null;
};

export function simulate(workload: Workload, policy: Policy): Outcome {
  return new Simulation(workload, policy).run();
}

class Simulation {
  readonly #workload: Workload;
  readonly #policy: Policy;
  readonly #instances = new Map<number, Instance>();
  readonly #histories: IdleHistory[];
  readonly #timers = new Heap<Timer>((timer) => timer.atMs);
  /** Idle instances by what decides who goes first. */
  readonly #victims = new Heap<{ rank: number; instance: Instance; generation: number }>((entry) => entry.rank);
  /** By function: what scaling.ts remembers of instances given back too soon. */
  readonly #regrets: Uint8Array;
  readonly #shrunkAtMs: Float64Array;
  /** By function: what evict.ts is asked with. */
  readonly #frequency: Float64Array;
  readonly #clockAtUse: Float64Array;
  readonly #cold: Uint32Array;
  readonly #capMb: number;
  #clock = 0;
  #usedMb = 0;
  #scaleOuts = 0;
  #idleMbMs = 0;
  #busyMbMs = 0;
  #evicted = 0;
  #prewarmed = 0;

  constructor(workload: Workload, policy: Policy) {
    this.#workload = workload;
    this.#policy = policy;
    this.#histories = workload.functions.map(() => new IdleHistory());
    this.#frequency = new Float64Array(workload.functions.length);
    this.#clockAtUse = new Float64Array(workload.functions.length);
    this.#regrets = new Uint8Array(workload.functions.length);
    this.#shrunkAtMs = new Float64Array(workload.functions.length).fill(Number.NEGATIVE_INFINITY);
    this.#cold = new Uint32Array(workload.functions.length);
    this.#capMb = policy.kind === 'lru' || policy.kind === 'hearth' ? policy.capMb : Number.POSITIVE_INFINITY;
  }

  run(): Outcome {
    const nextOf = this.#nextSpans();
    this.#workload.spans.forEach((span, index) => {
      this.#advance(span.startMs);
      this.#start(span, nextOf[index] ?? null);
    });
    this.#advance(this.#workload.endMs);
    for (const instance of this.#instances.values()) {
      if (instance.loaded && instance.busyUntilMs < this.#workload.endMs) {
        this.#countIdle(instance, this.#workload.endMs);
      }
    }
    return this.#outcome();
  }

  /** For each span of a cron the next one: its due time is known. */
  #nextSpans(): (Span | null)[] {
    const { spans, functions } = this.#workload;
    const next: (Span | null)[] = new Array(spans.length).fill(null);
    const later: (Span | undefined)[] = [];
    for (let index = spans.length - 1; index >= 0; index--) {
      const span = spans[index];
      if (span === undefined || functions[span.function]?.cron !== true) continue;
      next[index] = later[span.function] ?? null;
      later[span.function] = span;
    }
    return next;
  }

  #advance(toMs: number): void {
    for (let timer = this.#timers.peek(); timer !== undefined && timer.atMs <= toMs; timer = this.#timers.peek()) {
      this.#timers.pop();
      if (timer.what === 'end') this.#end(timer.instance, timer.span, timer.atMs);
      else if (timer.generation !== timer.instance.generation) continue;
      else if (timer.what === 'retire') this.#unload(timer.instance, timer.atMs);
      else this.#prewarm(timer.instance, timer.atMs);
    }
  }

  #start(span: Span, next: Span | null): void {
    const instance = this.#instance(span);
    const load = this.#load(span.function);
    const measured = span.startMs >= this.#workload.measureFromMs;
    if (span.level === 1 && instance.busyUntilMs > Number.NEGATIVE_INFINITY) {
      this.#history(span.function).record(span.startMs - instance.busyUntilMs, load.cron);
    }
    instance.generation++;
    if (instance.loaded) this.#countIdle(instance, span.startMs);
    else {
      if (measured) {
        this.#cold[span.function] = (this.#cold[span.function] ?? 0) + 1;
        if (span.level > 1) this.#scaleOuts++;
      }
      if (span.level > 1) {
        const { function: index } = span;
        const sinceShrinkMs = span.startMs - (this.#shrunkAtMs[index] ?? 0);
        this.#regrets[index] = nextRegrets(this.#regrets[index] ?? 0, sinceShrinkMs);
      }
      if (span.level === 1) this.#frequency[span.function] = 0;
      this.#room(load.memoryMb, span.startMs);
      this.#setLoaded(instance, true);
    }
    if (span.level === 1) this.#frequency[span.function] = (this.#frequency[span.function] ?? 0) + 1;
    this.#clockAtUse[span.function] = this.#clock;
    instance.busyUntilMs = span.endMs;
    const measuredMs = Math.max(0, span.endMs - Math.max(span.startMs, this.#workload.measureFromMs));
    this.#busyMbMs += measuredMs * load.memoryMb;
    this.#timers.push({ atMs: span.endMs, what: 'end', instance, generation: instance.generation, span: next });
  }

  /** `next`: of a cron, its next tick. */
  #end(instance: Instance, next: Span | null, atMs: number): void {
    instance.idleFromMs = atMs;
    const { generation } = instance;
    const at = (ms: number, what: Timer['what']) =>
      this.#timers.push({ atMs: ms, what, instance, generation, span: null });
    const policy = this.#policy;
    switch (policy.kind) {
      case 'none':
        this.#unload(instance, atMs);
        return;
      case 'fixed':
        at(atMs + policy.keepMs, 'retire');
        return;
      case 'lru':
        this.#victims.push({ rank: atMs, instance, generation });
        break;
      case 'hearth': {
        this.#victims.push({ rank: this.#priority(instance), instance, generation });
        if (instance.level > 1) {
          at(atMs + surplusKeepMs(this.#regrets[instance.function] ?? 0), 'retire');
        } else this.#byPlan(this.#history(instance.function).plan(), next, atMs, at);
        break;
      }
      default:
        throw new Error(`Unknown policy ${JSON.stringify(policy satisfies never)}`);
    }
    // What was busy beyond the cap gives way as soon as it may.
    this.#room(0, atMs);
  }

  #byPlan(plan: KeepAlivePlan, next: Span | null, atMs: number, at: (ms: number, what: Timer['what']) => void): void {
    at(atMs + plan.retireAfterMs, 'retire');
    if (plan.prewarmAfterMs !== null) {
      at(atMs + plan.prewarmAfterMs, 'load');
      at(atMs + plan.keepUntilMs, 'retire');
    }
    if (next === null) return;
    const prewarm = prewarmAt(next.startMs, atMs);
    if (prewarm === null) return;
    at(prewarm, 'load');
    at(prewarm + CRON_KEEP_MS + CRON_LEAD_MS, 'retire');
  }

  #prewarm(instance: Instance, atMs: number): void {
    if (instance.loaded) return;
    this.#room(this.#load(instance.function).memoryMb, atMs);
    this.#setLoaded(instance, true);
    this.#prewarmed++;
    instance.idleFromMs = atMs;
    this.#clockAtUse[instance.function] = this.#clock;
    const { generation } = instance;
    this.#victims.push({ rank: this.#priority(instance), instance, generation });
  }

  /** Evicts idle instances until so much more fits. What is busy stays, over the cap if need be. */
  #room(neededMb: number, atMs: number): void {
    while (this.#usedMb + neededMb > this.#capMb) {
      const entry = this.#victims.pop();
      if (entry === undefined) return;
      const { instance, generation, rank } = entry;
      if (!instance.loaded || instance.generation !== generation || instance.busyUntilMs > atMs) continue;
      this.#clock = Math.max(this.#clock, this.#policy.kind === 'hearth' ? rank : 0);
      this.#evicted++;
      this.#unload(instance, atMs);
    }
  }

  #unload(instance: Instance, atMs: number): void {
    if (!instance.loaded) return;
    this.#countIdle(instance, atMs);
    this.#setLoaded(instance, false);
    if (instance.level > 1) this.#shrunkAtMs[instance.function] = atMs;
  }

  #setLoaded(instance: Instance, loaded: boolean): void {
    instance.loaded = loaded;
    const { memoryMb } = this.#load(instance.function);
    this.#usedMb += loaded ? memoryMb : -memoryMb;
  }

  #countIdle(instance: Instance, untilMs: number): void {
    const fromMs = Math.max(instance.idleFromMs, this.#workload.measureFromMs);
    if (untilMs > fromMs) this.#idleMbMs += (untilMs - fromMs) * this.#load(instance.function).memoryMb;
  }

  #instance(span: Span): Instance {
    const key = span.function * 4096 + span.level;
    let instance = this.#instances.get(key);
    if (instance === undefined) {
      instance = {
        function: span.function,
        level: span.level,
        loaded: false,
        busyUntilMs: Number.NEGATIVE_INFINITY,
        idleFromMs: 0,
        generation: 0,
      };
      this.#instances.set(key, instance);
    }
    return instance;
  }

  /** As Warmth.use has it: an instance beyond the first is worth one use. */
  #priority({ function: index, level }: Instance): number {
    const { coldMs, memoryMb } = this.#load(index);
    const frequency = level > 1 ? 1 : (this.#frequency[index] ?? 0);
    return priority({ clockAtUse: this.#clockAtUse[index] ?? 0, frequency, coldMs, memoryMb });
  }

  #load(index: number) {
    const load = this.#workload.functions[index];
    if (load === undefined) throw new Error(`There is no function ${index}.`);
    return load;
  }

  #history(index: number): IdleHistory {
    const history = this.#histories[index];
    if (history === undefined) throw new Error(`There is no function ${index}.`);
    return history;
  }

  #outcome(): Outcome {
    const none = this.#policy.kind === 'none';
    let invocations = 0;
    let coldStarts = 0;
    let coldSeconds = 0;
    const shares: number[] = [];
    this.#workload.functions.forEach((load, index) => {
      const cold = (this.#cold[index] ?? 0) + (none ? load.shortGaps : 0);
      invocations += load.invocations;
      coldStarts += cold;
      coldSeconds += (cold * load.coldMs) / 1000;
      if (load.invocations > 0) shares.push(Math.min(1, cold / load.invocations));
      if (!none) this.#idleMbMs += load.shortGapMs * load.memoryMb;
      // A span lasts over the short gaps in it.
      this.#busyMbMs -= load.shortGapMs * load.memoryMb;
    });
    const idleMbHours = this.#idleMbMs / 3_600_000;
    return {
      invocations,
      coldStarts,
      coldSeconds,
      scaleOuts: this.#scaleOuts,
      shares: shares.sort((a, b) => a - b),
      idleMbHours,
      totalMbHours: idleMbHours + this.#busyMbMs / 3_600_000,
      evicted: this.#evicted,
      prewarmed: this.#prewarmed,
    };
  }
}
