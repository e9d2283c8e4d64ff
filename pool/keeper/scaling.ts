/** When a function gets more or fewer instances: pure functions of counts and limits. */
import type { ModuleLimits } from './api.ts';

/** `auto` until idle times are known per function. */
const DEFAULT_KEEP_ALIVE_MS = 600_000;

/** How long an idle instance is kept, ms. */
export function keepAliveMs(keepAlive: ModuleLimits['keepAlive']): number {
  return keepAlive === 'auto' ? DEFAULT_KEEP_ALIVE_MS : keepAlive * 1000;
}

/** Callers that may wait for a slot; who comes after them is told OVERLOADED at once. */
export function waitingLimit(limits: Pick<ModuleLimits, 'concurrency' | 'maxInstances'>): number {
  return limits.concurrency * limits.maxInstances;
}

/**
 * Single flight: while one instance is on its way nobody starts another, so 500 callers of a cold function cause one
 * load. Who still waits when it is ready causes the next.
 */
export function mayGrow(counts: { live: number; loading: number; maxInstances: number }): boolean {
  return counts.loading === 0 && counts.live < counts.maxInstances;
}
