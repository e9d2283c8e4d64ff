/** Async invocations: what becomes of them; their delivery is a queue's (triggers/async/asyncs.ts). */

export interface AsyncAttempt {
  version: string;
  startedAt: number;
  endedAt: number | null;
  traceId: string | null;
  start: 'cold' | 'warm' | null;
  instance: string | null;
  /** Milliseconds, by phase. */
  phases: Record<string, number> | null;
}

export interface AsyncRecord {
  /** The invocation's id. */
  id: string;
  functionName: string;
  trigger: 'http' | 'cron' | 'queue' | 'rpc';
  state: 'queued' | 'running' | 'ok' | 'error';
  /** So far. */
  attempts: number;
  acceptedAt: number;
  /** Of these, how many the function failed: a gateway that died in the middle is no fault of it. */
  failures: number;
  /** From when its age counts: acceptance, or when it was taken out of the dead letters. */
  since: number;
  /** When it is tried next, while it is queued. */
  dueAt: number | null;
  endedAt: number | null;
  /** The last attempt; null before the first. `endedAt` null: it runs, or its gateway died. */
  last: AsyncAttempt | null;
  /** After its end: the answer's head as JSON, in the trigger's own shape; null before, and where there was none. */
  result: unknown;
  /** Bytes of an answer that was too large to keep; null: it is kept. */
  omittedBytes: number | null;
  /** What the last attempt failed with. */
  error: { code: string; message: string } | null;
  /** What became of its destination; null: it has none, or has not ended. */
  destination: { target: string; outcome: 'delivered' | 'failed'; error: string | null } | null;
  /** Epoch ms from which on nobody can read it. */
  expiresAt: number;
}

export interface AsyncStore {
  /**
   * Creates or replaces the record; `body`: of its answer, null leaves none. Does nothing where what is stored is of a later
   * attempt: so says a gateway that stood still while another one went on.
   */
  put(record: AsyncRecord, body: Uint8Array | null): Promise<void>;
  get(id: string, nowMs: number): Promise<{ record: AsyncRecord; body: Uint8Array | null } | null>;
  /** Removes expired ones, at most so many; returns how many. */
  sweep(nowMs: number, most: number): Promise<number>;
}
