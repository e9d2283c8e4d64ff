/** Finished calls as the dispatcher reports them, and chance that is the same each time. */
import type { FinishedInvocation } from '../../telemetry/telemetry.ts';

export interface CallSketch {
  functionName?: string;
  version?: string;
  /** HTTP status; null: no answer. */
  status?: number | null;
  latencyMs?: number;
  /** Loading; absent: a warm call. */
  coldMs?: number;
  probe?: boolean;
  instance?: string;
}

export function call(sketch: CallSketch): FinishedInvocation {
  const {
    functionName = 'shop',
    version = 'v2',
    status = 200,
    latencyMs = 1,
    coldMs,
    probe = false,
    instance = version,
  } = sketch;
  const phases = {
    wait: 0,
    run: latencyMs,
    ...(coldMs === undefined ? {} : { acquire: coldMs / 2, compile: coldMs / 2 }),
  };
  return {
    trace: { traceId: '', parentSpanId: null, serverSpanId: '', invokeSpanId: '', sampled: false },
    invocationId: 'i',
    functionName,
    version,
    arm: 'split',
    trustGroup: 'default',
    trigger: 'http',
    probe,
    startedAtMs: 0,
    headAtMs: latencyMs,
    endedAtMs: latencyMs,
    facts: {
      start: coldMs === undefined ? 'warm' : 'cold',
      instance,
      host: 'h',
      phases,
      arrivedAtMs: 0,
      headAt: latencyMs,
      attempt: 1,
    },
    error: status === null ? { code: 'FUNCTION_TIMEOUT', message: 'too late' } : null,
    http: { method: 'GET', path: '/', status, host: 'localhost' },
  };
}

/** Evenly between 0 and 1 (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
