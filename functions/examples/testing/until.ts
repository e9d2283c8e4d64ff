import { scheduler } from 'node:timers/promises';

/** Asks until the answer is there (not undefined). The test's own timeout is the limit. */
export async function until<Found>(ask: () => Promise<Found | undefined>): Promise<Found> {
  for (;;) {
    const found = await ask();
    if (found !== undefined) return found;
    await scheduler.wait(50);
  }
}
