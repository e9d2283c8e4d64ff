/**
 * The deploy pipeline: manifest → builder → candidate → probe on a real base → stored and activated in one commit. The
 * version before is then given back by whom the registry tells of it (activation.ts). Whatever fails before the commit
 * leaves the running version alone. A deploy whose base is switched on the way begins again, against the base as it is.
 */
import type { BuildOutput } from '../../functions/build/api.ts';
import { codeCacheKey } from '../../functions/build/cache-key.ts';
import type { Builder } from '../../functions/build/client.ts';
import { mainOf, type Tree, versionOf } from '../../functions/build/tree.ts';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import type { BaseDefinition } from '../../pool/keeper/definition.ts';
import { BUFFER_POOL } from '../../pool/keeper/pools.ts';
import type { AddressCheck } from '../addresses.ts';
import type { BaseGate } from '../bases/gate.ts';
import type { BaseProofs } from '../bases/proofs.ts';
import type { AssetIntake } from '../ingress/assets/intake.ts';
import { refusedKeySet } from '../ingress/key-sets.ts';
import type { Registry, VersionEntry } from '../registry/registry.ts';
import type { Artifact, AssetSite, RegistryStore, VersionRecord } from '../store/api/registry.ts';
import type { Logger } from '../telemetry/log.ts';
import { createLocks } from '../triggers/locks.ts';
import type { Audit } from './audit.ts';
import { invalidManifest, manifestOf, requireHandlers, treeOf } from './deploy-source.ts';
import { withInlineMap } from './inline-map.ts';
import { originOf } from './origin.ts';
import type { Upload } from './upload.ts';

export interface DeployRequest {
  name: string;
  upload: Upload;
  /** False: proved and stored, traffic is left alone. */
  activate: boolean;
  /** For the audit. */
  actor: string;
  /** Throws FORBIDDEN when the deployer may not claim what the manifest asks for. */
  authorize(manifest: Manifest): void;
}

export interface DeployAnswer {
  name: string;
  version: string;
  state: 'active' | 'inactive';
  url: string;
  sizeBytes: number;
  provided: VersionRecord['provided'];
  ownCopies?: BuildOutput['ownCopies'];
  timings: { buildMs: number; loadMs: number; probeMs: number; totalMs: number };
}

export interface Deployer {
  /** Resolves once the version serves. Throws BUILD_FAILED, PROBE_FAILED, MANIFEST_INVALID, CONFLICT, FORBIDDEN. */
  deploy(request: DeployRequest): Promise<DeployAnswer>;
  /** Runs alone among all that changes this function. */
  exclusive<Result>(name: string, work: () => Promise<Result>): Promise<Result>;
  /** Lets a version's instances finish what they run and end; in the background. */
  drain(version: VersionEntry, why: string): void;
  /** Removes static assets that no version of a function has any more; in the background. */
  collectAssets(name: string): void;
}

export interface DeployerParts {
  registry: Registry;
  store: Pick<RegistryStore, 'getArtifact'>;
  keeper: Pick<Keeper, 'probe' | 'retire' | 'evict'>;
  builder: Builder;
  /** In use now. */
  bases: ReadonlyMap<string, BaseDefinition>;
  gate: Pick<BaseGate, 'turn' | 'commit'>;
  proofs: Pick<BaseProofs, 'note' | 'prove'>;
  /** Names of pools a manifest may ask for. */
  pools: ReadonlySet<string>;
  assets: AssetIntake;
  /** Of functions that name none. */
  network: 'all' | 'none';
  /** Where Hearth fetches what a manifest names. */
  fetchesFrom: AddressCheck;
  audit: Audit;
  log: Logger;
  urlOf(name: string): string;
  /** A debugger may look at what is deployed. */
  inspected: boolean;
  /** Epoch ms. */
  now(): number;
}

/** Deploys that build and probe at once: each probe takes a base, and fifty names at once must not starve traffic. */
const DEPLOYS_AT_ONCE = 4;

export function createDeployer(parts: DeployerParts): Deployer {
  const exclusive = createLocks();
  const slot = createSlots(DEPLOYS_AT_ONCE);

  return {
    exclusive,
    drain,
    collectAssets,
    deploy(request) {
      const startedAt = performance.now();
      return exclusive(request.name, () => slot(() => deploy(request, startedAt)));
    },
  };

  async function deploy(request: DeployRequest, startedAt: number): Promise<DeployAnswer> {
    const { name, activate } = request;
    const files = treeOf(request.upload);
    const manifest = manifestOf(request.upload, files, name);
    request.authorize(manifest);
    requirePlace(manifest);
    requireKeySet(manifest);
    requireNetwork(manifest);

    const { code, hashed, site } = await parts.assets.take(name, manifest, files, request.upload.assets);
    const version = versionOf(manifest, hashed);
    const known = parts.registry.function(name)?.versions.get(version);
    const outcome =
      known === undefined
        ? await take(request, { manifest, files: code, version, site })
        : await revive(known, activate);
    if (site !== null) collectAssets(name);

    const { record } = outcome.entry;
    const ownCopies = outcome.ownCopies ?? [];
    const active = parts.registry.function(name)?.active?.version === version;
    await parts.audit(request.actor, 'deploy', name, { version, activate, built: known === undefined });
    if (active && manifest.hearth.keepAlive === 0) await parts.keeper.evict(name);
    return {
      name,
      version,
      state: active ? 'active' : 'inactive',
      url: parts.urlOf(name),
      sizeBytes: record.sizeBytes,
      provided: record.provided,
      ...(ownCopies.length === 0 ? {} : { ownCopies }),
      timings: { ...outcome.timings, totalMs: tenths(performance.now() - startedAt) },
    };
  }

  /** A version that is new: built, proved, stored, and activated if asked. */
  async function take(request: DeployRequest, source: Source): Promise<Proved> {
    for (;;) {
      const taken = await tryToTake(request, source);
      if (taken !== null) return taken;
    }
  }

  /** Null: its base was switched meanwhile, and what was built and proved against the one before says nothing. */
  async function tryToTake({ name, activate }: DeployRequest, source: Source): Promise<Proved | null> {
    const buildStart = performance.now();
    const { manifest, files, version, site } = source;
    const base = requirePlace(manifest);
    const turn = parts.gate.turn(base.name);
    const switched = () => parts.gate.turn(base.name) !== turn;
    const built = await parts.builder.build({ manifest, files, provided: base.shared }).catch((error: unknown) => {
      if (switched()) return null;
      throw error;
    });
    if (built === null) return null;
    const buildMs = performance.now() - buildStart;

    const code = parts.inspected ? withInlineMap(built.code, built.sourceMap, files) : built.code;
    const artifact: Artifact = { code, sourceMap: built.sourceMap, files: built.files, codeCache: null };
    const record: VersionRecord = {
      functionName: name,
      version,
      manifest,
      format: built.format,
      handlers: [],
      sizeBytes: built.sizeBytes,
      provided: built.provided,
      ...(built.wants.length === 0 ? {} : { wants: built.wants }),
      ...(site === null ? {} : { assets: site }),
      createdAt: parts.now(),
    };
    const candidate = await parts.registry.candidate(record, artifact);
    try {
      const probe = await parts.keeper.probe(candidate.spec, manifest.hearth.ready);
      requireHandlers(manifest, probe.handlers);
      const codeCache = probe.codeCache === null ? null : { key: codeCacheKey(code), bytes: probe.codeCache };
      const proved = { ...record, handlers: probe.handlers };
      const entry = await parts.gate.commit(async () => {
        if (switched()) return null;
        const added = await parts.registry.addVersion(proved, { ...artifact, codeCache }, activate);
        parts.proofs.note(proved, base);
        return added;
      });
      if (entry === null) {
        drain(candidate, 'its base changed while it was deployed');
        return null;
      }
      return {
        entry: entry.versions.get(version) ?? { ...candidate, record: proved },
        ownCopies: built.ownCopies,
        timings: { buildMs: tenths(buildMs), loadMs: tenths(probe.loadMs), probeMs: tenths(probe.probeMs) },
      };
    } catch (error) {
      // Refused after all: what the probe started has nothing to serve.
      drain(candidate, 'its deploy was refused');
      // It may be for that alone.
      if (switched()) return null;
      throw located(error, { name, main: mainOf(manifest, files), sourceMap: built.sourceMap });
    }
  }

  /**
   * A version that was taken before: not built again, so what it leaves to its base has to be there still. The base that
   * proves it anew makes the first call warm.
   */
  async function revive(known: VersionEntry, activate: boolean): Promise<Proved> {
    const unchanged = { entry: known, ownCopies: [], timings: { buildMs: 0, loadMs: 0, probeMs: 0 } };
    const { record, claims } = known;
    const current = parts.registry.function(record.functionName);
    // It takes everything already.
    if (!activate || (current?.active === known && current.plan?.single === known.version)) return unchanged;
    for (;;) {
      const turn = parts.gate.turn(claims.base);
      const probe = await parts.proofs.prove(known);
      const artifact = await parts.store.getArtifact(record.functionName, record.version);
      if (artifact === null) throw new HearthError('INTERNAL', `The store has lost version ${record.version}.`);
      const added = await parts.gate.commit(async () => {
        if (parts.gate.turn(claims.base) !== turn) return null;
        return await parts.registry.addVersion(record, artifact, true);
      });
      if (added === null) continue;
      return { ...unchanged, timings: { buildMs: 0, loadMs: tenths(probe.loadMs), probeMs: tenths(probe.probeMs) } };
    }
  }

  function collectAssets(name: string): void {
    exclusive(name, async () => {
      const versions = [...(parts.registry.function(name)?.versions.values() ?? [])];
      const sites = versions.flatMap(({ record }) => record.assets ?? []);
      await parts.assets.collect(name, sites);
    }).catch((error: unknown) => {
      parts.log.error('old assets could not be removed', { function: name, error });
    });
  }

  function drain(version: VersionEntry, why: string): void {
    const { key, functionName } = version;
    parts.keeper.retire(key, why).catch((error: unknown) => {
      parts.log.error('retiring a version failed', { function: functionName, version: version.version, error });
    });
  }

  /** Throws MANIFEST_INVALID for a key set at an address that Hearth never fetches from. */
  function requireKeySet({ hearth: { auth } }: Manifest): void {
    const refused = auth !== null && 'jwks' in auth ? refusedKeySet(auth.jwks, parts.fetchesFrom) : null;
    if (refused !== null) throw invalidManifest('hearth.auth.jwks', `${refused.message} ${refused.advice}`);
  }

  /** Throws MANIFEST_INVALID for calls that no connection could be opened for. */
  function requireNetwork({ hearth: { network, outbound } }: Manifest): void {
    if (outbound === undefined || (network ?? parts.network) === 'all') return;
    throw invalidManifest(
      'hearth.outbound',
      'Functions here have no network (HEARTH_NETWORK is "none"): set hearth.network to "all", or leave this out.',
    );
  }

  /** Throws MANIFEST_INVALID for a base or a pool that is not there. */
  function requirePlace(manifest: Manifest): BaseDefinition {
    const { base, pool } = manifest.hearth;
    const definition = parts.bases.get(base);
    if (definition === undefined) {
      throw invalidManifest(
        'hearth.base',
        `There is no base "${base}"; there are: ${[...parts.bases.keys()].join(', ')}.`,
      );
    }
    if (!parts.pools.has(pool)) {
      const told = pool === BUFFER_POOL ? `"${pool}" lends to other pools only` : `There is no pool "${pool}"`;
      throw invalidManifest('hearth.pool', `${told}; there are: ${[...parts.pools].join(', ')}.`);
    }
    return definition;
  }
}

/** A module that threw while it was loaded: with the place in its author's source; what has none is its main file's. */
function located(error: unknown, source: { name: string; main: string; sourceMap: Uint8Array | null }): unknown {
  if (!(error instanceof HearthError) || error.code !== 'PROBE_FAILED' || error.functionStack === undefined)
    return error;
  const origin = originOf(error.functionStack, source.name, source.sourceMap) ?? {
    message: error.message,
    file: source.main,
    line: 1,
    column: 1,
  };
  return new HearthError('PROBE_FAILED', `${error.message} (${origin.file}:${origin.line}:${origin.column}).`, {
    errors: [origin],
    functionStack: error.functionStack,
    cause: error,
  });
}

interface Source {
  manifest: Manifest;
  /** What is built: all but the static assets. */
  files: Tree;
  version: string;
  site: AssetSite | null;
}

interface Proved {
  entry: VersionEntry;
  ownCopies: BuildOutput['ownCopies'];
  timings: { buildMs: number; loadMs: number; probeMs: number };
}

/** At most so many at once, the others in their order. */
function createSlots(most: number): <Result>(work: () => Promise<Result>) => Promise<Result> {
  const waiting: (() => void)[] = [];
  let free = most;
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
