/** The store that the settings name. */
import type { Config } from '../config.ts';
import { roomIn } from '../retention/disk.ts';
import { createQuota, type Quota } from '../retention/quota.ts';
import { withinQuota } from '../retention/within-quota.ts';
import type { DataDir } from '../start/data-dir.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Timers } from '../triggers/timers.ts';
import type { Target } from './redis/connection.ts';
import type { KeyProof } from './redis/start.ts';
import type { Seal } from './seal.ts';
import { openSqliteStore } from './sqlite/client.ts';
import { MOST_LOG_BYTES } from './sqlite/limits.ts';
import { acquireLock } from './sqlite/lock.ts';
import type { Store } from './store.ts';

/** What is sealed to see whether a key is the right one: no function has a name like it. */
const PROOF = ['', 'key proof', 'hearth'] as const;

interface OpenParts {
  config: Pick<Config, 'redis' | 'diskBytes'>;
  dataDir: DataDir;
  seal: Seal;
  timers: Timers;
  log: Logger;
}

interface Opened {
  /** Takes nothing new where the quota is used up. */
  store: Store;
  quota: Quota;
  /** Nothing was ever stored there. */
  isNew: boolean;
}

/** Throws StoreStartError with a sentence for the operator. */
export async function openStore(parts: OpenParts): Promise<Opened> {
  const { config, dataDir, timers, log } = parts;
  const { store, isNew } = await (config.redis === null ? openFile(parts) : openRedis(parts, config.redis));
  const quota = createQuota({
    used: store.disk.used,
    limitBytes: config.diskBytes,
    logBytes: config.redis === null ? MOST_LOG_BYTES : 0,
    disk: config.redis === null ? () => roomIn(dataDir.path) : null,
    timers,
    log,
  });
  await quota.start();
  return { store: withinQuota(store, quota), quota, isNew };
}

async function openFile({ config, dataDir, log }: OpenParts): Promise<Omit<Opened, 'quota'>> {
  // Whatever is asked of it, the file does not grow beyond.
  const bound = config.diskBytes === null ? {} : { maxBytes: config.diskBytes - MOST_LOG_BYTES };
  return { store: await openSqliteStore({ path: dataDir.storePath, log, ...bound }), isNew: dataDir.isNew };
}

async function openRedis({ dataDir, seal, log }: OpenParts, target: Target): Promise<Omit<Opened, 'quota'>> {
  // Its own files still stand in the data directory: two gateways of one would take them from each other.
  const lock = acquireLock(dataDir.storePath);
  try {
    // Who keeps his state in SQLite need not load the client.
    const { openRedisStore } = await import('./redis/client.ts');
    const { store, isNew } = await openRedisStore({ target, log, keyProof: keyProof(seal) });
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
