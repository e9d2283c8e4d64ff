/** What of the file is in use. */
import type { DiskStore } from '../api/disk.ts';
import type { Database } from './database.ts';
import type { Sync } from './protocol.ts';

export function diskDomain(db: Database): Sync<DiskStore> {
  const pragma = (name: 'page_count' | 'freelist_count' | 'page_size') =>
    Number((db.sql(`PRAGMA ${name}`).get() as Record<string, number>)[name]);
  return { used: () => (pragma('page_count') - pragma('freelist_count')) * pragma('page_size') };
}
