/** Limits of functions that a debugger may hold: none of time, as whoever looks at a breakpoint takes theirs. */
import type { ModuleSpec } from '../../pool/keeper/api.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

export function patient(spec: ModuleSpec): ModuleSpec {
  return { ...spec, limits: { ...spec.limits, timeoutMs: DAY_MS, cpuMs: 0 } };
}
