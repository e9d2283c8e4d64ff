/** Types of the services in `env`, for authors. Files are Cloudflare's R2; locks and counters are Hearth's own. */
import type { QueueContentType } from './handlers.ts';
import type { R2Digest, R2HttpMetadata as Wire } from './service-calls.ts';

export type R2HttpMetadata = Omit<Wire, 'cacheExpiry'> & { cacheExpiry?: Date };

/** All that is given has to hold. An etag is given without quotes; `*` stands for any. */
export interface R2Conditional {
  etagMatches?: string | string[];
  etagDoesNotMatch?: string | string[];
  uploadedBefore?: Date;
  uploadedAfter?: Date;
  /** Times are compared in whole seconds. */
  secondsGranularity?: boolean;
}

export type R2Range = { offset: number; length?: number } | { offset?: number; length: number } | { suffix: number };

export interface R2GetOptions {
  /** Headers: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since. */
  onlyIf?: R2Conditional | Headers;
  /** Headers: Range, of one range in bytes. */
  range?: R2Range | Headers;
}

export interface R2PutOptions {
  onlyIf?: R2Conditional | Headers;
  /** Headers: Content-Type and the like. */
  httpMetadata?: R2HttpMetadata | Headers;
  /** With `httpMetadata` 8 KB at most. */
  customMetadata?: Record<string, string>;
  /** One digest of the content, as bytes or in hexadecimal: what does not have it is refused. */
  md5?: ArrayBuffer | ArrayBufferView | string;
  sha1?: ArrayBuffer | ArrayBufferView | string;
  sha256?: ArrayBuffer | ArrayBufferView | string;
  sha384?: ArrayBuffer | ArrayBufferView | string;
  sha512?: ArrayBuffer | ArrayBufferView | string;
}

export interface R2ListOptions {
  prefix?: string;
  /** At most 1000, which it is when it is left out. */
  limit?: number;
  cursor?: string;
  delimiter?: string;
  startAfter?: string;
  /** Accepted: metadata is always there. */
  include?: ('httpMetadata' | 'customMetadata')[];
}

export interface R2Objects {
  objects: R2Object[];
  delimitedPrefixes: string[];
  truncated: boolean;
  /** Where it is truncated. */
  cursor?: string;
}

export interface R2Object {
  readonly key: string;
  readonly version: string;
  readonly size: number;
  readonly etag: string;
  /** In quotes, as the ETag header has it. */
  readonly httpEtag: string;
  readonly uploaded: Date;
  readonly httpMetadata: R2HttpMetadata;
  readonly customMetadata: Record<string, string>;
  readonly checksums: Partial<Record<R2Digest, ArrayBuffer>> & { toJSON(): Partial<Record<R2Digest, string>> };
  readonly storageClass: 'Standard';
  /** Of the content, where it was asked for. */
  readonly range?: { offset: number; length: number };
  writeHttpMetadata(headers: Headers): void;
}

export interface R2ObjectBody extends R2Object {
  readonly body: ReadableStream<Uint8Array>;
  readonly bodyUsed: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
  bytes(): Promise<Uint8Array>;
  text(): Promise<string>;
  json<T = unknown>(): Promise<T>;
  blob(): Promise<Blob>;
}

/** `r2_buckets`. Multipart uploads are not there: `put` takes a stream of any length up to HEARTH_MAX_BODY_MB. */
export interface R2Bucket {
  head(key: string): Promise<R2Object | null>;
  /** Null: there is none. Without a body: the condition does not hold. */
  get(key: string, options?: R2GetOptions): Promise<R2ObjectBody | R2Object | null>;
  /** Null: the condition does not hold, and nothing has changed. */
  put(
    key: string,
    value: ReadableStream | ArrayBuffer | ArrayBufferView | string | Blob | null,
    options?: R2PutOptions,
  ): Promise<R2Object | null>;
  delete(keys: string | string[]): Promise<void>;
  list(options?: R2ListOptions): Promise<R2Objects>;
}

/** A lock that is held. */
export interface Lock extends AsyncDisposable {
  /** Higher than that of every lock before it, for ever: what it is sent along with can refuse an older one. */
  readonly fencing: number;
  /** Aborted when it is no longer held: its time is over, or it was released. */
  readonly signal: AbortSignal;
  /** Another `ttlMs` from now on. False: it was no longer held. */
  renew(ttlMs?: number): Promise<boolean>;
  /** False: it was no longer held. */
  release(): Promise<boolean>;
}

export interface LockOptions {
  /** How long it is held without being renewed, 100 to 3,600,000 ms. Default 30,000. */
  ttlMs?: number;
  /** How long to wait for it, at most 600,000 ms. Default 0 for `acquire`, 30,000 for `withLock`. */
  waitMs?: number;
}

/** `hearth.locks`. A lock is released when the base of its holder dies, and ends with its time where that goes unseen. */
export interface Locks {
  /** Null: another one has it, and had it all the time. */
  acquire(name: string, options?: LockOptions): Promise<Lock | null>;
  /**
   * Calls `work` while the lock is held, renewing it, and releases it then. Rejects with LockError when the lock is not to
   * be had; that it was lost meanwhile `lock.signal` says.
   */
  withLock<Result>(
    name: string,
    work: (lock: Lock) => Result | Promise<Result>,
    options?: LockOptions,
  ): Promise<Result>;
}

/** `hearth.counters`. All numbers are safe integers. */
export interface Counters {
  /** The sum. `by`: 1 unless given; may be negative, and 0. */
  increment(name: string, by?: number): Promise<number>;
  /** 0 where nothing was ever counted. */
  get(name: string): Promise<number>;
  /** Unique and rising for ever, from 1 on; apart from the counter of this name. Gaps are possible. */
  next(name: string): Promise<number>;
  /** Sets the counter of this name back to 0. Sequences cannot be set back. */
  reset(name: string): Promise<void>;
}

/** One version of a configuration. What it holds is frozen. */
export interface ConfigSnapshot {
  /** 0: nothing was ever put. */
  readonly version: number;
  readonly values: Readonly<Record<string, unknown>>;
}

/**
 * `hearth.config`: what `PUT /v1/config/NAMESPACE` has put last, there before the module's own code runs. Changes come by
 * themselves, within a second as a rule. Iterated, it gives the snapshot there is and then each one that follows.
 */
export interface Config extends AsyncIterable<ConfigSnapshot> {
  readonly version: number;
  get<Value = unknown>(key: string): Value | undefined;
  snapshot(): ConfigSnapshot;
  /** Called after each change; returns a function that ends it. */
  onChange(listener: (snapshot: ConfigSnapshot) => void): () => void;
}

/** `ratelimits`, as Workers has them. Each gateway counts for itself. */
export interface RateLimit {
  limit(options: { key: string }): Promise<{ success: boolean }>;
}

/** `hearth.topics.publishers`: each function that subscribes gets each message, by its `queue` handler. */
export interface Topic<Body = unknown> {
  /** Resolves once the message is durable in the queues of all subscribers. Without any it is gone. */
  publish(body: Body, options?: { contentType?: QueueContentType; delaySeconds?: number }): Promise<void>;
  publishBatch(
    messages: Iterable<{ body: Body; contentType?: QueueContentType; delaySeconds?: number }>,
    options?: { delaySeconds?: number },
  ): Promise<void>;
}

/**
 * `hearth.outbound`: calls to one origin. A redirect is answered as it is. Rejects with a TimeoutError, or where its breaker is
 * open with an error whose `code` is CIRCUIT_OPEN and which has `retryAfterMs`.
 */
export interface Outbound {
  /** A path, or a URL of that origin. */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
}
