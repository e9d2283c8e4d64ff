/**
 * One workload against one policy: a discrete-event simulation in which every decision is asked of the pool's own
 * policy functions. What it leaves out stands in README.md.
 */
import { rank } from '../../pool/keeper/policy/evict.ts';
import { IdleHistory, type KeepAlivePlan } from '../../pool/keeper/policy/keep-alive.ts';
import { CRON_KEEP_MS, CRON_LEAD_MS, prewarmAt } from '../../pool/keeper/policy/prewarm.ts';
import { Spell } from '../../pool/keeper/policy/spell.ts';
import { Heap } from './heap.ts';
import { HOUR_MS, type Span, type Workload } from './workload.ts';

export type Policy =
  /** Gone as soon as nothing runs. */
  | { kind: 'none' }
  | { kind: 'fixed'; keepMs: number }
  /** Kept until the memory is needed; then the least recently used goes. */
  | { kind: 'lru'; capMb: number }
  /** The pool's own: kept by worth, rhythm and schedule, and evicted by worth where there is a cap. */
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
  busyFromMs: number;
  busyUntilMs: number;
  /** Of one beyond the first: since it was last needed. */
  spell: Spell | null;
  /** Since when it has been loaded and idle. */
  idleFromMs: number;
  /** It was loaded for a tick, which comes before this. */
  heldUntilMs: number;
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

interface Victim {
  rank: number;
  instance: Instance;
  generation: number;
}

const RANKING_HOLDS_MS = 30_000;
/** From what makes the pool load one ahead to its being loaded: the next look, and the longest load. */
const AHEAD_MS = 300;

const keyOf = (index: number, level: number) => index * 4096 + level;

function isBusy({ busyFromMs, busyUntilMs }: Instance, atMs: number): boolean {
  return busyFromMs <= atMs && busyUntilMs > atMs;
}

export function simulate(workload: Workload, policy: Policy): Outcome {
  return new Simulation(workload, policy).run();
}

class Simulation {
  readonly #workload: Workload;
  readonly #policy: Policy;
  readonly #instances = new Map<number, Instance>();
  readonly #histories: IdleHistory[];
  readonly #timers = new Heap<Timer>((timer) => timer.atMs);
  /** Idle instances by how long ago they were used, for LRU; for Hearth those worth least at the last look. */
  #victims = new Heap<Victim>((entry) => entry.rank);
  readonly #cold: Uint32Array;
  readonly #capMb: number;
  /** Loaded ones, as far as they are idle, and when they were last looked at. */
  readonly #idle = new Set<Instance>();
  #rankedAtMs = Number.NEGATIVE_INFINITY;
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
    const history = this.#history(span.function);
    if (span.level === 1 && instance.busyUntilMs > Number.NEGATIVE_INFINITY) {
      history.record(span.startMs - instance.busyUntilMs, load.cron);
    }
    if (instance.spell !== null) {
      // Those that are needed at the same moment did not announce each other.
      const before = this.#instances.get(keyOf(span.function, span.level - 1));
      const near = before !== undefined && isBusy(before, span.startMs) && before.busyFromMs < span.startMs;
      instance.spell.look(span.startMs, near);
      history.recordBeyond(span.level, instance.spell);
      instance.spell = null;
    }
    if (span.level === 1) history.called(span.calls);
    instance.generation++;
    instance.heldUntilMs = Number.NEGATIVE_INFINITY;
    this.#idle.delete(instance);
    if (instance.loaded) this.#countIdle(instance, span.startMs);
    else {
      if (measured) {
        this.#cold[span.function] = (this.#cold[span.function] ?? 0) + 1;
        if (span.level > 1) this.#scaleOuts++;
      }
      if (span.level === 1) history.foundCold();
      this.#room(load.memoryMb, span.startMs, Number.POSITIVE_INFINITY);
      this.#setLoaded(instance, true);
    }
    instance.busyFromMs = span.startMs;
    instance.busyUntilMs = span.endMs;
    this.#lookBeyond(instance, span.startMs);
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
        this.#idle.add(instance);
        const { memoryMb } = this.#load(instance.function);
        const history = this.#history(instance.function);
        if (instance.level > 1) {
          const before = this.#instances.get(keyOf(instance.function, instance.level - 1));
          instance.spell = new Spell(atMs, before !== undefined && isBusy(before, atMs));
          this.#byWorth(instance, instance.spell, atMs);
        } else this.#byPlan(history.plan(memoryMb), next, atMs, at);
        break;
      }
      default:
        throw new Error(`Unknown policy ${JSON.stringify(policy satisfies never)}`);
    }
    this.#lookBeyond(instance, atMs);
    // What was busy beyond the cap gives way as soon as it may.
    this.#room(0, atMs, Number.POSITIVE_INFINITY);
  }

  /** The one after it: whether load is near has changed. */
  #lookBeyond({ function: index, level, busyUntilMs }: Instance, atMs: number): void {
    if (this.#policy.kind !== 'hearth') return;
    const after = this.#instances.get(keyOf(index, level + 1));
    if (after === undefined || after.spell === null) return;
    after.spell.look(atMs, busyUntilMs > atMs);
    this.#byWorth(after, after.spell, atMs);
  }

  /** As Warmth has it for instances beyond the first. */
  #byWorth(instance: Instance, spell: Spell, atMs: number): void {
    const { memoryMb } = this.#load(instance.function);
    const worthMs = this.#history(instance.function).worthBeyondMs(instance.level, spell, memoryMb);
    instance.generation++;
    const { generation } = instance;
    const at = (ms: number, what: Timer['what']) =>
      this.#timers.push({ atMs: ms, what, instance, generation, span: null });
    if (!instance.loaded) {
      if (!spell.near || spell.ahead || worthMs < AHEAD_MS) return;
      spell.ahead = true;
      at(atMs + AHEAD_MS, 'load');
    }
    at(atMs + spell.heldMs(atMs) + worthMs, 'retire');
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
    const load = this.#load(instance.function);
    if (load.cron && instance.level === 1) instance.heldUntilMs = atMs + CRON_KEEP_MS;
    if (instance.loaded) return;
    // What is not asked for yet takes nothing away from what is worth more.
    if (!this.#room(load.memoryMb, atMs, this.#rank(instance, atMs))) return;
    this.#setLoaded(instance, true);
    this.#prewarmed++;
    instance.idleFromMs = atMs;
    this.#idle.add(instance);
  }

  /** Evicts idle instances of less rank until so much more fits. What is busy stays, over the cap if need be. */
  #room(neededMb: number, atMs: number, rankOfNew: number): boolean {
    while (this.#usedMb + neededMb > this.#capMb) {
      const entry = this.#victim(atMs);
      if (entry === undefined) return false;
      const { instance, generation } = entry;
      if (!instance.loaded || instance.generation !== generation || instance.busyUntilMs > atMs) continue;
      if (entry.rank >= rankOfNew) {
        this.#victims.push(entry);
        return false;
      }
      this.#evicted++;
      this.#unload(instance, atMs);
    }
    return true;
  }

  /** The pool ranks anew for each eviction; here the ranking holds for some seconds, in which worth changes little. */
  #victim(atMs: number): Victim | undefined {
    if (this.#policy.kind === 'hearth' && (this.#victims.size === 0 || atMs - this.#rankedAtMs > RANKING_HOLDS_MS)) {
      this.#rankedAtMs = atMs;
      this.#victims = new Heap((entry) => entry.rank);
      for (const instance of this.#idle) {
        const { generation } = instance;
        this.#victims.push({ rank: this.#rank(instance, atMs), instance, generation });
      }
    }
    return this.#victims.pop();
  }

  /** As Warmth.idle has it. */
  #rank({ function: index, level, busyUntilMs, heldUntilMs, spell }: Instance, atMs: number): number {
    const history = this.#history(index);
    const idleMs = atMs - busyUntilMs;
    const { memoryMb } = this.#load(index);
    if (spell !== null) return rank({ gainPerHour: history.gainBeyondPerHour(level, spell), memoryMb }, 'memory');
    if (atMs < heldUntilMs) return rank({ gainPerHour: HOUR_MS / CRON_KEEP_MS, memoryMb }, 'memory');
    return rank({ gainPerHour: history.gainPerHour(idleMs), memoryMb }, 'memory');
  }

  #unload(instance: Instance, atMs: number): void {
    if (!instance.loaded) return;
    this.#countIdle(instance, atMs);
    this.#setLoaded(instance, false);
    this.#idle.delete(instance);
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
    const key = keyOf(span.function, span.level);
    let instance = this.#instances.get(key);
    if (instance === undefined) {
      instance = {
        function: span.function,
        level: span.level,
        loaded: false,
        busyFromMs: Number.NEGATIVE_INFINITY,
        busyUntilMs: Number.NEGATIVE_INFINITY,
        spell: null,
        idleFromMs: 0,
        heldUntilMs: Number.NEGATIVE_INFINITY,
        generation: 0,
      };
      this.#instances.set(key, instance);
    }
    return instance;
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
