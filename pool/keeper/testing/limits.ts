import type { ModuleLimits } from '../api.ts';

/** Of a function whose manifest says nothing. */
export const LIMITS: ModuleLimits = {
  timeoutMs: 30_000,
  memoryMb: 128,
  cpuMs: 0,
  concurrency: 64,
  minInstances: 0,
  maxInstances: 16,
  reserved: 0,
  keepAlive: 'auto',
};
