/** KV, with the semantics of Workers KV (strongly consistent here). */

export interface KvEntry {
  value: Uint8Array;
  metadata: unknown;
  /** Epoch s, null: never. */
  expiration: number | null;
}

export interface KvStore {
  get(namespace: string, key: string, nowMs: number): Promise<KvEntry | null>;
  put(namespace: string, key: string, entry: KvEntry): Promise<void>;
  delete(namespace: string, key: string): Promise<void>;
  /** In lexicographic order of the keys' UTF-8 bytes. `cursor` is opaque, from an earlier answer. */
  list(
    namespace: string,
    options: { prefix: string; limit: number; cursor: string | null; nowMs: number },
  ): Promise<{ keys: { name: string; expiration: number | null; metadata: unknown }[]; cursor: string | null }>;
  /** Removes expired entries, at most so many; returns how many. */
  sweep(nowMs: number, most: number): Promise<number>;
}
