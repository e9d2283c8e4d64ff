/**
 * Which idle instance goes when room is needed: greedy-dual size-frequency, after Fuerst and Sharma, "FaasCache"
 * (ASPLOS 2021). What is used often, costs much to load and takes little memory stays; a clock that rises with each
 * eviction lets what was precious long ago grow old.
 */
export interface Use {
  /** The clock's value when it was last used. */
  clockAtUse: number;
  /**
   * Times that the function was used after a pause since it was last without any instance. Calls that follow one another
   * are one use: counted singly, as in the paper, a burst outweighed what was needed again and again, and cold starts
   * rose by a tenth (bench/policy).
   */
  frequency: number;
  /** What loading it takes, ms. */
  coldMs: number;
  memoryMb: number;
}

export function priority({ clockAtUse, frequency, coldMs, memoryMb }: Use): number {
  return clockAtUse + (frequency * coldMs) / Math.max(memoryMb, 1);
}

export interface EvictionClock {
  value: number;
}

/** The one of lowest priority, the first of equals, with the clock as it is after its eviction; null of none. */
export function victim<Candidate extends Use>(
  candidates: Iterable<Candidate>,
  clock: number,
): { candidate: Candidate; clock: number } | null {
  let lowest: { candidate: Candidate; clock: number } | null = null;
  for (const candidate of candidates) {
    const value = priority(candidate);
    if (lowest === null || value < lowest.clock) lowest = { candidate, clock: value };
  }
  return lowest === null ? null : { candidate: lowest.candidate, clock: Math.max(clock, lowest.clock) };
}
