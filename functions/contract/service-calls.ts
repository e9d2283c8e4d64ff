/** Bindings for the services that a function expects: what they are made of, and what travels for them over the link. */

/** As `BindingSpec` has them. `namespace`, `bucket` and `topic` mean something within the function's trust group. */
export type ServiceSpec =
  | { kind: 'r2'; name: string; bucket: string }
  | { kind: 'lock'; name: string; namespace: string }
  | { kind: 'counter'; name: string; namespace: string }
  | { kind: 'config'; name: string; namespace: string }
  | { kind: 'topic'; name: string; topic: string }
  | OutboundSpec
  | { kind: 'ratelimit'; name: string; namespace: string; limit: number; periodS: number };

/** When calls that fail are not made for a while. */
export interface BreakerSettings {
  failures: number;
  windowSeconds: number;
  openSeconds: number;
}

/** Served by the base itself: the gateway takes no part in it. */
export interface OutboundSpec {
  kind: 'outbound';
  name: string;
  origin: string;
  timeoutMs: number;
  retries: number;
  breaker?: BreakerSettings;
  /** Set on each request that does not have them. */
  headers: [name: string, value: string][];
  /** Secrets that its headers need and that are not set. */
  missing: string[];
}

export interface R2HttpMetadata {
  contentType?: string;
  contentLanguage?: string;
  contentDisposition?: string;
  contentEncoding?: string;
  cacheControl?: string;
  /** Epoch ms. */
  cacheExpiry?: number;
}

export type R2Digest = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** A file without its content. */
export interface R2File {
  key: string;
  version: string;
  size: number;
  etag: string;
  /** Epoch ms. */
  uploaded: number;
  http: R2HttpMetadata;
  custom: Record<string, string>;
  /** In hexadecimal. */
  checksums: Partial<Record<R2Digest, string>>;
}

/** Holds when all that is not null holds. `*` matches every etag of a file that is there. Times: epoch ms. */
export interface R2Condition {
  etagMatches: string[] | null;
  etagDoesNotMatch: string[] | null;
  uploadedBefore: number | null;
  uploadedAfter: number | null;
}

/** `offset` and `length` as far as they are given, or the last `suffix` bytes. */
export type R2Range = { offset: number; length: number | null } | { suffix: number };

export type R2Call =
  /** Answer: {file: R2File | null}. */
  | { op: 'r2.head'; key: string }
  /** Answer: R2GetAnswer, body: the content, where it has one. */
  | { op: 'r2.get'; key: string; onlyIf: R2Condition | null; range: R2Range | null }
  /** Body: the content. Answer: {file: R2File | null}, null: the condition does not hold. `expected`: a digest of the content. */
  | {
      op: 'r2.put';
      key: string;
      onlyIf: R2Condition | null;
      http: R2HttpMetadata;
      custom: Record<string, string>;
      expected: { digest: R2Digest; hex: string } | null;
    }
  | { op: 'r2.delete'; keys: string[] }
  /** Answer: R2ListAnswer. `cursor` is opaque, from an earlier answer. */
  | {
      op: 'r2.list';
      prefix: string;
      delimiter: string | null;
      startAfter: string | null;
      cursor: string | null;
      limit: number;
    };

export interface R2GetAnswer {
  file: R2File | null;
  /** Of the content in the body; null: there is none, since the condition does not hold. */
  range: { offset: number; length: number } | null;
}

export interface R2ListAnswer {
  files: R2File[];
  prefixes: string[];
  /** Null: that was all. */
  cursor: string | null;
}

export type LockCall =
  /**
   * Answer: {fencing, waitedMs}, null: it was not to be had in time. The exchange stays open as long as the lock is held,
   * and the lock ends with it. `waitedMs`: from when the call came until its time began.
   */
  | { op: 'lock.acquire'; lock: string; ttlMs: number; waitMs: number }
  /** Answer: {held}. */
  | { op: 'lock.renew'; lock: string; fencing: number; ttlMs: number }
  /** Answer: {held}, whether it was held until now. */
  | { op: 'lock.release'; lock: string; fencing: number };

/** Answer: {value}. */
export type CounterCall =
  | { op: 'counter.add'; counter: string; by: number }
  | { op: 'counter.get'; counter: string }
  | { op: 'counter.next'; counter: string }
  | { op: 'counter.delete'; counter: string };

/** Body: the messages' bytes one after another. Answer: {ids}, once they are in the queues of all subscribers. */
export type TopicCall = {
  op: 'topic.publish';
  messages: { contentType: 'json' | 'text' | 'bytes' | 'v8'; bytes: number; delayS: number | null }[];
};

/** Answer: {success}. */
export type RateCall = { op: 'ratelimit.limit'; key: string };

/** Answered when the version is another one than this; null: at once. Answer: ConfigAnswer, body: the values as JSON. */
export type ConfigCall = { op: 'config.watch'; version: number | null };

export interface ConfigAnswer {
  version: number;
  /** Epoch ms. */
  updatedAt: number;
}
