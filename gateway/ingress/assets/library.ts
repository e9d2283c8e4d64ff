/** Listings and small files of static assets in memory, the last used ones; all else is read from the store when asked for. */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { AssetContents } from './contents.ts';
import { type Asset, type AssetListing, decodeListing } from './listing.ts';

/** Files up to this size are kept in memory once they were read. */
export const SMALL_BYTES = 512 * 1024;

export interface AssetLibrary {
  /** At once where it is in memory. Rejects with NO_CAPACITY when the store is away, INTERNAL when it has lost it. */
  listing(functionName: string, hash: string): AssetListing | Promise<AssetListing>;
  /** Whole, of a file up to SMALL_BYTES; likewise. */
  small(functionName: string, asset: Asset): Uint8Array | Promise<Uint8Array>;
  /** Of a larger one. */
  part(functionName: string, asset: Asset, part: number): Promise<Uint8Array>;
}

/** A path, a hash and what a Map takes for them. */
const ENTRY_BYTES = 250;

export function createAssetLibrary(
  contents: Pick<AssetContents, 'part' | 'whole'>,
  /** What is kept takes no more than this (default 64 MB). */
  mostBytes: number = 64 * 1024 * 1024,
): AssetLibrary {
  const kept = new Map<string, { value: AssetListing | Uint8Array; bytes: number }>();
  const reading = new Map<string, Promise<AssetListing | Uint8Array>>();
  let bytes = 0;

  function keep(key: string, value: AssetListing | Uint8Array): void {
    const size = value instanceof Uint8Array ? value.byteLength : value.size * ENTRY_BYTES;
    kept.set(key, { value, bytes: size });
    bytes += size;
    for (const [oldest, entry] of kept) {
      if (bytes <= mostBytes || oldest === key) break;
      kept.delete(oldest);
      bytes -= entry.bytes;
    }
  }

  /** Single flight: a page that many ask for at once is read once. */
  function get<Value extends AssetListing | Uint8Array>(
    key: string,
    read: () => Promise<Value>,
  ): Value | Promise<Value> {
    const found = kept.get(key);
    if (found !== undefined) {
      kept.delete(key);
      kept.set(key, found);
      return found.value as Value;
    }
    let pending = reading.get(key);
    if (pending === undefined) {
      pending = read()
        .then((value) => {
          keep(key, value);
          return value;
        })
        .finally(() => reading.delete(key));
      reading.set(key, pending);
    }
    return pending as Promise<Value>;
  }

  async function whole(functionName: string, hash: string): Promise<Uint8Array> {
    const read = await contents.whole(functionName, hash);
    if (read === null) throw lost(functionName, hash);
    return read;
  }

  return {
    listing: (functionName, hash) =>
      get(`${functionName} ${hash}`, async () => decodeListing(await whole(functionName, hash))),
    small: (functionName, asset) => get(`${functionName} ${asset.hash}`, () => whole(functionName, asset.hash)),
    async part(functionName, asset, part) {
      const read = await contents.part(functionName, asset.hash, part);
      if (read === null) throw lost(functionName, asset.hash);
      return read;
    },
  };
}

function lost(functionName: string, hash: string): HearthError {
  return new HearthError('INTERNAL', `The store has lost an asset of ${functionName} (${hash}).`);
}
