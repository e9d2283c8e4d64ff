/** Finished invocations for tests: a warm GET that went well, and what is changed about it. */
import type { InvokeFacts, PoolSnapshot } from '../../../pool/keeper/api.ts';
import { createLogger, type Logger } from '../log.ts';
import type { FinishedInvocation, Telemetry } from '../telemetry.ts';

export const WARM: InvokeFacts = {
  start: 'warm',
  instance: 'base-1',
  host: 'host-1',
  phases: { wait: 0.25, run: 1.5 },
  arrivedAtMs: 1_800_000_000_000.5,
  headAt: 0,
  attempt: 1,
};

/** 0.25 + 0.5 + 0.25 + 1 + 0.5 ms up to the call, then 2 ms. */
export const COLD: InvokeFacts = {
  ...WARM,
  start: 'cold',
  phases: { wait: 0.25, acquire: 0.5, transfer: 0.25, compile: 1, evaluate: 0.5, run: 2 },
};

export function finished(telemetry: Telemetry, changes: Partial<FinishedInvocation> = {}): FinishedInvocation {
  return {
    trace: telemetry.begin(null),
    invocationId: 'inv-1',
    functionName: 'hello',
    version: 'v1',
    arm: 'split',
    trustGroup: 'default',
    trigger: 'http',
    probe: false,
    startedAtMs: 1_800_000_000_000.25,
    headAtMs: 1_800_000_000_006,
    endedAtMs: 1_800_000_000_007,
    facts: WARM,
    error: null,
    ...((changes.trigger ?? 'http') === 'http'
      ? { http: { method: 'GET', path: '/hello/x', status: 200, host: 'localhost' } }
      : {}),
    ...changes,
  };
}

export function poolSnapshot(changes: Partial<PoolSnapshot> = {}): PoolSnapshot {
  return {
    hosts: [],
    bases: { booting: 0, rehearsing: 0, warm: 3, leased: 2, draining: 0, dead: 0 },
    stock: [],
    waiting: 0,
    pools: [
      {
        name: 'default',
        placement: 'pack',
        maxBases: 256,
        memoryMb: 4_096,
        usedMb: 300,
        pressure: 'none',
        hosts: 1,
        bases: { booting: 0, rehearsing: 0, warm: 3, leased: 2, draining: 0, dead: 0 },
        borrowed: 0,
        lent: 0,
        waiting: 4,
      },
    ],
    ...changes,
  };
}

export function silentLog(): Logger {
  return createLogger({ level: 'silent', pretty: false, write: (line) => process.stderr.write(line) });
}
