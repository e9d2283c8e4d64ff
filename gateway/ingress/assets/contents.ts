/**
 * Contents of static assets, in the store: by the function they belong to and a hash, in parts that are read one at a time,
 * so that no file is in memory as a whole because somebody reads it slowly.
 */
import type { KvStore } from '../../store/api/kv.ts';

/** What one read takes into memory. */
export const PART_BYTES = 64 * 1024;
const LIST_PAGE = 1000;
/** Parts that are written at once. */
const AT_ONCE = 16;

export interface AssetContents {
  /** Resolves once it is durable. The same content under the same hash is written once. */
  put(functionName: string, hash: string, bytes: Uint8Array): Promise<void>;
  /** As `put`, in place of what stands under the hash: where the hash is somebody's word, and no version names it yet. */
  replace(functionName: string, hash: string, bytes: Uint8Array): Promise<void>;
  has(functionName: string, hash: string): Promise<boolean>;
  /** Null when it is not there. */
  part(functionName: string, hash: string, part: number): Promise<Uint8Array | null>;
  /** Null when it is not there as a whole. */
  whole(functionName: string, hash: string): Promise<Uint8Array | null>;
  /** Removes what is not among these hashes and was written longer than that ago. */
  keepOnly(functionName: string, hashes: ReadonlySet<string>, sinceMs: number): Promise<void>;
}

interface Marker {
  bytes: number;
  /** Epoch ms. */
  at: number;
}

/** `now`: epoch ms. */
export function createAssetContents(store: KvStore, now: () => number): AssetContents {
  async function markerOf(functionName: string, hash: string): Promise<Marker | null> {
    return ((await store.get(namespaceOf(functionName), hash, now()))?.metadata ?? null) as Marker | null;
  }

  async function part(functionName: string, hash: string, at: number): Promise<Uint8Array | null> {
    return (await store.get(namespaceOf(functionName), `${hash}/${at}`, now()))?.value ?? null;
  }

  async function write(functionName: string, hash: string, bytes: Uint8Array): Promise<void> {
    const namespace = namespaceOf(functionName);
    const put = (key: string, value: Uint8Array, metadata: Marker | null) =>
      store.put(namespace, key, { value, metadata, expiration: null });
    for (let at = 0; at * PART_BYTES < bytes.byteLength; at += AT_ONCE) {
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, i) => at + i)
          .filter((i) => i * PART_BYTES < bytes.byteLength)
          .map((i) => put(`${hash}/${i}`, bytes.slice(i * PART_BYTES, (i + 1) * PART_BYTES), null)),
      );
    }
    // Last: what has a marker is whole.
    await put(hash, new Uint8Array(), { bytes: bytes.byteLength, at: now() });
  }

  return {
    part,
    replace: write,
    has: async (functionName, hash) => (await markerOf(functionName, hash)) !== null,
    async put(functionName, hash, bytes) {
      if ((await markerOf(functionName, hash)) === null) await write(functionName, hash, bytes);
    },
    async whole(functionName, hash) {
      const marker = await markerOf(functionName, hash);
      if (marker === null) return null;
      const parts: Uint8Array[] = [];
      for (let i = 0; i * PART_BYTES < marker.bytes; i++) {
        const read = await part(functionName, hash, i);
        if (read === null) return null;
        parts.push(read);
      }
      return Buffer.concat(parts, marker.bytes);
    },
    async keepOnly(functionName, hashes, sinceMs) {
      const namespace = namespaceOf(functionName);
      const nowMs = now();
      const gone = new Set<string>();
      const keys: string[] = [];
      for (let cursor: string | null = null; ; ) {
        const page: Awaited<ReturnType<KvStore['list']>> = await store.list(namespace, {
          prefix: '',
          limit: LIST_PAGE,
          cursor,
          nowMs,
        });
        for (const { name, metadata } of page.keys) {
          keys.push(name);
          const marker = metadata as Marker | null;
          if (marker !== null && !hashes.has(name) && marker.at + sinceMs <= nowMs) gone.add(name);
        }
        cursor = page.cursor;
        if (cursor === null) break;
      }
      // Markers first: what has none is not taken for whole.
      for (const hash of gone) await store.delete(namespace, hash);
      for (const key of keys)
        if (gone.has(key.slice(0, Math.max(0, key.indexOf('/'))))) await store.delete(namespace, key);
    },
  };
}

/** Beside those of KV bindings, whose names begin with a trust group's. */
function namespaceOf(functionName: string): string {
  return `.assets/${functionName}`;
}
