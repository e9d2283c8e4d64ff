/** Finished invocations as they happen, for whoever follows a function's log: made into a view only while one does. */
import type { FinishedInvocation } from './telemetry.ts';

/** One finished invocation as a line of a log shows it. */
export interface FinishedCall {
  /** Epoch ms of its end. */
  time: number;
  invocationId: string;
  version: string;
  trigger: FinishedInvocation['trigger'];
  /** `GET /orders` of a request; the cron, the queue or the method of others. */
  what: string;
  /** HTTP status; null where there is none. */
  status: number | null;
  /** Null: it never got to a base. */
  start: 'cold' | 'warm' | null;
  /** From its arrival to the head of its answer, ms. */
  durationMs: number;
  /** Code of the error table; null: it ended well. */
  error: string | null;
}

export interface CallFeed {
  finished(invocation: FinishedInvocation): void;
  /** Called with each from now on, until the returned function is called. Probes of deploys are left out. */
  subscribe(functionName: string, listener: (call: FinishedCall) => void): () => void;
}

export function createCallFeed(): CallFeed {
  const listeners = new Map<string, Set<(call: FinishedCall) => void>>();
  return {
    finished(invocation) {
      const set = listeners.get(invocation.functionName);
      if (set === undefined || invocation.probe) return;
      const call = viewOf(invocation);
      for (const listener of set) listener(call);
    },
    subscribe(functionName, listener) {
      const set = listeners.getOrInsertComputed(functionName, () => new Set());
      const own = (call: FinishedCall) => listener(call);
      set.add(own);
      return () => {
        set.delete(own);
        if (set.size === 0 && listeners.get(functionName) === set) listeners.delete(functionName);
      };
    },
  };
}

function viewOf(invocation: FinishedInvocation): FinishedCall {
  const { invocationId, version, trigger, facts, startedAtMs, endedAtMs, error, http } = invocation;
  const phases: number[] = Object.values(facts?.phases ?? {});
  return {
    time: endedAtMs,
    invocationId,
    version,
    trigger,
    what: whatOf(invocation),
    status: http?.status ?? null,
    start: facts?.start ?? null,
    durationMs: facts === null ? endedAtMs - startedAtMs : phases.reduce((sum, ms) => sum + ms, 0),
    error: error?.code ?? null,
  };
}

function whatOf({ http, cron, queue, rpc, trigger }: FinishedInvocation): string {
  if (http !== undefined) return `${http.method} ${http.path}`;
  return cron?.expression ?? queue?.name ?? rpc?.method ?? trigger;
}
