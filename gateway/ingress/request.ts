/**
 * From what node:http parsed to what a function is given: target, host, headers. One pass over the raw headers, with
 * no regular expression, since it runs for every request.
 */
import type { IncomingMessage } from 'node:http';
import { HearthError } from '../../functions/contract/errors.ts';
import type { HeaderList } from '../../functions/contract/invocation.ts';

export interface ParsedRequest {
  scheme: 'http' | 'https';
  /** Host with port, as it goes into the URL. */
  authority: string;
  /** Host without port, lower case: what routes are matched against. */
  host: string;
  /** With its leading slash, without the query; the first segment with needless percent-encoding undone. */
  path: string;
  /** With its leading `?`, or empty. */
  query: string;
  /** Lower case names. Without hop-by-hop, `hearth-*`, `traceparent` and unbelieved forwarded headers, with ours. */
  headers: HeaderList;
  traceparent: string | null;
  /** `hearth-version-override`, and the token that comes with it. */
  override: string | null;
  token: string | null;
  /** What a believed proxy already took off the path. */
  forwardedPrefix: string;
  /** From content-length; null: chunked, or no body. */
  contentLength: number | null;
  hasBody: boolean;
}

export interface RequestOrigin {
  remoteAddress: string;
  /** Its forwarded headers are believed. */
  trusted: boolean;
  /** Whether this address is one of those. */
  trusts(address: string): boolean;
  /** Stands in where an HTTP/1.0 request names no host. */
  localAuthority: string;
}

type Treatment = 'drop' | 'host' | 'connection' | 'length' | 'encoding' | 'traceparent' | 'upgrade' | 'forwarded';

// Hop-by-hop (RFC 9110, 7.6.1) and what the gateway itself has answered for.
const TREATMENT = new Map<string, Treatment>([
  ['host', 'host'],
  ['connection', 'connection'],
  ['content-length', 'length'],
  ['transfer-encoding', 'encoding'],
  ['traceparent', 'traceparent'],
  ['upgrade', 'upgrade'],
  ['expect', 'drop'],
  ['keep-alive', 'drop'],
  ['proxy-connection', 'drop'],
  ['proxy-authenticate', 'drop'],
  ['proxy-authorization', 'drop'],
  ['te', 'drop'],
  ['trailer', 'drop'],
  ['http2-settings', 'drop'],
  ['forwarded', 'forwarded'],
  ['x-real-ip', 'forwarded'],
  // Workers read the client's address from it.
  ['cf-connecting-ip', 'forwarded'],
]);

/** Tells what is wrong instead of throwing: an exception costs more than the whole pass. */
export function parseRequest(
  req: Pick<IncomingMessage, 'url' | 'rawHeaders' | 'httpVersionMinor'>,
  origin: RequestOrigin,
  upgrade: boolean,
): ParsedRequest | HearthError {
  const raw = req.rawHeaders;
  const headers: HeaderList = [];
  let hostHeader: string | null = null;
  let connection: string | null = null;
  let contentLength: number | null = null;
  let chunked = false;
  let traceparent: string | null = null;
  let override: string | null = null;
  let token: string | null = null;
  let forwardedFor = '';
  let forwardedHost = '';
  let forwardedProto = '';
  let forwardedPrefix = '';

  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] as string).toLowerCase();
    const value = raw[i + 1] as string;
    switch (TREATMENT.get(name)) {
      case undefined: {
        const first = name.charCodeAt(0);
        if (first === 0x68 && name.startsWith('hearth-')) {
          if (name === 'hearth-version-override') override = value;
          else if (name === 'hearth-token') token = value;
          break;
        }
        if (first === 0x78 && name.startsWith('x-forwarded-')) {
          if (!origin.trusted) break;
          if (name === 'x-forwarded-for') forwardedFor = forwardedFor === '' ? value : `${forwardedFor}, ${value}`;
          else if (name === 'x-forwarded-host') forwardedHost = firstOf(value);
          else if (name === 'x-forwarded-proto') forwardedProto = firstOf(value);
          else if (name === 'x-forwarded-prefix') forwardedPrefix = firstOf(value);
          else headers.push([name, value]);
          break;
        }
        headers.push([name, value]);
        break;
      }
      case 'host':
        if (hostHeader !== null) return bad('The request has more than one Host header.');
        hostHeader = value;
        break;
      case 'connection':
        connection = connection === null ? value : `${connection},${value}`;
        break;
      case 'length':
        // The parser admits digits only, and no second one that differs.
        contentLength = Number(value);
        headers.push([name, value]);
        break;
      case 'encoding':
        chunked = true;
        break;
      case 'traceparent':
        traceparent = value;
        break;
      case 'upgrade':
        if (upgrade) headers.push([name, value]);
        break;
      case 'forwarded':
        if (origin.trusted && name !== 'cf-connecting-ip') headers.push([name, value]);
        break;
      case 'drop':
        break;
    }
  }

  const target = req.url ?? '/';
  let authority = hostHeader ?? '';
  let start = 0;
  if (target.charCodeAt(0) !== 0x2f) {
    if (target !== '*') {
      // Absolute form: its authority replaces the Host header (RFC 9112, 3.2.2).
      const scheme = target.slice(0, 8).toLowerCase();
      const after = scheme.startsWith('http://') ? 7 : scheme === 'https://' ? 8 : -1;
      if (after === -1) return bad('The request target is neither a path nor an http URL.');
      start = endOfAuthority(target, after);
      authority = target.slice(after, start);
      if (authority === '') return bad('The request target names no host.');
    }
  }
  if (hostHeader === null && req.httpVersionMinor >= 1) return bad('The request has no Host header.');
  if (forwardedHost !== '' && hostOf(forwardedHost) !== null) authority = forwardedHost;
  if (authority === '') authority = origin.localAuthority;
  const host = hostOf(authority);
  if (host === null) return bad('The Host of the request is not a host name.');

  const mark = target.indexOf('?', start);
  const rawPath = target === '*' ? '/' : mark === -1 ? target.slice(start) : target.slice(start, mark);
  const path = plainFirstSegment(rawPath === '' ? '/' : rawPath);
  const scheme = forwardedProto === 'https' ? 'https' : 'http';

  const named = connection === null ? null : namedByConnection(connection);
  const kept = named === null ? headers : headers.filter(([name]) => !named.has(name));
  const client = forwardedFor === '' ? origin.remoteAddress : clientOf(forwardedFor, origin);
  kept.push(
    ['host', authority],
    ['x-forwarded-for', forwardedFor === '' ? client : `${forwardedFor}, ${origin.remoteAddress}`],
    ['x-forwarded-proto', scheme],
    ['x-forwarded-host', authority],
    ['cf-connecting-ip', client],
  );
  return {
    scheme,
    authority,
    host,
    path,
    query: mark === -1 ? '' : target.slice(mark),
    headers: kept,
    traceparent,
    override,
    token,
    forwardedPrefix,
    contentLength,
    hasBody: chunked || (contentLength !== null && contentLength > 0),
  };
}

function bad(message: string): HearthError {
  return new HearthError('BAD_REQUEST', message);
}

/**
 * Who called the outermost trusted proxy. Each proxy adds its caller at the right: what stands left of that, the caller may
 * have made up.
 */
function clientOf(forwardedFor: string, { remoteAddress, trusts }: RequestOrigin): string {
  const named = forwardedFor.split(',').map(withoutPort);
  let client = remoteAddress;
  for (let at = named.length - 1; at >= 0 && trusts(client); at--) client = named[at] || client;
  return client;
}

/** As some proxies write it: `1.2.3.4:5678`, `[2001:db8::1]:5678`. */
function withoutPort(entry: string): string {
  const address = entry.trim();
  if (address.startsWith('[')) return address.slice(1, Math.max(1, address.indexOf(']')));
  const colon = address.indexOf(':');
  return colon === address.lastIndexOf(':') && colon !== -1 ? address.slice(0, colon) : address;
}

function firstOf(list: string): string {
  const comma = list.indexOf(',');
  return (comma === -1 ? list : list.slice(0, comma)).trim();
}

function endOfAuthority(target: string, from: number): number {
  for (let i = from; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === 0x2f || code === 0x3f) return i;
  }
  return target.length;
}

/** Headers that `Connection` names are for this hop alone; null in the usual case, where it names none. */
function namedByConnection(value: string): Set<string> | null {
  if (value === 'keep-alive' || value === 'close' || value === 'Upgrade' || value === 'Keep-Alive') return null;
  const names = new Set<string>();
  for (const token of value.split(',')) {
    const name = token.trim().toLowerCase();
    if (name !== '' && name !== 'keep-alive' && name !== 'close' && name !== 'upgrade') names.add(name);
  }
  return names.size === 0 ? null : names;
}

/**
 * The host of `host:port`, lower case, without a final dot; null when it has characters that no host has. What passes
 * can be put into a URL as it is.
 */
export function hostOf(authority: string): string | null {
  let end = authority.length;
  const bracketed = authority.charCodeAt(0) === 0x5b;
  let i = 0;
  if (bracketed) {
    const close = authority.indexOf(']');
    if (close < 2) return null;
    for (i = 1; i < close; i++) {
      const code = authority.charCodeAt(i);
      if (!(isHexDigit(code) || code === 0x3a || code === 0x2e)) return null;
    }
    i = close + 1;
    end = i;
    if (i < authority.length && authority.charCodeAt(i) !== 0x3a) return null;
  } else {
    for (; i < authority.length; i++) {
      const code = authority.charCodeAt(i);
      if (code === 0x3a) break;
      if (!(isAlphanumeric(code) || code === 0x2d || code === 0x2e || code === 0x5f)) return null;
    }
    end = i;
    if (end === 0) return null;
  }
  if (i < authority.length) {
    let port = 0;
    for (i++; i < authority.length; i++) {
      const code = authority.charCodeAt(i);
      if (code < 0x30 || code > 0x39) return null;
      port = port * 10 + code - 0x30;
      if (port > 65_535) return null;
    }
  }
  if (end > 1 && authority.charCodeAt(end - 1) === 0x2e) end--;
  return authority.slice(0, end).toLowerCase();
}

/** `/%68ello/x` is `/hello/x` by RFC 3986: names of functions have to be found however the client wrote them. */
function plainFirstSegment(path: string): string {
  const percent = path.indexOf('%');
  if (percent === -1) return path;
  const slash = path.indexOf('/', 1);
  const end = slash === -1 ? path.length : slash;
  if (percent > end) return path;
  let plain = '';
  for (let i = 0; i < end; i++) {
    if (path.charCodeAt(i) === 0x25 && i + 2 < end) {
      const code = Number.parseInt(path.slice(i + 1, i + 3), 16);
      if (isHexDigit(path.charCodeAt(i + 1)) && isHexDigit(path.charCodeAt(i + 2)) && isUnreserved(code)) {
        plain += String.fromCharCode(code);
        i += 2;
        continue;
      }
    }
    plain += path[i];
  }
  return plain + path.slice(end);
}

function isAlphanumeric(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a);
}

function isHexDigit(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66) || (code >= 0x41 && code <= 0x46);
}

// Without the dot: `/%2e%2e/` must not become a step upwards.
function isUnreserved(code: number): boolean {
  return isAlphanumeric(code) || code === 0x2d || code === 0x5f || code === 0x7e;
}
