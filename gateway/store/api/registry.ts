/** Functions, their versions, and what each version runs. */
import type { Manifest } from '../../../functions/contract/manifest.ts';
import type { Traffic } from '../../../functions/contract/traffic.ts';
import type { RolloutRecord } from './rollouts.ts';

export interface VersionRecord {
  functionName: string;
  /** Hash of manifest and files: the same content is the same version. */
  version: string;
  manifest: Manifest;
  format: 'cjs' | 'esm';
  handlers: ('fetch' | 'scheduled' | 'queue' | 'rpc' | 'node-http')[];
  /** Bytes of code and files. */
  sizeBytes: number;
  provided: { library: string; version: string; bytes: number }[];
  /** In which ranges its package.json wants libraries of the base; absent in what was stored before this was kept. */
  wants?: { library: string; range: string }[];
  /** Static assets; absent: it has none. */
  assets?: AssetSite;
  createdAt: number;
}

/** Static assets of a version; what they are is kept beside it. */
export interface AssetSite {
  /** Hash of the listing. */
  listing: string;
  files: number;
  /** Of all of them together. */
  bytes: number;
  /** There is no code: what is no asset is nothing. */
  alone: boolean;
}

export interface Artifact {
  code: Uint8Array;
  sourceMap: Uint8Array | null;
  files: { path: string; bytes: Uint8Array }[];
  /** Only valid for this key (Node version, V8 flags, architecture, source hash). */
  codeCache: { key: string; bytes: Uint8Array } | null;
}

export interface FunctionRecord {
  name: string;
  /** null: deployed and nothing activated yet. */
  traffic: Traffic | null;
  previousTraffic: Traffic | null;
  createdAt: number;
  updatedAt: number;
  /** Counts secret changes: part of the module key, so that instances take new values. */
  secretRevision: number;
}

export interface RegistryPage {
  functions: FunctionRecord[];
  /** Those of these functions; of each the oldest first. As text, which few of ten thousand are asked for. */
  versions: { functionName: string /** VersionRecord as JSON. */; text: string }[];
  /** The `after` of the next page; null: this is the last one. */
  next: string | null;
}

export interface RegistryStore {
  /** Everything but artifacts, a part at a time in the order of names: of functions behind `after`; null: from the first. */
  page(after: string | null): Promise<RegistryPage>;
  /** The same of these alone, each once; of one that is not there, nothing. */
  functions(names: string[]): Promise<Pick<RegistryPage, 'functions' | 'versions'>>;
  /** Adds the version; a no-op when it exists. */
  putVersion(version: VersionRecord, artifact: Artifact): Promise<void>;
  /** putVersion and putFunction in one commit. */
  deploy(version: VersionRecord, artifact: Artifact, record: FunctionRecord): Promise<void>;
  getArtifact(functionName: string, version: string): Promise<Artifact | null>;
  putCodeCache(functionName: string, version: string, cache: { key: string; bytes: Uint8Array }): Promise<void>;
  /** Creates or replaces the function's record, all but `secretRevision`, which only SecretStore moves. */
  putFunction(record: FunctionRecord): Promise<void>;
  /** The same for several, in one commit, together with the rollout whose step it is (CONFLICT as in RolloutStore.put). */
  putFunctions(records: FunctionRecord[], rollout?: RolloutRecord): Promise<void>;
  /**
   * Removes the function with its versions, artifacts, secrets, crons and publications. False when there was none. Its
   * secretRevision stays and rises, so that a later function of that name never has an old one's module key.
   */
  deleteFunction(name: string): Promise<boolean>;
  deleteVersion(functionName: string, version: string): Promise<boolean>;
}
