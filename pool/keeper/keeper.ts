/** The pool behind its one interface (api.ts): wires fleet, link server and function pools. */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import type net from 'node:net';
import path from 'node:path';
import { HearthError } from '../../functions/contract/errors.ts';
import { type HttpInvokeHead, monotonicMs } from '../../functions/contract/invocation.ts';
import type {
  BaseState,
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
import { Fleet, type FleetSettings } from './fleet.ts';
import { FunctionPool } from './function-pool.ts';
import type { Instance } from './instance.ts';
import { listenForBases } from './link-server.ts';
import type { Logger } from './log.ts';

export interface KeeperOptions {
  definitions: BaseDefinition[];
  settings: FleetSettings;
  /** An empty directory of our own, mode 0700, on a path short enough for a Unix socket (about 90 bytes). */
  runDir: string;
  hooks: KeeperHooks;
  now(): number;
  log: Logger;
}

const SWEEP_MS = 50;
const FLEET_SWEEP_MS = 5_000;
/** A base that answers no ping for so long is blocked. */
const PING_MS = 1_000;
const EVENTS_KEPT = 2_000;
const PAGE_BYTES = 4096;

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
  readonly #functions = new Map<string, FunctionPool>();
  readonly #events: PoolEvent[] = [];
  readonly #firstWarm = Promise.withResolvers<void>();
  readonly #socketPath: string;
  readonly #timers: NodeJS.Timeout[] = [];
  #server: net.Server | null = null;
  #draining = false;

  constructor(options: KeeperOptions, baseFile: string) {
    this.#options = options;
    this.#socketPath = path.join(options.runDir, 'link.sock');
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
      relieve: () => this.#relieve(),
    });
    this.#timers.push(setInterval(() => this.#sweep(), SWEEP_MS).unref());
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
    this.#fleet.start();
    return this.#firstWarm.promise;
  }

  invoke(spec: ModuleSpec, call: InvokeCall, sink: InvokeSink, arrivedAt = monotonicMs()): InvokeHandle {
    return this.#pool(spec).invoke(call, sink, arrivedAt);
  }

  async probe(spec: ModuleSpec, readyPath: string | null): Promise<ProbeResult> {
    const begun = monotonicMs();
    const pool = this.#pool(spec);
    try {
      const instance = await pool.probe();
      const { head, codeCache } = await instance.loaded.promise;
      const loadedAt = monotonicMs();
      if (readyPath !== null) await this.#askReady(pool, readyPath);
      return { handlers: head.handlers, codeCache, loadMs: loadedAt - begun, probeMs: monotonicMs() - loadedAt };
    } catch (error) {
      void this.retire(spec.key, 'its probe failed');
      throw error;
    }
  }

  async retire(key: string, why: string): Promise<void> {
    const pool = this.#functions.get(key);
    if (pool === undefined) return;
    this.#functions.delete(key);
    this.#leaving.add(pool);
    await pool.retire(why);
  }

  /** Retired pools whose last invocations still run. */
  readonly #leaving = new Set<FunctionPool>();

  evict(functionName: string): Promise<number> {
    let count = 0;
    for (const pool of this.#all()) if (pool.spec.functionName === functionName) count += pool.evictIdle('evicted');
    return Promise.resolve(count);
  }

  snapshot(): PoolSnapshot {
    const bases: Record<BaseState, number> = { booting: 0, rehearsing: 0, warm: 0, leased: 0, draining: 0, dead: 0 };
    const inFlight = new Map<string, number>();
    for (const pool of this.#all()) {
      for (const instance of pool.instances) {
        if (instance.state !== 'acquiring') inFlight.set(instance.base.id, instance.inFlight);
      }
    }
    const hosts = [...this.#fleet.hosts].map((host) => ({
      id: host.id,
      pid: host.pid,
      base: host.definition.name,
      trustGroup: host.binding?.trustGroup ?? null,
      network: host.binding?.network ?? null,
      state: host.state,
      memoryBytes: host.memoryBytes,
      bases: [] as PoolSnapshot['hosts'][number]['bases'],
    }));
    for (const base of this.#fleet.bases) {
      bases[base.state]++;
      hosts
        .find((host) => host.id === base.host.id)
        ?.bases.push({
          id: base.id,
          state: base.state,
          function: base.takenFor,
          version: base.version,
          inFlight: inFlight.get(base.id) ?? 0,
        });
    }
    return { hosts, bases, waiting: this.#waiting() };
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
      take: ({ base, trustGroup, network, functionName }) =>
        this.#fleet.take({ definition: base, trustGroup, network, functionName }),
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

  /** The least recently used idle instance of all functions makes room. */
  #relieve(): boolean {
    let oldest: { pool: FunctionPool; at: number } | null = null;
    for (const pool of this.#all()) {
      const at = pool.oldestIdleAt();
      if (at !== null && (oldest === null || at < oldest.at)) oldest = { pool, at };
    }
    return oldest?.pool.evictOldest('its base is needed elsewhere') ?? false;
  }

  /** After a timeout: a base that answers goes on draining, one that does not is ended. */
  #checkAlive(instance: Instance): void {
    if (instance.state === 'acquiring' || instance.state === 'gone') return;
    const timer = setTimeout(() => instance.kill(`no answer to a ping within ${PING_MS} ms`), PING_MS);
    instance.base.ping().then(
      () => clearTimeout(timer),
      () => clearTimeout(timer),
    );
  }

  #askReady(pool: FunctionPool, readyPath: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const refuse = (what: string) =>
      reject(new HearthError('PROBE_FAILED', `The ready path ${readyPath} ${what}, where 2xx was expected.`));
    const invocation: InvokeHandle = pool.invoke(
      readyCall(readyPath),
      {
        head: (head) => {
          if (head.kind === 'response' && head.status >= 200 && head.status < 300) resolve();
          else refuse(head.kind === 'response' ? `answered ${head.status}` : 'gave no response');
        },
        data: (chunk) => invocation.consumed(chunk.length),
        end: () => undefined,
        failed: (error) => refuse(`failed with ${error.code}: ${error.message}`),
        drain: () => undefined,
        released: () => undefined,
      },
      monotonicMs(),
    );
    invocation.end();
    return promise;
  }

  #sweep(): void {
    const now = monotonicMs();
    for (const pool of this.#all()) pool.sweep(now);
  }

  #slowSweep(): void {
    this.#fleet.sweep(this.#options.now());
    for (const host of this.#fleet.hosts) {
      if (host.pid === null) continue;
      readFile(`/proc/${host.pid}/statm`, 'utf8').then(
        (text) => {
          host.memoryBytes = Number(text.split(' ')[1]) * PAGE_BYTES;
        },
        () => {
          // No /proc here, or the host is going away: unknown stays unknown.
          host.memoryBytes = null;
        },
      );
    }
  }

  #note(event: PoolEvent): void {
    this.#events.push(event);
    if (this.#events.length > EVENTS_KEPT) this.#events.splice(0, EVENTS_KEPT / 2);
    if (event.subject === 'base' && event.what === 'warm') this.#firstWarm.resolve();
    this.#options.hooks.event(event);
  }
}

function readyCall(readyPath: string): Omit<HttpInvokeHead, 'module' | 'timeoutMs'> {
  return {
    kind: 'invoke',
    trigger: 'http',
    invocationId: `probe-${randomUUID()}`,
    hops: 0,
    traceparent: '',
    method: 'GET',
    url: `http://localhost${readyPath}`,
    headers: [['host', 'localhost']],
    hasBody: false,
    upgrade: false,
    remoteAddress: '127.0.0.1',
  };
}
