/** What a gateway stands on: its clocks and ids, its data directory, the store, and what is kept of functions and bases. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeCacheKey } from '../../functions/build/cache-key.ts';
import { createBuilder } from '../../functions/build/client.ts';
import { createAddressCheck } from '../addresses.ts';
import { loadBaseDefinitions } from '../bases/definitions.ts';
import { resolveBases } from '../bases/resolve.ts';
import { createClock } from '../clock.ts';
import { createClusterTurn } from '../cluster/turn.ts';
import type { Config } from '../config.ts';
import { createAccess } from '../control/access.ts';
import { createAudit } from '../control/audit.ts';
import { createAssetContents } from '../ingress/assets/contents.ts';
import { createAssetLibrary } from '../ingress/assets/library.ts';
import { createRegistry } from '../registry/memory.ts';
import { checkPools, readConfigFile } from '../start/config-file.ts';
import { adminTokenOf, makeRunDir, openDataDir } from '../start/data-dir.ts';
import { openStore } from '../store/open.ts';
import { createSeal, loadSecretKeys } from '../store/seal.ts';
import type { Logger } from '../telemetry/log.ts';
import { createIdMaker } from '../triggers/ids.ts';
import { realTimers } from '../triggers/timers.ts';

/** Hearth's own directory, in a checkout and in a package alike. */
export const ROOT = join(import.meta.dirname, '../..');
const VERSION = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
const DAY_MS = 24 * 60 * 60 * 1000;

export type State = Awaited<ReturnType<typeof openState>>;

/** Throws ConfigError, StartError and StoreStartError: sentences for whoever starts it. */
export async function openState(config: Config, log: Logger) {
  const now = Date.now;
  const newId = createIdMaker(now);
  const timers = realTimers;
  const file = readConfigFile(config.configFile, process.cwd());
  checkPools(file.pools, config);
  // Before anything is made: what is wrong in the file ends the start.
  resolveBases(file, process.env);

  const dataDir = await openDataDir(config.dataDir);
  const adminToken = await adminTokenOf(dataDir.path, config.adminToken);
  const seal = createSeal(await loadSecretKeys(config.secretKeys, dataDir.path));
  const { store, quota, isNew } = await openStore({ config, dataDir, seal, timers, log });
  const isShared = config.redis !== null;
  // Leases are this process's own; only a store of its own it has to itself, and goes on at once with what it held before.
  const owner = isShared ? newId() : 'gateway';
  const loaded = await store.changes.revisions();
  const registry = await createRegistry({
    store,
    seal,
    defaults: { network: config.network, patient: config.inspectPort !== null },
    log,
    cacheKeyOf: codeCacheKey,
    ...(isShared ? { turnOf: createClusterTurn({ ...store, owner, now, timers }) } : {}),
  });
  const runDir = await makeRunDir(dataDir.path);
  const definitions = await loadBaseDefinitions({
    file,
    env: process.env,
    store: store.bases,
    directory: join(runDir, 'setup'),
    now,
    log,
  });
  const assetContents = createAssetContents(store.kv, now);
  return {
    config,
    log,
    version: VERSION,
    file,
    dataDir,
    runDir,
    now,
    /** With fractions of a ms, for what is measured. */
    preciseNow: createClock(),
    newId,
    timers,
    keepMs: config.retentionDays * DAY_MS,
    seal,
    store,
    quota,
    /** Nothing was ever stored there. */
    isNew,
    /** Other gateways work on the same store. */
    isShared,
    owner,
    loaded,
    registry,
    definitions,
    builder: createBuilder({ runDir: join(runDir, 'build'), log }),
    assets: { contents: assetContents, library: createAssetLibrary(assetContents) },
    access: await createAccess(adminToken, store.tokens),
    audit: createAudit(store.audit, now),
    /** Whom this gateway itself calls for a function: callbacks, key sets. */
    mayCall: createAddressCheck(config.callbackPrivate === 'allow'),
  };
}
