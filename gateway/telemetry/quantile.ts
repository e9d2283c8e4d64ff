/** Quantiles of what was counted in buckets, as Prometheus' `histogram_quantile` has them. */

export interface Bucket {
  lower: number;
  upper: number;
  count: number;
}

/** `buckets` in rising order; values are taken to lie evenly within one. Null when nothing was counted. */
export function quantile(buckets: readonly Bucket[], wanted: number): number | null {
  const total = buckets.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return null;
  const rank = wanted * total;
  let below = 0;
  for (const { lower, upper, count } of buckets) {
    if (below + count >= rank) return lower + (upper - lower) * Math.max(0, (rank - below) / count);
    below += count;
  }
  return buckets.at(-1)?.upper ?? null;
}
