/**
 * How many instances one version keeps, whoever calls it: applies what the policies decide (warmth.ts), holds its minimum
 * and its reserve, and gives up instances when others need their bases.
 */
import { monotonicMs } from '../../../functions/contract/invocation.ts';
import type { ModuleLimits } from '../api.ts';
import type { Instances } from '../instances.ts';
import type { Idle } from '../policy/evict.ts';
import { reservedBases } from '../policy/scaling.ts';
import type { Warmth } from './warmth.ts';

export interface UpkeepOptions {
  limits: ModuleLimits;
  instances: Instances;
  warmth: Warmth;
  /** Loads one more instance, for nobody's call. */
  grow(): void;
  /** Monotonic ms by which idle times are measured. */
  idleNow(): number;
}

/** What a look at a function has to know of the others. */
export interface Surroundings {
  now: number;
  /** Loops that are busy, over all functions. */
  busyLoops: number;
  cores: number;
  /** The gateway's own loop was late: what pings say is not believed. */
  lagged: boolean;
  /** There is a base to be had without taking one from somebody. */
  room: boolean;
}

export class Upkeep {
  readonly #options: UpkeepOptions;
  /** It is being retired: nothing is loaded ahead, nothing is held for it. */
  retiring = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** It takes traffic now: its minimum of instances is kept, and its reserve. */
  activate(): void {
    this.#options.warmth.activate();
  }

  /** Its traffic went elsewhere, and may come back: see Warmth.rest. */
  deactivate(): void {
    const { warmth, idleNow } = this.#options;
    warmth.rest(idleNow());
  }

  get active(): boolean {
    return this.#options.warmth.active;
  }

  get resting(): boolean {
    return this.#options.warmth.resting;
  }

  /** Takes the place of another, which ends. */
  takeOver(other: Upkeep): void {
    if (other.active) this.activate();
    else if (other.resting) this.deactivate();
  }

  /** An instance will be needed, and stays until then. */
  prewarm(keepMs: number): void {
    const { warmth, grow, idleNow } = this.#options;
    warmth.hold(idleNow() + keepMs);
    if (!this.retiring && this.#live === 0) grow();
  }

  /** Keep-alive, prewarming, minimum, scale-out by busy loops, scale-in. Called some times a second. */
  tend(around: Surroundings, waiting: number): void {
    const { instances, warmth, grow } = this.#options;
    for (const instance of instances.all) instance.giveUpLoading(monotonicMs());
    if (this.retiring) return;
    let inFlight = 0;
    for (const instance of instances.all) {
      if (instance.state === 'draining') continue;
      inFlight += instance.inFlight;
      if (instance.state !== 'ready') continue;
      if (instance.handicap > 0) instances.ease(instance);
      if (instance.inFlight < 2) instance.loop.reset();
      else if (!around.lagged) instance.loop.look(monotonicMs(), () => instance.base.ping());
    }
    const { idle, count } = instances;
    const step = warmth.decide({
      now: around.now,
      ...count,
      inFlight,
      waiting,
      idleSince: idle.map((instance) => instance.lastUsedAt),
      busy: instances.busyLoops,
      busyLoops: around.busyLoops,
      cores: around.cores,
      memoryMb: instances.memoryMb ?? this.#options.limits.memoryMb,
      room: around.room,
    });
    for (let load = step.load; load > 0; load--) grow();
    for (const instance of idle.slice(0, step.retire)) {
      instance.drain(`idle for ${Math.round((around.now - instance.lastUsedAt) / 1000)} s`);
    }
    if (step.drain === 0) return;
    const left = instances.ready.sort((a, b) => a.inFlight - b.inFlight || b.readyAt - a.readyAt);
    for (const instance of left.slice(0, step.drain)) instance.drain('fewer instances carry the load');
  }

  /* ── what others may take from it ── */

  /** Bases that others cannot take from it. */
  get leastBases(): number {
    const { limits, warmth } = this.#options;
    return warmth.active ? Math.max(limits.minInstances, reservedBases(limits)) : 0;
  }

  /** Bases that its reserve still lacks. */
  get unusedReserve(): number {
    const { limits, warmth, instances } = this.#options;
    if (!warmth.active || this.retiring) return 0;
    return Math.max(0, reservedBases(limits) - instances.bases);
  }

  /** What giving up one of its idle instances means; null when none is idle or what is idle is not to be taken. */
  evictable(): Idle | null {
    const { limits, warmth, instances, idleNow } = this.#options;
    if (this.#live <= this.leastBases || instances.idle.length === 0) return null;
    return warmth.idle(idleNow(), this.#live, instances.memoryMb ?? limits.memoryMb);
  }

  /** Drains one idle instance, the one that was used longest ago. */
  evictOldest(why: string): boolean {
    const [oldest] = this.#options.instances.idle;
    oldest?.drain(why);
    return oldest !== undefined;
  }

  /** Drains the instance in which least runs, though something does. */
  giveOne(why: string): void {
    const [least] = this.#options.instances.ready.sort((a, b) => a.inFlight - b.inFlight);
    least?.drain(why);
  }

  get #live(): number {
    const { ready, loading } = this.#options.instances.count;
    return ready + loading;
  }
}
