/** Route patterns as Workers has them: `example.com/api/*`, `*.example.com/*`, `* /shop/*` (without the space). */
import { domainToASCII } from 'node:url';

export type RouteCheck = { pattern: string; problem: null } | { pattern: null; problem: string };

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * The pattern in its one canonical form (host in lower case and ASCII, `/path` alone as `*` + path), or a sentence
 * that says why it is none.
 */
export function checkRoute(pattern: string): RouteCheck {
  if (pattern.includes('://')) return bad(pattern, 'has a scheme; a route starts with its host');
  if (/[?#]/.test(pattern)) return bad(pattern, 'has a query or fragment; routes match host and path only');
  if (/\s/.test(pattern)) return bad(pattern, 'has white space in it');
  const slash = pattern.indexOf('/');
  const hostPart = slash === -1 ? pattern : pattern.slice(0, slash);
  const path = slash === -1 ? '' : pattern.slice(slash);

  if (path.slice(0, -1).includes('*')) return bad(pattern, 'has a * inside the path; it may only stand at the end');
  if (hostPart === '' && path === '') return bad(pattern, 'is empty');
  if (hostPart === '' || hostPart === '*') return { pattern: `*${path}`, problem: null };
  if (hostPart.includes(':')) return bad(pattern, 'has a port; routes match hosts without ports');
  const wildcard = hostPart.startsWith('*') ? (hostPart.startsWith('*.') ? '*.' : '*') : '';
  const rest = hostPart.slice(wildcard.length);
  if (rest.includes('*')) return bad(pattern, 'has a * inside the host; it may only stand at the start');
  const host = domainToASCII(rest);
  if (host === '' || host.length > 253 || !host.split('.').every((label) => LABEL.test(label))) {
    return bad(pattern, `has no valid host ("${rest}")`);
  }
  return { pattern: `${wildcard}${host}${path}`, problem: null };
}

function bad(pattern: string, problem: string): RouteCheck {
  return { pattern: null, problem: `The route "${pattern}" ${problem}.` };
}
