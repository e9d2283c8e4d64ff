/**
 * Why a function has instances though nobody calls it, and how many: what was learned of its idle times, its minimum, and
 * what something to come asked for. Remembers and decides by the pure policies; upkeep.ts applies.
 */
import type { ModuleLimits } from './api.ts';
import type { EvictionClock, Use } from './policy/evict.ts';
import { HOLD_MS, type IdleHistory, wantsLoaded } from './policy/keep-alive.ts';
import { idleToRetire, mayGrowByLoop, nextRegrets, SURPLUS_IDLE_MS, surplus, surplusKeepMs } from './scaling.ts';

/** After a load that failed nothing is loaded ahead for so long, twice as long after each further one. */
const FAILED_PAUSE_MS = 5_000;
const MOST_FAILED_PAUSE_MS = 600_000;

export interface WarmthOptions {
  limits: ModuleLimits;
  /** Of the function, over all its versions. */
  history: IdleHistory;
  /** Of the whole pool. */
  evictionClock: EvictionClock;
}

/** One look at a function's instances. Times are monotonic ms. */
export interface WarmthView {
  now: number;
  ready: number;
  loading: number;
  inFlight: number;
  waiting: number;
  /** When each idle instance was last used, the longest ago first. */
  idleSince: readonly number[];
  /** Instances whose loop is busy; see LoopView. */
  busy: number;
  busyLoops: number;
  cores: number;
  /** There is a base to be had without taking one from somebody. */
  room: boolean;
}

export interface WarmthStep {
  /** Instances to load now, for nobody's call. */
  load: number;
  why: string;
  /** Idle instances that go, the longest idle first. */
  retire: number;
  /** Instances that take no more calls though some run in them, those with the fewest first. */
  drain: number;
}

export class Warmth {
  readonly #limits: ModuleLimits;
  readonly #history: IdleHistory;
  readonly #evictionClock: EvictionClock;
  /** Monotonic ms of the last beginning or end of a call; null before the first. */
  #activeAt: number | null = null;
  #frequency = 0;
  #clockAtUse: number;
  #coldMs = 1;
  #heldUntil = Number.NEGATIVE_INFINITY;
  /** It takes traffic: its minimum and its reserve hold. */
  active = false;
  /** Told to be cold, or loaded ahead once already: until the next call nothing is loaded by the histogram. */
  #quiet = false;
  #failures = 0;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  /** Most calls in flight, in this window of SURPLUS_IDLE_MS and in the one before. */
  readonly #peaks: [number, number] = [0, 0];
  #windowFrom = Number.NEGATIVE_INFINITY;
  #loopBusyAt = Number.NEGATIVE_INFINITY;
  #shrunkAt = Number.NEGATIVE_INFINITY;
  #regrets = 0;

  constructor({ limits, history, evictionClock }: WarmthOptions) {
    this.#limits = limits;
    this.#history = history;
    this.#evictionClock = evictionClock;
    this.#clockAtUse = evictionClock.value;
  }

  /** On the path of each call. `alone`: nothing else runs; asked only after a gap that is worth knowing of. */
  called(now: number, byCron: boolean, alone: () => boolean): void {
    const gap = this.#activeAt === null ? 0 : now - this.#activeAt;
    this.#activeAt = now;
    this.#clockAtUse = this.#evictionClock.value;
    this.#quiet = false;
    if (gap < HOLD_MS || !alone()) return;
    this.#frequency++;
    this.#history.record(gap, byCron);
  }

  released(now: number): void {
    this.#activeAt = now;
  }

  /** One more instance is there; loading it took so long. `again`: beside others. */
  loaded(now: number, coldMs: number, again: boolean): void {
    this.#activeAt ??= now;
    this.#failures = 0;
    this.#clockAtUse = this.#evictionClock.value;
    if (!again) this.#frequency = Math.max(this.#frequency, 1);
    this.#coldMs = this.#coldMs === 1 ? coldMs : this.#coldMs * 0.7 + coldMs * 0.3;
    if (again) this.#regrets = nextRegrets(this.#regrets, now - this.#shrunkAt);
  }

  failed(now: number): void {
    this.#pausedUntil = now + Math.min(FAILED_PAUSE_MS * 2 ** this.#failures, MOST_FAILED_PAUSE_MS);
    this.#failures++;
  }

  /** Told to be cold until it is called. */
  silence(): void {
    this.#quiet = true;
    this.#heldUntil = Number.NEGATIVE_INFINITY;
  }

  /** Something is to come: what is loaded stays until then. */
  hold(until: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, until);
  }

  /** A call found no instance: what made it worth keeping one begins anew. */
  cold(): void {
    this.#frequency = 0;
  }

  /** `beyondFirst`: an instance beside others, which is worth one use whatever the function is worth. */
  use(memoryMb: number, beyondFirst: boolean): Use {
    const frequency = beyondFirst ? 1 : this.#frequency;
    return { clockAtUse: this.#clockAtUse, frequency, coldMs: this.#coldMs, memoryMb };
  }

  decide(view: WarmthView): WarmthStep {
    const { now, ready, loading } = view;
    const live = ready + loading;
    const limits = this.#limits;
    this.#sample(view);
    const load = now < this.#pausedUntil || !view.room ? null : this.#toLoad(view, live);
    if (load !== null) return { ...load, retire: 0, drain: 0 };
    const busy = view.inFlight > 0 || view.waiting > 0;
    const retire = idleToRetire({
      limits: this.active ? limits : { ...limits, minInstances: 0 },
      plan: this.#history.plan(),
      live,
      idleMs: view.idleSince.map((since) => now - since),
      functionIdleMs: busy || this.#activeAt === null ? null : now - this.#activeAt,
      held: now < this.#heldUntil,
      surplusKeepMs: surplusKeepMs(this.#regrets),
    });
    const loopWasBusy = now - this.#loopBusyAt < SURPLUS_IDLE_MS;
    const peakInFlight = Math.max(...this.#peaks);
    const more = surplus({ limits, live, peakInFlight, loopWasBusy, regrets: this.#regrets });
    const drain = view.waiting > 0 || loading > 0 ? 0 : Math.max(0, more - retire);
    if (live > 1 && retire + drain > 0) this.#shrunkAt = now;
    return { load: 0, why: '', retire, drain };
  }

  #toLoad(view: WarmthView, live: number): { load: number; why: string } | null {
    const { now } = view;
    const missing = this.active && !this.#quiet ? this.#limits.minInstances - live : 0;
    if (missing > 0) return { load: missing, why: 'minInstances' };
    if (live === 0 && now < this.#heldUntil) return { load: 1, why: 'it is needed soon' };
    if (live === 0 && !this.#quiet && this.#limits.keepAlive === 'auto' && this.#activeAt !== null) {
      const plan = this.#history.plan();
      const idle = now - this.#activeAt;
      if (plan.prewarmAfterMs !== null && idle >= plan.prewarmAfterMs && wantsLoaded(plan, idle)) {
        this.#quiet = true;
        return { load: 1, why: 'its idle times say that it is needed soon' };
      }
    }
    const { ready, loading, busy, busyLoops, cores } = view;
    if (mayGrowByLoop({ ready, loading, busy, busyLoops, cores, maxInstances: this.#limits.maxInstances })) {
      return { load: 1, why: 'its loop is busy' };
    }
    return null;
  }

  #sample({ now, inFlight, busy }: WarmthView): void {
    if (now - this.#windowFrom >= SURPLUS_IDLE_MS / 2) {
      this.#windowFrom = now;
      this.#peaks[1] = this.#peaks[0];
      this.#peaks[0] = 0;
    }
    this.#peaks[0] = Math.max(this.#peaks[0], inFlight);
    if (busy > 0) this.#loopBusyAt = now;
  }
}
