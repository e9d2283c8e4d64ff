import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storeContract } from '../store-contract.ts';
import { openSqliteStore } from './client.ts';

storeContract('sqlite', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'hearth-store-'));
  const log = { warn: console.warn, error: console.error };
  return {
    open: () => openSqliteStore({ path: join(dir, 'hearth.db'), log }),
    remove: () => rm(dir, { recursive: true, force: true }),
  };
});
