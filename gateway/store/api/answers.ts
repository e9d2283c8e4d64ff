/** Answers kept under an idempotency key. */

export interface KeptAnswer {
  head: unknown;
  body: Uint8Array;
}

export interface AnswerStore {
  /**
   * Exactly one caller of a key gets `begin`, and then says `finish` or `abandon`; the others learn what there is.
   * `request`: a hash of what is asked; with another one for the same key it is `mismatch`. A `begin` whose `leaseUntil`
   * passed without an end is given to the next caller. `scope` keeps callers apart.
   */
  begin(
    scope: string,
    key: string,
    request: string,
    owner: string,
    times: { nowMs: number; leaseUntil: number; expiresAt: number },
  ): Promise<{ state: 'begin' } | { state: 'running' } | { state: 'mismatch' } | { state: 'done'; answer: KeptAnswer }>;
  /** Lengthens the lease of a `begin`. False when it is no longer this owner's. */
  extend(scope: string, key: string, owner: string, leaseUntil: number): Promise<boolean>;
  /** Does nothing when it is no longer this owner's. */
  finish(scope: string, key: string, owner: string, answer: KeptAnswer): Promise<void>;
  /** Nothing came of it: the next caller begins anew. */
  abandon(scope: string, key: string, owner: string): Promise<void>;
  sweep(nowMs: number, most: number): Promise<number>;
}
