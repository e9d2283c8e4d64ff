/**
 * Static assets on the function port: before the function is asked, and without it. Nothing here is in the way of a
 * function that has none.
 */
import { toHearthError } from '../../../functions/contract/errors.ts';
import type { HeaderList } from '../../../functions/contract/invocation.ts';
import type { AssetSettings } from '../../../functions/contract/manifest-workers.ts';
import type { VersionEntry } from '../../registry/registry.ts';
import type { AssetSite } from '../../store/api/registry.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { IngressRequest, IngressResponse } from '../call.ts';
import { closeUnlessComplete, endWithUpload } from '../linger.ts';
import { writeProblem } from '../response.ts';
import { answerOf } from './answer.ts';
import { chooseAsset, firstAsked } from './choose.ts';
import { PART_BYTES } from './contents.ts';
import { type AssetLibrary, SMALL_BYTES } from './library.ts';
import type { Asset, AssetListing } from './listing.ts';

/** Since then a browser that goes to a page gets the site's own answer for what is not there, not the function's. */
const NAVIGATION_SINCE = '2025-04-01';

export interface AssetRequest {
  version: VersionEntry;
  settings: AssetSettings;
  /** As the function would see it, percent-encoded. */
  pathname: string;
  query: string;
  /** What was taken off the path to get there; empty: nothing. */
  prefix: string;
  headers: HeaderList;
  hasBody: boolean;
}

export interface Assets {
  /** False: the function is to be asked. True: it is answered, or `otherwise` is called for the function to be asked. */
  serve(request: AssetRequest, req: IngressRequest, res: IngressResponse, otherwise: () => void): boolean;
}

/** Who takes nothing of a body for so long has gone. No function stands behind it whose stream would end. */
const UNREAD_MS = 60_000;

export function createAssets(library: AssetLibrary, log: Pick<Logger, 'error'>, unreadMs = UNREAD_MS): Assets {
  return {
    serve(request, req, res, otherwise) {
      const site = request.version.record.assets;
      if (site === undefined || (!site.alone && (request.hasBody || !isReading(req.method)))) return false;
      const first = firstAsked(request.settings.run_worker_first, request.pathname === '' ? '/' : request.pathname);
      if (first === 'function' && !site.alone) return false;
      const listing = library.listing(request.version.functionName, site.listing);
      if (!(listing instanceof Promise)) return answer(request, site, listing, first === 'assets', req, res);
      listing
        .then((read) => {
          if (!answer(request, site, read, first === 'assets', req, res)) otherwise();
        })
        .catch((error: unknown) => failed(req, res, error));
      return true;
    },
  };

  /** False: it is for the function. */
  function answer(
    request: AssetRequest,
    site: AssetSite,
    listing: AssetListing,
    only: boolean,
    req: IngressRequest,
    res: IngressResponse,
  ): boolean {
    if (request.hasBody) {
      closeUnlessComplete(req, res);
      writeHead(res, request.version, 405, NOT_READ);
      endWithUpload(req, res, null);
      return true;
    }
    const method = req.method ?? 'GET';
    const settled = only || site.alone || keepsNotFound(request);
    const handling = settled ? request.settings : { ...request.settings, not_found_handling: 'none' as const };
    const outcome = chooseAsset(listing, handling, request.pathname);
    if (outcome.kind === 'none') {
      if (!only && !site.alone) return false;
      end(res, request.version, 404, [['content-length', '0']]);
      return true;
    }
    if (!isReading(method)) {
      end(res, request.version, 405, NOT_READ);
      return true;
    }
    const etags = headerOf(request.headers, 'if-none-match');
    const { status, headers, content } = answerOf(outcome, {
      method,
      prefix: request.prefix,
      query: request.query,
      etags,
    });
    if (content === null) end(res, request.version, status, headers);
    else send(res, request.version, status, headers, content).catch((error: unknown) => failed(req, res, error));
    return true;
  }

  async function send(
    res: IngressResponse,
    version: VersionEntry,
    status: number,
    headers: HeaderList,
    asset: Asset,
  ): Promise<void> {
    const { functionName } = version;
    if (asset.bytes <= SMALL_BYTES) {
      const content = await library.small(functionName, asset);
      endUnread(res, unreadMs);
      writeHead(res, version, status, headers);
      res.end(content);
      return;
    }
    for (let i = 0; i * PART_BYTES < asset.bytes; i++) {
      const part = await library.part(functionName, asset, i);
      if (res.destroyed) return;
      if (i === 0) {
        endUnread(res, unreadMs);
        writeHead(res, version, status, headers);
      }
      // One part at a time: who reads slowly has no more of it in memory.
      if (!res.write(part)) await drained(res);
    }
    res.end();
  }

  function failed(req: IngressRequest, res: IngressResponse, error: unknown): void {
    log.error('an asset could not be sent', { error });
    if (res.headersSent) res.destroy();
    else writeProblem(req, res, toHearthError(error));
  }
}

/** For a site without a function; else whatever is not GET or HEAD is the function's. */
const NOT_READ: HeaderList = [
  ['allow', 'GET, HEAD'],
  ['content-length', '0'],
];

function isReading(method: string | undefined): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** With rules for what goes to the function, all else is the site's; so is what a browser goes to by itself. */
function keepsNotFound({ settings, headers, version }: AssetRequest): boolean {
  if (settings.not_found_handling === 'none') return false;
  if (Array.isArray(settings.run_worker_first)) return true;
  const { compatibility_date, compatibility_flags } = version.manifest;
  const navigates =
    compatibility_flags.includes('assets_navigation_prefers_asset_serving') ||
    ((compatibility_date ?? NAVIGATION_SINCE) >= NAVIGATION_SINCE &&
      !compatibility_flags.includes('assets_navigation_has_no_effect'));
  return navigates && headerOf(headers, 'sec-fetch-mode') === 'navigate';
}

function end(res: IngressResponse, version: VersionEntry, status: number, headers: HeaderList): void {
  writeHead(res, version, status, headers);
  res.end();
}

function writeHead(res: IngressResponse, version: VersionEntry, status: number, headers: HeaderList): void {
  res.writeHead(status, [...headers, ['hearth-version', version.version]].flat());
}

function headerOf(headers: HeaderList, wanted: string): string {
  return headers.find(([name]) => name === wanted)?.[1] ?? '';
}

function endUnread(res: IngressResponse, ms: number): void {
  res.setTimeout(ms, () => res.destroy());
  // Before node gives the connection the time that it may be idle.
  res.prependOnceListener('finish', () => res.setTimeout(0));
}

/** Resolves as well when the client has gone. */
function drained(res: IngressResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      res.off('drain', done);
      res.off('close', done);
      resolve();
    };
    res.on('drain', done);
    res.on('close', done);
  });
}
