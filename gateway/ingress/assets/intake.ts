/** The static assets of a deploy: taken out of its tree, checked, and stored before the version that names them. */
import { checkPath, type Tree } from '../../../functions/build/tree.ts';
import { HearthError } from '../../../functions/contract/errors.ts';
import type { Manifest } from '../../../functions/contract/manifest.ts';
import type { AssetSite } from '../../store/api/registry.ts';
import type { AssetContents } from './contents.ts';
import { type Asset, type AssetListing, decodeListing, encodeListing, hashOfListing } from './listing.ts';

/** As Workers has it. */
export const MAX_ASSET_BYTES = 25 * 1024 * 1024;

/** Contents that no version names stay so long: their upload may still go on. */
const UNNAMED_MS = 60 * 60 * 1000;
/** Contents that are looked for at once. */
const AT_ONCE = 64;

/** At the top of the assets: what steers wrangler and Pages is not for readers of the site. */
const REFUSED: Readonly<Record<string, string>> = {
  '/_headers': 'headers of assets by file',
  '/_redirects': 'redirects by file',
  '/_routes.json': 'routes of Pages',
  '/_worker.js': 'a Worker of Pages',
  '/.assetsignore': 'a list of files to leave out; leave them out of the directory instead',
};

/** Stands in where there is no code: every request that gets to it is for what does not exist. */
const NOTHING = 'export default { fetch: () => new Response(null, { status: 404 }) };';

export interface TakenAssets {
  /** What is built. */
  code: Tree;
  /** What a version's hash is made of. */
  hashed: Tree;
  /** Null: the manifest asks for none. */
  site: AssetSite | null;
}

export interface AssetIntake {
  /**
   * `uploaded`: contents that were stored before, instead of those in the tree. Throws MANIFEST_INVALID and
   * PAYLOAD_TOO_LARGE; resolves once everything is durable.
   */
  take(functionName: string, manifest: Manifest, files: Tree, uploaded: AssetListing | undefined): Promise<TakenAssets>;
  /**
   * Removes contents that no version names any more. `sites`: of all versions that are left; where there are none, also
   * what was uploaded just now goes.
   */
  collect(functionName: string, sites: readonly AssetSite[]): Promise<void>;
}

export function createAssetIntake(contents: AssetContents): AssetIntake {
  async function listingOf(functionName: string, files: ReadonlyMap<string, Uint8Array>): Promise<AssetListing> {
    const listing = new Map<string, Asset>();
    for (const [path, bytes] of files) {
      // Not on the loop: a deploy may bring 64 MB.
      const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
      const hash = Buffer.from(digest).toString('hex');
      await contents.put(functionName, hash, bytes);
      listing.set(path, { hash, bytes: bytes.byteLength });
    }
    return listing;
  }

  /** They were when the upload began, or came with it; what nobody named for long may have gone meanwhile. */
  async function requireStored(functionName: string, listing: AssetListing): Promise<void> {
    const hashes = [...new Set(Array.from(listing.values(), ({ hash }) => hash))];
    for (let at = 0; at < hashes.length; at += AT_ONCE) {
      const found = await Promise.all(hashes.slice(at, at + AT_ONCE).map((hash) => contents.has(functionName, hash)));
      if (!found.every(Boolean))
        throw new HearthError('CONFLICT', 'An asset of this upload is not there; deploy again.');
    }
  }

  return {
    async take(functionName, manifest, files, uploaded) {
      const { assets, main } = manifest;
      if (assets === undefined) return { code: files, hashed: files, site: null };
      const { code, own } = split(files, assets.directory);
      if (uploaded === undefined && assets.directory === undefined) {
        throw invalid('assets.directory', 'Say where the assets are, such as "./public".');
      }
      if (uploaded === undefined && own.size === 0) {
        throw invalid('assets.directory', `There is no file in ${assets.directory ?? ''} of the deploy.`);
      }
      for (const [path, size] of uploaded === undefined ? sizesOf(own) : Array.from(uploaded, sizeOf))
        check(path, size);
      if (uploaded !== undefined) await requireStored(functionName, uploaded);
      const listing = uploaded ?? (await listingOf(functionName, own));
      const encoded = encodeListing(listing);
      const hash = hashOfListing(encoded);
      await contents.put(functionName, hash, encoded);
      const alone = main === null;
      const built: Tree = alone ? new Map([['index.js', new TextEncoder().encode(NOTHING)]]) : code;
      return {
        code: built,
        // No path of a tree has such a character.
        hashed: new Map([...built, ['\0assets', encoded]]),
        site: {
          listing: hash,
          files: listing.size,
          bytes: [...listing.values()].reduce((sum, { bytes }) => sum + bytes, 0),
          alone,
        },
      };
    },
    async collect(functionName, sites) {
      const named = new Set<string>();
      for (const { listing } of sites) {
        named.add(listing);
        const encoded = await contents.whole(functionName, listing);
        for (const { hash } of encoded === null ? [] : decodeListing(encoded).values()) named.add(hash);
      }
      await contents.keepOnly(functionName, named, sites.length === 0 ? 0 : UNNAMED_MS);
    },
  };
}

function split(files: Tree, directory: string | undefined): { code: Tree; own: Map<string, Uint8Array> } {
  const own = new Map<string, Uint8Array>();
  if (directory === undefined) return { code: files, own };
  const code = new Map<string, Uint8Array>();
  for (const [path, bytes] of files) {
    if (path.startsWith(`${directory}/`)) own.set(path.slice(directory.length), bytes);
    else code.set(path, bytes);
  }
  return { code, own };
}

function sizeOf([path, { bytes }]: [string, Asset]): [string, number] {
  return [path, bytes];
}

function sizesOf(files: ReadonlyMap<string, Uint8Array>): [string, number][] {
  return Array.from(files, ([path, bytes]) => [path, bytes.byteLength]);
}

function check(path: string, bytes: number): void {
  const refused = REFUSED[path];
  if (refused !== undefined) {
    throw invalid(
      'assets',
      `${path} (${refused}): Hearth does not read it, and would show it to everybody; take it out.`,
    );
  }
  const problem = path.startsWith('/')
    ? checkPath(path.slice(1))
    : `The path ${JSON.stringify(path)} has no leading slash.`;
  if (problem !== null) throw invalid('assets', problem);
  if (bytes <= MAX_ASSET_BYTES) return;
  throw new HearthError('PAYLOAD_TOO_LARGE', `The asset ${path} has ${bytes} bytes; 25 MB are allowed.`);
}

function invalid(path: string, message: string): HearthError {
  return new HearthError('MANIFEST_INVALID', message, { errors: [{ path, message }] });
}
