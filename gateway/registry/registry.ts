/**
 * Functions, versions and traffic, held in memory over the store, so that the request path never waits for a disk.
 */
import type { HearthError } from '../../functions/contract/errors.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import type { PublicationSettings, Split } from '../../functions/contract/publication.ts';
import type { Traffic } from '../../functions/contract/traffic.ts';
import type { ModuleSpec } from '../../pool/keeper/api.ts';
import type { PublicationRecord } from '../store/api/publications.ts';
import type { Artifact, FunctionRecord, VersionRecord } from '../store/api/registry.ts';
import type { RolloutRecord } from '../store/api/rollouts.ts';
import type { Claims } from './claims.ts';
import type { MayServe } from './may-serve.ts';
import type { Reservation } from './reservations.ts';
import type { Splits } from './splits.ts';
import type { Tagged } from './tags.ts';
import type { Ask, Choice, TrafficPlan } from './traffic.ts';

export interface VersionEntry {
  readonly functionName: string;
  readonly version: string;
  /** Of its spec. */
  readonly key: string;
  readonly claims: Claims;
  /** This and what follows is read out of its text where it was not used for long: 20 µs, 6 KB. */
  readonly record: VersionRecord;
  readonly manifest: Manifest;
  /** The same object while it is in use; always of one key, until a secret changes. See ModuleSpec. */
  readonly spec: ModuleSpec;
  /** PUBLICATION/SPLIT, where it is the part of a publication that is served apart. */
  readonly part?: string;
}

export interface FunctionEntry {
  readonly record: FunctionRecord;
  /** Oldest first. */
  readonly kept: readonly VersionEntry[];
  /** The same by their ids; made when it is asked for. */
  readonly versions: ReadonlyMap<string, VersionEntry>;
  /**
   * The version with the largest share of the traffic, the first of equals: its manifest gives routes, crons and queues.
   * Undefined when nothing is activated.
   */
  readonly active: VersionEntry | undefined;
  /** Every version that the traffic setting names, each once, those of the split first. Made when it is asked for. */
  readonly serving: readonly VersionEntry[];
  /** Where `single` is not null there is nothing to choose: `active` takes everything. Null: nothing is activated. */
  readonly plan: TrafficPlan | null;
  /** Who serves this call; null: one without a request (cron, queue, async). Undefined when nothing is activated. */
  pick(ask: Ask | null): VersionEntry | undefined;
  /** The same, and what chose it. */
  choose(ask: Ask | null): Choice<VersionEntry> | undefined;
  /** Whether the traffic, or what a rollback leads to, names this version. */
  names(version: string): boolean;
  /** By its whole id, or the first eight characters or more of it where only one version begins so. */
  find(version: string): VersionEntry | undefined;
}

/** A version that the traffic of its function named, and names no longer. */
export interface Left {
  readonly version: VersionEntry;
  /** A rollback would lead back to it: its instances may stay warm. Otherwise nobody will call it again. */
  readonly mayReturn: boolean;
  readonly why: string;
}

export interface TrafficChange {
  name: string;
  /** Null: nothing takes traffic any more. */
  traffic: Traffic | null;
  /** What a rollback leads to from here; null: nothing. Default: the setting before this one. */
  previous?: Traffic | null;
  /** Only when the setting is this one now; otherwise CONFLICT. */
  expected?: Traffic;
}

/** A function whose traffic could not go back. */
export interface Stuck {
  readonly name: string;
  readonly error: HearthError;
}

/** What may be another in the store than it is here. */
export interface Changed {
  functions: readonly string[];
  /** Whether any may be. */
  publications: boolean;
}

export interface RouteMatch {
  entry: FunctionEntry;
  /** Taken off the path for `/NAME/...`; null leaves the URL untouched. */
  prefix: string | null;
  /** What of its requests is served apart; null: nothing. */
  splits: Splits | null;
}

/** What is published of a function: by its manifest, or by the API. */
export interface Publication {
  readonly name: string;
  readonly function: string;
  /** Of the manifest, where the publication names none itself; so are crons and queues. */
  readonly routes: readonly string[];
  /** Whether it is reached at `/NAME` and `NAME.localhost`. */
  readonly byName: boolean;
  readonly crons: readonly string[];
  readonly queues: readonly string[];
  /** Functions of other trust groups may call it. */
  readonly rpc: boolean | 'methods';
  /** Only requests with this tag are for it; null: all but those that another one of the same route is for. */
  readonly tag: string | null;
  readonly splits: readonly Split[];
  /** It follows from the manifest alone. */
  readonly implied: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface Registry {
  function(name: string): FunctionEntry | undefined;
  functions(): Iterable<FunctionEntry>;
  /**
   * Host without port, lower case; path with its leading slash, without query. Host patterns before `NAME.localhost`
   * before `/NAME`; see routes.ts. Only what is published. `request` null: it carries no tag.
   */
  route(host: string, path: string, request?: Tagged | null): RouteMatch | undefined;
  /** Who consumes a queue; one published function at most. */
  consumer(queue: string): FunctionEntry | undefined;

  /**
   * Stores a built and probed version. `activate` switches all traffic to it in the same commit. A version that exists
   * is not stored again, and is activated all the same. CONFLICT when a route or a queue it would take belongs to another
   * function.
   */
  addVersion(record: VersionRecord, artifact: Artifact, activate: boolean): Promise<FunctionEntry>;
  /**
   * Moves the traffic of one function or several in one commit, seen by all requests at the same moment. NOT_FOUND for a
   * function or a version that is not there, CONFLICT as in addVersion; then nothing has changed. `rollout`: whose step it
   * is, stored in the same commit.
   */
  setTraffic(changes: readonly TrafficChange[], rollout?: RolloutRecord): Promise<FunctionEntry[]>;
  /**
   * As setTraffic, for what must go back: a function that cannot is left as it is, and all others go all the same.
   * `rollout` is asked for the record when it is known which those are.
   */
  returnTraffic(changes: readonly TrafficChange[], rollout: (stuck: readonly Stuck[]) => RolloutRecord): Promise<void>;
  /**
   * A rollout moves these functions from now on. Until it is released, or somebody else moves the traffic of one: its
   * versions are not deleted, and nobody else takes the routes and queues of the one that had most of the traffic.
   */
  reserve(rollout: string, functions: readonly Reservation[]): void;
  /** Listeners are told of its functions: they are no longer rolled out. */
  release(rollout: string): void;
  isRolledOut(name: string): boolean;
  /** Versions of this function to which calls may come without a deploy or a change of its traffic: see may-serve.ts. */
  mayServe(name: string): readonly MayServe[];
  /** To the traffic before the last change of it. NOT_FOUND, or CONFLICT when there is none to go back to. */
  rollback(name: string): Promise<FunctionEntry>;
  /** Returns what it was, so that it can drain; undefined when there was none. */
  deleteFunction(name: string): Promise<FunctionEntry | undefined>;
  /** False when there was none, CONFLICT while it takes traffic, a rollback leads to it or a rollout names it. */
  deleteVersion(name: string, version: string): Promise<boolean>;
  /** Re-reads the secrets of a function; its versions get new specs. */
  secretsChanged(name: string): Promise<FunctionEntry | undefined>;
  /**
   * Reads from the store what another gateway may have changed, and takes it over as if it had been changed here; also
   * what was deleted there is given to `onLeave`. Does nothing where nothing is different. Resolves with the names of the
   * functions that are not as they were. Throws NO_CAPACITY while the store is away.
   */
  refresh(changed: Changed): Promise<readonly string[]>;
  /**
   * A spec for a version that is not stored yet: what the probe runs. addVersion takes up the same spec when it is given
   * the same `artifact.code`, so that the probe's instance serves on. The stored entry when the version exists.
   */
  candidate(record: VersionRecord, artifact: Artifact): Promise<VersionEntry>;

  /** Of one function, the manifest's first. */
  publicationsOf(name: string): readonly Publication[];
  /** Reached by route, cron or queue at all. */
  isPublished(name: string): boolean;
  /** Published in a way that lets functions of other trust groups call it: by `fetch`, or by its methods too. */
  isOpen(name: string, by?: 'fetch' | 'methods'): boolean;
  /** What a published function is to be run by. Reads no manifest that has no crons. */
  crons(name: string): readonly Manifest['triggers']['crons'][number][];
  /** What it consumes, with the settings of its manifest or their defaults. */
  queues(name: string): readonly Manifest['queues']['consumers'][number][];
  /** The one of this name that the API made. */
  publication(name: string): PublicationRecord | undefined;
  /**
   * Makes or replaces the publication of this name. NOT_FOUND when there is no such function, CONFLICT when it would hold
   * a name, a route or a queue of another one. Routes are there, and those of the one before are gone, in one moment.
   */
  putPublication(name: string, settings: PublicationSettings): Promise<PublicationRecord>;
  /**
   * Takes it back: no request, tick or message that comes later reaches the function by it. Of a function's own name also
   * what its manifest publishes, until it is put again. Returns of which function it was; undefined when there was none.
   */
  deletePublication(name: string): Promise<string | undefined>;

  /** Called after each change, with the name of the function. Returns a function that ends it. */
  onChange(listener: (name: string) => void): () => void;
  /**
   * Called for each version that no call will be given to any more: it left the traffic, or what a rollback leads to.
   * Comes after onChange. Not called for what was deleted. Returns a function that ends it.
   */
  onLeave(listener: (left: Left) => void): () => void;
}
