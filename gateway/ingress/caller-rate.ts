/** How often a function may be called over HTTP, as its manifest says in `hearth.rateLimit`. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { HeaderList } from '../../functions/contract/invocation.ts';
import type { RateLimit } from '../../functions/contract/manifest-services.ts';
import type { Rates } from '../rates.ts';
import type { VersionEntry } from '../registry/registry.ts';

/** Null: it may be called, and one call more is counted. */
export function rateRefusal(
  rates: Rates,
  { functionName, manifest: { hearth } }: VersionEntry,
  headers: HeaderList,
): HearthError | null {
  const { rateLimit, trustGroup } = hearth;
  if (rateLimit === undefined) return null;
  const { limit, periodSeconds, by } = rateLimit;
  const rate = { limit, periodMs: periodSeconds * 1000 };
  const waitMs = rates.take(trustGroup, `function/${functionName}`, rate, keyOf(by, headers));
  if (waitMs === 0) return null;
  const whom = by === 'function' ? 'the function' : by === 'ip' ? 'each address' : `each ${by.header}`;
  return new HearthError('OVERLOADED', `Of ${whom}, ${limit} calls are taken in ${periodSeconds} s.`, {
    retryAfterS: waitMs / 1000,
    advice: "Send again after retry-after seconds; the limit is the manifest's hearth.rateLimit.",
  });
}

function keyOf(by: RateLimit['by'], headers: HeaderList): string {
  if (by === 'function') return '';
  if (by !== 'ip') return headers.find(([name]) => name === by.header)?.[1] ?? '';
  // Last: what a client sends under this name was taken out before ours was added.
  return networkOf(headers.findLast(([name]) => name === 'cf-connecting-ip')?.[1] ?? '');
}

/** Of IPv6 the first 64 bits: whoever has one address there has all of them. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  const groups = [...front, ...Array.from({ length: zeros }, () => '0'), ...back].slice(0, 4);
  return groups.map((group) => group.replace(/^0+(?=.)/, '').toLowerCase()).join(':');
}
