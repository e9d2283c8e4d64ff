/** The time of day to a microsecond, for spans: a cold start is over within one tick of Date.now. */

/** Further off than this from the clock of the machine, which can be set, it is followed. */
const MOST_OFF_MS = 2;

/**
 * Epoch ms with fractions. Goes as steadily as the monotonic clock between two corrections, so that durations within
 * an invocation are right to the microsecond.
 */
export function createClock(wall: () => number = Date.now, monotonic = () => performance.now()): () => number {
  let offset = wall() - monotonic();
  return () => {
    const steady = monotonic();
    const off = wall() - (offset + steady);
    // The wall clock is cut to whole milliseconds: up to one behind is no difference.
    if (off > MOST_OFF_MS || off < -MOST_OFF_MS) offset += off;
    return offset + steady;
  };
}
