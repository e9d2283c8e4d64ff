/** What the gateway tells about itself: spans, metrics and log lines, by the names in names.ts. */
import type { ErrorCode } from '../../functions/contract/errors.ts';
import type { TriggerKind } from '../../functions/contract/invocation.ts';
import type { SpanReport } from '../../functions/contract/span.ts';
import type { InvokeFacts, PoolSnapshot } from '../../pool/keeper/api.ts';
import type { Figures } from './figures.ts';
import type { FunctionLogLine } from './function-logs.ts';
import type { FunctionHealth } from './health.ts';

/** Ids of one invocation's place in a trace, decided when it begins. */
export interface TraceContext {
  /** 32 hex digits. */
  traceId: string;
  /** Parent of the server (or trigger) span; null at the root. */
  parentSpanId: string | null;
  /** 16 hex digits each, made beforehand since the function gets the invoke span's as its parent. */
  serverSpanId: string;
  invokeSpanId: string;
  /** Decision at the head (OTEL_TRACES_SAMPLER). Cold starts, errors and timeouts are exported all the same. */
  sampled: boolean;
}

/** All that is known when an invocation has ended. Spans are made from it afterwards, so an unsampled call costs next to nothing. */
export interface FinishedInvocation {
  trace: TraceContext;
  invocationId: string;
  functionName: string;
  version: string;
  /** How that version was chosen: ARM in names.ts. */
  arm: string;
  trustGroup: string;
  trigger: TriggerKind;
  /** The deploy's probe: marked, and counted as no one's cold start. */
  probe: boolean;
  /** Epoch ms: arrival, response head (null: none), end. */
  startedAtMs: number;
  headAtMs: number | null;
  endedAtMs: number;
  facts: InvokeFacts | null;
  error: { code: ErrorCode; message: string } | null;
  /** `route` is the pattern that matched, such as `/NAME/*`: it names the span, since paths are too many for that. */
  http?: { method: string; path: string; status: number | null; host: string; route?: string };
  cron?: { expression: string; scheduledTimeMs: number };
  /** One span per message, each linked to its producer. */
  queue?: { name: string; messages: { id: string; traceparent: string | null; attempts: number }[] };
  rpc?: { method: string };
  /** What happened while the function ran, as its base tells it. */
  spans?: readonly SpanReport[];
}

export interface Telemetry {
  /** Starts a context: continues `traceparent` when it is valid, else begins a trace. */
  begin(traceparent: string | null): TraceContext;
  /** `00-…` of the invoke span, for the function. */
  traceparent(trace: TraceContext): string;
  finished(invocation: FinishedInvocation): void;
  /** A line that a function wrote: exported where that is on. */
  logged(line: FunctionLogLine): void;
  /** `hearth.group.calls` and `hearth.group.errors`: further calls of a function by its neighbours, and how many of them failed. */
  direct(functionName: string, calls: number, failed: number): void;
  /** `hearth.pool.acquire_duration`. */
  acquired(durationMs: number): void;
  queueDepth(queue: string, depth: number, oldestAgeMs: number): void;
  /** The function was deleted: its metrics go, so that many short-lived functions do not fill the memory. */
  forgetFunction(functionName: string): void;
  /** Its traffic has changed: metrics of versions that it does not name go. */
  forgetVersions(functionName: string, named: (version: string) => boolean): void;
  /** The queue was deleted. */
  forgetQueue(queue: string): void;
  /** What the last minutes brought, from the same counters as the metrics. */
  readonly figures: Figures;
  /** Prometheus text format, written in turns of a millisecond: with thousands of functions it is megabytes. */
  metricsChunks(): AsyncIterable<string>;
  /** The same in one piece. */
  metricsText(): Promise<string>;
  /** Exports what is pending, at most so long. */
  shutdown(deadlineMs: number): Promise<void>;
}

export interface TelemetrySources {
  /** This and what follows is read when metrics are collected. */
  pool(): PoolSnapshot;
  /** Of functions that were called. */
  health?(): Iterable<[functionName: string, health: Pick<FunctionHealth, 'state' | 'restarts'>]>;
  store?(): { usedBytes: number; limitBytes: number | null };
  /** Whether metrics name this version; those it does not are counted together. Default: all. */
  serves?(functionName: string, version: string): boolean;
}
