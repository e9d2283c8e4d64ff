/**
 * What travels over the link between gateway and base: the heads of streams, as plain JSON. One versioned set of
 * discriminated unions, imported by both ends. Bodies travel beside them as raw bytes (pool/link).
 *
 * The gateway opens streams of kind `load` and `invoke`, the base opens streams of kind `binding`.
 */

import type { AssetSettings } from './manifest-workers.ts';
import type {
  BreakerSettings,
  ConfigCall,
  CounterCall,
  LockCall,
  R2Call,
  RateCall,
  ServiceSpec,
  TopicCall,
} from './service-calls.ts';
import type { SpansEvent } from './span.ts';

/** Raised when either end would misread the other. Sent in `hello`; a mismatch ends the base. */
export const PROTOCOL_VERSION = 2;

export type TriggerKind = 'http' | 'cron' | 'queue' | 'rpc';

/** Header names in lower case; a name may repeat (`set-cookie`). */
export type HeaderList = [name: string, value: string][];

/** `env` entries a manifest asks for. Values of vars and secrets travel in `LoadHead.vars`, never as bindings. */
export type BindingSpec =
  | { kind: 'kv'; name: string; namespace: string }
  | { kind: 'queue'; name: string; queue: string; deliveryDelayS?: number }
  | {
      kind: 'service';
      name: string;
      service: string;
      entrypoint?: string;
      props?: unknown;
      /** Of its `fetch`. */
      breaker?: BreakerSettings;
    }
  | AssetsSpec
  | ServiceSpec;

/** Static assets of the module's own version. `listing`: the hash of what there is. */
export interface AssetsSpec {
  kind: 'assets';
  name: string;
  listing: string;
  html_handling: AssetSettings['html_handling'];
  not_found_handling: AssetSettings['not_found_handling'];
}

/**
 * gateway → base: take this module in. The stream's body is `codeBytes` of code, then `cacheBytes` of V8 code cache.
 * Answered by a LoadedHead, or cancelled with PROBE_FAILED when the code does not compile or its top level throws.
 */
export interface LoadHead {
  kind: 'load';
  /** Names the module in this base; later `invoke` heads refer to it. */
  module: string;
  functionName: string;
  version: string;
  /** `cjs`: run by vm.Script. `esm`: has top-level await, loaded from a data: URL in a base of its own. */
  format: 'cjs' | 'esm';
  codeBytes: number;
  cacheBytes: number;
  /** Directory with the module's own files (static assets, templates), `__dirname` and cwd of the module; null: none. */
  filesDir: string | null;
  /** A canned module loaded before the base is called warm: nothing is dropped or bound by it. */
  rehearsal: boolean;
  /** What `process.env` holds: vars and secrets as strings. */
  vars: Record<string, string>;
  /** `vars` of the manifest that are not strings (Workers allows JSON): these go into `env` as they are. */
  jsonVars: Record<string, unknown>;
  bindings: BindingSpec[];
  network: 'all' | 'none';
  /** Milliseconds one uninterrupted turn of the loop may take; 0: no limit of its own. */
  cpuMs: number;
  /** Heap, Buffers and WASM together; 0 in a rehearsal, when nothing is watched. */
  memoryMb: number;
  /** True for the probe of a deploy: the base answers with a code cache made after execution. */
  wantCodeCache: boolean;
  /** Set for a module of a group, also where it stands alone to be proved: its code is framed for having others beside it. */
  group?: ModuleOfGroup;
}

export interface ModuleOfGroup {
  /** Its number in this base, by which the host says whose code ran. */
  place: number;
  /** Wall clock of one invocation, ms: of calls from beside it, which the gateway does not see. */
  timeoutMs: number;
}

/** Moments on the machine's monotonic clock, in ms, comparable across processes (see monotonicMs). */
export interface LoadTimes {
  receivedAt: number;
  compiledAt: number;
  evaluatedAt: number;
}

/** base → gateway, the answer to `load`. With `wantCodeCache`, the cache is the body. */
export interface LoadedHead extends LoadTimes {
  kind: 'loaded';
  /** What the module can be triggered by. */
  handlers: ('fetch' | 'scheduled' | 'queue' | 'rpc' | 'node-http')[];
  /** Whether the code cache sent along was taken by V8. */
  cacheUsed: boolean;
}

/** Of every trigger. */
export interface InvokeCommon {
  kind: 'invoke';
  module: string;
  invocationId: string;
  /** Named export that is a WorkerEntrypoint class; absent for the default export. */
  entrypoint?: string;
  props?: unknown;
  /** Hops so far; what the function calls carries one more. */
  hops: number;
  /** W3C traceparent of the invoke span: goes into outgoing fetch and service calls. */
  traceparent: string;
  /** Milliseconds from receipt until `ctx.signal` is aborted; the gateway gives up by its own clock as well. */
  timeoutMs: number;
}

/** An HTTP request. The stream's body is the request's. Answered by HttpResponseHead. */
export interface HttpInvokeHead extends InvokeCommon {
  trigger: 'http';
  method: string;
  url: string;
  headers: HeaderList;
  hasBody: boolean;
  /** A WebSocket upgrade: after a response head with status 101 both directions carry messages (pool/link/messages). */
  upgrade: boolean;
  /** The client as the gateway saw it, for adapters that offer `socket.remoteAddress`. */
  remoteAddress: string;
}

export interface CronInvokeHead extends InvokeCommon {
  trigger: 'cron';
  cron: string;
  /** Epoch ms at which it was due. */
  scheduledTime: number;
}

export interface QueueMessageHead {
  id: string;
  /** Epoch ms of acceptance. */
  timestamp: number;
  attempts: number;
  contentType: 'json' | 'text' | 'bytes' | 'v8';
  /** Where its bytes stand in the stream's body. */
  bytes: number;
}

/** A batch. The stream's body is the messages' bytes one after another. Answered by QueueResultHead. */
export interface QueueInvokeHead extends InvokeCommon {
  trigger: 'queue';
  queue: string;
  messages: QueueMessageHead[];
}

/**
 * Calls of a WorkerEntrypoint's methods. What the stream carries each way hangs on `wire`:
 *
 *   base     messages of a Cap'n Web session, framed as texts of pool/link/messages, while either side holds the other's stubs
 *   client   the same, with a client of the gateway: only what Cap'n Web itself carries
 *   batch    messages of such a client all at once, one a line; the answer's body is the answers to them, one a line
 *   json     the arguments of one call as a JSON array; the answer's body is the result as JSON
 */
export interface RpcInvokeHead extends InvokeCommon {
  trigger: 'rpc';
  wire: 'base' | 'client' | 'batch' | 'json';
  /** What is called (`json`), or called first, for logs and traces. */
  method: string;
}

export type InvokeHead = HttpInvokeHead | CronInvokeHead | QueueInvokeHead | RpcInvokeHead;

/** Moments on the machine's monotonic clock: when the handler was called. */
export interface RunTimes {
  calledAt: number;
}

export interface HttpResponseHead extends RunTimes {
  kind: 'response';
  status: number;
  statusText: string;
  headers: HeaderList;
  /** Whether `ctx.waitUntil` still runs: the slot is held until the base says `settled`. */
  waiting: boolean;
  /** Set when the answer is a WebSocket (status 101). */
  webSocket: boolean;
}

export interface CronResultHead extends RunTimes {
  kind: 'cron-result';
  /** `controller.noRetry()` was called. */
  noRetry: boolean;
  waiting: boolean;
}

/** What the handler decided, per message, after Workers' precedence: explicit calls win over ackAll/retryAll. */
export type MessageVerdict = { id: string; verdict: 'ack' } | { id: string; verdict: 'retry'; delayS: number | null };

export interface QueueResultHead extends RunTimes {
  kind: 'queue-result';
  /** One per message of the batch. When the handler threw, messages without an explicit ack are `retry`. */
  verdicts: MessageVerdict[];
  /** Set when the handler threw; its stack goes to the log. */
  error: { name: string; message: string } | null;
  waiting: boolean;
}

export interface RpcResultHead extends RunTimes {
  kind: 'rpc-result';
  /** Always set for a session: it goes on until the base says `settled`. */
  waiting: boolean;
  /** Of a session: the first method threw, which its caller hears within the session. */
  error?: { name: string; message: string };
}

export type ResultHead = HttpResponseHead | CronResultHead | QueueResultHead | RpcResultHead;

/** base → gateway: the module uses one of its bindings. Body and answer as each operation says. */
export interface BindingCallHead {
  kind: 'binding';
  module: string;
  /** The invocation in whose context the call is made, when AsyncLocalStorage knows it. */
  invocationId: string | null;
  /** The invocation is one that the gateway does not know, called from within the base: its place in trace and chain. */
  within?: { hops: number; traceparent: string };
  /** The span of that invocation, as the base numbers them, within which the call is made. */
  span?: number;
  /** Name in `env`. The gateway looks it up among the module's own bindings and refuses any other. */
  binding: string;
  /** What is asked; which ops exist depends on the binding's kind. */
  call:
    | KvCall
    | QueueCall
    | ServiceCall
    | AssetsCall
    | R2Call
    | LockCall
    | CounterCall
    | ConfigCall
    | RateCall
    | TopicCall;
}

export type KvCall =
  /** Answer: {found, metadata, expiration}, body: the value. */
  | { op: 'kv.get'; key: string }
  /** Body: the value. `expiration`: epoch s. */
  | { op: 'kv.put'; key: string; expiration: number | null; metadata: unknown }
  | { op: 'kv.delete'; key: string }
  /** Answer: KvListResult. */
  | { op: 'kv.list'; prefix: string; limit: number; cursor: string | null };

export interface KvListResult {
  keys: { name: string; expiration?: number; metadata?: unknown }[];
  list_complete: boolean;
  cursor?: string;
}

/** Body: the messages' bytes one after another. Answer: {ids}. */
export type QueueCall = {
  op: 'queue.send';
  messages: { contentType: 'json' | 'text' | 'bytes' | 'v8'; bytes: number; delayS: number | null }[];
};

export type ServiceCall =
  /** Body: the request's. Answer: HttpResponseHead with the response's body. */
  | {
      op: 'service.fetch';
      method: string;
      url: string;
      headers: HeaderList;
      hasBody: boolean;
      upgrade: boolean;
    }
  /** Both bodies: messages of a session, see RpcInvokeHead. Answer: RpcResultHead. */
  | { op: 'service.rpc'; method: string };

/** Answer: HttpResponseHead with the asset's content. */
export type AssetsCall = { op: 'assets.fetch'; method: string; url: string; headers: HeaderList };

/** Messages without a stream, base → gateway. */
export type BaseEvent =
  /** First message on the socket. `token` is the one the gateway gave for this base; used once. */
  | { event: 'hello'; protocol: number; base: string; token: string }
  /** These streams were handed to a handler; from here on nothing of them is tried elsewhere. */
  | { event: 'started'; streams: number[] }
  /** `waitUntil` of this invocation has come to its end, `timedOut` when it was cut off. */
  | { event: 'settled'; invocationId: string; timedOut: boolean }
  /** Lines of console.*; capped, with a count of what was dropped since the last one. */
  | { event: 'log'; lines: LogLine[]; dropped: number }
  | SpansEvent
  /** Of a group: these modules were called by others in the base since the last such message, so often, and failed so often. */
  | { event: 'used'; modules: string[]; calls: number[]; failed: number[] }
  /** An uncaught exception: the base has to be retired. */
  | { event: 'broken'; reason: string };

/** Messages without a stream, gateway → base. */
export type GatewayEvent =
  /** No more invocations will come; the base ends by itself when nothing runs. */
  | { event: 'drain' }
  /** Take this module out (groups): nothing new reaches it, what runs in it ends. */
  | { event: 'unload'; module: string }
  /**
   * The exchange of this invocation was cancelled while it ran: `settled` says when nothing of it runs any more, at once
   * where it had come to its end while the cancel was on its way.
   */
  | { event: 'abandoned'; invocationId: string }
  /** Of a group: calls of this function by its neighbours go to this module. Null: they go over the link. */
  | { event: 'peer'; function: string; module: string | null };

export interface LogLine {
  /** Epoch ms. */
  time: number;
  level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  module: string;
  invocationId: string | null;
  /** The span of that invocation, as the base numbers them, within which it was written. */
  span?: number;
  message: string;
}

/** Milliseconds on CLOCK_MONOTONIC: the same clock in every process and thread of one machine (Linux, macOS). */
export function monotonicMs(): number {
  return performance.now() + MONOTONIC_OFFSET_MS;
}

// hrtime reads the clock itself; performance.now() is it less this thread's start, and cheaper to read. A thread that is
// put aside between the two readings finds too little, and all its moments would be early: the most of several is right.
const MONOTONIC_OFFSET_MS = Math.max(
  ...Array.from({ length: 4 }, () => Number(process.hrtime.bigint()) / 1e6 - performance.now()),
);
