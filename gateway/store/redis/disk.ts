/** What Redis has in memory: also what others keep in it, as it has one limit for all. */
import type { DiskStore } from '../api/disk.ts';
import { asText } from './reply.ts';
import type { Database } from './script.ts';

export function diskDomain(db: Database): DiskStore {
  const info = db.script('disk.used', "return redis.call('INFO', 'memory')");
  return { used: async () => Number(/^used_memory:(\d+)/m.exec(asText(await info()))?.[1] ?? Number.NaN) };
}
