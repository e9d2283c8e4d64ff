/** What other gateways on the same store have changed. */

export interface Change {
  /** `messages`: there may be something to claim in the queue of this name; '' says so of every queue. */
  kind: 'function' | 'publication' | 'rollout' | 'base' | 'token' | 'queue' | 'cron' | 'config' | 'messages';
  /** Of a cron: the function's. */
  name: string;
}

export interface ChangeFeed {
  /**
   * Tells each change that anybody makes from now on, this gateway's own too, in their order, within a second. After the
   * store was away: all that was missed, or `null`, which says that everything may have changed. Returns a function that
   * ends it. An embedded store never calls.
   */
  listen(changed: (changes: Change[] | null) => void): () => void;
  /**
   * Of each function something that is another one after each change of it, whoever made it; an embedded store has none.
   * What was read before these were is of them or newer.
   */
  revisions(): Promise<ReadonlyMap<string, string>>;
  /**
   * What anybody has changed between this position and now, in order; from where the store was opened when it is null.
   * `changes` is null where some of it is not known any more. An embedded store has none.
   */
  since(position: number | null): Promise<{ changes: Change[] | null; position: number }>;
}
