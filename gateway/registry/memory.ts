/**
 * The registry: a map in memory over the store. Reads never wait. A change is first committed, then seen: whoever reads
 * meanwhile gets the state before it. Changes go one after another, over all names, since routes and queues are claimed
 * across functions.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import type { ModuleImage } from '../../pool/keeper/api.ts';
import type { Seal } from '../store/seal.ts';
import type { Artifact, FunctionRecord, FunctionSecrets, Store, Traffic, VersionRecord } from '../store/store.ts';
import type { Logger } from '../telemetry/log.ts';
import { createImageCache, toImage } from './images.ts';
import type { FunctionEntry, Registry, VersionEntry } from './registry.ts';
import { createRouteTable } from './routes.ts';
import { createSpec, type OpenedSecrets } from './specs.ts';

export interface RegistryOptions {
  store: Pick<Store, 'registry' | 'secrets'>;
  seal: Seal;
  defaults: { network: 'all' | 'none' };
  log: Pick<Logger, 'debug' | 'warn' | 'error'>;
  /** Key under which a code cache for this code is valid on this Node (functions/build/cache-key.ts). */
  cacheKeyOf(code: Uint8Array): string;
  /** Epoch ms. */
  now?(): number;
  /** What images may take in memory; default 256 MB. */
  imageBytes?: number;
}

/** Images up to this size are read ahead after a start, so that the first call finds them in memory. */
const SMALL_IMAGE_BYTES = 64 * 1024;
/** A part of the image cache that reading ahead may fill. */
const READ_AHEAD_SHARE = 0.25;

const NO_SECRETS: OpenedSecrets = { revision: 0, values: {}, problem: null };

/** A version that is being probed. It holds its image itself until it is stored. */
interface Candidate {
  entry: VersionEntry;
  revision: number;
  stored(): void;
}

/** Reads everything but code. Rejects with NO_CAPACITY when the store is away. */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { store, seal, defaults, log, cacheKeyOf, now = Date.now, imageBytes = 256 * 1024 * 1024 } = options;
  const functions = new Map<string, FunctionEntry>();
  const routes = createRouteTable<FunctionEntry>();
  const consumers = new Map<string, FunctionEntry>();
  const secrets = new Map<string, OpenedSecrets>();
  const candidates = new WeakMap<Uint8Array, Candidate>();
  const listeners = new Set<(name: string) => void>();
  const images = createImageCache({ read: store.registry.getArtifact, cacheKeyOf, mostBytes: imageBytes });
  const inTurn = createTurns();

  const secretsOf = (name: string): OpenedSecrets => secrets.get(name) ?? NO_SECRETS;

  function openSecrets(loaded: FunctionSecrets): void {
    const values: Record<string, string> = Object.create(null);
    let problem: Error | null = null;
    for (const { key, sealed } of loaded.secrets) {
      try {
        values[key] = seal.open(loaded.functionName, key, sealed);
      } catch (error) {
        problem = error instanceof Error ? error : new Error(String(error));
        log.error(problem.message, { function: loaded.functionName });
      }
    }
    secrets.set(loaded.functionName, { revision: loaded.revision, values, problem });
  }

  async function reloadSecrets(name: string): Promise<void> {
    const [found] = await store.secrets.load(name);
    if (found === undefined) secrets.delete(name);
    else openSecrets(found);
  }

  /** What was sealed with an older key is sealed with the newest, so that the older one can be given up. */
  async function reseal({ functionName, secrets: stale }: FunctionSecrets): Promise<void> {
    for (const { key, sealed } of stale) {
      const value = secretsOf(functionName).values[key];
      if (value === undefined || seal.isCurrent(sealed)) continue;
      await store.secrets.reseal(functionName, key, sealed, seal.seal(functionName, key, value));
    }
  }

  function versionEntry(record: VersionRecord, image?: () => ModuleImage | Promise<ModuleImage>): VersionEntry {
    const spec = createSpec({
      record,
      secrets: secretsOf(record.functionName),
      network: defaults.network,
      image: image ?? (() => images.get(record)),
    });
    return { record, manifest: record.manifest, spec };
  }

  function functionEntry(record: FunctionRecord, versions: ReadonlyMap<string, VersionEntry>): FunctionEntry {
    const { revision } = secretsOf(record.name);
    const active = record.traffic === null ? undefined : versions.get(mainVersion(record.traffic));
    return { record: { ...record, secretRevision: revision }, versions, active };
  }

  /** Puts an entry in the place of the one before, in all maps at once. */
  function publish(name: string, entry: FunctionEntry | undefined): void {
    for (const { queue } of functions.get(name)?.active?.manifest.queues.consumers ?? []) {
      if (consumers.get(queue)?.record.name === name) consumers.delete(queue);
    }
    if (entry === undefined) functions.delete(name);
    else functions.set(name, entry);
    if (entry?.active === undefined || !entry.active.manifest.hearth.publish) {
      routes.delete(name);
      return;
    }
    routes.set(name, entry.active.manifest.routes, entry);
    for (const { queue } of entry.active.manifest.queues.consumers) {
      if (!consumers.has(queue)) consumers.set(queue, entry);
    }
  }

  function tell(name: string): void {
    for (const listener of [...listeners]) {
      try {
        listener(name);
      } catch (error) {
        log.error('a listener of the registry failed', { error, function: name });
      }
    }
  }

  /** Throws CONFLICT when what this version publishes is another function's. */
  function claimable(name: string, { manifest }: VersionRecord): void {
    if (!manifest.hearth.publish) return;
    const taken = routes.conflict(name, manifest.routes);
    if (taken !== undefined) {
      throw new HearthError('CONFLICT', `The route ${taken.pattern} belongs to the function ${taken.owner}.`);
    }
    for (const { queue } of manifest.queues.consumers) {
      const owner = consumers.get(queue)?.record.name;
      if (owner !== undefined && owner !== name) {
        throw new HearthError('CONFLICT', `The queue ${queue} is consumed by the function ${owner}; a queue has one.`);
      }
    }
  }

  /**
   * A queue belongs to the trust group that named it first: nobody of another one may send to it or take from it. Asked
   * for each version that is stored, active or not, so that an activation later cannot slip past. Throws CONFLICT.
   */
  function requireQueuesOfGroup(name: string, { manifest }: VersionRecord): void {
    const wanted = new Set(queuesOf(manifest));
    if (wanted.size === 0) return;
    const { trustGroup } = manifest.hearth;
    for (const [owner, { versions }] of functions) {
      for (const { manifest: other } of versions.values()) {
        if (other.hearth.trustGroup === trustGroup) continue;
        const taken = queuesOf(other).find((queue) => wanted.has(queue));
        if (taken === undefined || owner === name) continue;
        throw new HearthError(
          'CONFLICT',
          `The queue ${taken} belongs to the trust group ${other.hearth.trustGroup} (function ${owner}).`,
        );
      }
    }
  }

  function known(name: string): FunctionEntry {
    const entry = functions.get(name);
    if (entry === undefined) throw new HearthError('NOT_FOUND', `There is no function ${name}.`);
    return entry;
  }

  async function addVersion(given: VersionRecord, artifact: Artifact, activate: boolean) {
    const name = given.functionName;
    const before = functions.get(name);
    const existing = before?.versions.get(given.version);
    const record = existing?.record ?? given;
    if (activate) claimable(name, record);
    if (existing === undefined) requireQueuesOfGroup(name, record);

    const time = now();
    const current = before?.record ?? {
      name,
      traffic: null,
      previousTraffic: null,
      createdAt: time,
      updatedAt: time,
      secretRevision: 0,
    };
    const wanted: Traffic = { split: [{ version: record.version, percent: 100 }] };
    const next = activate ? redirected(current, wanted, time) : { ...current, updatedAt: time };
    if (existing === undefined) await store.registry.deploy(record, artifact, next);
    else {
      await store.registry.putFunction(next);
      await renewCodeCache(record, artifact);
    }

    const candidate = candidates.get(artifact.code);
    const proven = candidate?.revision === secretsOf(name).revision ? candidate.entry.spec : undefined;
    const version =
      existing ?? (proven === undefined ? versionEntry(record) : { record, manifest: record.manifest, spec: proven });
    if (existing === undefined) {
      images.put(record, toImage(record, artifact, cacheKeyOf));
      candidate?.stored();
    }
    const entry = functionEntry(next, new Map(before?.versions).set(record.version, version));
    publish(name, entry);
    tell(name);
    return { entry, replaced: replacedBy(entry, before) };
  }

  /** A version of an earlier Node that was deployed again has been probed by this one. */
  async function renewCodeCache(record: VersionRecord, { codeCache }: Artifact): Promise<void> {
    if (codeCache === null) return;
    const image = await images.get(record);
    if (image.codeCache !== null || codeCache.key !== cacheKeyOf(image.code)) return;
    await store.registry.putCodeCache(record.functionName, record.version, codeCache);
    images.put(record, { ...image, codeCache: codeCache.bytes });
  }

  async function redirect(name: string, wanted: (record: FunctionRecord) => Traffic) {
    const before = known(name);
    const traffic = wanted(before.record);
    for (const { version } of traffic.split) {
      const entry = before.versions.get(version);
      if (entry === undefined) {
        throw new HearthError('CONFLICT', `Version ${version} of ${name}, which had the traffic before, was deleted.`);
      }
      claimable(name, entry.record);
    }
    const record = redirected(before.record, traffic, now());
    await store.registry.putFunction(record);
    const entry = functionEntry(record, before.versions);
    publish(name, entry);
    tell(name);
    return { entry, replaced: replacedBy(entry, before) };
  }

  async function secretsChanged(name: string): Promise<FunctionEntry | undefined> {
    await reloadSecrets(name);
    const before = functions.get(name);
    if (before === undefined) return undefined;
    const versions = new Map([...before.versions].map(([id, { record }]) => [id, versionEntry(record)]));
    const entry = functionEntry(before.record, versions);
    publish(name, entry);
    tell(name);
    return entry;
  }

  async function readAhead(): Promise<void> {
    for (const name of [...functions.keys()]) {
      const active = functions.get(name)?.active;
      if (active === undefined || active.record.sizeBytes > SMALL_IMAGE_BYTES) continue;
      if (images.bytes > imageBytes * READ_AHEAD_SHARE) return;
      try {
        await images.get(active.record);
      } catch (error) {
        // Deleted meanwhile. Anything else ends it: what is wanted is read when it is asked for.
        if (!(error instanceof HearthError) || error.code !== 'NOT_FOUND') throw error;
      }
    }
  }

  const [loaded, loadedSecrets] = await Promise.all([store.registry.load(), store.secrets.load(null)]);
  for (const one of loadedSecrets) openSecrets(one);
  await Promise.all(loadedSecrets.map(reseal));
  const versionsOf = new Map<string, Map<string, VersionEntry>>();
  for (const record of loaded.versions) {
    const versions = versionsOf.get(record.functionName) ?? new Map<string, VersionEntry>();
    versions.set(record.version, versionEntry(record));
    versionsOf.set(record.functionName, versions);
  }
  for (const record of loaded.functions) {
    publish(record.name, functionEntry(record, versionsOf.get(record.name) ?? new Map()));
  }
  readAhead().catch((error: unknown) => log.debug('reading ahead ended early', { error }));

  return {
    function: (name) => functions.get(name),
    functions: () => functions.values(),
    route(host, path) {
      const found = routes.match(host, path);
      return found === undefined ? undefined : { entry: found.target, prefix: found.prefix };
    },
    consumer: (queue) => consumers.get(queue),
    addVersion: (record, artifact, activate) => inTurn(() => addVersion(record, artifact, activate)),
    rollback: (name) =>
      inTurn(() =>
        redirect(name, ({ previousTraffic }) => {
          if (previousTraffic !== null) return previousTraffic;
          throw new HearthError('CONFLICT', `${name} has no earlier traffic to go back to.`);
        }),
      ),
    deleteFunction: (name) =>
      inTurn(async () => {
        const entry = functions.get(name);
        if (entry === undefined) return undefined;
        await store.registry.deleteFunction(name);
        await reloadSecrets(name);
        for (const version of entry.versions.keys()) images.delete(name, version);
        publish(name, undefined);
        tell(name);
        return entry;
      }),
    deleteVersion: (name, version) =>
      inTurn(async () => {
        const before = functions.get(name);
        if (before === undefined || !before.versions.has(version)) return false;
        if (before.record.traffic?.split.some((share) => share.version === version) === true) {
          throw new HearthError('CONFLICT', `Version ${version} of ${name} takes traffic; move the traffic first.`);
        }
        await store.registry.deleteVersion(name, version);
        images.delete(name, version);
        const versions = new Map(before.versions);
        versions.delete(version);
        publish(name, functionEntry(before.record, versions));
        tell(name);
        return true;
      }),
    secretsChanged: (name) => inTurn(() => secretsChanged(name)),
    candidate: (record, artifact) =>
      inTurn(async () => {
        const stored = functions.get(record.functionName)?.versions.get(record.version);
        if (stored !== undefined) return stored;
        // They may have been set before there was a function to tell of them.
        if (!functions.has(record.functionName)) await reloadSecrets(record.functionName);
        let held: ModuleImage | null = toImage(record, artifact, cacheKeyOf);
        const entry = versionEntry(record, () => held ?? images.get(record));
        candidates.set(artifact.code, {
          entry,
          revision: secretsOf(record.functionName).revision,
          stored: () => {
            held = null;
          },
        });
        return entry;
      }),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Every queue that a manifest names, dead letters included. */
function queuesOf({ queues }: Manifest): string[] {
  return [
    ...queues.producers.map(({ queue }) => queue),
    ...queues.consumers.flatMap(({ queue, dead_letter_queue }) => [queue, dead_letter_queue]),
  ];
}

function mainVersion(traffic: Traffic): string {
  return traffic.split.reduce((most, share) => (share.percent > most.percent ? share : most)).version;
}

/** The same traffic again is no change, so that a rollback still leads to what was before it. */
function redirected(record: FunctionRecord, traffic: Traffic, time: number): FunctionRecord {
  const same = JSON.stringify(record.traffic) === JSON.stringify(traffic);
  return { ...record, traffic, previousTraffic: same ? record.previousTraffic : record.traffic, updatedAt: time };
}

function replacedBy(entry: FunctionEntry, before: FunctionEntry | undefined): VersionEntry | undefined {
  return before?.active?.spec.key === entry.active?.spec.key ? undefined : before?.active;
}

/** Runs one task after another; a failed one does not hold up those behind it. */
function createTurns(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const turn = last.then(task, task);
    last = turn.catch(() => undefined);
    return turn;
  };
}
