/** Which asset answers a request, by the rules Workers documents. Pure: from a listing and a path to an outcome. */
import type { AssetSettings } from '../../../functions/contract/manifest-workers.ts';
import type { Asset, AssetListing } from './listing.ts';

export type AssetOutcome =
  | { kind: 'file'; path: string; asset: Asset; status: 200 | 404 }
  /** To a path of the same site, percent-encoded, without query. */
  | { kind: 'redirect'; path: string }
  | { kind: 'none' };

const NONE: AssetOutcome = { kind: 'none' };

/**
 * `pathname` as it came in the URL. What cannot be decoded is no asset. Where a site stands at /NAME, the empty one leads
 * to `/`: what its pages link to beside them would else stand at the wrong place.
 */
export function chooseAsset(
  listing: AssetListing,
  { html_handling, not_found_handling }: Pick<AssetSettings, 'html_handling' | 'not_found_handling'>,
  pathname: string,
): AssetOutcome {
  const path = decoded(pathname);
  if (path === null) return NONE;
  const found = html_handling === 'none' ? exact(listing, path) : page(listing, path, html_handling);
  return found ?? notFound(listing, path, not_found_handling);
}

function exact(listing: AssetListing, path: string): AssetOutcome | null {
  const asset = listing.get(path);
  return asset === undefined ? null : { kind: 'file', path, asset, status: 200 };
}

/**
 * A page `/a.html` or `/a/index.html` has one address, which its other spellings lead to; other files are what they are
 * called.
 */
function page(
  listing: AssetListing,
  path: string,
  handling: Exclude<AssetSettings['html_handling'], 'none'>,
): AssetOutcome | null {
  if (!path.endsWith('.html')) {
    const file = exact(listing, path);
    if (file !== null) return file;
  }
  const spelled = path.replace(/\/index(\.html)?$/, '/').replace(/\.html$/, '');
  const bare = spelled.replace(/\/$/, '');
  const files = [`${bare}.html`, `${bare}/index.html`];
  if (spelled.endsWith('/')) files.reverse();
  const name = files.find((file) => file !== '.html' && listing.has(file));
  const asset = name === undefined ? undefined : listing.get(name);
  if (name === undefined || asset === undefined) return null;
  const slash =
    handling === 'force-trailing-slash' || (handling === 'auto-trailing-slash' && name.endsWith('/index.html'));
  const address = bare === '' || slash ? `${bare}/` : bare;
  if (address === path) return { kind: 'file', path: name, asset, status: 200 };
  return { kind: 'redirect', path: encoded(address) };
}

function notFound(listing: AssetListing, path: string, handling: AssetSettings['not_found_handling']): AssetOutcome {
  if (handling === 'single-page-application') return exact(listing, '/index.html') ?? NONE;
  if (handling === 'none') return NONE;
  for (let at = path.lastIndexOf('/'); at >= 0; at = path.lastIndexOf('/', at - 1)) {
    const name = `${path.slice(0, at)}/404.html`;
    const asset = listing.get(name);
    if (asset !== undefined) return { kind: 'file', path: name, asset, status: 404 };
    if (at === 0) break;
  }
  return NONE;
}

type First = 'function' | 'assets' | 'default';

/** Who is asked first under this path, however it is spelled. `default`: the assets, and the function for what is none. */
export function firstAsked(rules: AssetSettings['run_worker_first'], pathname: string): First {
  if (typeof rules === 'boolean') return rules ? 'function' : 'default';
  // An asset is found by the decoded path: what the function guards is not to be had by `/%61dmin` either.
  const first = firstOf(rules, pathname);
  return first === 'function' ? first : firstOf(rules, decoded(pathname) ?? pathname);
}

function firstOf(rules: readonly string[], pathname: string): First {
  if (rules.some((rule) => rule.startsWith('!') && matches(rule.slice(1), pathname))) return 'assets';
  return rules.some((rule) => !rule.startsWith('!') && matches(rule, pathname)) ? 'function' : 'default';
}

/** A star stands for any run of characters. Split and looked for in order: linear, whatever the rule. */
function matches(rule: string, pathname: string): boolean {
  const [head = '', ...rest] = rule.split('*');
  const tail = rest.pop();
  if (tail === undefined) return pathname === head;
  if (pathname.length < head.length + tail.length || !pathname.startsWith(head) || !pathname.endsWith(tail))
    return false;
  let at = head.length;
  for (const part of rest) {
    const found = pathname.slice(0, pathname.length - tail.length).indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return true;
}

/** Segments are compared as they are: a listing holds no `..`, and no encoding makes one of it. */
function decoded(pathname: string): string | null {
  if (!pathname.includes('%')) return pathname;
  try {
    return decodeURIComponent(pathname);
  } catch (error) {
    if (error instanceof URIError) return null;
    throw error;
  }
}

/** Never begins with two slashes, which a browser takes for another host. */
function encoded(path: string): string {
  return path
    .replace(/^\/{2,}/, '/')
    .split('/')
    .map(encodeURIComponent)
    .join('/');
}
