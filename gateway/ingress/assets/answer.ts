/** What an asset is answered with, whoever asks: a client of the function port, or a function through its binding. */
import { getMimeType } from 'hono/utils/mime';
import type { HeaderList } from '../../../functions/contract/invocation.ts';
import type { AssetOutcome } from './choose.ts';
import type { Asset } from './listing.ts';

export interface AssetAnswer {
  status: number;
  headers: HeaderList;
  /** To be sent as the body; null: there is none. */
  content: Asset | null;
}

/**
 * `prefix`: what was taken off the path, which a redirect has to name again. `etags`: the request's if-none-match, or
 * empty.
 */
export function answerOf(
  outcome: Exclude<AssetOutcome, { kind: 'none' }>,
  request: { method: string; prefix: string; query: string; etags: string },
): AssetAnswer {
  if (outcome.kind === 'redirect') {
    return {
      status: 307,
      headers: [['location', `${request.prefix}${outcome.path}${request.query}`]],
      content: null,
    };
  }
  const { path, asset, status } = outcome;
  const etag = `"${asset.hash}"`;
  const type = getMimeType(path) ?? (path.endsWith('.map') ? 'application/json' : undefined);
  const shared: HeaderList = [
    ['etag', etag],
    ['cache-control', 'public, max-age=0, must-revalidate'],
  ];
  if (status === 200 && matchesEtag(request.etags, etag)) return { status: 304, headers: shared, content: null };
  return {
    status,
    headers: [
      ...shared,
      ...(type === undefined ? [] : [['content-type', withCharset(type)] satisfies HeaderList[number]]),
      ['content-length', String(asset.bytes)],
    ],
    content: request.method === 'HEAD' || asset.bytes === 0 ? null : asset,
  };
}

/** Weak comparison, as if-none-match has it (RFC 9110, 13.1.2). */
function matchesEtag(given: string, etag: string): boolean {
  if (given === '') return false;
  return given.split(',').some((each) => {
    const tag = each.trim();
    return tag === '*' || tag === etag || tag === `W/${etag}`;
  });
}

function withCharset(type: string): string {
  return /^text\/|^application\/(javascript|json)$/.test(type) && !type.includes('charset')
    ? `${type}; charset=utf-8`
    : type;
}
