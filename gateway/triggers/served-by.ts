/** Which version runs a tick or a batch. */
import type { FunctionEntry, VersionEntry } from '../registry/registry.ts';

/**
 * By the split, as a request would be; a version that has no such handler is passed over for the one whose manifest asks
 * for the trigger. Undefined when none takes traffic.
 */
export function servedBy(entry: FunctionEntry, handler: 'scheduled' | 'queue'): VersionEntry | undefined {
  const picked = entry.pick(null);
  const able = picked === undefined || picked === entry.active || picked.record.handlers.includes(handler);
  return able ? picked : entry.active;
}
