/**
 * The registry: a map in memory over the store. Reads never wait. A change is first committed, then seen: whoever reads
 * meanwhile gets the state before it. Changes go one after another, over all names, since routes and queues are claimed
 * across functions.
 */
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import type { Traffic } from '../../functions/contract/traffic.ts';
import type { ModuleImage, ModuleSpec } from '../../pool/keeper/api.ts';
import type { Seal } from '../store/seal.ts';
import type {
  Artifact,
  FunctionRecord,
  FunctionSecrets,
  RegistryPage,
  RolloutRecord,
  Store,
  VersionRecord,
} from '../store/store.ts';
import type { Logger } from '../telemetry/log.ts';
import { createClaims } from './claims.ts';
import { KeptFunction, type KeptVersion, keptVersion, namedBy, Shelf } from './entries.ts';
import { createImageCache, toImage } from './images.ts';
import { type MayServe, mayServe } from './may-serve.ts';
import { type KeptClaims, Publications } from './publications.ts';
import { createPublishing } from './publishing.ts';
import { requireQueuesOfGroup } from './queue-groups.ts';
import { createRefresh } from './refreshing.ts';
import type { FunctionEntry, Left, Registry, Stuck, TrafficChange } from './registry.ts';
import { Reservations } from './reservations.ts';
import { createSpec, type OpenedSecrets } from './specs.ts';

export interface RegistryOptions {
  store: Pick<Store, 'registry' | 'publications' | 'secrets'>;
  seal: Seal;
  defaults: { network: 'all' | 'none' };
  log: Pick<Logger, 'debug' | 'warn' | 'error'>;
  /** Key under which a code cache for this code is valid on this Node (functions/build/cache-key.ts). */
  cacheKeyOf(code: Uint8Array): string;
  /** Epoch ms. */
  now?(): number;
  /** What images may take in memory; default 256 MB. */
  imageBytes?: number;
  /** Versions whose manifest and spec are in memory, the last used ones; default 1000, which are 6 MB. */
  openVersions?: number;
}

/** Images up to this size are read ahead after a start, so that the first call finds them in memory. */
const SMALL_IMAGE_BYTES = 64 * 1024;
/** So many functions, those that were changed last. Each costs 30 KB at a start, and of ten thousand few are called soon. */
const READ_AHEAD_FUNCTIONS = 50;

const NO_SECRETS: OpenedSecrets = { revision: 0, values: {}, problem: null };

/** A function, and how it stands after a change of its traffic. */
interface Move {
  before: KeptFunction;
  entry: KeptFunction;
}

/** What to say of a version that is not there. */
type Missing = (functionName: string, version: string) => HearthError;

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
  const secrets = new Map<string, OpenedSecrets>();
  const candidates = new WeakMap<Uint8Array, Candidate>();
  const listeners = new Set<(name: string) => void>();
  const leaveListeners = new Set<(left: Left) => void>();
  const images = createImageCache({ read: store.registry.getArtifact, cacheKeyOf, mostBytes: imageBytes });
  const inTurn = createTurns();
  const claimsOf = createClaims();
  const opener = {
    shelf: new Shelf(options.openVersions ?? 1000),
    spec: (record: VersionRecord, opened: OpenedSecrets) => specOf(record, opened, () => images.get(record)),
  };

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

  function specOf(record: VersionRecord, opened: OpenedSecrets, image: ModuleSpec['image']): ModuleSpec {
    const { network } = defaults;
    return createSpec({ record, secrets: opened, network, image });
  }

  function versionEntry(record: VersionRecord): KeptVersion {
    return keptVersion(record, claimsOf(record.manifest), secretsOf(record.functionName), opener);
  }

  function functionEntry(record: FunctionRecord, versions: readonly KeptVersion[]): KeptFunction {
    return new KeptFunction({ ...record, secretRevision: secretsOf(record.name).revision }, versions);
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

  function known(name: string): KeptFunction {
    const entry = functions.get(name);
    if (entry === undefined) throw new HearthError('NOT_FOUND', `There is no function ${name}.`);
    return entry;
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

  /** Throws what keeps it from being done. */
  function prepare({ name, traffic, previous, expected }: TrafficChange, time: number, missing: Missing): Move {
    const before = known(name);
    if (expected !== undefined && JSON.stringify(before.record.traffic) !== JSON.stringify(expected)) {
      throw new HearthError('CONFLICT', `The traffic of ${name} was changed meanwhile.`);
    }
    for (const version of new Set([...namedBy(traffic), ...namedBy(previous ?? null)])) {
      if (before.version(version) === undefined) throw missing(name, version);
    }
    const entry = functionEntry(redirected(before.record, traffic, time, previous), before.kept);
    if (entry.active !== undefined) publications.require(name, entry.active.claims);
    return { before, entry };
  }

  async function commit(moves: readonly Move[], why: string, rollout?: RolloutRecord): Promise<KeptFunction[]> {
    const entries = moves.map(({ entry }) => entry);
    if (new Set(entries.map(({ record }) => record.name)).size < entries.length) {
      throw new HearthError('CONFLICT', 'A function stands there twice; its traffic is set once.');
    }
    const records = entries.map(({ record }) => record);
    await store.registry.putFunctions(records, rollout);
    for (const { before, entry } of moves) {
      if (rollout === undefined && !sameTraffic(before.record, entry.record)) reservations.give(entry.record.name);
    }
    for (const entry of entries) publish(entry.record.name, entry);
    for (const { record } of entries) tell(record.name);
    for (const { before, entry } of moves) leave(before, entry, why);
    return entries;
  }

  async function moveTraffic(
    changes: readonly TrafficChange[],
    why: string,
    missing: Missing,
    rollout?: RolloutRecord,
  ): Promise<KeptFunction[]> {
    const time = now();
    const moves = changes.map((change) => prepare(change, time, missing));
    return commit(moves, why, rollout);
  }

  async function returnTraffic(
    changes: readonly TrafficChange[],
    rollout: (stuck: readonly Stuck[]) => RolloutRecord,
  ): Promise<void> {
    const time = now();
    const moves: Move[] = [];
    const stuck: Stuck[] = [];
    for (const change of changes) {
      try {
        moves.push(prepare(change, time, noVersion));
      } catch (error) {
        stuck.push({ name: change.name, error: toHearthError(error) });
      }
    }
    await commit(moves, 'its traffic was moved', rollout(stuck));
  }

  async function rollback(name: string): Promise<FunctionEntry> {
    const { previousTraffic } = known(name).record;
    if (previousTraffic === null) {
      throw new HearthError('CONFLICT', `${name} has no earlier traffic to go back to.`);
    }
    const [entry] = await moveTraffic([{ name, traffic: previousTraffic }], 'rolled back', (_name, version) => {
      return new HearthError('CONFLICT', `Version ${version} of ${name}, which had the traffic before, was deleted.`);
    });
    return entry ?? known(name);
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
    await reloadSecrets(name);
    const before = functions.get(name);
    if (before === undefined) return undefined;
    const opened = secretsOf(name);
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

  async function readAhead(): Promise<void> {
    const lastChanged = [...functions.values()].sort((a, b) => b.record.updatedAt - a.record.updatedAt);
    for (const { record } of lastChanged.slice(0, READ_AHEAD_FUNCTIONS)) {
      for (const version of functions.get(record.name)?.serving ?? []) {
        if (version.record.sizeBytes > SMALL_IMAGE_BYTES) continue;
        try {
          await images.get(version.record);
        } catch (error) {
          // Deleted meanwhile. Anything else ends it: what is wanted is read when it is asked for.
          if (!(error instanceof HearthError) || error.code !== 'NOT_FOUND') throw error;
        }
      }
    }
  }

  /** In parts, each as text: what is read of ten thousand functions is never in memory at once. */
  async function load(): Promise<void> {
    for (let after: string | null = null; ; ) {
      const page: RegistryPage = await store.registry.page(after);
      const versions = Map.groupBy(page.versions, ({ functionName }) => functionName);
      for (const record of page.functions) {
        const kept = (versions.get(record.name) ?? []).map(({ text }) => versionEntry(JSON.parse(text)));
        publish(record.name, functionEntry(record, kept));
      }
      if (page.next === null) return;
      after = page.next;
    }
  }

  const loadedSecrets = await store.secrets.load(null);
  for (const one of loadedSecrets) openSecrets(one);
  await Promise.all(loadedSecrets.map(reseal));
  await load();
  readAhead().catch((error: unknown) => log.debug('reading ahead ended early', { error }));

  const refresh = createRefresh({
    store,
    functions,
    publications,
    secretsOf,
    reloadSecrets,
    versionEntry,
    functionEntry,
    publish,
    leave,
    left: (left) => notify(leaveListeners, left, left.version.functionName),
    forgetImage: ({ functionName, version }) => images.delete(functionName, version),
    tell,
  });

  return {
    function: (name) => functions.get(name),
    functions: () => functions.values(),
    ...createPublishing({ store: store.publications, publications, functions, now, tell, inTurn }),
    addVersion: (record, artifact, activate) => inTurn(() => addVersion(record, artifact, activate)),
    setTraffic: (changes, rollout) => inTurn(() => moveTraffic(changes, 'its traffic was moved', noVersion, rollout)),
    returnTraffic: (changes, rollout) => inTurn(() => returnTraffic(changes, rollout)),
    reserve: (rollout, reserved) => reservations.reserve(rollout, reserved),
    release(rollout) {
      for (const name of reservations.release(rollout)) tell(name);
    },
    isRolledOut: (name) => reservations.has(name),
    mayServe(name) {
      const entry = functions.get(name);
      return entry === undefined ? [] : mayServeOf(entry);
    },
    rollback: (name) => inTurn(() => rollback(name)),
    deleteFunction: (name) =>
      inTurn(async () => {
        const entry = functions.get(name);
        if (entry === undefined) return undefined;
        await store.registry.deleteFunction(name);
        reservations.give(name);
        await reloadSecrets(name);
        for (const version of entry.kept) {
          version.close();
          images.delete(name, version.version);
        }
        publish(name, undefined);
        tell(name);
        return entry;
      }),
    deleteVersion: (name, version) =>
      inTurn(async () => {
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
        if (!functions.has(record.functionName)) await reloadSecrets(record.functionName);
        let held: ModuleImage | null = toImage(record, artifact, cacheKeyOf);
        const { functionName, version, manifest } = record;
        const spec = specOf(record, secretsOf(functionName), () => held ?? images.get(record));
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

function noVersion(name: string, version: string): HearthError {
  return new HearthError('NOT_FOUND', `${name} has no version ${version}.`);
}

/** The same traffic again is no change, so that a rollback still leads to what was before it. */
function redirected(
  record: FunctionRecord,
  traffic: Traffic | null,
  time: number,
  previous?: Traffic | null,
): FunctionRecord {
  const same = sameTraffic(record, { traffic });
  const before = same ? record.previousTraffic : record.traffic;
  return { ...record, traffic, previousTraffic: previous === undefined ? before : previous, updatedAt: time };
}

function sameTraffic(one: Pick<FunctionRecord, 'traffic'>, other: Pick<FunctionRecord, 'traffic'>): boolean {
  return JSON.stringify(one.traffic) === JSON.stringify(other.traffic);
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
