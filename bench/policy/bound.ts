/** What nobody can beat: the fewest cold starts for so much memory-time, by who knows when each instance is used next. */
import { HOUR_MS, type Workload } from './workload.ts';

/**
 * Each idle time is either bridged, at its length times the memory, or is a cold start: the cheapest are bridged until
 * nothing is left. A first use is cold. What a schedule tells costs nothing.
 */
export function fewestColdStarts({ functions, spans, measureFromMs }: Workload, idleMbHours: number): number {
  const endOf = new Map<string, number>();
  const costs: number[] = [];
  let cold = 0;
  for (const { function: index, level, startMs, endMs } of spans) {
    const key = `${index} ${level}`;
    const before = endOf.get(key);
    endOf.set(key, endMs);
    const load = functions[index];
    if (load === undefined || startMs < measureFromMs) continue;
    if (before === undefined) cold++;
    else if (!load.cron || level > 1) costs.push(((startMs - before) * load.memoryMb) / HOUR_MS);
  }
  let left = idleMbHours;
  for (const { shortGapMs, memoryMb } of functions) left -= (shortGapMs * memoryMb) / HOUR_MS;
  for (const cost of costs.sort((a, b) => a - b)) {
    left -= cost;
    if (left < 0) cold++;
  }
  return cold;
}
