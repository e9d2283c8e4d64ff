/** When a function gets more or fewer instances: pure functions of counts, times and limits. */
import type { ModuleLimits, ModuleSpec } from '../api.ts';
import { type KeepAlivePlan, wantsLoaded } from './keep-alive.ts';

/** A loop that answers a ping later than this has more to do than it gets done. */
export const BUSY_LOOP_MS = 20;
/** A new instance gets its full share of the traffic after so long: its code is not compiled to the best yet. */
export const SLOW_START_MS = 2_000;
/** Of the traffic that the others carry, the part that a new instance is spared at first. */
const SLOW_START_SHARE = 0.8;
/** Instances are given back only down to a load of this share of their slots: one more call must not start them anew. */
const SHRINK_TO = 0.5;

/** What holds for its instances: a module of a group has one, in the base of the group, whatever its manifest says. */
export function limitsOf({ group, limits }: Pick<ModuleSpec, 'group' | 'limits'>): ModuleLimits {
  if (group === null) return limits;
  return {
    ...limits,
    minInstances: Math.min(limits.minInstances, 1),
    maxInstances: 1,
    reserved: Math.min(limits.reserved, limits.concurrency),
  };
}

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

export interface NeedView {
  limits: Pick<ModuleLimits, 'concurrency'>;
  ready: number;
  loading: number;
  inFlight: number;
  waiting: number;
  /** Instances in which nothing runs, and nothing ran since the last look. */
  unused: number;
  /** A loop of it is busy. */
  loopBusy: boolean;
}

/**
 * How many instances what runs and waits takes, with room for as much again: traffic is spread over all there are, so
 * that few calls keep many from being idle.
 */
export function needed({ limits, ready, loading, inFlight, waiting, unused, loopBusy }: NeedView): number {
  if (waiting > 0 || loading > 0) return ready + loading;
  const used = ready - unused;
  if (limits.concurrency === 1 || loopBusy) return used;
  return Math.min(used, Math.ceil(inFlight / (limits.concurrency * SHRINK_TO)));
}

export interface ShrinkView {
  limits: Pick<ModuleLimits, 'keepAlive' | 'minInstances' | 'concurrency'>;
  plan: KeepAlivePlan;
  /** Instances that take calls or will, idle or not. */
  live: number;
  /** Of these, how many are worth keeping by `auto`, the first one not counted; see Warmth. */
  worthwhile: number;
  /** How long each idle one has had no call, ms, longest first. */
  idleMs: readonly number[];
  /** How long the whole function has had none; null while something runs. */
  functionIdleMs: number | null;
  /** It was loaded for something that is still to come. */
  held: boolean;
}

/** How many of the idle instances go now, those without a call for longest. */
export function idleToRetire({ limits, plan, live, worthwhile, idleMs, functionIdleMs, held }: ShrinkView): number {
  let retired = 0;
  for (const idle of idleMs) {
    const left = live - retired;
    if (left <= limits.minInstances) break;
    if (limits.keepAlive !== 'auto') {
      if (idle < limits.keepAlive * 1000 || (left === 1 && held)) break;
    } else if (left > 1) {
      if (left <= worthwhile) break;
    } else if (held || functionIdleMs === null || wantsLoaded(plan, functionIdleMs)) break;
    retired++;
  }
  return retired;
}

/** How many go though calls run in them. With one call to an instance that would take its slot from the next one. */
export function busyToDrain({ limits, live, worthwhile }: ShrinkView, retired: number): number {
  if (limits.keepAlive !== 'auto' || limits.concurrency === 1) return 0;
  return Math.max(0, live - retired - Math.max(worthwhile, limits.minInstances, 1));
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
