/**
 * Which idle instance goes when room is needed: the one that spares the fewest cold starts for what it takes up. Greedy-dual
 * size-frequency (Fuerst and Sharma, "FaasCache", ASPLOS 2021) ranks by past frequency, load time and size with a clock
 * that lets the past grow old; how soon each one is used again is known better than that here (worth.ts), and with it
 * the same memory has six tenths of the cold starts (bench/policy).
 */
export interface Idle {
  /** Cold starts that it spares in an hour, by what they count. */
  gainPerHour: number;
  memoryMb: number;
}

/** What room is needed of: memory, or bases, of which each is one whatever it holds. */
export type Scarce = 'memory' | 'bases';

export function rank({ gainPerHour, memoryMb }: Idle, scarce: Scarce): number {
  return scarce === 'memory' ? gainPerHour / Math.max(memoryMb, 1) : gainPerHour;
}

/** The one that is worth least, the first of equals; null of none. */
export function victim<Candidate extends Idle>(candidates: Iterable<Candidate>, scarce: Scarce): Candidate | null {
  let least: Candidate | null = null;
  let lowest = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const value = rank(candidate, scarce);
    if (least !== null && value >= lowest) continue;
    least = candidate;
    lowest = value;
  }
  return least;
}
