/**
 * One path for all triggers: trigger → invocation (id, deadline, trace context, hop count) → keeper → base → telemetry.
 */
import type { HearthError } from '../../functions/contract/errors.ts';
import type { InvokeHead, ResultHead } from '../../functions/contract/invocation.ts';
import type { SpanReport } from '../../functions/contract/span.ts';
import type { InvokeFacts, InvokeHandle, ModuleSpec } from '../../pool/keeper/api.ts';
import type { FunctionEntry, VersionEntry } from '../registry/registry.ts';

/** The caller's place in a trace and in a chain of calls. */
export interface CallContext {
  /** W3C traceparent as it came in; null starts a trace. */
  traceparent: string | null;
  hops: number;
  /** Monotonic ms at which the trigger reached Hearth, where that was before the call: `wait` counts from there. */
  arrivedAt?: number;
}

export type TriggerHead = DistributiveOmit<
  InvokeHead,
  'kind' | 'module' | 'invocationId' | 'hops' | 'traceparent' | 'timeoutMs'
>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** As the keeper's sink, but never called before `dispatch` has returned. See InvokeSink for order and meaning. */
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

/** Body of an answer that `call` collects. */
export const MAX_CALL_ANSWER_BYTES = 32 * 1024 * 1024;

export interface CallOptions {
  /** Aborts the invocation. */
  signal?: AbortSignal;
  /** For a repeated attempt: the id of the first one. Default: a new one. */
  invocationId?: string;
  /** Resolve only when `waitUntil` has ended as well (default: when the answer has). */
  settled?: boolean;
  /** As for `dispatch`. */
  arm?: string;
  /** Of a batch: who sent each message, in the messages' order; each message's span links to it. */
  producers?: (string | null)[];
}

export interface CallResult {
  invocationId: string;
  head: ResultHead;
  body: Uint8Array;
  facts: InvokeFacts;
}

export interface Dispatcher {
  /** Streams both ways: what HTTP and services need. Never throws; failures reach the sink. */
  dispatch(
    entry: FunctionEntry,
    version: VersionEntry,
    head: TriggerHead,
    context: CallContext,
    sink: DispatchSink,
    /** How the version was chosen: ARM in telemetry/names.ts. Default: by the split. */
    arm?: string,
  ): Dispatched;
  /**
   * For triggers with a whole body and a small answer: cron, queue, RPC. Rejects with HearthError: PAYLOAD_TOO_LARGE
   * for an answer over MAX_CALL_ANSWER_BYTES, or with the signal's reason when it was aborted.
   */
  call(
    entry: FunctionEntry,
    version: VersionEntry,
    head: TriggerHead,
    context: CallContext,
    body: Uint8Array | null,
    options?: CallOptions,
  ): Promise<CallResult>;
  /**
   * The place of one of a module's own invocations in its trace and chain: what it calls carries one hop more. Without
   * an id, and for one that is no longer known, the place of background work: no trace, no hops. Null when the id
   * belongs to another function.
   */
  context(invocationId: string | null, spec: ModuleSpec): CallContext | null;
  /** Its base tells what happened within a running invocation of this version; any other is passed over. */
  reported(spec: ModuleSpec, invocationId: string, spans: readonly SpanReport[]): void;
  /** What is known of a recent invocation; the last few thousand are kept in memory. */
  invocation(id: string): InvocationRecord | undefined;
  /** Newest first. */
  recent(functionName: string, most: number): InvocationRecord[];
}

export interface InvocationRecord {
  id: string;
  functionName: string;
  version: string;
  /** How that version was chosen. */
  arm: string;
  trigger: 'http' | 'cron' | 'queue' | 'rpc';
  state: 'running' | 'ok' | 'error';
  /** Epoch ms. */
  startedAt: number;
  endedAt: number | null;
  attempts: number;
  traceId: string;
  /** W3C, of the invoke span. */
  readonly traceparent: string;
  facts: InvokeFacts | null;
  /** HTTP status, where there is one. */
  status: number | null;
  error: { code: string; message: string } | null;
}
