/**
 * What the gateway asks of the pool. The keeper knows modules, bases and hosts; it knows nothing of routes, versions
 * in traffic, or triggers beyond the head it passes on.
 */
import type { HearthError } from '../../functions/contract/errors.ts';
import type {
  BindingCallHead,
  BindingSpec,
  InvokeHead,
  LogLine,
  ResultHead,
} from '../../functions/contract/invocation.ts';
import type { SpanReport } from '../../functions/contract/span.ts';
import type { Exchange } from '../link/link.ts';
import type { BaseDefinition } from './definition.ts';
import type { Pressure } from './hosts/host-watch.ts';
import type { PoolChange } from './pools.ts';
import type { PlacementRule } from './settings.ts';

/** What a base runs: bytes of one version. Immutable. */
export interface ModuleImage {
  format: 'cjs' | 'esm';
  code: Uint8Array;
  /** V8 code cache made by our own probe of this very code; null when there is none (yet). */
  codeCache: Uint8Array | null;
  files: { path: string; bytes: Uint8Array }[];
}

export interface ModuleLimits {
  /** Wall clock of one invocation, ms. */
  timeoutMs: number;
  /** Heap, Buffers and WASM of its base together, MB. */
  memoryMb: number;
  /** One uninterrupted turn of the loop, ms; 0: none. */
  cpuMs: number;
  /** Invocations in flight in one instance. */
  concurrency: number;
  minInstances: number;
  maxInstances: number;
  /** Invocations in flight that no other function can take away. */
  reserved: number;
  /** Seconds an idle instance is kept; `auto`: by policy; 0: retired at once. */
  keepAlive: 'auto' | number;
}

/**
 * One version of a function as the pool sees it. The gateway makes one object per version and revision of its env and
 * passes that same object each time: instances are kept per `key`.
 */
export interface ModuleSpec {
  /**
   * `name@version+envRevision`. A change of a secret makes a new key, so old instances drain. What is served apart, with
   * limits of its own, has a key that continues it behind a slash.
   */
  readonly key: string;
  readonly functionName: string;
  readonly version: string;
  /** Base definition, trust group, network policy and pool: together the host key. */
  readonly base: string;
  readonly trustGroup: string;
  readonly network: 'all' | 'none';
  readonly group: string | null;
  readonly pool: string;
  readonly limits: ModuleLimits;
  /** From memory where it can; a promise when it has to come from the store. */
  image(): ModuleImage | Promise<ModuleImage>;
  readonly vars: Record<string, string>;
  readonly jsonVars: Record<string, unknown>;
  readonly bindings: BindingSpec[];
}

/** Milliseconds. `wait` and `run` always; the others on a cold start. Their sum is the time inside Hearth up to the head. */
export interface Phases {
  wait: number;
  run: number;
  acquire?: number;
  transfer?: number;
  compile?: number;
  evaluate?: number;
}

/** What is known of an invocation once it was placed. */
export interface InvokeFacts {
  start: 'cold' | 'warm';
  /** Id of the base that ran it: `faas.instance`. */
  instance: string;
  host: string;
  phases: Phases;
  /** Epoch ms at which the trigger reached Hearth: phases count from here. */
  arrivedAtMs: number;
  /** Monotonic ms at which the head (or the failure) was known: phases end here. */
  headAt: number;
  /** 2 when the first base died before the function was called. */
  attempt: number;
}

/** What happens to an invocation, in this order: head, data…, end; or failed at any point, last. */
export interface InvokeSink {
  head(head: ResultHead, facts: InvokeFacts): void;
  /** Bytes of the answer. Tell `handle.consumed(bytes)` once they have gone on, or no more will come. */
  data(chunk: Uint8Array): void;
  end(): void;
  /** `facts` is null when it was never placed. After `head` it means that the answer breaks off. */
  failed(error: HearthError, facts: InvokeFacts | null): void;
  /** After `write` returned false: more may be written. */
  drain(): void;
  /** The slot is free: the answer has ended and `waitUntil` with it. Called once, after end or failed. */
  released(): void;
}

export interface InvokeHandle {
  /** A chunk of the request's body. False: wait for `drain`. Takes ownership of the chunk. */
  write(chunk: Uint8Array): boolean;
  /** The request's body is complete. */
  end(): void;
  consumed(bytes: number): void;
  /** The caller has gone away: `ctx.signal` is aborted, nothing more reaches the sink but `released`. */
  abort(reason: string): void;
}

export interface ProbeResult {
  handlers: ('fetch' | 'scheduled' | 'queue' | 'rpc' | 'node-http')[];
  codeCache: Uint8Array | null;
  loadMs: number;
  probeMs: number;
}

export type BaseState = 'booting' | 'rehearsing' | 'warm' | 'leased' | 'draining' | 'dead';

export interface PoolSnapshot {
  hosts: {
    id: string;
    pid: number | null;
    base: string;
    /** Of its base definition. */
    generation: number;
    /** Named pool it serves. */
    pool: string;
    /** The pool it goes back to when it is idle; null: it serves its own. */
    lentBy: string | null;
    /** null: not yet bound by a first lease. */
    trustGroup: string | null;
    network: 'all' | 'none' | null;
    state: 'starting' | 'running' | 'draining' | 'dead';
    memoryBytes: number | null;
    bases: {
      id: string;
      state: BaseState;
      /** For which it was taken. */
      function: string | null;
      version: string | null;
      inFlight: number;
      /** Set where it holds the modules of a group. */
      group?: string;
      modules?: { function: string; version: string; inFlight: number }[];
    }[];
  }[];
  /** Bases by state, over all hosts. */
  bases: Record<BaseState, number>;
  /** By pool and base definition: warm bases without a lessee, and how many there should be just now. */
  stock: { pool: string; base: string; warm: number; target: number }[];
  waiting: number;
  pools: PoolView[];
}

/** One named pool of hosts, what it has lent and borrowed included. */
export interface PoolView {
  name: string;
  placement: PlacementRule;
  /** What it may have of its own, and what its hosts may use together. */
  maxBases: number;
  memoryMb: number;
  /** What those that serve it use. */
  usedMb: number;
  pressure: Pressure;
  hosts: number;
  /** Of those that serve it, by state. */
  bases: Record<BaseState, number>;
  /** Bases of other pools that serve it, and its own that serve others. */
  borrowed: number;
  lent: number;
  waiting: number;
}

export interface PoolEvent {
  /** Epoch ms. */
  time: number;
  subject: 'host' | 'base' | 'instance' | 'function';
  id: string;
  /** Of a function: `quarantined`, and `lifted` when that is over. */
  what:
    | 'started'
    | 'warm'
    | 'leased'
    | 'loaded'
    | 'retired'
    | 'killed'
    | 'died'
    | 'quarantined'
    | 'lifted'
    | 'lent'
    | 'returned'
    | 'moved'
    | 'profiled';
  why: string;
  /** Of a base that somebody held: it ended for what it did, or with its host; not by a decision of the pool. */
  lost?: boolean;
  /** Named pool that a host, or the host of a base, serves. */
  pool?: string;
  function?: string;
}

/** What the keeper tells the gateway, given as plain functions when it is made. */
export interface KeeperHooks {
  /** A module uses a binding. The exchange is the answer's way back; `spec` is the caller's own. */
  binding(spec: ModuleSpec, call: BindingCallHead, exchange: Exchange): void;
  log(spec: ModuleSpec, instance: string, lines: LogLine[], dropped: number): void;
  /** What happened within one of its invocations, for the trace; the base's word, in bounds. */
  spans(spec: ModuleSpec, invocationId: string, spans: readonly SpanReport[]): void;
  /** Of a group: it was called by its neighbours, past the gateway, so often since the last time, and failed so often. */
  direct(spec: ModuleSpec, calls: number, failed: number): void;
  event(event: PoolEvent): void;
  /** How long taking a base took, ms, for each cold start. */
  acquired(durationMs: number): void;
}

export interface Keeper {
  /**
   * Brings the cache pool to its size. Resolves when the first base of each definition is warm, but for definitions whose
   * bases do not come up; never while none does.
   */
  start(): Promise<void>;
  /** `arrivedAt`: monotonic ms at which the trigger reached Hearth; phases count from there. */
  invoke(spec: ModuleSpec, head: InvokeCall, sink: InvokeSink, arrivedAt?: number): InvokeHandle;
  /** Loads a version on a real base and calls its ready path. Throws PROBE_FAILED. The base becomes its first instance. */
  probe(spec: ModuleSpec, readyPath: string | null): Promise<ProbeResult>;
  /**
   * This version takes traffic: from now on its `minInstances` are kept loaded, also while nobody calls it, and its
   * `reserved` is held, until it is deactivated or retired. A version that is not activated has neither. Idempotent.
   */
  activate(spec: ModuleSpec): void;
  /**
   * It takes no traffic for now and may again soon: it has neither minimum nor reserve, nothing is loaded ahead of its
   * calls, and one idle instance stays for ten minutes, unless its manifest says otherwise or its base is needed.
   */
  deactivate(key: string): void;
  /**
   * Calls of this function by members of its group, in whose base the version with this key stands, need not come to the
   * gateway. Null: they do, as more than one version serves, or none. So it is until it is said otherwise.
   */
  direct(functionName: string, key: string | null): void;
  /** An instance will be needed within `keepMs`: one is loaded where there is none, and stays so long at least. */
  prewarm(spec: ModuleSpec, keepMs: number): void;
  /**
   * No new invocations for this key, nor for those that continue it behind a slash; resolves when the last one has ended
   * and its bases are gone. A later call of that key begins anew.
   */
  retire(key: string, why: string): Promise<void>;
  /**
   * A profile of one running instance. Throws CONFLICT when none runs or its host is being profiled, NO_CAPACITY when
   * there is not the memory for it, and what `admit` throws. Nothing is begun before the first piece is asked for.
   */
  profile(functionName: string, request: ProfileRequest): Profile;
  /** Retires idle instances of a function and says how many. */
  evict(functionName: string): Promise<number>;
  readonly bases: BaseGenerations;
  /**
   * A host goes to another pool, with the room it takes up: at once when no lease has bound it, else it drains and the
   * other pool starts one in its place. Throws NOT_FOUND, BAD_REQUEST, CONFLICT.
   */
  moveHost(id: string, pool: string): 'moved' | 'draining';
  /** Changes the size of a pool until Hearth ends. Throws NOT_FOUND, CONFLICT. */
  changePool(name: string, change: PoolChange): void;
  snapshot(): PoolSnapshot;
  events(): readonly PoolEvent[];
  /** Lets what runs end, at most so long, then ends all hosts. */
  drain(deadlineMs: number): Promise<void>;
  kill(): void;
}

export interface ProfileRequest {
  /** `heap`: its base stands still meanwhile, and its host ends afterwards; see profiles.ts. */
  kind: 'cpu' | 'heap';
  /** Of a CPU profile: how long it looks. */
  durationMs: number;
  /** Id of a base; null: the busiest. */
  instance: string | null;
  /** Hears what would be profiled, and throws when it may not be. */
  admit(subject: ProfileSubject): void;
  signal: AbortSignal;
}

export interface ProfileSubject {
  /** Ids of the base and its host. */
  instance: string;
  host: string;
  version: string;
  /** All whose modules stand in that base: what is theirs is in its profile too. */
  functions: string[];
}

export interface Profile extends ProfileSubject {
  /** A .cpuprofile or .heapsnapshot. Rejects with NO_CAPACITY when it does not come, or breaks off. */
  pieces: AsyncGenerator<Uint8Array>;
}

/** Base definitions that change while functions run on them. One change of a name at a time. */
export interface BaseGenerations {
  /** Takes in one more generation, or a new name: nothing leases from it but `prove`. */
  add(definition: BaseDefinition): void;
  /**
   * Loads a version on a base of it and calls its ready path; nothing of that is kept. Throws PROBE_FAILED with what the
   * code said, NO_CAPACITY when bases do not come up or none came free.
   */
  prove(definition: BaseDefinition, spec: ModuleSpec, readyPath: string | null): Promise<void>;
  /** Fills its stock; resolves when that is done, as far as room, memory and ten seconds allow. Throws NO_CAPACITY when bases do not come up. */
  prepare(definition: BaseDefinition): Promise<void>;
  /**
   * Leases are of it from now on, and what runs on the generation before is replaced, host after host: as many instances
   * are loaded, calls go to them, and the old ones end when what they run has ended. Resolves when no call goes to the
   * generation before any more. Rejects when an instance does not load: then some have moved, and moving to the
   * generation before takes them back.
   */
  move(definition: BaseDefinition, options: MoveOptions): Promise<void>;
  /** Not wanted after all: its bases are ended when nothing runs in them. Not for the one in use. */
  drop(definition: BaseDefinition): void;
}

export interface MoveOptions {
  /** Whether the move is given up when this version does not load. */
  required(spec: ModuleSpec): boolean;
  /** It moves without instances: it does not load there and is not required, or no base came free. Its next call tries again. */
  unloaded?(spec: ModuleSpec, error: HearthError): void;
  /** Versions that are still to be moved. */
  progress?(left: number): void;
}

/** The head without what the keeper fills in: the module's name in its base, and the time left. */
export type InvokeCall = DistributiveOmit<InvokeHead, 'module' | 'timeoutMs'>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
