/** Which static assets a version has. Stored as JSON beside their content, by whose hash a version names it. */
import { createHash } from 'node:crypto';

export interface Asset {
  /** Of its content, hexadecimal: it is kept under it, and is its etag. */
  hash: string;
  bytes: number;
}

/** By path, with its leading slash, in plain characters. */
export type AssetListing = ReadonlyMap<string, Asset>;

/** In the order of paths, so that the same assets make the same bytes. */
export function encodeListing(listing: AssetListing): Uint8Array {
  const rows = [...listing].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, { hash, bytes }]) => [path, hash, bytes]);
  return new TextEncoder().encode(JSON.stringify(rows));
}

/** Of an encoded one. */
export function hashOfListing(encoded: Uint8Array): string {
  return createHash('sha256').update(encoded).digest('hex');
}

export function decodeListing(bytes: Uint8Array): AssetListing {
  const rows = JSON.parse(new TextDecoder().decode(bytes)) as [path: string, hash: string, bytes: number][];
  return new Map(rows.map(([path, hash, size]) => [path, { hash, bytes: size }]));
}
