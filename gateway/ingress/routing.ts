/** Who gets a request: the function that its route leads to, the version that is chosen, and whether the caller may. */
import type { Socket } from 'node:net';
import { HearthError } from '../../functions/contract/errors.ts';
import type { AssetSettings } from '../../functions/contract/manifest-workers.ts';
import { type EarlyBody, HttpAsk, MAX_EARLY_BYTES } from '../registry/ask.ts';
import type { FunctionEntry, Registry, RouteMatch, VersionEntry } from '../registry/registry.ts';
import { ARM } from '../telemetry/names.ts';
import type { TriggerHead } from '../triggers/dispatcher.ts';
import type { AccessCheck } from './access.ts';
import type { AssetRequest } from './assets/serve.ts';
import { type IngressRequest, tooLarge } from './call.ts';
import { type OverrideCheck, overridden } from './override.ts';
import { createProxyTrust } from './proxies.ts';
import { type ParsedRequest, parseRequest, type RequestOrigin } from './request.ts';

export interface RoutingParts {
  registry: Pick<Registry, 'route'>;
  /** Who may say which version serves a request. */
  mayOverride: OverrideCheck;
  /** Who may call a function that is not for everybody, and how often. */
  access: AccessCheck;
  maxBodyBytes: number;
  /** Addresses and ranges whose forwarded headers are believed. */
  trustProxy: string[];
  /** Where this gateway listens, as a URL names it. */
  local(): string;
}

/** What a request is to be given to. */
export interface Routed {
  entry: FunctionEntry;
  version: VersionEntry;
  /** What chose it: ARM in telemetry/names.ts. */
  arm: string;
  head: TriggerHead;
  traceparent: string | null;
  hasBody: boolean;
  /** Its static assets are asked first; null: it has none. */
  site: AssetRequest | null;
  /** Whether the caller may is being found out; null: they may. */
  pending: Promise<HearthError | null> | null;
}

/** A request for a function of which several versions serve; who gets it has still to be chosen. */
export interface Arrived {
  req: IngressRequest;
  origin: RequestOrigin;
  parsed: ParsedRequest;
  match: RouteMatch;
  upgrade: boolean;
}

export interface Routing {
  /** Who gets the request, what has still to be chosen for it, or why no one gets it. */
  route(req: IngressRequest, upgrade: boolean): Routed | Arrived | HearthError;
  /** Who of several versions gets it. `early`: its body, where that has been read. */
  choose(arrived: Arrived, early: EarlyBody | null): Routed | HearthError;
  /** As `choose`; while its body was read the traffic may have moved. */
  chooseNow(arrived: Arrived, early: EarlyBody): Routed | HearthError;
}

/** Whether the choice hangs on a body that may be read ahead. */
export function readsBody({ parsed, match }: Arrived): boolean {
  const { entry, splits } = match;
  if (!parsed.hasBody || !(entry.plan?.needsBody === true || splits?.needsBody === true)) return false;
  return parsed.contentLength === null || parsed.contentLength <= MAX_EARLY_BYTES;
}

export function createRouting(parts: RoutingParts): Routing {
  const { registry, mayOverride, access, maxBodyBytes, local } = parts;
  const trust = createProxyTrust(parts.trustProxy);

  return { route, choose, chooseNow };

  function route(req: IngressRequest, upgrade: boolean): Routed | Arrived | HearthError {
    const origin = originOf(req.socket);
    const parsed = parseRequest(req, origin, upgrade);
    if (parsed instanceof HearthError) return parsed;
    const match = registry.route(parsed.host, parsed.path, parsed);
    const version = match?.entry.active;
    if (match === undefined || version === undefined) {
      return notPublished(parsed);
    }
    // The usual case: nothing is to be chosen, and nothing is made for it.
    if (parsed.override === null && match.splits === null && match.entry.plan?.single !== null) {
      return admit(req, origin, parsed, match, version, ARM.split, upgrade);
    }
    return { req, origin, parsed, match, upgrade };
  }

  function choose({ req, origin, parsed, match, upgrade }: Arrived, early: EarlyBody | null): Routed | HearthError {
    const { entry, splits } = match;
    const ask = new HttpAsk(parsed.headers, parsed.query, early);
    const choice =
      parsed.override === null ? entry.choose(ask) : overridden(parsed, entry, parsed.override, mayOverride);
    if (choice instanceof HearthError) return choice;
    if (choice === undefined) return new HearthError('NO_ROUTE', `No version of ${entry.record.name} takes traffic.`);
    const { version, arm } = choice;
    const served = splits === null ? version : splits.of(version, ask, parsed);
    return admit(req, origin, parsed, match, served, served.part ?? arm, upgrade);
  }

  /** Whether this version takes it. */
  function admit(
    req: IngressRequest,
    origin: RequestOrigin,
    parsed: ParsedRequest,
    match: RouteMatch,
    version: VersionEntry,
    arm: string,
    upgrade: boolean,
  ): Routed | HearthError {
    const handlers = version.record.handlers;
    if (!handlers.includes('fetch') && !handlers.includes('node-http')) {
      const name = version.record.functionName;
      const others = handlers.length === 0 ? 'nothing' : handlers.join(', ');
      return new HearthError('NO_ROUTE', `Function ${name} has no fetch handler; it can be triggered by: ${others}.`);
    }
    const { hearth, assets } = version.manifest;
    const { auth, rateLimit } = hearth;
    const locked = auth === null && rateLimit === undefined ? null : access(version, parsed.headers);
    if (locked instanceof HearthError) return locked;
    if (parsed.contentLength !== null && parsed.contentLength > maxBodyBytes) {
      return tooLarge(maxBodyBytes);
    }
    return {
      entry: match.entry,
      version,
      arm,
      site: assets === undefined ? null : siteOf(version, assets, parsed, match.prefix),
      traceparent: parsed.traceparent,
      hasBody: parsed.hasBody,
      pending: locked,
      head: {
        trigger: 'http',
        method: req.method ?? 'GET',
        url: urlFor(parsed, match.prefix),
        headers: parsed.headers,
        hasBody: parsed.hasBody,
        upgrade,
        remoteAddress: origin.remoteAddress,
      },
    };
  }

  function originOf(socket: Socket): RequestOrigin {
    const address = plainAddress(socket.remoteAddress ?? '');
    const trusted = trust.any && trust.trusts(address);
    return { remoteAddress: address, trusted, trusts: trust.trusts, localAuthority: local() };
  }

  function chooseNow(arrived: Arrived, early: EarlyBody): Routed | HearthError {
    const { parsed } = arrived;
    const match = registry.route(parsed.host, parsed.path, parsed);
    return match === undefined ? notPublished(parsed) : choose({ ...arrived, match }, early);
  }
}

function notPublished({ authority, path }: ParsedRequest): HearthError {
  return new HearthError('NO_ROUTE', `Nothing is published at ${authority}${path}.`);
}

function siteOf(
  version: VersionEntry,
  settings: AssetSettings,
  { path, query, headers, hasBody, forwardedPrefix }: ParsedRequest,
  prefix: string | null,
): AssetRequest {
  const pathname = prefix === null ? path : path.slice(prefix.length);
  return { version, settings, pathname, query, prefix: forwardedPrefix + (prefix ?? ''), headers, hasBody };
}

/** The URL as the function sees it. Put together as text: a path like `//x` must not be taken for a host. */
function urlFor(parsed: ParsedRequest, prefix: string | null): string {
  let path = parsed.path;
  if (prefix !== null) {
    path = path.slice(prefix.length);
    if (path.charCodeAt(0) !== 0x2f) path = `/${path}`;
    parsed.headers.push(['x-forwarded-prefix', parsed.forwardedPrefix + prefix]);
  } else if (parsed.forwardedPrefix !== '') {
    parsed.headers.push(['x-forwarded-prefix', parsed.forwardedPrefix]);
  }
  return `${parsed.scheme}://${parsed.authority}${path}${parsed.query}`;
}

/** `::ffff:10.0.0.1`, as a dual-stack socket says it, is 10.0.0.1. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
