/** Functions and versions as biz: a biz is a function, its bizVersion the label of a version, or its hash where it has none. */
import type { PoolEvent } from '../../pool/keeper/api.ts';
import { blamedKey } from '../../pool/keeper/blame/blame.ts';
import type { FunctionEntry, VersionEntry } from '../registry/registry.ts';
import type { BizInfo, BizState } from './protocol.ts';

export function bizVersionOf({ claims, version }: VersionEntry): string {
  return claims.label ?? version;
}

/**
 * By its label, else by its hash. Of several with one label, as the control API may have deployed them, the one that takes
 * traffic, else the newest.
 */
export function findBiz(entry: FunctionEntry | undefined, bizVersion: string): VersionEntry | undefined {
  if (entry === undefined) return undefined;
  const labelled = [...entry.versions.values()].filter(({ claims }) => claims.label === bizVersion);
  return (
    labelled.find((version) => serves(entry, version)) ??
    labelled.sort((a, b) => b.record.createdAt - a.record.createdAt)[0] ??
    entry.versions.get(bizVersion)
  );
}

export function serves(entry: FunctionEntry, { version }: VersionEntry): boolean {
  return entry.serving.some((serving) => serving.version === version);
}

/** Keys of versions that are in quarantine, as far back as the pool's events go. */
export function quarantined(events: readonly PoolEvent[]): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const { subject, id, what } of events) {
    if (subject !== 'function') continue;
    if (what === 'quarantined') keys.add(id);
    else if (what === 'lifted') keys.delete(id);
  }
  return keys;
}

export function bizInfoOf(entry: FunctionEntry, version: VersionEntry, broken: ReadonlySet<string>): BizInfo {
  // As GET /v1/functions/{name}/health has it: of a module of a group it is the group that is in quarantine.
  const isBroken = broken.size > 0 && broken.has(blamedKey(version.spec));
  const state = isBroken ? 'BROKEN' : serves(entry, version) ? 'ACTIVATED' : 'DEACTIVATED';
  return bizInfo(entry.record.name, bizVersionOf(version), state, { hearthVersion: version.version });
}

export function bizInfo(
  bizName: string,
  bizVersion: string,
  bizState: BizState,
  attributes: Record<string, string> = {},
): BizInfo {
  return { bizName, bizVersion, bizState, mainClass: '', webContextPath: bizName, attributes, bizStateRecords: [] };
}
