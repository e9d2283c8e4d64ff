/** Which trust group a queue belongs to: the one that named it first. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Claims } from './claims.ts';
import type { KeptFunction } from './entries.ts';
import type { Publications } from './publications.ts';

/**
 * Nobody of another group may send to a queue or take from it. Asked for each version that is stored, active or not, and
 * for each publication, so that an activation later cannot slip past. Throws CONFLICT.
 */
export function requireQueuesOfGroup(
  functions: ReadonlyMap<string, KeptFunction>,
  publications: Publications,
  name: string,
  { queues, trustGroup }: Pick<Claims, 'queues' | 'trustGroup'>,
): void {
  if (queues.length === 0) return;
  const wanted = new Set(queues);
  const refuse = (queue: string, group: string, owner: string) =>
    new HearthError('CONFLICT', `The queue ${queue} belongs to the trust group ${group} (function ${owner}).`);
  for (const { function: owner, queues: named } of publications.named()) {
    const group = groupOf(functions.get(owner));
    const taken = named.find((queue) => wanted.has(queue));
    if (taken !== undefined && owner !== name && group !== null && group !== trustGroup) {
      throw refuse(taken, group, owner);
    }
  }
  for (const [owner, { kept }] of functions) {
    for (const { claims: other } of kept) {
      if (other.trustGroup === trustGroup) continue;
      const taken = other.queues.find((queue) => wanted.has(queue));
      if (taken !== undefined && owner !== name) throw refuse(taken, other.trustGroup, owner);
    }
  }
}

/** Of the version that takes traffic, or the newest. */
export function groupOf(entry: KeptFunction | undefined): string | null {
  return (entry?.active ?? entry?.kept.at(-1))?.claims.trustGroup ?? null;
}
