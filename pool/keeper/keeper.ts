/** The pool behind its one interface (api.ts): makes its parts and passes on what is asked. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import type net from 'node:net';
import path from 'node:path';
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import { BodyGarbage, type CollectYoung } from '../link/body-garbage.ts';
import type {
  InvokeCall,
  InvokeHandle,
  InvokeSink,
  Keeper,
  KeeperHooks,
  ModuleSpec,
  PoolEvent,
  PoolSnapshot,
  ProbeResult,
  Profile,
  ProfileRequest,
} from './api.ts';
import { Blame, blamedKey } from './blame/blame.ts';
import { refuse } from './blame/quarantine.ts';
import type { BaseDefinition } from './definition.ts';
import { FunctionPools } from './function-pools.ts';
import { Definitions } from './generations/definitions.ts';
import { Generations } from './generations/generations.ts';
import { Proofs } from './generations/proofs.ts';
import { Groups } from './groups/groups.ts';
import { bundleBase } from './hosts/bundle.ts';
import type { HostProcess } from './hosts/host-process.ts';
import { HostWatch } from './hosts/host-watch.ts';
import { listenForBases } from './hosts/link-server.ts';
import type { Logger } from './log.ts';
import { type PoolChange, Pools } from './pools.ts';
import { Profiles } from './profiles.ts';
import { checkAlive, Rounds } from './rounds.ts';
import type { FleetSettings } from './settings.ts';
import { snapshotOf } from './snapshot.ts';
import { Fleet } from './stock/fleet.ts';
import { Sharing } from './upkeep/sharing.ts';

export interface KeeperOptions {
  definitions: BaseDefinition[];
  settings: FleetSettings;
  /** An empty directory of our own, mode 0700, on a path short enough for a Unix socket (about 90 bytes). */
  runDir: string;
  hooks: KeeperHooks;
  now(): number;
  log: Logger;
  /** Monotonic ms by which idle times are measured. Default: the machine's own; tests move it by hand. */
  idleClock?: () => number;
  /** Frees what lived shortly, at once. Default: V8 decides alone, which large bodies make it do badly (pool/link/body-garbage.ts). */
  collectYoung?: CollectYoung;
}

const EVENTS_KEPT = 2_000;
const SHORT_OF_MEMORY = 'memory runs short';

/** Resolves when bases can connect; `start` then fills the pool. */
export async function createKeeper(options: KeeperOptions): Promise<Keeper> {
  await mkdir(options.runDir, { recursive: true, mode: 0o700 });
  const baseFile = await bundleBase(options.runDir);
  const pool = new Pool(options, baseFile);
  await pool.listen();
  return pool;
}

class Pool implements Keeper {
  readonly bases: Generations;
  readonly #options: KeeperOptions;
  readonly #functions: FunctionPools;
  readonly #groups: Groups;
  /** Where modules of groups are proved before they are brought into theirs. */
  readonly #proving: Groups;
  readonly #proofs: Proofs;
  readonly #pools: Pools;
  readonly #sharing: Sharing;
  readonly #fleet: Fleet;
  readonly #blame: Blame;
  readonly #rounds: Rounds;
  readonly #profiles: Profiles;
  readonly #events: PoolEvent[] = [];
  readonly #socketPath: string;
  #server: net.Server | null = null;
  #draining = false;

  constructor(options: KeeperOptions, baseFile: string) {
    const { hooks, now, settings } = options;
    const idleClock = options.idleClock === undefined ? {} : { idleClock: options.idleClock };
    const event = (one: PoolEvent) => this.#note(one);
    this.#options = options;
    this.#socketPath = path.join(options.runDir, 'link.sock');
    const definitions = new Definitions(options.definitions);
    this.#pools = new Pools(settings);
    this.#sharing = new Sharing({
      maxBases: (pool) => this.#pools.size(pool).maxBases + this.#fleet.borrowed(pool),
      bases: () => this.#fleet.bases,
      functions: () => this.#functions.serving,
      all: () => this.#functions.all(),
      idleGroups: (pool) => this.#groups.idle(pool),
    });
    const lease = ({ trustGroup, network, pool, functionName }: ModuleSpec, definition: BaseDefinition) =>
      this.#fleet.take({ definition, trustGroup, network, pool, functionName });
    this.#groups = new Groups({ hooks, take: lease, event, now, proofs: false });
    this.#proving = new Groups({ hooks, take: lease, event, now, proofs: true });
    this.#functions = new FunctionPools({
      definitions,
      hooks,
      now,
      ...idleClock,
      take: (spec, definition, where) => {
        if (spec.group === null || where === 'alone') return lease(spec, definition);
        return (where === 'proofs' ? this.#proving : this.#groups).take(spec, definition);
      },
      sharing: this.#sharing,
      unresponsive: checkAlive,
    });
    this.#proofs = new Proofs({
      pool: (spec) => this.#functions.of(spec),
      make: (spec, where) => this.#functions.make(spec, definitions.inUse(spec.base), where),
      definition: (spec) => definitions.inUse(spec.base),
      groups: this.#proving,
    });
    this.#blame = new Blame({
      event,
      now,
      refuse: (key, refusal) => {
        for (const pool of this.#functions.serving) if (blamedKey(pool.spec) === key) pool.refuse(refusal);
      },
    });
    this.#fleet = new Fleet({
      definitions,
      settings,
      pools: this.#pools,
      runDir: options.runDir,
      socketPath: this.#socketPath,
      baseFile,
      newId: (kind) => `${kind}-${randomUUID().slice(0, 8)}`,
      now,
      log: options.log,
      event,
      busy: (pool) => this.#functions.waiting(pool) > 0,
      clock: options.idleClock ?? monotonicMs,
      evictIdle: (pool, why) => this.#sharing.evictOne(pool, why, 'bases'),
      takeFrom: (pool, functionName) => this.#sharing.takeFrom(pool, functionName),
      admits: (pool, functionName, freed) => this.#sharing.admits(pool, functionName, freed),
      occupants: (host) => this.#functions.occupants(host),
      tookDown: (spec, why) => {
        if (!this.#draining) this.#blame.tookDown(spec, why);
      },
    });
    this.bases = new Generations({
      definitions,
      fleet: this.#fleet,
      functions: () => this.#functions.serving,
      all: () => this.#functions.all(),
      make: (spec, definition, where) => this.#functions.make(spec, definition, where),
      spoilt: (spec, definition) => this.#proving.leave(spec, definition, 'a proof failed here'),
      discard: (made, why) => made.retire(why),
      swap: (old, fresh) => this.#functions.swap(old, fresh),
    });
    this.#profiles = new Profiles({
      pools: () => this.#functions.all(),
      memory: (name) => this.#fleet.memory(name),
      vacate: (host, why) => this.#fleet.vacate(host, why),
      event: ({ id, host }, functionName, why) =>
        event({ time: now(), subject: 'base', id, what: 'profiled', why, pool: host.pool, function: functionName }),
    });
    this.#rounds = new Rounds({
      functions: this.#functions,
      fleet: this.#fleet,
      hostWatch: this.#watch(),
      generations: this.bases,
      blame: this.#blame,
      now,
      ...idleClock,
    });
  }

  #watch(): HostWatch<HostProcess> {
    return new HostWatch({
      hosts: () => this.#fleet.hosts,
      limitsMb: (host) => this.#fleet.limitsMb(host),
      suspect: (host) => this.#fleet.suspect(host),
      pools: () => this.#pools.names.map((name) => ({ name, memoryBytes: this.#fleet.memoryMb(name) * 2 ** 20 })),
      pressure: (pool, level, usedMb) => this.#fleet.press(pool, level, usedMb),
      evict: (pool) =>
        this.#sharing.evictOne(pool, SHORT_OF_MEMORY, 'memory') || this.#fleet.giveUpStock(pool, SHORT_OF_MEMORY, 1),
      now: monotonicMs,
    });
  }

  async listen(): Promise<void> {
    this.#server = await listenForBases({
      socketPath: this.#socketPath,
      claim: (base, token) => this.#fleet.claim(base, token),
      attached: (base) => this.#fleet.attached(base),
      // Of all links together: it is one heap.
      garbage: new BodyGarbage(this.#options.collectYoung ?? (() => undefined)),
      log: this.#options.log,
    });
  }

  start(): Promise<void> {
    return this.#fleet.start();
  }

  invoke(spec: ModuleSpec, call: InvokeCall, sink: InvokeSink, arrivedAt = monotonicMs()): InvokeHandle {
    const refusal = this.#blame.refusal(spec, arrivedAt);
    return refusal === null ? this.#functions.of(spec).invoke(call, sink, arrivedAt) : refuse(sink, refusal);
  }

  async probe(spec: ModuleSpec, readyPath: string | null): Promise<ProbeResult> {
    this.#blame.deployedAgain(spec);
    try {
      return await this.#proofs.prove(spec, readyPath);
    } catch (error) {
      void this.retire(spec.key, 'its probe failed');
      const crashed = error instanceof HearthError && error.code === 'FUNCTION_CRASHED';
      throw crashed ? new HearthError('PROBE_FAILED', error.message, { cause: error }) : error;
    }
  }

  direct(functionName: string, key: string | null): void {
    this.#groups.direct(functionName, key);
  }

  activate(spec: ModuleSpec): void {
    this.#functions.activate(spec);
  }

  deactivate(key: string): void {
    this.#functions.deactivate(key);
  }

  prewarm(spec: ModuleSpec, keepMs: number): void {
    this.#functions.prewarm(spec, keepMs);
  }

  retire(key: string, why: string): Promise<void> {
    return this.#functions.retire(key, why);
  }

  profile(functionName: string, request: ProfileRequest): Profile {
    return this.#profiles.take(functionName, request);
  }

  evict(functionName: string): Promise<number> {
    let count = 0;
    for (const pool of this.#functions.all())
      if (pool.spec.functionName === functionName) count += pool.evictIdle('evicted');
    return Promise.resolve(count);
  }

  moveHost(id: string, pool: string): 'moved' | 'draining' {
    return this.#fleet.move(id, pool);
  }

  changePool(name: string, change: PoolChange): void {
    this.#pools.change(name, change);
    this.#fleet.refill();
  }

  snapshot(): PoolSnapshot {
    return snapshotOf(this.#fleet, this.#functions.all());
  }

  events(): readonly PoolEvent[] {
    return this.#events;
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#close();
    const all = Promise.all([...this.#functions.all()].map((pool) => pool.retire('Hearth is shutting down')));
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, deadlineMs);
    await Promise.race([all, late]);
    clearTimeout(timer);
    const hosts = [...this.#fleet.hosts];
    this.kill();
    await Promise.all(hosts.map((host) => host.exited));
    await rm(this.#options.runDir, { recursive: true, force: true });
  }

  kill(): void {
    this.#close();
    this.#rounds.end();
    for (const pool of this.#functions.all()) pool.kill('Hearth is shutting down.');
    this.#fleet.kill('the gateway ends');
    this.#server?.close();
  }

  /** Nothing is begun any more. */
  #close(): void {
    this.#draining = true;
    this.#functions.close();
    this.#groups.close();
    this.#proving.close();
  }

  #note(event: PoolEvent): void {
    this.#events.push(event);
    if (this.#events.length > EVENTS_KEPT) this.#events.splice(0, EVENTS_KEPT / 2);
    this.#options.hooks.event(event);
  }
}
