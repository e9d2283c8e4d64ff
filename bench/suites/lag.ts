/** How far instances are behind what the load takes. */

export interface Instances {
  atMs: number;
  count: number;
}

export interface Lags {
  /** Over all numbers of instances: the longest from when so many were needed to when so many were there; null: never. */
  upMs: number | null;
  /**
   * From the moment from which no more than the last need is needed, until there are at most twice as many (one need not
   * cling to the last instance: a need of 1 is met by 2); null: there never were so few.
   */
  downMs: number | null;
}

/** `needed` at a time; `endMs`: when the load ended. Series in order of time. */
export function lags(series: readonly Instances[], needed: (atMs: number) => number, endMs: number): Lags {
  const during = series.filter(({ atMs }) => atMs < endMs);
  const most = Math.max(0, ...during.map(({ atMs }) => needed(atMs)));
  let upMs: number | null = 0;
  for (let level = 1; level <= most && upMs !== null; level++) {
    const wanted = during.find(({ atMs }) => needed(atMs) >= level)?.atMs ?? 0;
    const there = during.find(({ atMs, count }) => atMs >= wanted && count >= level);
    upMs = there === undefined ? null : Math.max(upMs, there.atMs - wanted);
  }

  const last = needed(endMs - 1);
  const backAt = during.findLast(({ atMs }) => needed(atMs) > last)?.atMs ?? 0;
  const few = during.find(({ atMs, count }) => atMs > backAt && count <= last * 2);
  return { upMs, downMs: few === undefined ? null : few.atMs - backAt };
}
