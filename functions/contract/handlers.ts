/** Types an author of a function relies on. Names and meanings are Cloudflare Workers' unless a comment says otherwise. */

export interface ExecutionContext {
  /** Keeps the invocation's slot until the promise settles, at most 30 s after the response. */
  waitUntil(promise: Promise<unknown>): void;
  /** Accepted for compatibility; Hearth has no origin to pass through to. */
  passThroughOnException(): void;
  readonly props: unknown;
  readonly exports: Record<string, unknown>;
  /** Hearth's own: what a Node platform adds. */
  readonly invocationId: string;
  /** Aborted at the deadline, or when the client has gone away. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Begins a span in this invocation's trace. */
  readonly startSpan: StartSpan;
}

export type SpanAttributes = Record<string, string | number | boolean>;

/**
 * `parent`: the id of a span begun before in the same invocation; null: the invocation's own span; absent: the span
 * within whose `run` this is called. Never throws: what is too long is cut, and beyond 128 spans of one invocation none is reported.
 */
export type StartSpan = (name: string, attributes?: SpanAttributes, parent?: number | null) => Span;

export interface Span {
  /** Among the spans of its invocation. */
  readonly id: number;
  /** What is begun and called within, and over its awaits, belongs to this span in the trace. */
  run<Result>(call: () => Result): Result;
  /** With an error when it failed. Only what has ended is exported; a second call changes nothing. */
  end(error?: string | null, attributes?: SpanAttributes): void;
}

export interface Logger {
  debug(...args: unknown[]): void;
  info(...args: unknown[]): void;
  warn(...args: unknown[]): void;
  error(...args: unknown[]): void;
}

export interface ScheduledController {
  readonly cron: string;
  /** Epoch ms at which it was due. */
  readonly scheduledTime: number;
  noRetry(): void;
}

export interface RetryOptions {
  delaySeconds?: number;
}

export interface Message<Body = unknown> {
  readonly id: string;
  readonly timestamp: Date;
  readonly body: Body;
  readonly attempts: number;
  ack(): void;
  retry(options?: RetryOptions): void;
}

export interface MessageBatch<Body = unknown> {
  readonly queue: string;
  readonly messages: readonly Message<Body>[];
  ackAll(): void;
  retryAll(options?: RetryOptions): void;
}

export type QueueContentType = 'json' | 'text' | 'bytes' | 'v8';

export interface Queue<Body = unknown> {
  /** Resolves once the message is durable. */
  send(body: Body, options?: { contentType?: QueueContentType; delaySeconds?: number }): Promise<void>;
  sendBatch(
    messages: Iterable<{ body: Body; contentType?: QueueContentType; delaySeconds?: number }>,
    options?: { delaySeconds?: number },
  ): Promise<void>;
}

export interface KVNamespace {
  get(key: string, type?: 'text' | { type?: 'text'; cacheTtl?: number }): Promise<string | null>;
  get<T = unknown>(key: string, type: 'json' | { type: 'json'; cacheTtl?: number }): Promise<T | null>;
  get(key: string, type: 'arrayBuffer' | { type: 'arrayBuffer'; cacheTtl?: number }): Promise<ArrayBuffer | null>;
  get(key: string, type: 'stream' | { type: 'stream'; cacheTtl?: number }): Promise<ReadableStream | null>;
  getWithMetadata<M = unknown>(
    key: string,
    type?: 'text' | 'json' | 'arrayBuffer' | 'stream' | { type?: 'text' | 'json' | 'arrayBuffer' | 'stream' },
  ): Promise<{ value: unknown; metadata: M | null; cacheStatus: null }>;
  put(
    key: string,
    value: string | ArrayBuffer | ArrayBufferView | ReadableStream,
    options?: { expiration?: number; expirationTtl?: number; metadata?: unknown },
  ): Promise<void>;
  list<M = unknown>(options?: {
    prefix?: string;
    limit?: number;
    cursor?: string;
  }): Promise<{
    keys: { name: string; expiration?: number; metadata?: M }[];
    list_complete: boolean;
    cursor?: string;
  }>;
  delete(key: string): Promise<void>;
}

/** A module in a base: one object as long as it stands there, so that what it hands over can be kept by it. */
export interface BaseModule {
  readonly function: string;
  readonly version: string;
}

/** What the setup of a base hears of the modules that come into it and leave it. */
export interface BaseModules {
  /** Whose code runs; null: the base's own, or nobody knows. */
  current(): BaseModule | null;
  /** Called back when a module has been taken out and nothing of it runs any more: what is kept of it holds it in memory. */
  onLeave(listener: (module: BaseModule) => void): void;
}

/** A service binding: another function, called with a Request, or by method over RPC. */
export interface Fetcher {
  fetch(input: Request | string | URL, init?: RequestInit): Promise<Response>;
}

export interface ExportedHandler<Env = Record<string, unknown>> {
  fetch?(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response>;
  scheduled?(controller: ScheduledController, env: Env, ctx: ExecutionContext): void | Promise<void>;
  queue?(batch: MessageBatch, env: Env, ctx: ExecutionContext): void | Promise<void>;
}
