/** Configuration that running functions are told of. */

export interface ConfigRecord {
  /** From 1, one more with each change. */
  version: number;
  /** JSON by key. */
  values: Record<string, unknown>;
  updatedAt: number;
}

export interface ConfigStore {
  get(namespace: string): Promise<ConfigRecord | null>;
  /** Replaces all of it. `expected`: the version it has to have now, 0: it must not be there; null: whichever. Throws CONFLICT. */
  put(
    namespace: string,
    values: Record<string, unknown>,
    expected: number | null,
    nowMs: number,
  ): Promise<ConfigRecord>;
}
