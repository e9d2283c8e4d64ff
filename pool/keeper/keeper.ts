/** The pool behind its one interface (api.ts): wires fleet, link server and function pools. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import type net from 'node:net';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
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
import { bundleBase } from './bundle.ts';
import type { BaseDefinition } from './definition.ts';
import { Fleet } from './fleet.ts';
import { FunctionPool } from './function-pool.ts';
import type { HostProcess } from './host-process.ts';
import { HostWatch, LOOK_MS } from './host-watch.ts';
import type { Instance } from './instance.ts';
import { listenForBases } from './link-server.ts';
import type { Logger } from './log.ts';
import { IdleHistory } from './policy/keep-alive.ts';
import { Quarantine, refuse } from './quarantine.ts';
import { askReady } from './ready-path.ts';
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

/** Resolves when bases can connect; `start` then fills the pool. */
export async function createKeeper(options: KeeperOptions): Promise<Keeper> {
  await mkdir(options.runDir, { recursive: true, mode: 0o700 });
  const baseFile = await bundleBase(options.runDir);
  const pool = new Pool(options, baseFile);
  await pool.listen();
  return pool;
}

class Pool implements Keeper {
  readonly #options: KeeperOptions;
  readonly #fleet: Fleet;
  readonly #sharing: Sharing;
  readonly #functions = new Map<string, FunctionPool>();
  /** Retired pools whose last invocations still run. */
  readonly #leaving = new Set<FunctionPool>();
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
    this.#sharing = new Sharing({
      maxBases: options.settings.maxBases,
      bases: () => this.#fleet.bases,
      functions: () => this.#functions.values(),
      all: () => this.#all(),
    });
    this.#fleet = new Fleet({
      definitions: options.definitions,
      settings: options.settings,
      runDir: options.runDir,
      socketPath: this.#socketPath,
      baseFile,
      newId: (kind) => `${kind}-${randomUUID().slice(0, 8)}`,
      now: options.now,
      log: options.log,
      event: (event) => this.#note(event),
      busy: () => this.#waiting() > 0,
      clock: options.idleClock ?? monotonicMs,
      relieve: (functionName) => this.#sharing.relieve(functionName),
      admits: (functionName, freed) => this.#sharing.admits(functionName, freed),
      tookDown: (spec, why) => this.#tookDown(spec, why),
    });
    this.#hostWatch = new HostWatch({
      hosts: () => this.#fleet.hosts,
      limitsMb: (host) => this.#fleet.limitsMb(host),
      suspect: (host) => this.#fleet.suspect(host),
      memoryBytes: options.settings.memoryMb * 2 ** 20,
      pressure: (level, usedMb) => this.#fleet.press(level, usedMb),
      evict: () =>
        this.#sharing.evictOne('memory runs short', 'memory') || this.#fleet.giveUpStock('memory runs short', 1),
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
      log: this.#options.log,
    });
  }

  start(): Promise<void> {
    return this.#fleet.start();
  }

  invoke(spec: ModuleSpec, call: InvokeCall, sink: InvokeSink, arrivedAt = monotonicMs()): InvokeHandle {
    const refusal = this.#quarantine.refusal(spec.key, arrivedAt);
    return refusal === null ? this.#pool(spec).invoke(call, sink, arrivedAt) : refuse(sink, refusal);
  }

  async probe(spec: ModuleSpec, readyPath: string | null): Promise<ProbeResult> {
    const begun = monotonicMs();
    if (this.#quarantine.lift(spec.key)) this.#lifted(spec.key, 'it was deployed again');
    const pool = this.#pool(spec);
    try {
      const { head, codeCache } = await pool.probe().loaded.promise;
      const loadedAt = monotonicMs();
      if (readyPath !== null) await askReady(pool, readyPath);
      return { handlers: head.handlers, codeCache, loadMs: loadedAt - begun, probeMs: monotonicMs() - loadedAt };
    } catch (error) {
      void this.retire(spec.key, 'its probe failed');
      const crashed = error instanceof HearthError && error.code === 'FUNCTION_CRASHED';
      throw crashed ? new HearthError('PROBE_FAILED', error.message, { cause: error }) : error;
    }
  }

  activate(spec: ModuleSpec): void {
    if (this.#draining) return;
    const pool = this.#pool(spec);
    pool.upkeep.activate();
    this.#sharing.reserve(pool);
  }

  deactivate(key: string): void {
    const pool = this.#functions.get(key);
    if (pool === undefined) return;
    pool.upkeep.deactivate();
    this.#sharing.forget(pool);
  }

  prewarm(spec: ModuleSpec, keepMs: number): void {
    if (!this.#draining) this.#pool(spec).upkeep.prewarm(keepMs);
  }

  async retire(key: string, why: string): Promise<void> {
    const parts = `${key}/`;
    const pools = [...this.#functions.values()].filter(({ spec }) => spec.key === key || spec.key.startsWith(parts));
    for (const pool of pools) {
      this.#functions.delete(pool.spec.key);
      this.#sharing.forget(pool);
      this.#leaving.add(pool);
    }
    await Promise.all(pools.map((pool) => pool.retire(why)));
  }

  evict(functionName: string): Promise<number> {
    let count = 0;
    for (const pool of this.#all()) if (pool.spec.functionName === functionName) count += pool.evictIdle('evicted');
    return Promise.resolve(count);
  }

  snapshot(): PoolSnapshot {
    return snapshotOf(this.#fleet, this.#all());
  }

  events(): readonly PoolEvent[] {
    return this.#events;
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
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
    for (const timer of this.#timers) clearInterval(timer);
    for (const pool of this.#all()) pool.kill('Hearth is shutting down.');
    this.#fleet.kill('the gateway ends');
    this.#server?.close();
  }

  #pool(spec: ModuleSpec): FunctionPool {
    const known = this.#functions.get(spec.key);
    if (known !== undefined) return known;
    if (this.#draining) throw new HearthError('NO_CAPACITY', 'Hearth is shutting down.', { retryAfterS: 5 });
    const pool = new FunctionPool({
      spec,
      hooks: this.#options.hooks,
      now: this.#options.now,
      take: ({ base, trustGroup, network, pool, functionName }) =>
        this.#fleet.take({ definition: base, trustGroup, network, pool, functionName }),
      warmth: new Warmth({
        limits: spec.limits,
        history: this.#history(spec.functionName),
      }),
      ...(this.#options.idleClock === undefined ? {} : { idleClock: this.#options.idleClock }),
      unresponsive: (instance) => this.#checkAlive(instance),
      emptied: (empty) => {
        this.#leaving.delete(empty);
        if (this.#functions.get(spec.key) === empty) this.#functions.delete(spec.key);
      },
    });
    this.#functions.set(spec.key, pool);
    return pool;
  }

  *#all(): Iterable<FunctionPool> {
    yield* this.#functions.values();
    yield* this.#leaving;
  }

  #waiting(): number {
    let sum = 0;
    for (const pool of this.#all()) sum += pool.waiting;
    return sum;
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
    this.#fleet.shrinkStock();
    let busyLoops = 0;
    for (const pool of this.#functions.values()) busyLoops += pool.busyLoops;
    const around = {
      now: this.#options.idleClock?.() ?? now,
      busyLoops,
      cores: availableParallelism(),
      lagged,
      room: this.#fleet.pending === 0 && this.#sharing.taken < this.#options.settings.maxBases,
    };
    // Without an instance there is only prewarming to think of, which has time.
    const all = this.#tends++ % TENDS_OF_COLD === 0;
    for (const pool of this.#functions.values()) if (all || pool.instances.size > 0) pool.tend(around);
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
    if (refusal !== null) this.#functions.get(key)?.refuse(refusal);
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
