/** Who may call what: the admin token, and scoped tokens that can do one thing each. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import type { TokenRecord, TokenStore } from '../store/api/tokens.ts';

export const SCOPE_PATTERN =
  /^(read|(enqueue|publish|invoke|rpc|deploy|override|profile):[a-z0-9*][a-z0-9.*-]*|config:[A-Za-z0-9*][A-Za-z0-9._*-]*)$/;

export type Action = 'enqueue' | 'publish' | 'invoke' | 'rpc' | 'deploy' | 'override' | 'profile' | 'config';

/** Whoever sent the request. */
export interface Caller {
  /** For the audit: token id or `admin`. */
  readonly id: string;
  readonly admin: boolean;
  readonly scopes: readonly string[];
  readonly trustGroups: readonly string[];
  readonly routes: readonly string[];
}

export interface Access {
  /** Throws UNAUTHORIZED. */
  authenticate(authorization: string | undefined): Caller;
  /** The token is in the answer and nowhere else. */
  create(grants: Pick<TokenRecord, 'scopes' | 'trustGroups' | 'routes'>, nowMs: number): Promise<CreatedToken>;
  list(): Iterable<TokenRecord>;
  revoke(id: string): Promise<boolean>;
  /** Takes over what another gateway has made or revoked. Throws NO_CAPACITY while the store is away. */
  refresh(): Promise<void>;
}

export interface CreatedToken {
  token: string;
  record: TokenRecord;
}

const ADMIN: Caller = { id: 'admin', admin: true, scopes: [], trustGroups: [], routes: [] };

/** Tokens are held in memory, by hash: a request never waits for the store. */
export async function createAccess(adminToken: string, store: TokenStore): Promise<Access> {
  const adminHash = sha256(adminToken);
  const byHash = new Map<string, TokenRecord>();
  /** Made here so far: a list that was read meanwhile may say nothing of the last one. */
  let changes = 0;

  async function refresh(): Promise<void> {
    for (let before = -1; before !== changes; ) {
      before = changes;
      const records = await store.list();
      if (before !== changes) continue;
      byHash.clear();
      for (const record of records) byHash.set(record.hash, record);
    }
  }
  await refresh();

  return {
    refresh,
    authenticate(authorization) {
      const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
      if (token === undefined) throw new HearthError('UNAUTHORIZED', 'The request carries no bearer token.');
      const hash = sha256(token);
      // Hashes of equal length, compared in constant time; the map below is keyed by a hash that nobody can steer.
      if (timingSafeEqual(hash, adminHash)) return ADMIN;
      const record = byHash.get(hash.toString('hex'));
      if (record === undefined) throw new HearthError('UNAUTHORIZED', 'The bearer token is not known, or was revoked.');
      return { admin: false, ...record };
    },
    async create(grants, nowMs) {
      const token = `hearth_${randomBytes(32).toString('base64url')}`;
      const record: TokenRecord = {
        id: `tok_${randomBytes(9).toString('base64url')}`,
        hash: sha256(token).toString('hex'),
        ...grants,
        createdAt: nowMs,
      };
      await store.put(record);
      changes += 1;
      byHash.set(record.hash, record);
      return { token, record };
    },
    list: () => byHash.values(),
    async revoke(id) {
      const found = await store.delete(id);
      changes += 1;
      for (const [hash, record] of byHash) if (record.id === id) byHash.delete(hash);
      return found;
    },
  };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Throws FORBIDDEN unless one of the scopes covers the action on this name. */
export function requireScope(caller: Caller, action: Action, name: string): void {
  if (mayDo(caller, action, name)) return;
  throw new HearthError('FORBIDDEN', `This call needs the scope "${action}:${name}".`);
}

/** Why the holder of this token may not choose which version of a function serves its request; null: it may. */
export function overrideRefusal(access: Pick<Access, 'authenticate'>, token: string, name: string): HearthError | null {
  try {
    requireScope(access.authenticate(`Bearer ${token}`), 'override', name);
    return null;
  } catch (error) {
    if (!(error instanceof HearthError)) throw error;
    // Whether a token is known at all is nobody's business on the functions' port.
    return new HearthError('FORBIDDEN', `hearth-version-override needs a token with the scope "override:${name}".`);
  }
}

/** Reading needs `read`, or the right to act on the very thing. */
export function requireRead(caller: Caller, name?: string): void {
  if (caller.admin || caller.scopes.includes('read')) return;
  if (name !== undefined && mayDo(caller, 'deploy', name)) return;
  throw new HearthError('FORBIDDEN', 'This call needs the scope "read".');
}

export function requireAdmin(caller: Caller): void {
  if (!caller.admin) throw new HearthError('FORBIDDEN', 'This call needs the admin token.');
}

function mayDo(caller: Caller, action: Action, name: string): boolean {
  return caller.admin || caller.scopes.some((scope) => scopeCovers(scope, action, name));
}

/** `deploy:shop-*` covers deploying `shop-cart`; a star stands for any run of characters. */
export function scopeCovers(scope: string, action: Action, name: string): boolean {
  const prefix = `${action}:`;
  return scope.startsWith(prefix) && globMatches(scope.slice(prefix.length), name);
}

/** Split at the stars and look for the parts in order: linear, whatever the pattern. */
function globMatches(pattern: string, name: string): boolean {
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop();
  if (tail === undefined) return name === head;
  if (name.length < head.length + tail.length || !name.startsWith(head) || !name.endsWith(tail)) return false;
  let at = head.length;
  for (const part of rest) {
    const found = name.slice(0, name.length - tail.length).indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return true;
}

/**
 * A deployer may claim only the trust groups and routes its token names (trust group `default` when it names none);
 * `/NAME` and `NAME.localhost` come with the name. Throws FORBIDDEN.
 */
export function requireClaims(caller: Caller, manifest: Manifest): void {
  if (caller.admin) return;
  requireTrustGroup(caller, manifest.hearth.trustGroup);
  requireRoutes(caller, manifest.routes);
}

/** Throws FORBIDDEN when one of these routes is outside of what the token names. */
export function requireRoutes(caller: Caller, routes: readonly string[]): void {
  if (caller.admin) return;
  const route = routes.find((claimed) => !caller.routes.some((allowed) => routeCovers(allowed, claimed)));
  if (route !== undefined) throw new HearthError('FORBIDDEN', `This token may not claim the route "${route}".`);
}

/** Throws FORBIDDEN when the token has no business with functions of this trust group. */
export function requireTrustGroup(caller: Caller, trustGroup: string): void {
  const allowed = caller.trustGroups.length === 0 ? ['default'] : caller.trustGroups;
  if (caller.admin || allowed.includes(trustGroup)) return;
  throw new HearthError('FORBIDDEN', `This token may not act in the trust group "${trustGroup}".`);
}

/** Whether every URL of `claimed` is one of `allowed`. Both in the canonical form of functions/contract/routes.ts. */
export function routeCovers(allowed: string, claimed: string): boolean {
  const [allowedHost, allowedPath] = splitRoute(allowed);
  const [claimedHost, claimedPath] = splitRoute(claimed);
  const path = allowedPath.endsWith('*')
    ? claimedPath.startsWith(allowedPath.slice(0, -1))
    : claimedPath === allowedPath;
  return path && hostCovers(allowedHost, claimedHost);
}

/** A star stands in front of what every host has to end with. */
function hostCovers(allowed: string, claimed: string): boolean {
  if (!allowed.startsWith('*')) return allowed === claimed;
  const ending = claimed.startsWith('*') ? claimed.slice(1) : claimed;
  return ending.endsWith(allowed.slice(1));
}

function splitRoute(route: string): [host: string, path: string] {
  const slash = route.indexOf('/');
  return slash === -1 ? [route, ''] : [route.slice(0, slash), route.slice(slash)];
}
