/**
 * The registry: a map in memory over the store. Reads never wait. A change is first committed, then seen: whoever reads
 * meanwhile gets the state before it. Changes go one after another, over all names, since routes and queues are claimed
 * across functions.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Traffic } from '../../functions/contract/traffic.ts';
import type { ModuleImage, ModuleSpec } from '../../pool/keeper/api.ts';
import type { ClusterTurn } from '../cluster/turn.ts';
import type { Artifact, FunctionRecord, VersionRecord } from '../store/api/registry.ts';
import type { Seal } from '../store/seal.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../telemetry/log.ts';
import { createClaims } from './claims.ts';
import { KeptFunction, type KeptVersion, keptVersion, namedBy, Shelf } from './entries.ts';
import { createImageCache, toImage } from './images.ts';
import { loadFunctions, readAhead } from './loading.ts';
import { type MayServe, mayServe } from './may-serve.ts';
import { patient } from './patient.ts';
import { type KeptClaims, Publications } from './publications.ts';
import { createPublishing } from './publishing.ts';
import { requireQueuesOfGroup } from './queue-groups.ts';
import { createRefresh } from './refreshing.ts';
import type { FunctionEntry, Left, Registry } from './registry.ts';
import { Reservations } from './reservations.ts';
import { createSecrets } from './secrets.ts';
import { createSpec, type OpenedSecrets } from './specs.ts';
import { createTrafficMoves, redirected, sameTraffic } from './traffic-moves.ts';
import { createTurns } from './turns.ts';

export interface RegistryOptions {
  store: Pick<Store, 'registry' | 'publications' | 'secrets'>;
  seal: Seal;
  defaults: { network: 'all' | 'none'; patient?: boolean };
  log: Pick<Logger, 'debug' | 'warn' | 'error'>;
  /** Key under which a code cache for this code is valid on this Node (functions/build/cache-key.ts). */
  cacheKeyOf(code: Uint8Array): string;
  /** Epoch ms. */
  now?(): number;
  /** What images may take in memory; default 256 MB. */
  imageBytes?: number;
  /** Where others change the same store: what takes turns with them. */
  turnOf?: ClusterTurn;
  /** Versions whose manifest and spec are in memory, the last used ones; default 1000, which are 6 MB. */
  openVersions?: number;
}

/** A version that is being probed. It holds its image itself until it is stored. */
interface Candidate {
  spec: ModuleSpec;
  stored(): void;
}

/** Reads everything but code. Rejects with NO_CAPACITY when the store is away. */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { store, seal, defaults, log, cacheKeyOf, now = Date.now, imageBytes = 256 * 1024 * 1024 } = options;
  const functions = new Map<string, KeptFunction>();
  const reservations = new Reservations();
  const publications = new Publications(await store.publications.load(), keptClaims);
  const secrets = createSecrets({ store: store.secrets, seal, log });
  const candidates = new WeakMap<Uint8Array, Candidate>();
  const listeners = new Set<(name: string) => void>();
  const leaveListeners = new Set<(left: Left) => void>();
  const images = createImageCache({ read: store.registry.getArtifact, cacheKeyOf, mostBytes: imageBytes });
  const inTurn = createTurns();
  const { turnOf = (_, change) => change() } = options;
  const claimsOf = createClaims();
  const opener = {
    shelf: new Shelf(options.openVersions ?? 1000),
    spec: (record: VersionRecord, opened: OpenedSecrets) => specOf(record, opened, () => images.get(record)),
  };

  function specOf(record: VersionRecord, opened: OpenedSecrets, image: ModuleSpec['image']): ModuleSpec {
    const { network, patient: isPatient = false } = defaults;
    const spec = createSpec({ record, secrets: opened, network, image });
    return isPatient ? patient(spec) : spec;
  }

  function versionEntry(record: VersionRecord): KeptVersion {
    return keptVersion(record, claimsOf(record.manifest), secrets.of(record.functionName), opener);
  }

  function functionEntry(record: FunctionRecord, versions: readonly KeptVersion[]): KeptFunction {
    return new KeptFunction({ ...record, secretRevision: secrets.of(record.name).revision }, versions);
  }

  /** What is kept for functions that a rollout may return to their old version. */
  function* keptClaims(): Iterable<KeptClaims> {
    for (const { name, version, rollout } of reservations.kept()) {
      const claims = functions.get(name)?.version(version)?.claims;
      if (claims !== undefined) yield { name, claims, rollout };
    }
  }

  /** Puts an entry in the place of the one before, in all maps at once. */
  function publish(name: string, entry: KeptFunction | undefined): void {
    if (entry === undefined) functions.delete(name);
    else functions.set(name, entry);
    publications.follow(name, entry);
  }

  function tell(name: string): void {
    notify(listeners, name, name);
  }

  function notify<Told>(each: ReadonlySet<(told: Told) => void>, told: Told, name: string): void {
    for (const listener of [...each]) {
      try {
        listener(told);
      } catch (error) {
        log.error('a listener of the registry failed', { error, function: name });
      }
    }
  }

  async function addVersion(given: VersionRecord, artifact: Artifact, activate: boolean): Promise<KeptFunction> {
    const name = given.functionName;
    const before = functions.get(name);
    const existing = before?.version(given.version);
    const record = existing?.record ?? given;
    const claims = existing?.claims ?? claimsOf(given.manifest);
    publications.requireName(name);
    if (activate) publications.require(name, claims);
    if (existing === undefined) requireQueuesOfGroup(functions, publications, name, claims);

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

    const version = existing ?? versionEntry(record);
    if (existing === undefined) {
      const candidate = candidates.get(artifact.code);
      if (candidate?.spec.key === version.key) version.take(record, candidate.spec);
      images.put(record, toImage(record, artifact, cacheKeyOf));
      candidate?.stored();
    }
    const kept = before?.kept ?? [];
    const entry = functionEntry(next, existing === undefined ? [...kept, version] : kept);
    if (before !== undefined && !sameTraffic(before.record, next)) reservations.give(name);
    publish(name, entry);
    tell(name);
    leave(before, entry, `replaced by ${record.version}`);
    return entry;
  }

  /** A version of an earlier Node that was deployed again has been probed by this one. */
  async function renewCodeCache(record: VersionRecord, { codeCache }: Artifact): Promise<void> {
    if (codeCache === null) return;
    const image = await images.get(record);
    if (image.codeCache !== null || codeCache.key !== cacheKeyOf(image.code)) return;
    await store.registry.putCodeCache(record.functionName, record.version, codeCache);
    images.put(record, { ...image, codeCache: codeCache.bytes });
  }

  function mayServeOf(entry: KeptFunction): MayServe[] {
    return mayServe(entry, reservations.of(entry.record.name));
  }

  /** Throws CONFLICT when the traffic, a rollback or a rollout needs this version. */
  function requireUnused(entry: KeptFunction, version: string): void {
    const { name } = entry.record;
    const needed = mayServeOf(entry).find((each) => each.version.version === version);
    if (needed === undefined) return;
    const rollout = reservations.of(name)?.rollout;
    throw new HearthError(
      'CONFLICT',
      {
        traffic: `Version ${version} of ${name} takes traffic; move the traffic first.`,
        rollout: `Version ${version} of ${name} is in the rollout ${rollout}, which is not over; abort it first.`,
        rollback: `A rollback of ${name} leads to version ${version}: it can go when the traffic was moved once more.`,
      }[needed.by],
    );
  }

  async function secretsChanged(name: string): Promise<FunctionEntry | undefined> {
    await secrets.reload(name);
    const before = functions.get(name);
    if (before === undefined) return undefined;
    const opened = secrets.of(name);
    for (const version of before.kept) version.close();
    const entry = functionEntry(
      before.record,
      before.kept.map((version) => version.with(opened)),
    );
    publish(name, entry);
    tell(name);
    return entry;
  }

  /** What no call goes to any more: its text is enough, and what it runs is in the store. */
  function leave(before: KeptFunction | undefined, entry: KeptFunction, why: string): void {
    if (before === undefined) return;
    const served = namedBy(before.record.traffic);
    const serves = new Set(namedBy(entry.record.traffic));
    const mayServe = new Set(namedBy(entry.record.previousTraffic));
    for (const name of new Set([...served, ...namedBy(before.record.previousTraffic)])) {
      const version = before.version(name);
      const mayReturn = mayServe.has(name);
      if (version === undefined || serves.has(name) || (mayReturn && !served.includes(name))) continue;
      version.close();
      images.delete(version.functionName, version.version);
      notify(leaveListeners, { version, mayReturn, why }, version.functionName);
    }
  }

  await secrets.load();
  await loadFunctions(store.registry, (record, versions) => {
    const kept = versions.map((text) => versionEntry(JSON.parse(text)));
    publish(record.name, functionEntry(record, kept));
  });
  readAhead(functions, images).catch((error: unknown) => log.debug('reading ahead ended early', { error }));

  const traffic = createTrafficMoves({
    store: store.registry,
    functions,
    publications,
    reservations,
    functionEntry,
    publish,
    leave,
    tell,
    now,
  });

  const refresh = createRefresh({
    store,
    functions,
    publications,
    secretsOf: secrets.of,
    reloadSecrets: secrets.reload,
    versionEntry,
    functionEntry,
    publish,
    leave,
    left: (left) => notify(leaveListeners, left, left.version.functionName),
    forgetImage: ({ functionName, version }) => images.delete(functionName, version),
    tell,
  });

  /** What is committed, and claims names, routes or queues. */
  function change<Result>(commit: () => Promise<Result>): Promise<Result> {
    return inTurn(() => turnOf(refresh, commit));
  }

  return {
    function: (name) => functions.get(name),
    functions: () => functions.values(),
    ...createPublishing({ store: store.publications, publications, functions, now, tell, inTurn: change }),
    addVersion: (record, artifact, activate) => change(() => addVersion(record, artifact, activate)),
    setTraffic: (changes, rollout) => change(() => traffic.set(changes, rollout)),
    returnTraffic: (changes, rollout) => change(() => traffic.returnTo(changes, rollout)),
    reserve: (rollout, reserved) => reservations.reserve(rollout, reserved),
    release(rollout) {
      for (const name of reservations.release(rollout)) tell(name);
    },
    isRolledOut: (name) => reservations.has(name),
    mayServe(name) {
      const entry = functions.get(name);
      return entry === undefined ? [] : mayServeOf(entry);
    },
    rollback: (name) => change(() => traffic.rollback(name)),
    deleteFunction: (name) =>
      change(async () => {
        const entry = functions.get(name);
        if (entry === undefined) return undefined;
        await store.registry.deleteFunction(name);
        reservations.give(name);
        await secrets.reload(name);
        for (const version of entry.kept) {
          version.close();
          images.delete(name, version.version);
        }
        publish(name, undefined);
        tell(name);
        return entry;
      }),
    deleteVersion: (name, version) =>
      change(async () => {
        const before = functions.get(name);
        const found = before?.version(version);
        if (before === undefined || found === undefined) return false;
        requireUnused(before, version);
        await store.registry.deleteVersion(name, version);
        found.close();
        images.delete(name, version);
        const left = before.kept.filter((each) => each !== found);
        publish(name, functionEntry(before.record, left));
        tell(name);
        return true;
      }),
    refresh: (changed) => inTurn(() => refresh(changed)),
    secretsChanged: (name) => inTurn(() => secretsChanged(name)),
    candidate: (record, artifact) =>
      inTurn(async () => {
        const stored = functions.get(record.functionName)?.version(record.version);
        if (stored !== undefined) return stored;
        // They may have been set before there was a function to tell of them.
        if (!functions.has(record.functionName)) await secrets.reload(record.functionName);
        let held: ModuleImage | null = toImage(record, artifact, cacheKeyOf);
        const { functionName, version, manifest } = record;
        const spec = specOf(record, secrets.of(functionName), () => held ?? images.get(record));
        candidates.set(artifact.code, {
          spec,
          stored: () => {
            held = null;
          },
        });
        // Apart from the shelf: before it is stored it cannot be read again.
        return { functionName, version, key: spec.key, claims: claimsOf(manifest), record, manifest, spec };
      }),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onLeave(listener) {
      leaveListeners.add(listener);
      return () => leaveListeners.delete(listener);
    },
  };
}
