/**
 * One path for all triggers: trigger → invocation (id, deadline, trace context, hop count) → keeper → base → telemetry.
 */
import type { HearthError } from '../../functions/contract/errors.ts';
import type { InvokeHead, ResultHead } from '../../functions/contract/invocation.ts';
import type { InvokeFacts, InvokeHandle } from '../../pool/keeper/api.ts';
import type { FunctionEntry, VersionEntry } from '../registry/registry.ts';

/** The caller's place in a trace and in a chain of calls. */
export interface CallContext {
  /** W3C traceparent as it came in; null starts a trace. */
  traceparent: string | null;
  hops: number;
}

export type TriggerHead = DistributiveOmit<
  InvokeHead,
  'kind' | 'module' | 'invocationId' | 'hops' | 'traceparent' | 'timeoutMs'
>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** As the keeper's sink, with the invocation known. See InvokeSink for order and meaning. */
export interface DispatchSink {
  head(head: ResultHead, facts: InvokeFacts): void;
  data(chunk: Uint8Array): void;
  end(): void;
  failed(error: HearthError, facts: InvokeFacts | null): void;
  drain(): void;
}

export interface Dispatched extends InvokeHandle {
  readonly invocationId: string;
  readonly version: VersionEntry;
}

export interface Dispatcher {
  /** Streams both ways: what HTTP and services need. Never throws; failures reach the sink. */
  dispatch(
    entry: FunctionEntry,
    version: VersionEntry,
    head: TriggerHead,
    context: CallContext,
    sink: DispatchSink,
  ): Dispatched;
  /** For triggers with a whole body and a small answer: cron, queue, RPC. Rejects with HearthError. */
  call(
    entry: FunctionEntry,
    version: VersionEntry,
    head: TriggerHead,
    context: CallContext,
    body: Uint8Array | null,
    options?: { signal?: AbortSignal; invocationId?: string },
  ): Promise<{ invocationId: string; head: ResultHead; body: Uint8Array; facts: InvokeFacts }>;
  /** What is known of a recent invocation; the last few thousand are kept in memory. */
  invocation(id: string): InvocationRecord | undefined;
  /** Newest first. */
  recent(functionName: string, most: number): InvocationRecord[];
}

export interface InvocationRecord {
  id: string;
  functionName: string;
  version: string;
  trigger: 'http' | 'cron' | 'queue' | 'rpc';
  state: 'running' | 'ok' | 'error';
  /** Epoch ms. */
  startedAt: number;
  endedAt: number | null;
  attempts: number;
  traceId: string;
  facts: InvokeFacts | null;
  /** HTTP status, where there is one. */
  status: number | null;
  error: { code: string; message: string } | null;
}
