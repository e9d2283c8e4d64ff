/** Removing much, a part at a time, so that no script takes long. */
export const SWEEP_PART = 200;

/** `remove` removes so many at most and says how many; the sum is returned. */
export async function sweepAll(most: number, remove: (part: number) => Promise<number>, part: number): Promise<number> {
  let removed = 0;
  while (removed < most) {
    const asked = Math.min(part, most - removed);
    const now = await remove(asked);
    removed += now;
    if (now < asked) break;
  }
  return removed;
}
