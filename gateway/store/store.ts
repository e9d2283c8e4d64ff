/**
 * All durable state, behind one interface with two implementations (SQLite, later Redis) that pass one contract suite.
 * Every method is one atomic operation of the domain, never a piece of one, so that an implementation may be a
 * transaction or a script. A promise resolves only after the change is durable. Failures: HearthError NO_CAPACITY when
 * the store is away or full, CONFLICT and NOT_FOUND where a method says so. Times are epoch ms; `nowMs` is always the
 * caller's clock.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Manifest } from '../../functions/contract/manifest.ts';
import type { PublicationSettings } from '../../functions/contract/publication.ts';
import type { Guard, RolloutState, RolloutStep } from '../../functions/contract/rollout.ts';
import type { Traffic } from '../../functions/contract/traffic.ts';

export interface Store {
  readonly registry: RegistryStore;
  readonly publications: PublicationStore;
  readonly rollouts: RolloutStore;
  readonly bases: BaseStore;
  readonly secrets: SecretStore;
  readonly kv: KvStore;
  readonly queues: QueueStore;
  readonly crons: CronStore;
  readonly asyncs: AsyncStore;
  readonly answers: AnswerStore;
  readonly leases: LeaseStore;
  readonly changes: ChangeFeed;
  readonly tokens: TokenStore;
  readonly audit: AuditStore;
  /** Finishes what was begun, then closes. Idempotent. */
  close(): Promise<void>;
}

/* ── functions and versions ─────────────────────────────────────────────────────────────────────────────────── */

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
  createdAt: number;
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

/* ── publications ───────────────────────────────────────────────────────────────────────────────────────────── */

/** What the API was told; what follows from a manifest alone is not stored. */
export interface PublicationRecord extends PublicationSettings {
  name: string;
  createdAt: number;
  updatedAt: number;
}

export interface PublicationStore {
  /** In the order of names. `withdrawn`: functions that are not published though their manifest would have it. */
  load(): Promise<{ publications: PublicationRecord[]; withdrawn: string[] }>;
  /** Creates or replaces. A function of this name is withdrawn no longer. */
  put(record: PublicationRecord): Promise<void>;
  /** False when there was none. */
  delete(name: string): Promise<boolean>;
  /** Removes the publication of this name, if there is one; what the function's manifest publishes is taken back too. */
  withdraw(functionName: string): Promise<void>;
}

/* ── rollouts ───────────────────────────────────────────────────────────────────────────────────────────────── */

export interface RolloutRecord {
  id: string;
  /** Counts its changes, from 1. */
  revision: number;
  functions: {
    name: string;
    version: string;
    /** Traffic when it began: what it returns to. */
    before: Traffic;
    /** What a rollback led to when it began. */
    previous: Traffic | null;
  }[];
  steps: RolloutStep[];
  /** false: nobody watches. */
  guard: Guard | false;
  /** This and what follows: see gateway/rollouts/state.ts. */
  state: RolloutState;
  step: number;
  elapsedMs: number;
  since: number;
  why: string | null;
  /** Token id or `admin`. */
  createdBy: string;
  createdAt: number;
  updatedAt: number;
}

export interface RolloutStore {
  /**
   * Creates or replaces it. Throws CONFLICT unless its revision is the next one after what is stored: so of several
   * gateways, one that was stopped in the middle too, only one takes each step. Of those that have ended the last thousand
   * are kept.
   */
  put(record: RolloutRecord): Promise<void>;
  get(id: string): Promise<RolloutRecord | null>;
  /** Newest first. */
  list(most: number): Promise<RolloutRecord[]>;
  /** All that have not ended, oldest first. */
  running(): Promise<RolloutRecord[]>;
}

/** For a revision that is not the next one. */
export function changedMeanwhile({ id }: Pick<RolloutRecord, 'id'>): HearthError {
  return new HearthError('CONFLICT', `The rollout ${id} was changed meanwhile; look at it and ask again.`);
}

/* ── base definitions that the API changed ──────────────────────────────────────────────────────────────────── */

/** One state of a base definition, as it was given: libraries are looked for anew at each start. */
export interface BaseGeneration {
  /** From 1; a number is never used twice for one name. */
  generation: number;
  shared: { as: string; from: string }[];
  /** Names of the gateway's variables. */
  env: string[];
  warm: number | null;
  /** Declarations, among them `Base`, the type of `env.BASE`; null: none were given. */
  types: string | null;
  /**
   * `path`: as the configuration file names it. `code`: the id under which BaseStore keeps the bundle, and what the
   * compiler declares of its source.
   */
  setup: { kind: 'path'; path: string } | { kind: 'code'; id: string; files: string[]; declared: string | null } | null;
  createdAt: number;
  /** Who gave it: token id, `admin`, or `file`. */
  by: string;
}

export interface BaseRecord {
  name: string;
  current: BaseGeneration;
  /** What a rollback leads to; null: there was none before. */
  previous: BaseGeneration | null;
  updatedAt: number;
}

export interface BaseStore {
  /** In the order of names. */
  list(): Promise<BaseRecord[]>;
  /** Creates or replaces. `setup`: a bundle that the record names and that is not stored yet. Those it no longer names go. */
  put(record: BaseRecord, setup: { id: string; code: Uint8Array } | null): Promise<void>;
  /** False when there was none. */
  delete(name: string): Promise<boolean>;
  getSetup(name: string, id: string): Promise<Uint8Array | null>;
}

/* ── secrets: values are already encrypted when they get here ──────────────────────────────────────────────── */

export interface FunctionSecrets {
  functionName: string;
  revision: number;
  secrets: { key: string; sealed: Uint8Array }[];
}

export interface SecretStore {
  /** Also raises the function's secretRevision, in the same commit, and returns it. The function need not exist yet. */
  put(functionName: string, key: string, sealed: Uint8Array, nowMs: number): Promise<number>;
  delete(functionName: string, key: string): Promise<{ found: boolean; revision: number }>;
  /** In order of their keys. */
  all(functionName: string): Promise<{ key: string; sealed: Uint8Array; updatedAt: number }[]>;
  /** What specs are made of, of one function or (null) of all that ever had a secret. Empty when it never had one. */
  load(functionName: string | null): Promise<FunctionSecrets[]>;
  /** The same value under a newer key: no new revision. Does nothing when the secret was changed since `old` was read. */
  reseal(functionName: string, key: string, old: Uint8Array, sealed: Uint8Array): Promise<void>;
}

/* ── KV, with the semantics of Workers KV (strongly consistent here) ───────────────────────────────────────── */

export interface KvEntry {
  value: Uint8Array;
  metadata: unknown;
  /** Epoch s, null: never. */
  expiration: number | null;
}

export interface KvStore {
  get(namespace: string, key: string, nowMs: number): Promise<KvEntry | null>;
  put(namespace: string, key: string, entry: KvEntry): Promise<void>;
  delete(namespace: string, key: string): Promise<void>;
  /** In lexicographic order of the keys' UTF-8 bytes. `cursor` is opaque, from an earlier answer. */
  list(
    namespace: string,
    options: { prefix: string; limit: number; cursor: string | null; nowMs: number },
  ): Promise<{ keys: { name: string; expiration: number | null; metadata: unknown }[]; cursor: string | null }>;
  /** Removes expired entries, at most so many; returns how many. */
  sweep(nowMs: number, most: number): Promise<number>;
}

/* ── queues ─────────────────────────────────────────────────────────────────────────────────────────────────── */

export type ContentType = 'json' | 'text' | 'bytes' | 'v8';

export interface QueueSettings {
  /** Messages of one batch. */
  maxBatchSize: number;
  /** Longest wait for a batch to fill, s. */
  maxBatchTimeoutS: number;
  /** Deliveries after the first. */
  maxRetries: number;
  /** Delay of a retry that names none, s. */
  retryDelayS: number;
  /** Delay of a message that names none, s. */
  deliveryDelayS: number;
  /** Batches in flight at once; null: as many as the consumer's instances take. */
  maxConcurrency: number | null;
  deadLetterQueue: string;
  paused: boolean;
}

/** What a queue is made with when a message comes before its settings. Workers' defaults. */
export function defaultQueueSettings(name: string): QueueSettings {
  return {
    maxBatchSize: 10,
    maxBatchTimeoutS: 5,
    maxRetries: 3,
    retryDelayS: 0,
    deliveryDelayS: 0,
    maxConcurrency: null,
    deadLetterQueue: `${name}.dead`,
    paused: false,
  };
}

export interface NewMessage {
  id: string;
  /** The id was made for this very message, so it is not remembered for 24 h: cheaper, and no caller can repeat it. */
  generatedId?: boolean;
  body: Uint8Array;
  contentType: ContentType;
  delayS: number;
  /** W3C traceparent of the producer, so that the message's trace links to it. */
  traceparent: string | null;
  /** Hops so far, against loops through queues. */
  hops: number;
}

export interface ClaimedMessage extends Omit<NewMessage, 'generatedId'> {
  queue: string;
  /** Epoch ms of acceptance. */
  timestamp: number;
  /** 1 on the first delivery. May be over maxRetries + 1 when leases ended unsettled: such a one is to be settled as dead. */
  attempts: number;
  /** How often its base died while it was delivered; 0: only suspected of harm to its batch; null: not even that. */
  kills: number | null;
  /** Rises with each claim of this message: an acknowledgement with an older number is refused. */
  fence: number;
}

export interface DeadMessage {
  id: string;
  body: Uint8Array;
  contentType: ContentType;
  timestamp: number;
  attempts: number;
  diedAt: number;
  /** Queue it comes from, and why it died. */
  source: string;
  reason: string;
  /** What its deliveries there failed with, the oldest first, its death last; of very many the first ones and the last. */
  failures: { at: number; reason: string }[];
}

/** Bytes of what one message failed with that are kept, but for the last one. */
export const MOST_FAILURE_BYTES = 16 * 1024;

export interface QueueStats {
  /** Waiting, delayed and in flight. */
  depth: number;
  delayed: number;
  inFlight: number;
  /** Epoch ms of acceptance of the oldest one; null when empty. */
  oldestAt: number | null;
  dead: number;
}

export type Settlement =
  | { id: string; fence: number; verdict: 'ack' }
  /**
   * Due again at `dueAt`; `countAttempt: false` gives the attempt back (throttled, base died before the call). `reason`
   * null: nothing has failed. `kills` is what its next claim says; without it null.
   */
  | {
      id: string;
      fence: number;
      verdict: 'retry';
      dueAt: number;
      countAttempt: boolean;
      reason: string | null;
      kills?: number | null;
    }
  | { id: string; fence: number; verdict: 'dead'; reason: string };

export interface QueueStore {
  put(name: string, settings: QueueSettings): Promise<void>;
  get(name: string): Promise<QueueSettings | null>;
  list(): Promise<{ name: string; settings: QueueSettings }[]>;
  /** Removes the queue and its messages. Its dead letters stay: they are messages of another queue. */
  delete(name: string): Promise<boolean>;
  /**
   * Ids seen within 24 h are taken once: they are accepted and not stored again. Makes the queue, with default settings,
   * when it is missing. `ids`: of all given messages, in their order; `duplicates`: those among them that were not stored.
   */
  enqueue(queue: string, messages: NewMessage[], nowMs: number): Promise<{ ids: string[]; duplicates: string[] }>;
  /**
   * Due messages in order of due time, then acceptance; leased until `leaseUntil`. Takes over ended leases first. Does
   * not look at `paused`.
   */
  claim(
    queue: string,
    options: { most: number; nowMs: number; leaseUntil: number; owner: string },
  ): Promise<ClaimedMessage[]>;
  /** Lengthens leases; returns the ids that are still held. */
  extend(queue: string, held: { id: string; fence: number }[], leaseUntil: number): Promise<string[]>;
  /**
   * All in one commit. Returns ids that were refused because their fence is old or the message is gone. `dead` moves to
   * the dead-letter queue named in the settings, where it is an ordinary message, due at once, with no attempts used.
   */
  settle(queue: string, settlements: Settlement[], nowMs: number): Promise<{ refused: string[] }>;
  /** Epoch ms at which the next message is due or its lease ends; null when there is none. */
  nextDue(queue: string): Promise<number | null>;
  stats(queue: string, nowMs: number): Promise<QueueStats>;
  /** The dead letters whose source is this queue, oldest death first. BAD_REQUEST when the cursor is none of ours. */
  dead(
    queue: string,
    options: { most: number; cursor: string | null },
  ): Promise<{ messages: DeadMessage[]; cursor: string | null }>;
  /** Puts dead letters back into their queue, due at once, with no attempts used; those a consumer holds stay. Returns how many. */
  redrive(queue: string, ids: string[] | 'all', nowMs: number): Promise<number>;
  /** Removes all messages, those in flight too; returns how many. */
  purge(queue: string): Promise<number>;
}

/* ── crons ──────────────────────────────────────────────────────────────────────────────────────────────────── */

export interface CronRecord {
  /** `function/index`-like, stable over deploys as long as function and expression stay. */
  id: string;
  functionName: string;
  expression: string;
  timezone: string;
  missed: 'skip' | 'once' | 'all';
  overlap: 'skip' | 'allow' | 'queue';
  paused: boolean;
  /** Epoch ms of the next due time; null when there is none. */
  nextAt: number | null;
  /** Runs that have not ended, of all gateways. */
  running: number;
  /** Epoch ms: due times up to it have had their turn, run or not; 0 before the first. */
  firedUntil: number;
  /** What began or was skipped last; when that was skipped, and a run ends, the run. */
  last: {
    dueAt: number;
    /** Of the first attempt. */
    startedAt: number;
    endedAt: number | null;
    outcome: 'running' | 'ok' | 'error' | 'skipped';
    /** 2 and more: its gateway died, and another took it over. */
    attempts: number;
    invocationId: string;
    error: string | null;
  } | null;
}

/** What a manifest and the clock say of a cron. */
export type CronPlan = Omit<CronRecord, 'last' | 'paused' | 'running' | 'firedUntil'>;

/** One due time, to be run or to be passed over. */
export interface CronClaim {
  id: string;
  /** Must be its nextAt. */
  dueAt: number;
  /** Becomes its nextAt. */
  nextAt: number | null;
  startedAt: number;
  invocationId: string;
  /** Why it is not run; null: it is. */
  skipped: string | null;
  /** Only while no run of it is under way. */
  alone: boolean;
}

export type CronClaimed =
  | { state: 'claimed' }
  /** It was to be alone, and is not; nothing has changed. */
  | { state: 'busy' }
  /** That due time is another's, or is none; how it stands now. */
  | { state: 'passed'; nextAt: number | null; paused: boolean }
  | { state: 'gone' };

export interface CronEnd {
  id: string;
  invocationId: string;
  endedAt: number;
  outcome: 'ok' | 'error';
  error: string | null;
}

export interface CronStore {
  /** In order of their ids; of one function, or of all. */
  list(functionName?: string): Promise<CronRecord[]>;
  /**
   * Sets the crons of one function to exactly these, and returns them as they stand. Of ids that stay, what was run and `paused`
   * are kept, and `nextAt` too while expression and time zone are the same: any number of gateways may say so, late too,
   * and no due time comes back.
   */
  replace(functionName: string, crons: CronPlan[]): Promise<CronRecord[]>;
  /**
   * Each due time of a cron is given to exactly one caller, whose run it is until `leaseUntil`. Answers in the order of
   * the claims.
   */
  claim(claims: CronClaim[], owner: string, leaseUntil: number): Promise<CronClaimed[]>;
  /** Lengthens the leases of all runs of this owner; returns the invocation ids of those that are still its own. */
  extend(owner: string, leaseUntil: number): Promise<string[]>;
  /**
   * Takes over runs that have not ended and whose lease has: each is given to one caller, with the same invocation id and
   * the number of its attempt. Runs of `owner` itself are never given, unless `mine`: at its start, when nothing of it can
   * run any more.
   */
  takeOver(
    owner: string,
    nowMs: number,
    leaseUntil: number,
    mine: boolean,
  ): Promise<{ id: string; dueAt: number; startedAt: number; invocationId: string; attempt: number }[]>;
  /** Returns the invocation ids that were refused: such a run is another's by now, has ended, or is of a cron that is gone. */
  finish(ends: CronEnd[], owner: string): Promise<string[]>;
  setPaused(id: string, paused: boolean, nextAt: number | null): Promise<boolean>;
}

/* ── async invocations: what becomes of them; their delivery is a queue's (triggers/async/asyncs.ts) ──────────── */

export interface AsyncAttempt {
  version: string;
  startedAt: number;
  endedAt: number | null;
  traceId: string | null;
  start: 'cold' | 'warm' | null;
  instance: string | null;
  /** Milliseconds, by phase. */
  phases: Record<string, number> | null;
}

export interface AsyncRecord {
  /** The invocation's id. */
  id: string;
  functionName: string;
  trigger: 'http' | 'cron' | 'queue' | 'rpc';
  state: 'queued' | 'running' | 'ok' | 'error';
  /** So far. */
  attempts: number;
  acceptedAt: number;
  /** Of these, how many the function failed: a gateway that died in the middle is no fault of it. */
  failures: number;
  /** From when its age counts: acceptance, or when it was taken out of the dead letters. */
  since: number;
  /** When it is tried next, while it is queued. */
  dueAt: number | null;
  endedAt: number | null;
  /** The last attempt; null before the first. `endedAt` null: it runs, or its gateway died. */
  last: AsyncAttempt | null;
  /** After its end: the answer's head as JSON, in the trigger's own shape; null before, and where there was none. */
  result: unknown;
  /** Bytes of an answer that was too large to keep; null: it is kept. */
  omittedBytes: number | null;
  /** What the last attempt failed with. */
  error: { code: string; message: string } | null;
  /** What became of its destination; null: it has none, or has not ended. */
  destination: { target: string; outcome: 'delivered' | 'failed'; error: string | null } | null;
  /** Epoch ms from which on nobody can read it. */
  expiresAt: number;
}

export interface AsyncStore {
  /**
   * Creates or replaces the record; `body`: of its answer, null leaves none. Does nothing where what is stored is of a later
   * attempt: so says a gateway that stood still while another one went on.
   */
  put(record: AsyncRecord, body: Uint8Array | null): Promise<void>;
  get(id: string, nowMs: number): Promise<{ record: AsyncRecord; body: Uint8Array | null } | null>;
  /** Removes expired ones, at most so many; returns how many. */
  sweep(nowMs: number, most: number): Promise<number>;
}

/* ── answers kept under an idempotency key ──────────────────────────────────────────────────────────────────── */

export interface KeptAnswer {
  head: unknown;
  body: Uint8Array;
}

export interface AnswerStore {
  /**
   * Exactly one caller of a key gets `begin`, and then says `finish` or `abandon`; the others learn what there is.
   * `request`: a hash of what is asked; with another one for the same key it is `mismatch`. A `begin` whose `leaseUntil`
   * passed without an end is given to the next caller. `scope` keeps callers apart.
   */
  begin(
    scope: string,
    key: string,
    request: string,
    owner: string,
    times: { nowMs: number; leaseUntil: number; expiresAt: number },
  ): Promise<{ state: 'begin' } | { state: 'running' } | { state: 'mismatch' } | { state: 'done'; answer: KeptAnswer }>;
  /** Lengthens the lease of a `begin`. False when it is no longer this owner's. */
  extend(scope: string, key: string, owner: string, leaseUntil: number): Promise<boolean>;
  /** Does nothing when it is no longer this owner's. */
  finish(scope: string, key: string, owner: string, answer: KeptAnswer): Promise<void>;
  /** Nothing came of it: the next caller begins anew. */
  abandon(scope: string, key: string, owner: string): Promise<void>;
  sweep(nowMs: number, most: number): Promise<number>;
}

/* ── what only one gateway may do at a time ─────────────────────────────────────────────────────────────────── */

export interface LeaseStore {
  /** Takes or lengthens the lease of this name. The fence rises with each change of owner; null: another has it. */
  take(name: string, owner: string, nowMs: number, until: number): Promise<{ fence: number } | null>;
  /** Does nothing when another has it by now. */
  release(name: string, owner: string): Promise<void>;
}

/* ── what other gateways on the same store have changed ─────────────────────────────────────────────────────── */

export interface Change {
  /** `messages`: there may be something to claim in the queue of this name; '' says so of every queue. */
  kind: 'function' | 'publication' | 'rollout' | 'base' | 'token' | 'queue' | 'cron' | 'messages';
  /** Of a cron: the function's. */
  name: string;
}

export interface ChangeFeed {
  /**
   * Tells each change that anybody makes from now on, this gateway's own too, in their order, within a second. After the
   * store was away: all that was missed, or `null`, which says that everything may have changed. Returns a function that
   * ends it. An embedded store never calls.
   */
  listen(changed: (changes: Change[] | null) => void): () => void;
  /**
   * Of each function something that is another one after each change of it, whoever made it; an embedded store has none.
   * What was read before these were is of them or newer.
   */
  revisions(): Promise<ReadonlyMap<string, string>>;
}

/* ── access ─────────────────────────────────────────────────────────────────────────────────────────────────── */

export interface TokenRecord {
  id: string;
  /** SHA-256 of the token, hex. The token itself is shown once and kept nowhere. */
  hash: string;
  scopes: string[];
  trustGroups: string[];
  routes: string[];
  createdAt: number;
}

export interface TokenStore {
  put(record: TokenRecord): Promise<void>;
  list(): Promise<TokenRecord[]>;
  delete(id: string): Promise<boolean>;
}

export interface AuditRecord {
  time: number;
  /** Token id, `admin`, or `hearth`. */
  actor: string;
  action: string;
  subject: string;
  detail: Record<string, unknown>;
}

export interface AuditStore {
  append(record: AuditRecord): Promise<void>;
  /** Newest first; `before` is a time. */
  list(options: { most: number; before: number | null }): Promise<AuditRecord[]>;
}
