/** The pool behind its one interface (api.ts): wires fleet, link server and function pools. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import type net from 'node:net';
import { availableParallelism } from 'node:os';
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
} from './api.ts';
import type { Base } from './base.ts';
import { bundleBase } from './bundle.ts';
import type { BaseDefinition } from './definition.ts';
import { Definitions } from './definitions.ts';
import { Fleet } from './fleet.ts';
import { FunctionPool } from './function-pool.ts';
import { Generations } from './generations.ts';
import { Groups, groupKey } from './groups.ts';
import type { HostProcess } from './host-process.ts';
import { HostWatch, LOOK_MS } from './host-watch.ts';
import type { Instance } from './instance.ts';
import type { Occupant } from './lending.ts';
import { listenForBases } from './link-server.ts';
import type { Logger } from './log.ts';
import { IdleHistory } from './policy/keep-alive.ts';
import { type PoolChange, Pools } from './pools.ts';
import { Proofs, type ProvedWhere } from './proofs.ts';
import { Quarantine, refuse } from './quarantine.ts';
import { limitsOf } from './scaling.ts';
import type { FleetSettings } from './settings.ts';
import { Sharing } from './sharing.ts';
import { snapshotOf } from './snapshot.ts';
import { Warmth } from './warmth.ts';

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

const SWEEP_MS = 50;
const TEND_MS = 250;
/** Functions without an instance are tended each so many times. */
const TENDS_OF_COLD = 4;
/** The gateway's own loop was later than this: it cannot tell whether others are. */
const OWN_LAG_MS = 15;
/** Functions whose idle times are remembered, the last used ones. */
const HISTORIES_KEPT = 20_000;
const FLEET_SWEEP_MS = 5_000;
/** A base that answers no ping for so long is blocked. */
const PING_MS = 1_000;
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
  readonly #definitions: Definitions;
  readonly #fleet: Fleet;
  readonly #pools: Pools;
  readonly #sharing: Sharing;
  readonly #groups: Groups;
  /** Where modules of groups are proved before they are brought into theirs. */
  readonly #proving: Groups;
  readonly #proofs: Proofs;
  readonly #functions = new Map<string, FunctionPool>();
  /** Pools that get no calls: retired ones whose last invocations still run, and those made to take another's place. */
  readonly #beside = new Set<FunctionPool>();
  readonly #events: PoolEvent[] = [];
  readonly #socketPath: string;
  readonly #timers: NodeJS.Timeout[] = [];
  /** By function, over all its versions. */
  readonly #histories = new Map<string, IdleHistory>();
  readonly #quarantine = new Quarantine();
  readonly #hostWatch: HostWatch<HostProcess>;
  #tendedAt = monotonicMs();
  #tends = 0;
  #server: net.Server | null = null;
  #draining = false;

  constructor(options: KeeperOptions, baseFile: string) {
    this.#options = options;
    this.#socketPath = path.join(options.runDir, 'link.sock');
    this.#definitions = new Definitions(options.definitions);
    this.#pools = new Pools(options.settings);
    this.#sharing = new Sharing({
      maxBases: (pool) => this.#pools.size(pool).maxBases + this.#fleet.borrowed(pool),
      bases: () => this.#fleet.bases,
      functions: () => this.#functions.values(),
      all: () => this.#all(),
      idleGroups: (pool) => this.#groups.idle(pool),
    });
    const groupParts = {
      hooks: options.hooks,
      take: (spec: ModuleSpec, definition: BaseDefinition) => this.#lease(spec, definition),
      event: (event: PoolEvent) => this.#note(event),
      now: options.now,
    };
    this.#groups = new Groups({ ...groupParts, proofs: false });
    this.#proving = new Groups({ ...groupParts, proofs: true });
    this.#proofs = new Proofs({
      pool: (spec) => this.#pool(spec),
      make: (spec, where) => {
        const made = this.#make(spec, this.#definitions.inUse(spec.base), where);
        this.#beside.add(made);
        return made;
      },
      definition: (spec) => this.#definitions.inUse(spec.base),
      groups: this.#proving,
    });
    this.#fleet = new Fleet({
      definitions: this.#definitions,
      settings: options.settings,
      pools: this.#pools,
      runDir: options.runDir,
      socketPath: this.#socketPath,
      baseFile,
      newId: (kind) => `${kind}-${randomUUID().slice(0, 8)}`,
      now: options.now,
      log: options.log,
      event: (event) => this.#note(event),
      busy: (pool) => this.#waiting(pool) > 0,
      clock: options.idleClock ?? monotonicMs,
      evictIdle: (pool, why) => this.#sharing.evictOne(pool, why, 'bases'),
      takeFrom: (pool, functionName) => this.#sharing.takeFrom(pool, functionName),
      admits: (pool, functionName, freed) => this.#sharing.admits(pool, functionName, freed),
      occupants: (host) => this.#occupants(host),
      tookDown: (spec, why) => this.#tookDown(spec, why),
    });
    this.bases = new Generations({
      definitions: this.#definitions,
      fleet: this.#fleet,
      functions: () => this.#functions.values(),
      all: () => this.#all(),
      make: (spec, definition, where) => {
        const made = this.#make(spec, definition, where);
        this.#beside.add(made);
        return made;
      },
      spoilt: (spec, definition) => this.#proving.leave(spec, definition, 'a proof failed here'),
      discard: (made, why) => made.retire(why),
      swap: (old, fresh) => this.#swap(old, fresh),
    });
    this.#hostWatch = new HostWatch({
      hosts: () => this.#fleet.hosts,
      limitsMb: (host) => this.#fleet.limitsMb(host),
      suspect: (host) => this.#fleet.suspect(host),
      pools: () => this.#pools.names.map((name) => ({ name, memoryBytes: this.#fleet.memoryMb(name) * 2 ** 20 })),
      pressure: (pool, level, usedMb) => this.#fleet.press(pool, level, usedMb),
      evict: (pool) =>
        this.#sharing.evictOne(pool, SHORT_OF_MEMORY, 'memory') || this.#fleet.giveUpStock(pool, SHORT_OF_MEMORY, 1),
      now: monotonicMs,
    });
    this.#timers.push(setInterval(() => this.#sweep(), SWEEP_MS).unref());
    this.#timers.push(setInterval(() => this.#hostWatch.look(), LOOK_MS).unref());
    this.#timers.push(setInterval(() => this.#tend(), TEND_MS).unref());
    this.#timers.push(setInterval(() => this.#slowSweep(), FLEET_SWEEP_MS).unref());
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
    const refusal = this.#quarantine.isEmpty ? null : this.#quarantine.refusal(blamedKey(spec), arrivedAt);
    return refusal === null ? this.#pool(spec).invoke(call, sink, arrivedAt) : refuse(sink, refusal);
  }

  async probe(spec: ModuleSpec, readyPath: string | null): Promise<ProbeResult> {
    // What is served apart from it runs the same code.
    for (const key of [...this.#quarantine.lift(blamedKey(spec)), ...this.#quarantine.liftParts(spec.key)]) {
      this.#lifted(key, 'it was deployed again');
    }
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
    if (this.#draining) return;
    this.#pool(spec);
    for (const pool of this.#withParts(spec.key)) {
      pool.upkeep.activate();
      this.#sharing.reserve(pool);
    }
  }

  deactivate(key: string): void {
    for (const pool of this.#withParts(key)) {
      pool.upkeep.deactivate();
      this.#sharing.forget(pool);
    }
  }

  prewarm(spec: ModuleSpec, keepMs: number): void {
    if (!this.#draining) this.#pool(spec).upkeep.prewarm(keepMs);
  }

  async retire(key: string, why: string): Promise<void> {
    const pools = this.#withParts(key);
    for (const pool of pools) {
      this.#functions.delete(pool.spec.key);
      this.#sharing.forget(pool);
      this.#beside.add(pool);
    }
    await Promise.all(pools.map((pool) => pool.retire(why)));
  }

  /** The pool of this key, and those of what is served apart from it. */
  #withParts(key: string): FunctionPool[] {
    const parts = `${key}/`;
    return [...this.#functions.values()].filter(({ spec }) => spec.key === key || spec.key.startsWith(parts));
  }

  evict(functionName: string): Promise<number> {
    let count = 0;
    for (const pool of this.#all()) if (pool.spec.functionName === functionName) count += pool.evictIdle('evicted');
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
    return snapshotOf(this.#fleet, this.#all());
  }

  events(): readonly PoolEvent[] {
    return this.#events;
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    this.#groups.close();
    this.#proving.close();
    const all = Promise.all([...this.#all()].map((pool) => pool.retire('Hearth is shutting down')));
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
    this.#draining = true;
    this.#groups.close();
    this.#proving.close();
    for (const timer of this.#timers) clearInterval(timer);
    for (const pool of this.#all()) pool.kill('Hearth is shutting down.');
    this.#fleet.kill('the gateway ends');
    this.#server?.close();
  }

  #pool(spec: ModuleSpec): FunctionPool {
    const known = this.#functions.get(spec.key);
    if (known !== undefined) return known;
    const pool = this.#make(spec, this.#definitions.inUse(spec.base));
    this.#functions.set(spec.key, pool);
    return pool;
  }

  /** `where`: `usual`, or for the proof of one of a group, of which nothing is remembered, beside other proofs or alone. */
  #make(
    spec: ModuleSpec,
    definition: BaseDefinition | undefined,
    where: 'usual' | ProvedWhere = 'usual',
  ): FunctionPool {
    if (this.#draining) throw new HearthError('NO_CAPACITY', 'Hearth is shutting down.', { retryAfterS: 5 });
    return new FunctionPool({
      spec,
      definition,
      hooks: this.#options.hooks,
      now: this.#options.now,
      take: (wanted) => {
        if (definition === undefined) {
          return Promise.reject(new HearthError('NO_CAPACITY', `There is no base definition "${wanted.base}".`));
        }
        if (wanted.group === null || where === 'alone') return this.#lease(wanted, definition);
        return (where === 'proofs' ? this.#proving : this.#groups).take(wanted, definition);
      },
      warmth: new Warmth({
        limits: limitsOf(spec),
        history: where === 'usual' ? this.#history(spec.functionName) : new IdleHistory(),
      }),
      ...(this.#options.idleClock === undefined ? {} : { idleClock: this.#options.idleClock }),
      unresponsive: (instance) => this.#checkAlive(instance),
      emptied: (empty) => {
        this.#beside.delete(empty);
        if (this.#functions.get(spec.key) === empty) this.#functions.delete(spec.key);
      },
    });
  }

  #lease({ trustGroup, network, pool, functionName }: ModuleSpec, definition: BaseDefinition): Base | Promise<Base> {
    return this.#fleet.take({ definition, trustGroup, network, pool, functionName });
  }

  /** Null when that one has been retired meanwhile. */
  #swap(old: FunctionPool, fresh: FunctionPool): Promise<void> | null {
    if (this.#draining || this.#functions.get(old.spec.key) !== old) return null;
    fresh.upkeep.takeOver(old.upkeep);
    if (old.upkeep.active) this.#sharing.reserve(fresh);
    this.#sharing.forget(old);
    this.#beside.delete(fresh);
    this.#functions.set(fresh.spec.key, fresh);
    this.#beside.add(old);
    return old.retire('its base definition has changed');
  }

  *#all(): Iterable<FunctionPool> {
    yield* this.#functions.values();
    yield* this.#beside;
  }

  #waiting(of: string): number {
    let sum = 0;
    for (const pool of this.#all()) if (pool.spec.pool === of) sum += pool.waiting;
    return sum;
  }

  /** The instances that stand in this host. */
  *#occupants(host: HostProcess): Iterable<Occupant> {
    for (const pool of this.#all()) {
      for (const instance of pool.instances) {
        if (!instance.placed || instance.base.host !== host || instance.state === 'gone') continue;
        yield {
          busy: instance.state !== 'ready' || instance.inFlight > 0,
          usedAt: instance.lastUsedAt,
          needed: pool.basesHeld <= pool.upkeep.leastBases,
          drain: (why) => instance.drain(why),
        };
      }
    }
  }

  #history(functionName: string): IdleHistory {
    const history = this.#histories.get(functionName) ?? new IdleHistory();
    this.#histories.delete(functionName);
    this.#histories.set(functionName, history);
    const [oldest] = this.#histories.keys();
    if (this.#histories.size > HISTORIES_KEPT && oldest !== undefined) this.#histories.delete(oldest);
    return history;
  }

  #tend(): void {
    const now = monotonicMs();
    const lagged = now - this.#tendedAt - TEND_MS > OWN_LAG_MS;
    this.#tendedAt = now;
    this.#fleet.tidy();
    const busyLoops = new Map<string, number>();
    for (const { spec, busyLoops: busy } of this.#functions.values()) {
      busyLoops.set(spec.pool, (busyLoops.get(spec.pool) ?? 0) + busy);
    }
    const rooms = new Map<string, boolean>();
    // Without an instance there is only prewarming to think of, which has time.
    const all = this.#tends++ % TENDS_OF_COLD === 0;
    for (const pool of this.#functions.values()) {
      if (!all && pool.instances.size === 0) continue;
      const name = pool.spec.pool;
      pool.tend({
        now: this.#options.idleClock?.() ?? now,
        busyLoops: busyLoops.get(name) ?? 0,
        cores: availableParallelism(),
        lagged,
        room: rooms.getOrInsertComputed(name, () => this.#fleet.hasRoom(name)),
      });
    }
    for (const pool of this.#beside) for (const instance of pool.instances) instance.giveUpLoading(now);
  }

  /** After a timeout: a base that answers goes on draining, one that does not is ended. */
  #checkAlive(instance: Instance): void {
    if (instance.state === 'acquiring' || instance.state === 'gone') return;
    let answered = false;
    const settle = () => {
      answered = true;
      clearTimeout(timer);
    };
    const late = () => {
      if (!answered) instance.kill(`no answer to a ping within ${PING_MS} ms`, { kind: 'blocked' });
    };
    // If it was the gateway that stood still, the answer has come by now and is read before the immediate.
    const timer = setTimeout(() => setImmediate(late), PING_MS);
    instance.base.ping().then(settle, settle);
  }

  #sweep(): void {
    const now = monotonicMs();
    for (const pool of this.#all()) pool.sweep(now);
    // Somebody waits in a full pool: an instance may have become idle since.
    if (this.#fleet.pending > 0) this.#fleet.sweepPending(now);
  }

  #slowSweep(): void {
    this.#fleet.sweepHosts(this.#options.now());
    this.bases.tidy();
    for (const key of this.#quarantine.expired(monotonicMs())) this.#lifted(key, 'its time is over');
  }

  #tookDown(spec: ModuleSpec, why: string): void {
    const now = monotonicMs();
    if (this.#draining || !this.#quarantine.killed(spec.key, why, now)) return;
    const { key, functionName } = spec;
    this.#note({
      time: this.#options.now(),
      subject: 'function',
      id: key,
      what: 'quarantined',
      why,
      function: functionName,
    });
    const refusal = this.#quarantine.refusal(key, now);
    if (refusal === null) return;
    for (const pool of this.#functions.values()) if (blamedKey(pool.spec) === key) pool.refuse(refusal);
  }

  #lifted(key: string, why: string): void {
    const name = key.slice(0, key.lastIndexOf('@'));
    this.#note({ time: this.#options.now(), subject: 'function', id: key, what: 'lifted', why, function: name });
  }

  #note(event: PoolEvent): void {
    this.#events.push(event);
    if (this.#events.length > EVENTS_KEPT) this.#events.splice(0, EVENTS_KEPT / 2);
    this.#options.hooks.event(event);
  }
}

/** Who is put in quarantine for what it does: of a group all together. */
function blamedKey(spec: ModuleSpec): string {
  return spec.group === null ? spec.key : groupKey(spec);
}
