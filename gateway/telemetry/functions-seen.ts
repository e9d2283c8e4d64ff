/** What this gateway sees of functions beside their figures: the lines they write, and how they fare. */
import type { KeeperHooks, PoolEvent } from '../../pool/keeper/api.ts';
import type { FunctionFailure } from '../triggers/dispatch.ts';
import type { Dispatcher } from '../triggers/dispatcher.ts';
import { createFunctionLogWriter } from './function-log-writer.ts';
import { createFunctionLogs, type FunctionLogs } from './function-logs.ts';
import { createHealth, type FunctionHealth } from './health.ts';
import type { Logger } from './log.ts';
import { createLogBudget } from './log-budget.ts';
import type { FinishedInvocation, Telemetry } from './telemetry.ts';
import { parseTraceparent } from './traceparent.ts';

export interface FunctionsSeenParts {
  log: Logger;
  /** Epoch ms. */
  now(): number;
  /** Those that run, or have just ended. */
  invocation: Dispatcher['invocation'];
  logged: Telemetry['logged'];
  /** Under which keys what serves a function may be in quarantine. */
  keysOf(functionName: string): Iterable<string>;
}

export interface FunctionsSeen {
  readonly logs: FunctionLogs;
  readonly write: KeeperHooks['log'];
  /** Its owner has to read of it, which callers never do. */
  failed(failure: FunctionFailure): void;
  finished(invocation: FinishedInvocation): void;
  event(event: PoolEvent): void;
  healthOf(functionName: string): FunctionHealth;
  /** Of all that were called. */
  health(): Iterable<[functionName: string, health: FunctionHealth]>;
  forget(functionName: string): void;
}

export function createFunctionsSeen({ log, now, invocation, logged, keysOf }: FunctionsSeenParts): FunctionsSeen {
  const logs = createFunctionLogs();
  const budget = createLogBudget({ now });
  const health = createHealth();
  const write = createFunctionLogWriter({
    log,
    logs,
    telemetry: { logged },
    budget,
    traceOf(invocationId) {
      const found = invocation(invocationId);
      const parsed = parseTraceparent(found?.traceparent ?? '');
      if (found === undefined || parsed === null) return undefined;
      return { traceId: parsed.traceId, invokeSpanId: parsed.spanId, arm: found.arm };
    },
  });
  return {
    logs,
    write,
    failed({ spec, invocationId, instance, error }) {
      const message = `${error.code}: ${error.functionStack ?? error.message}`;
      const line = { time: now(), level: 'error' as const, module: spec.functionName, invocationId, message };
      write(spec, instance ?? 'none', [line], 0);
    },
    finished: health.finished,
    event: health.event,
    healthOf: (name) => health.of(name, keysOf(name)),
    health: () => health.all(keysOf),
    forget(name) {
      logs.forget(name);
      budget.forget(name);
      health.forget(name);
    },
  };
}
