/** Takes log lines as bases send them: into Hearth's own log with their trace ids, and into the ring of their function. */
import { spanIdOf } from '../../functions/contract/span.ts';
import type { KeeperHooks } from '../../pool/keeper/api.ts';
import type { FunctionLogLine, FunctionLogs } from './function-logs.ts';
import type { Logger } from './log.ts';
import type { LogBudget } from './log-budget.ts';
import type { Telemetry, TraceContext } from './telemetry.ts';

export interface FunctionLogWriterOptions {
  log: Logger;
  logs: FunctionLogs;
  /** Where lines are exported. */
  telemetry?: Pick<Telemetry, 'logged'>;
  /** Of what goes further than the function's own log. */
  budget: LogBudget;
  /** The trace of an invocation that runs or has just ended, and how its version was chosen. */
  traceOf(invocationId: string): (Pick<TraceContext, 'traceId' | 'invokeSpanId'> & { arm: string }) | undefined;
}

export function createFunctionLogWriter(options: FunctionLogWriterOptions): KeeperHooks['log'] {
  const { log, logs, telemetry, budget, traceOf } = options;
  return (spec, instance, lines, dropped) => {
    const { functionName, version } = spec;
    for (const { time, level, message, invocationId, span } of lines) {
      const trace = invocationId === null ? undefined : traceOf(invocationId);
      const spanId = trace === undefined ? null : spanOf(trace.invokeSpanId, span);
      const line: FunctionLogLine = {
        time,
        level,
        function: functionName,
        version,
        instance,
        invocationId,
        arm: trace?.arm ?? null,
        traceId: trace?.traceId ?? null,
        spanId,
        message,
      };
      logs.append(line);
      if (!budget.take(functionName, message.length)) continue;
      telemetry?.logged(line);
      const leftOut = budget.leftOut(functionName);
      if (leftOut > 0) log.warn(TOO_MUCH, { function: functionName, version, instance, lines: leftOut });
      log[level](message, {
        function: functionName,
        version,
        instance,
        ...(invocationId === null ? {} : { invocation_id: invocationId }),
        ...(trace === undefined ? {} : { trace_id: trace.traceId, span_id: spanId, arm: trace.arm }),
      });
    }
    if (dropped === 0) return;
    logs.countDropped(functionName, dropped);
    if (!budget.take(functionName, 0)) return;
    log.warn('A function wrote more log lines than are taken; some were dropped.', {
      function: functionName,
      version,
      instance,
      dropped,
    });
  };
}

const TOO_MUCH = 'A function wrote more than goes into the log of all; those lines stand in its own log alone.';

/** The innermost one that is in the trace as well. */
function spanOf(invokeSpanId: string, span: number | undefined): string {
  return span === undefined ? invokeSpanId : spanIdOf(invokeSpanId, span);
}
