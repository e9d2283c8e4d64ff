/** When a function gets more or fewer instances: pure functions of counts, times and limits. */
import type { ModuleLimits } from './api.ts';
import { type KeepAlivePlan, wantsLoaded } from './policy/keep-alive.ts';

/** Under `auto` an instance that is not the function's last one goes after so long without a call. */
export const SURPLUS_IDLE_MS = 20_000;
const MOST_SURPLUS_IDLE_MS = 600_000;
/** A loop that answers a ping later than this has more to do than it gets done. */
export const BUSY_LOOP_MS = 20;
/** A new instance gets its full share of the traffic after so long: its code is not compiled to the best yet. */
export const SLOW_START_MS = 2_000;
/** Of the traffic that the others carry, the part that a new instance is spared at first. */
const SLOW_START_SHARE = 0.8;
/** Instances are given back only down to a load of this share of their slots: one more call must not start them anew. */
const SHRINK_TO = 0.5;

/** Callers that may wait for a slot; who comes after them is told OVERLOADED at once. */
export function waitingLimit(limits: Pick<ModuleLimits, 'concurrency' | 'maxInstances'>): number {
  return limits.concurrency * limits.maxInstances;
}

export interface GrowthView {
  /** Instances that are loaded and take calls. */
  ready: number;
  /** On their way. */
  loading: number;
  /** Callers without a slot. */
  waiting: number;
  concurrency: number;
  maxInstances: number;
}

/**
 * Whether callers that wait cause one more instance. Single flight: while the first instance is on its way nobody starts
 * another, so 500 callers of a cold function cause one load. Once there is one, as many may be on their way as the
 * callers fill, and at most half as many as there are: callers that pile up while a busy machine loads are not all to get
 * instances of their own.
 */
export function mayGrow({ ready, loading, waiting, concurrency, maxInstances }: GrowthView): boolean {
  if (ready + loading >= maxInstances) return false;
  if (loading === 0) return true;
  return loading < Math.ceil(ready / 2) && loading < Math.ceil(waiting / concurrency);
}

export interface LoopView {
  ready: number;
  loading: number;
  maxInstances: number;
  /** Instances with several calls in flight whose loop was busy at each of the last two looks. */
  busy: number;
  /** Loops that are busy now, over all functions. */
  busyLoops: number;
  cores: number;
}

/**
 * Whether a function whose slots are not full gets one more instance: when each loop it has is busy and a core has
 * none. A function that waits for others has idle loops however much is in flight, and stays as it is.
 */
export function mayGrowByLoop({ ready, loading, maxInstances, busy, busyLoops, cores }: LoopView): boolean {
  return loading === 0 && ready > 0 && ready < maxInstances && busy === ready && busyLoops < cores;
}

/**
 * Calls that an instance counts as having beyond those it has, when the one with the fewest is chosen: so a new one gets
 * little at first, and all the more when the others are full.
 */
export function handicap(ageMs: number, othersInFlight: number): number {
  if (ageMs >= SLOW_START_MS) return 0;
  return Math.floor(othersInFlight * SLOW_START_SHARE * (1 - ageMs / SLOW_START_MS));
}

/**
 * How long an instance beyond the first is kept idle, ms: five times as long after each time that one was given back
 * and needed again soon. Traffic that goes up and down then finds its instances still there.
 */
export function surplusKeepMs(regrets: number): number {
  return Math.min(SURPLUS_IDLE_MS * 5 ** regrets, MOST_SURPLUS_IDLE_MS);
}

/** A shrink that was undone within this time was a mistake. */
const REGRET_MS = 600_000;

/** How often in a row instances were given back too soon, now that one is there again after so long. */
export function nextRegrets(regrets: number, sinceShrinkMs: number): number {
  return sinceShrinkMs < REGRET_MS ? Math.min(regrets + 1, 3) : Math.max(0, regrets - 1);
}

export interface IdleView {
  limits: Pick<ModuleLimits, 'keepAlive' | 'minInstances'>;
  plan: KeepAlivePlan;
  /** Instances that take calls, idle or not. */
  live: number;
  /** How long each idle one has had no call, ms, longest first. */
  idleMs: readonly number[];
  /** How long the whole function has had none; null while something runs. */
  functionIdleMs: number | null;
  /** It was loaded for something that is still to come. */
  held: boolean;
  /** See surplusKeepMs. */
  surplusKeepMs: number;
}

/** How many of the idle instances go now, those without a call for longest. */
export function idleToRetire({ limits, plan, live, idleMs, functionIdleMs, held, surplusKeepMs }: IdleView): number {
  let retired = 0;
  for (const idle of idleMs) {
    const left = live - retired;
    if (left <= limits.minInstances) break;
    if (limits.keepAlive !== 'auto') {
      if (idle < limits.keepAlive * 1000 || (left === 1 && held)) break;
    } else if (left > 1) {
      if (idle < surplusKeepMs) break;
    } else if (held || functionIdleMs === null || wantsLoaded(plan, functionIdleMs)) break;
    retired++;
  }
  return retired;
}

export interface SurplusView {
  limits: Pick<ModuleLimits, 'keepAlive' | 'minInstances' | 'concurrency'>;
  live: number;
  /** Most calls in flight at once within SURPLUS_IDLE_MS. */
  peakInFlight: number;
  /** A loop of it was busy within SURPLUS_IDLE_MS. */
  loopWasBusy: boolean;
  /** How often in a row instances were given back too soon: then only idle ones go. */
  regrets: number;
}

/**
 * How many instances go though calls run in them: traffic is spread over all, so that few calls keep many from being
 * idle. With one call to an instance that cannot be.
 */
export function surplus({ limits, live, peakInFlight, loopWasBusy, regrets }: SurplusView): number {
  if (limits.keepAlive !== 'auto' || limits.concurrency === 1 || loopWasBusy || regrets > 0) return 0;
  const needed = Math.ceil(peakInFlight / (limits.concurrency * SHRINK_TO));
  return Math.max(0, live - Math.max(needed, limits.minInstances, 1));
}

/** Bases that `reserved` invocations take. */
export function reservedBases(limits: Pick<ModuleLimits, 'reserved' | 'concurrency'>): number {
  return Math.ceil(limits.reserved / limits.concurrency);
}

/**
 * Whether a function may take one more of the pool's bases: always within its own reserve, else only where what others
 * have in reserve and do not use is left.
 *
 * @param free bases that nobody holds, those not yet started included
 * @param unused bases that the others' reserves lack
 */
export function mayTake({
  free,
  own,
  unused,
}: {
  free: number;
  own: { live: number; reserved: number };
  unused: number;
}): boolean {
  return own.live < own.reserved || free > unused;
}

export interface Holder {
  functionName: string;
  /** Bases it holds. */
  held: number;
  /** Bases that are not to be taken from it. */
  least: number;
}

/**
 * Who gives up a base, in which something runs, to a function that waits and finds none: the one that holds the most, if
 * it still holds as many as the other afterwards. Else a function whose calls never stop would keep others out.
 */
export function giverOf<Of extends Holder>(holders: readonly Of[], functionName: string): Of | null {
  const own = holders.filter((holder) => holder.functionName === functionName);
  const wanted = own.reduce((sum, { held }) => sum + held, 0) + 1;
  let most: Of | null = null;
  for (const holder of holders) {
    if (holder.functionName === functionName || holder.held <= holder.least) continue;
    if (holder.held - 1 >= wanted && (most === null || holder.held > most.held)) most = holder;
  }
  return most;
}
