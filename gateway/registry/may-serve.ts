/**
 * Which versions calls may come to without anybody proving them first: what takes traffic, what a rollout that is not over
 * may set, and what a rollback leads back to. They are not deleted, and whatever changes under all versions (their base)
 * has to ask these. Those kept beyond them are proved when traffic is moved to them (gateway/bases/proved-traffic.ts).
 */
import { namedBy } from './entries.ts';
import type { FunctionEntry, VersionEntry } from './registry.ts';
import type { Reservation } from './reservations.ts';

export interface MayServe {
  readonly version: VersionEntry;
  /** By what calls come to it, the first that holds. */
  readonly by: 'traffic' | 'rollout' | 'rollback';
}

/** Each once; versions that were deleted are left out. `rolling`: a rollout moves it, and is not over. */
export function mayServe(entry: FunctionEntry, rolling: Reservation | undefined): MayServe[] {
  const found = new Map<string, MayServe>(
    entry.serving.map((version) => [version.version, { version, by: 'traffic' as const }]),
  );
  const add = (by: MayServe['by'], names: Iterable<string>) => {
    for (const name of names) {
      if (found.has(name)) continue;
      const version = entry.find(name);
      if (version?.version === name) found.set(name, { version, by });
    }
  };
  if (rolling !== undefined) {
    add('rollout', [rolling.version, ...namedBy(rolling.before), ...namedBy(rolling.previous ?? null)]);
  }
  add('rollback', namedBy(entry.record.previousTraffic));
  return [...found.values()];
}
