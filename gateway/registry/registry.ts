/**
 * Functions, versions and traffic, held in memory over the store, so that the request path never waits for a disk.
 */
import type { Manifest } from '../../functions/contract/manifest.ts';
import type { ModuleSpec } from '../../pool/keeper/api.ts';
import type { Artifact, FunctionRecord, VersionRecord } from '../store/store.ts';

export interface VersionEntry {
  readonly record: VersionRecord;
  readonly manifest: Manifest;
  /** The same object until a secret changes; see ModuleSpec. */
  readonly spec: ModuleSpec;
}

export interface FunctionEntry {
  readonly record: FunctionRecord;
  readonly versions: ReadonlyMap<string, VersionEntry>;
  /** The version that takes traffic now; undefined when nothing is activated. */
  readonly active: VersionEntry | undefined;
}

export interface RouteMatch {
  entry: FunctionEntry;
  /** Taken off the path for `/NAME/...`; null leaves the URL untouched. */
  prefix: string | null;
}

export interface Registry {
  function(name: string): FunctionEntry | undefined;
  functions(): Iterable<FunctionEntry>;
  /** Host without port, lower case; path with its leading slash. Host patterns before `NAME.localhost` before `/NAME`. */
  route(host: string, path: string): RouteMatch | undefined;
  /** Who consumes a queue; one function at most. */
  consumer(queue: string): FunctionEntry | undefined;

  /** Stores a built and probed version. `activate` switches traffic in the same commit; the one before is returned so that it can drain. */
  addVersion(
    record: VersionRecord,
    artifact: Artifact,
    activate: boolean,
  ): Promise<{ entry: FunctionEntry; replaced: VersionEntry | undefined }>;
  rollback(name: string): Promise<{ entry: FunctionEntry; replaced: VersionEntry | undefined }>;
  deleteFunction(name: string): Promise<FunctionEntry | undefined>;
  deleteVersion(name: string, version: string): Promise<boolean>;
  /** Re-reads the secrets of a function; its versions get new specs. */
  secretsChanged(name: string): Promise<FunctionEntry | undefined>;
  /** A spec for a version that is not stored yet: what the probe runs. */
  candidate(record: VersionRecord, artifact: Artifact): Promise<VersionEntry>;

  /** Called after each change, with the name of the function. Returns a function that ends it. */
  onChange(listener: (name: string) => void): () => void;
}
