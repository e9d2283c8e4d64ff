import { scheduler } from 'node:timers/promises';

/** Far longer than anything takes that tests wait for, so that only what never comes is given up. */
const GIVE_UP_MS = 20_000;

/** Asks until the answer is there (not undefined). Rejects, saying what for, when it does not come. */
export async function until<Found>(ask: () => Promise<Found | undefined>, what = 'a condition'): Promise<Found> {
  const end = performance.now() + GIVE_UP_MS;
  while (performance.now() < end) {
    const found = await ask();
    if (found !== undefined) return found;
    await scheduler.wait(50);
  }
  throw new Error(`waited ${GIVE_UP_MS / 1000} s in vain for ${what}`);
}
