/**
 * Why a function has instances though nobody calls it, and how many: what was learned of its idle times, its minimum, and
 * what something to come asked for. Remembers and decides by the pure policies; upkeep.ts applies.
 */
import type { ModuleLimits } from '../api.ts';
import type { Idle } from '../policy/evict.ts';
import { HOLD_MS, type IdleHistory, keep, SCHEDULE_GAP_MS, wantsLoaded } from '../policy/keep-alive.ts';
import { CRON_KEEP_MS } from '../policy/prewarm.ts';
import { busyToDrain, idleToRetire, mayGrowByLoop, needed } from '../policy/scaling.ts';
import { Spell } from '../policy/spell.ts';

/** After a load that failed nothing is loaded ahead for so long, twice as long after each further one. */
const FAILED_PAUSE_MS = 5_000;
const MOST_FAILED_PAUSE_MS = 600_000;

/** A version that lost its traffic is there for so long, in case it gets it back. */
const REST = keep('worth', 600_000);

export interface WarmthOptions {
  limits: ModuleLimits;
  /** Of the function, over all its versions. */
  history: IdleHistory;
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
  /** What one instance takes, as far as that is known, MB. */
  memoryMb: number;
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
  /** Monotonic ms of the last beginning or end of a call; null before the first. */
  #activeAt: number | null = null;
  #heldUntil = Number.NEGATIVE_INFINITY;
  #active = false;
  /** Told to be cold, or loaded ahead once already: until the next call nothing is loaded by the histogram. */
  #quiet = false;
  /** Since its traffic went to another version: what is known of the function's calls is not about this one. */
  #restingSince: number | null = null;
  #failures = 0;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  /** Of each instance beyond the first, the second being the first here: since it was last needed; null: it is needed. */
  readonly #spells: (Spell | null)[] = [];
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor({ limits, history }: WarmthOptions) {
    this.#limits = limits;
    this.#history = history;
  }

  /** On the path of each call. `alone`: nothing else runs; asked only after a gap that is worth knowing of. */
  called(now: number, byCron: boolean, alone: () => boolean): void {
    const gap = this.#activeAt === null ? 0 : now - this.#activeAt;
    this.#activeAt = now;
    this.#quiet = false;
    this.#history.called();
    if (gap >= (byCron ? SCHEDULE_GAP_MS : HOLD_MS) && alone()) this.#history.record(gap, byCron);
  }

  released(now: number): void {
    this.#activeAt = now;
  }

  /** One more instance is there. */
  loaded(now: number): void {
    this.#activeAt ??= now;
    this.#failures = 0;
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

  /** It takes traffic: its minimum and its reserve hold. */
  get active(): boolean {
    return this.#active;
  }

  get resting(): boolean {
    return this.#restingSince !== null;
  }

  activate(): void {
    if (this.#active) return;
    this.#active = true;
    this.#quiet = false;
    this.#restingSince = null;
  }

  /** Its traffic went elsewhere: one instance stays for a while, the first to go when bases are needed. */
  rest(now: number): void {
    this.#active = false;
    this.#restingSince = now;
    this.silence();
  }

  /** Something is to come: what is loaded stays until then. */
  hold(until: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, until);
  }

  /** A call found no instance. */
  foundCold(): void {
    this.#history.foundCold();
  }

  /** What one of so many instances, all of them idle or the last of those that are, is worth to the pool. */
  idle(now: number, live: number, memoryMb: number): Idle {
    if (this.#restingSince !== null) return { gainPerHour: 0, memoryMb };
    if (live > 1) {
      const spell = this.#spells[live - 2];
      return { gainPerHour: spell instanceof Spell ? this.#history.gainBeyondPerHour(live, spell) : 0, memoryMb };
    }
    // What was loaded for something to come will be used within seconds.
    if (now < this.#heldUntil) return { gainPerHour: 3_600_000 / CRON_KEEP_MS, memoryMb };
    return { gainPerHour: this.#history.gainPerHour(now - (this.#activeAt ?? now)), memoryMb };
  }

  decide(view: WarmthView): WarmthStep {
    const { now, ready, loading } = view;
    const live = ready + loading;
    const limits = this.#limits;
    this.#need(view);
    const load = now < this.#pausedUntil || !view.room ? null : this.#toLoad(view, live);
    if (load !== null) return { ...load, retire: 0, drain: 0 };
    const busy = view.inFlight > 0 || view.waiting > 0;
    const idleSince = this.#idleSince;
    const shrink = {
      limits: this.active ? limits : { ...limits, minInstances: 0 },
      plan: this.#restingSince === null ? this.#history.plan(view.memoryMb) : REST,
      live,
      // What was needed while it had traffic says nothing of one that rests.
      worthwhile: this.#restingSince === null ? this.#worthwhile(now, live, view.memoryMb) : 1,
      idleMs: view.idleSince.map((since) => now - since),
      functionIdleMs: busy || idleSince === null ? null : now - idleSince,
      held: now < this.#heldUntil,
    };
    const retire = idleToRetire(shrink);
    const drain = view.waiting > 0 || loading > 0 ? 0 : busyToDrain(shrink, retire);
    return { load: 0, why: '', retire, drain };
  }

  get #idleSince(): number | null {
    return this.#restingSince === null ? this.#activeAt : Math.max(this.#restingSince, this.#activeAt ?? 0);
  }

  #toLoad(view: WarmthView, live: number): { load: number; why: string } | null {
    const { now } = view;
    const missing = this.active && !this.#quiet ? this.#limits.minInstances - live : 0;
    if (missing > 0) return { load: missing, why: 'minInstances' };
    if (live === 0 && now < this.#heldUntil) return { load: 1, why: 'it is needed soon' };
    if (live === 0 && !this.#quiet && this.#limits.keepAlive === 'auto' && this.#activeAt !== null) {
      const plan = this.#history.plan(view.memoryMb);
      const idle = now - this.#activeAt;
      if (plan.prewarmAfterMs !== null && idle >= plan.prewarmAfterMs && wantsLoaded(plan, idle)) {
        this.#quiet = true;
        return { load: 1, why: 'its idle times say that it is needed soon' };
      }
    }
    const { ready, loading, busy, busyLoops, cores } = view;
    if (loading === 0 && this.#wantsAhead(live + 1, view.memoryMb)) {
      return { load: 1, why: 'the others are in use, and one more has been missed before' };
    }
    if (mayGrowByLoop({ ready, loading, busy, busyLoops, cores, maxInstances: this.#limits.maxInstances })) {
      return { load: 1, why: 'its loop is busy' };
    }
    return null;
  }

  /** Notes which of the instances beyond the first are needed now. */
  #need(view: WarmthView): void {
    const { now, ready, loading, inFlight, waiting, idleSince, busy } = view;
    const unused = idleSince.filter((since) => since <= this.#lookedAt).length;
    const lookedAt = this.#lookedAt;
    this.#lookedAt = now;
    const count = needed({ limits: this.#limits, ready, loading, inFlight, waiting, unused, loopBusy: busy > 0 });
    // From above: whether the one before is needed is what it was at the last look.
    for (let n = Math.max(count, this.#spells.length + 1); n > 1; n--) {
      const spell = this.#spells[n - 2];
      if (count >= n) {
        spell?.look(now, spell.near);
        if (spell instanceof Spell) this.#history.recordBeyond(n, spell);
        this.#spells[n - 2] = null;
      } else if (spell === null) this.#spells[n - 2] = new Spell(lookedAt, count >= n - 1);
      else spell?.look(now, count >= n - 1);
    }
  }

  /** How many instances are needed or worth keeping until they are. */
  #worthwhile(now: number, live: number, memoryMb: number): number {
    for (let n = live; n > 1; n--) {
      const spell = this.#spells[n - 2];
      if (spell === undefined) continue;
      if (spell === null || spell.heldMs(now) > 0) return n;
      if (this.#history.worthBeyondMs(n, spell, memoryMb) > 0) return n;
    }
    return 1;
  }

  /** Whether one more is to be loaded before it is missed. */
  #wantsAhead(n: number, memoryMb: number): boolean {
    const spell = this.#spells[n - 2];
    if (!(spell instanceof Spell) || !spell.near || spell.ahead || this.#quiet) return false;
    if (this.#limits.keepAlive !== 'auto' || n > this.#limits.maxInstances) return false;
    if (this.#history.worthBeyondMs(n, spell, memoryMb) === 0) return false;
    spell.ahead = true;
    return true;
  }
}
