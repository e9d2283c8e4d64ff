/**
 * Static assets as wrangler uploads them: a list of paths and hashes first, then the contents Hearth does not have yet, then
 * the Worker itself with the token of this upload. The token is the whole state of it: sealed, so that another gateway of
 * the same key takes the next call, and worth nothing to whoever has no right to deploy that function.
 */
import { z } from 'zod';
import { HearthError } from '../../../functions/contract/errors.ts';
import { MAX_DEPLOY_FILES } from '../../../functions/contract/limits.ts';
import type { AssetContents } from '../../ingress/assets/contents.ts';
import { MAX_ASSET_BYTES } from '../../ingress/assets/intake.ts';
import type { AssetLibrary } from '../../ingress/assets/library.ts';
import { type Asset, type AssetListing, encodeListing, hashOfListing } from '../../ingress/assets/listing.ts';
import type { VersionEntry } from '../../registry/registry.ts';
import type { Seal } from '../../store/seal.ts';
import { requireDeploy } from '../lookup.ts';
import type { Upload } from '../upload.ts';
import { success } from './envelope.ts';
import { type CloudflareApp, type CloudflareParts, jsonOf, scriptName } from './parts.ts';
import type { WorkerUpload } from './upload.ts';

/** Of an upload, from its list to its Worker. Contents that no version names are kept as long. */
const UPLOAD_S = 60 * 60;
/** wrangler's own: of a content and the extension of its name. Only ever looked for among those of one function. */
const hashSchema = z.string().regex(/^[0-9a-f]{32}$/, 'a hash of 32 hexadecimal digits');

const sessionSchema = z.object({
  manifest: z
    .record(
      z.string().startsWith('/').max(512),
      z.object({ hash: hashSchema, size: z.int().min(0).max(MAX_ASSET_BYTES, '25 MB are allowed for one asset') }),
    )
    .refine((files) => Object.keys(files).length <= MAX_DEPLOY_FILES, `At most ${MAX_DEPLOY_FILES} assets.`),
});

const ticketSchema = z.object({ function: z.string(), listing: z.string(), exp: z.number() });
type Ticket = z.output<typeof ticketSchema>;

/** By hash, in bytes. */
type Sizes = ReadonlyMap<string, number>;

export interface AssetUploads {
  /** Of a call that brings contents. Throws UNAUTHORIZED. */
  authenticate(authorization: string | undefined): void;
  /** Throws BAD_REQUEST, UNAUTHORIZED and FORBIDDEN for the token of no upload of this function. */
  complete(name: string, worker: WorkerUpload, before: VersionEntry | undefined): Promise<Upload>;
}

export interface AssetUploadParts extends Pick<CloudflareParts, 'registry' | 'now'> {
  contents: AssetContents;
  library: AssetLibrary;
  seal: Pick<Seal, 'seal' | 'open'>;
  /** All assets of one upload together. */
  maxDeployBytes: number;
}

export function createAssetUploads({ library, seal, now }: AssetUploadParts): AssetUploads {
  return {
    authenticate: (authorization) => void opened(seal, uploadToken(authorization), now()),
    async complete(name, { upload, assets }, before) {
      if (assets === undefined) return upload;
      if (assets.jwt === undefined) {
        const site = assets.keep ? before?.record.assets : undefined;
        if (site === undefined) throw new HearthError('BAD_REQUEST', 'metadata.assets.jwt: missing.');
        return { ...upload, assets: await library.listing(name, site.listing) };
      }
      const ticket = opened(seal, assets.jwt, now());
      if (ticket.function !== name)
        throw new HearthError('FORBIDDEN', 'These assets were uploaded for another Worker.');
      return { ...upload, assets: await library.listing(name, ticket.listing) };
    },
  };
}

export function assetsResource(app: CloudflareApp, parts: AssetUploadParts): void {
  const { registry, contents, library, seal, now } = parts;
  const known = new WeakMap<AssetListing, Sizes>();

  app.post('/accounts/:account/workers/scripts/:script/assets-upload-session', async (c) => {
    const name = scriptName(c);
    requireDeploy(c.get('caller'), registry, name);
    const { manifest } = await jsonOf(c, sessionSchema);
    const listing = new Map<string, Asset>(
      Object.entries(manifest).map(([path, { hash, size }]) => [path, { hash, bytes: size }]),
    );
    const bytes = [...listing.values()].reduce((sum, asset) => sum + asset.bytes, 0);
    if (bytes > parts.maxDeployBytes) {
      throw new HearthError('PAYLOAD_TOO_LARGE', `The assets have ${bytes} bytes together (HEARTH_MAX_DEPLOY_MB).`);
    }
    const encoded = encodeListing(listing);
    const hash = hashOfListing(encoded);
    await contents.put(name, hash, encoded);
    const jwt = ticketOf(seal, { function: name, listing: hash, exp: Math.floor(now() / 1000) + UPLOAD_S });
    const named = await namedOf(name);
    const missing = [...sizesOf(listing).keys()].filter((each) => !named.some((sizes) => sizes.has(each)));
    return success({ jwt, buckets: missing.length === 0 ? [] : [missing] });
  });

  app.post('/accounts/:account/workers/assets/upload/:hash', async (c) => {
    const token = uploadToken(c.req.header('authorization'));
    const ticket = opened(seal, token, now());
    const listing = await library.listing(ticket.function, ticket.listing);
    const hash = c.req.param('hash');
    const expected = sizesOf(listing).get(hash);
    if (expected === undefined) throw new HearthError('BAD_REQUEST', 'This content is not in the list of the upload.');
    const bytes = new Uint8Array(await c.req.arrayBuffer());
    if (bytes.byteLength !== expected) {
      throw new HearthError('BAD_REQUEST', `The content has ${bytes.byteLength} bytes, and ${expected} in the list.`);
    }
    const named = await namedOf(ticket.function);
    if (!named.some((sizes) => sizes.has(hash))) await contents.replace(ticket.function, hash, bytes);
    return success({ jwt: token });
  });

  /**
   * What its versions have. Anything else is asked for and written anew: hashes are the uploader's word, and what somebody
   * left under one is not to come to the next version that names it.
   */
  async function namedOf(name: string): Promise<Sizes[]> {
    const versions = [...(registry.function(name)?.versions.values() ?? [])];
    const sites = versions.flatMap(({ record }) => record.assets ?? []);
    return await Promise.all(sites.map(async (site) => sizesOf(await library.listing(name, site.listing))));
  }

  function sizesOf(listing: AssetListing): Sizes {
    const sizes = known.get(listing) ?? new Map(Array.from(listing.values(), ({ hash, bytes }) => [hash, bytes]));
    known.set(listing, sizes);
    return sizes;
  }
}

/** Throws UNAUTHORIZED. */
function uploadToken(authorization: string | undefined): string {
  const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  if (token !== undefined) return token;
  throw new HearthError('UNAUTHORIZED', 'The request carries no token of an upload.');
}

/** No function has such a name: no secret of one can be taken for a token. */
const SEALED_FOR = '.assets';

/** As wrangler reads it, a JSON Web Token: when it ends, and that contents come one by one. What counts is sealed. */
function ticketOf(seal: AssetUploadParts['seal'], ticket: Ticket): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const shown = { exp: ticket.exp, wrangler_single_asset_uploads: true, edge_kv_upload_concurrency: 4 };
  const sealed = Buffer.from(seal.seal(SEALED_FOR, 'upload', JSON.stringify(ticket))).toString('base64url');
  return `${part({ alg: 'none', typ: 'JWT' })}.${part(shown)}.${sealed}`;
}

/** Throws UNAUTHORIZED. */
function opened(seal: AssetUploadParts['seal'], token: string, nowMs: number): Ticket {
  const sealed = Buffer.from(token.split('.')[2] ?? '', 'base64url');
  let ticket: Ticket;
  try {
    ticket = ticketSchema.parse(JSON.parse(seal.open(SEALED_FOR, 'upload', sealed)));
  } catch (error) {
    throw new HearthError('UNAUTHORIZED', 'This is no token of an upload.', { cause: error });
  }
  if (ticket.exp * 1000 > nowMs) return ticket;
  throw new HearthError('UNAUTHORIZED', 'The upload took longer than an hour; deploy again.');
}
