/** The store that the settings name. */
import type { Config } from '../config.ts';
import type { DataDir } from '../start/data-dir.ts';
import type { Logger } from '../telemetry/log.ts';
import type { KeyProof } from './redis/start.ts';
import type { Seal } from './seal.ts';
import { openSqliteStore } from './sqlite/client.ts';
import { acquireLock } from './sqlite/lock.ts';
import type { Store } from './store.ts';

/** What is sealed to see whether a key is the right one: no function has a name like it. */
const PROOF = ['', 'key proof', 'hearth'] as const;

interface OpenParts {
  config: Pick<Config, 'redis'>;
  dataDir: DataDir;
  seal: Seal;
  log: Logger;
}

/** Throws StoreStartError with a sentence for the operator. `isNew`: nothing was ever stored there. */
export async function openStore({ config, dataDir, seal, log }: OpenParts): Promise<{ store: Store; isNew: boolean }> {
  if (config.redis === null) {
    return { store: await openSqliteStore({ path: dataDir.storePath, log }), isNew: dataDir.isNew };
  }
  // Its own files still stand in the data directory: two gateways of one would take them from each other.
  const lock = acquireLock(dataDir.storePath);
  try {
    // Who keeps his state in SQLite need not load the client.
    const { openRedisStore } = await import('./redis/client.ts');
    const { store, isNew } = await openRedisStore({ target: config.redis, log, keyProof: keyProof(seal) });
    const close = async () => {
      await store.close();
      lock.release();
    };
    return { store: { ...store, close }, isNew };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function keyProof(seal: Seal): KeyProof {
  const [functionName, key, value] = PROOF;
  return {
    make: () => seal.seal(functionName, key, value),
    check(proof) {
      try {
        if (seal.open(functionName, key, proof) !== value) return 'unknown';
      } catch {
        // Sealed with another key, or by nobody.
        return 'unknown';
      }
      return seal.isCurrent(proof) ? 'current' : 'older';
    },
  };
}
