/** Finding what a request names, and who may touch it. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { FunctionEntry, Registry, VersionEntry } from '../registry/registry.ts';
import { type Caller, requireScope, requireTrustGroup } from './access.ts';

/** Throws NOT_FOUND. */
export function functionNamed(registry: Registry, name: string): FunctionEntry {
  const entry = registry.function(name);
  if (entry === undefined) {
    throw new HearthError('NOT_FOUND', `There is no function "${name}"; GET /v1/functions lists them.`);
  }
  return entry;
}

/** The version that takes traffic. Throws CONFLICT when none does. */
export function activeVersion(entry: FunctionEntry): VersionEntry {
  if (entry.active !== undefined) return entry.active;
  throw new HearthError(
    'CONFLICT',
    `No version of "${entry.record.name}" takes traffic; deploy it without activate=false.`,
  );
}

/** By its whole id, or the first eight characters of it or more. Throws NOT_FOUND. */
export function versionNamed(entry: FunctionEntry, version: string): VersionEntry {
  const found = entry.find(version);
  if (found === undefined) {
    throw new HearthError(
      'NOT_FOUND',
      `"${entry.record.name}" has no version "${version}"; GET /v1/functions/${entry.record.name}/versions lists them.`,
    );
  }
  return found;
}

/** Whoever changes a function needs its name in a deploy scope, and every trust group it already stands in. */
export function requireDeploy(caller: Caller, registry: Registry, name: string): void {
  requireScope(caller, 'deploy', name);
  for (const version of registry.function(name)?.versions.values() ?? []) {
    requireTrustGroup(caller, version.claims.trustGroup);
  }
}
