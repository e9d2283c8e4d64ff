/**
 * All instances of one version, who waits for a slot in them, and when there are more or fewer of them.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import { MAX_WAIT_MS, WAIT_UNTIL_MS } from '../../functions/contract/limits.ts';
import type { InvokeCall, InvokeSink, KeeperHooks, ModuleSpec } from './api.ts';
import type { Base } from './base.ts';
import { Instance, type InstanceOwner } from './instance.ts';
import { didNotLoad, Invocation, type InvocationOwner } from './invocation.ts';
import { InvocationList } from './invocation-list.ts';
import { keepAliveMs, mayGrow, waitingLimit } from './scaling.ts';

/** A stream in which nothing moves either way for so long holds its slot no more. */
const STREAM_IDLE_MS = 300_000;
/** The base cuts `waitUntil` off by its own clock; past this the gateway does not believe it any more. */
const SETTLE_GRACE_MS = 2_000;

export interface FunctionPoolOptions {
  spec: ModuleSpec;
  hooks: KeeperHooks;
  now(): number;
  take(spec: ModuleSpec): Base | Promise<Base>;
  /** A base did not answer within the time: its thread is blocked. */
  unresponsive(instance: Instance): void;
  /** Nothing is left of a retired pool. */
  emptied(pool: FunctionPool): void;
}

export class FunctionPool implements InstanceOwner, InvocationOwner {
  readonly spec: ModuleSpec;
  readonly #options: FunctionPoolOptions;
  readonly #instances = new Set<Instance>();
  /** In order of arrival. */
  readonly #waiting = new InvocationList();
  /** Placed and without a head yet, in order of placing: the first is the first to run out of time. */
  readonly #running = new InvocationList();
  /** They have their answer and hold their slot still, in order of answering. */
  readonly #settling = new InvocationList();
  /** Their head has gone out and the rest is under way. */
  readonly #answering = new InvocationList();
  readonly #retired = Promise.withResolvers<void>();
  #retiring: string | null = null;

  constructor(options: FunctionPoolOptions) {
    this.spec = options.spec;
    this.#options = options;
  }

  get instances(): ReadonlySet<Instance> {
    return this.#instances;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get inFlight(): number {
    let sum = 0;
    for (const instance of this.#instances) sum += instance.inFlight;
    return sum;
  }

  invoke(call: InvokeCall, sink: InvokeSink, arrivedAt: number): Invocation {
    const arrivedAtMs = this.#options.now() - (monotonicMs() - arrivedAt);
    const invocation = new Invocation(this.spec, call, sink, this, { arrivedAt, arrivedAtMs });
    this.#place(invocation);
    return invocation;
  }

  /** An instance of its own for the probe of a deploy; it stays as the first one. */
  async probe(): Promise<Instance> {
    const instance = this.#grow(null, true);
    await instance.loaded.promise;
    return instance;
  }

  /** No new instances but for who waits already; resolves when all are gone. */
  retire(why: string): Promise<void> {
    this.#retiring ??= why;
    this.#endIdle(why);
    this.#maybeEmptied();
    return this.#retired.promise;
  }

  /** Drains instances in which nothing runs; says how many. */
  evictIdle(why: string): number {
    return this.#endIdle(why);
  }

  /** Drains one idle instance, the one that was used longest ago. */
  evictOldest(why: string): boolean {
    const [oldest] = this.#idle().sort((a, b) => a.lastUsedAt - b.lastUsedAt);
    oldest?.drain(why);
    return oldest !== undefined;
  }

  /** Monotonic ms at which its oldest idle instance was last used; null when none is idle. */
  oldestIdleAt(): number | null {
    const times = this.#idle().map((instance) => instance.lastUsedAt);
    return times.length === 0 ? null : Math.min(...times);
  }

  kill(why: string): void {
    const error = new HearthError('NO_CAPACITY', why);
    for (const invocation of this.#waiting.entries()) this.#failWaiting(invocation, error);
    for (const instance of [...this.#instances]) instance.kill(why);
  }

  /** Deadlines, waiting limits, keep-alive. Called some times a second while there is anything to look at. */
  sweep(now: number): void {
    for (const invocation of this.#running.entries()) {
      if (invocation.state === 'waiting') {
        // It has an instance, and that has no base yet.
        if (now - invocation.arrivedAt >= MAX_WAIT_MS) invocation.fail(noCapacity());
      } else if (now - invocation.placedAt >= this.spec.limits.timeoutMs) invocation.timeout();
      else break;
    }
    for (const invocation of this.#waiting.entries()) {
      if (now - invocation.arrivedAt < MAX_WAIT_MS) break;
      const served = [...this.#instances].some((instance) => instance.state !== 'acquiring');
      this.#failWaiting(invocation, served ? overloaded(this.spec.functionName) : noCapacity());
    }
    for (const invocation of this.#answering.entries()) {
      const { streamActiveAt } = invocation;
      if (streamActiveAt === null || now - streamActiveAt < STREAM_IDLE_MS) continue;
      invocation.fail(new HearthError('FUNCTION_TIMEOUT', `Nothing was streamed for ${STREAM_IDLE_MS / 1000} s.`));
    }
    const most = Math.max(WAIT_UNTIL_MS, this.spec.limits.timeoutMs) + SETTLE_GRACE_MS;
    for (const invocation of this.#settling.entries()) {
      if (now - invocation.settlingAt < most) break;
      invocation.instance?.drain('an invocation never came to its end');
      invocation.settled();
    }
    const keep = keepAliveMs(this.spec.limits.keepAlive);
    const idle = this.#idle();
    let spare = this.#instances.size - this.spec.limits.minInstances;
    for (const instance of idle) {
      if (spare <= 0 || now - instance.lastUsedAt < keep) continue;
      instance.drain(`idle for ${Math.round((now - instance.lastUsedAt) / 1000)} s`);
      spare--;
    }
  }

  /* ── placing ── */

  #place(invocation: Invocation): void {
    const instance = this.#waiting.size === 0 ? this.#choose() : undefined;
    if (instance !== undefined) {
      this.#assign(instance, invocation, false);
      invocation.send();
      return;
    }
    if (this.#mayGrow()) {
      this.#grow(invocation, false);
      return;
    }
    if (this.#waiting.size >= waitingLimit(this.spec.limits)) {
      const message = `${this.spec.functionName} has all its slots taken and ${this.#waiting.size} calls waiting.`;
      // Not before the caller has its handle.
      queueMicrotask(() => invocation.fail(new HearthError('OVERLOADED', message, { retryAfterS: 1 })));
      return;
    }
    this.#waiting.add(invocation);
  }

  /** The free instance with the fewest in flight. */
  #choose(): Instance | undefined {
    let best: Instance | undefined;
    for (const instance of this.#instances) {
      if (instance.free && (best === undefined || instance.inFlight < best.inFlight)) best = instance;
    }
    return best;
  }

  #assign(instance: Instance, invocation: Invocation, cold: boolean): void {
    instance.inFlight++;
    invocation.placed(instance, cold);
    this.#running.add(invocation);
  }

  #mayGrow(): boolean {
    let live = 0;
    let loading = 0;
    for (const instance of this.#instances) {
      if (instance.state === 'draining') continue;
      live++;
      if (instance.state !== 'ready') loading++;
    }
    return mayGrow({ live, loading, maxInstances: this.spec.limits.maxInstances });
  }

  /** One more instance, made for this invocation, which is its cold start. */
  #grow(invocation: Invocation | null, probe: boolean): Instance {
    const instance = new Instance(this.spec, probe, this, this.#options.hooks);
    this.#instances.add(instance);
    if (invocation !== null) this.#assign(instance, invocation, true);
    const asked = monotonicMs();
    const base = this.#options.take(this.spec);
    if (base instanceof Promise) {
      void base.then(
        (late) => this.#begin(instance, invocation, late, asked),
        (error: unknown) =>
          instance.failed(error instanceof HearthError ? error : new HearthError('INTERNAL', String(error))),
      );
    } else {
      this.#begin(instance, invocation, base, asked);
    }
    return instance;
  }

  #begin(instance: Instance, invocation: Invocation | null, base: Base, asked: number): void {
    if (instance.state !== 'acquiring') {
      base.end('nobody waits for it any more');
      return;
    }
    const go = () => {
      if (invocation !== null) this.#options.hooks.acquired(instance.acquiredAt - asked);
      invocation?.send();
      this.#serveWaiting();
    };
    const pending = instance.begin(base);
    if (pending instanceof Promise) void pending.then(() => instance.state === 'loading' && go());
    else go();
  }

  #serveWaiting(): void {
    for (let invocation = this.#waiting.first; invocation !== null; invocation = this.#waiting.first) {
      const instance = this.#choose();
      if (instance === undefined) break;
      this.#waiting.delete(invocation);
      this.#assign(instance, invocation, false);
      invocation.send();
    }
    const next = this.#waiting.first;
    if (next !== null && this.#mayGrow()) {
      this.#waiting.delete(next);
      this.#grow(next, false);
    }
  }

  #failWaiting(invocation: Invocation, error: HearthError): void {
    this.#waiting.delete(invocation);
    invocation.fail(error);
  }

  #idle(): Instance[] {
    return [...this.#instances].filter((instance) => instance.state === 'ready' && instance.inFlight === 0);
  }

  #endIdle(why: string): number {
    const idle = this.#idle();
    for (const instance of idle) instance.drain(why);
    return idle.length;
  }

  /** A retired pool ends each instance as soon as nothing runs in it. */
  #afterUse(instance: Instance): void {
    if (instance.inFlight > 0 || this.#waiting.size > 0) return;
    if (instance.state === 'draining') instance.endWhenIdle('its last invocation has ended');
    else if (instance.state === 'ready' && this.#retiring !== null) instance.drain(this.#retiring);
    else if (instance.state === 'ready' && this.spec.limits.keepAlive === 0) instance.drain('keepAlive 0');
  }

  #maybeEmptied(): void {
    if (this.#retiring === null || this.#instances.size > 0 || this.#waiting.size > 0) return;
    this.#retired.resolve();
    this.#options.emptied(this);
  }

  /* ── InstanceOwner ── */

  ready(instance: Instance): void {
    this.#serveWaiting();
    this.#afterUse(instance);
  }

  gone(instance: Instance, error: HearthError | null): void {
    this.#instances.delete(instance);
    for (const invocation of this.#settling.entries()) if (invocation.instance === instance) invocation.settled();
    if (error !== null) {
      for (const invocation of this.#running.entries()) {
        if (invocation.instance === instance && invocation.state === 'waiting') invocation.fail(didNotLoad(error));
      }
      if (error.code !== 'FUNCTION_CRASHED') {
        for (const invocation of this.#waiting.entries()) this.#failWaiting(invocation, didNotLoad(error));
      }
    }
    this.#serveWaiting();
    this.#maybeEmptied();
  }

  /* ── InvocationOwner ── */

  again(invocation: Invocation): void {
    this.#running.delete(invocation);
    this.#place(invocation);
  }

  leave(invocation: Invocation): void {
    this.#waiting.delete(invocation);
  }

  settling(invocation: Invocation): void {
    invocation.list?.delete(invocation);
    this.#settling.add(invocation);
  }

  answered(invocation: Invocation): void {
    this.#running.delete(invocation);
    this.#answering.add(invocation);
  }

  timedOut(instance: Instance): void {
    instance.drain('an invocation ran out of time');
    this.#options.unresponsive(instance);
  }

  released(invocation: Invocation, instance: Instance | null): void {
    invocation.list?.delete(invocation);
    if (instance === null) {
      this.#maybeEmptied();
      return;
    }
    instance.inFlight--;
    instance.lastUsedAt = monotonicMs();
    if (this.#waiting.size > 0) this.#serveWaiting();
    this.#afterUse(instance);
  }
}

function overloaded(functionName: string): HearthError {
  const message = `All slots of ${functionName} were taken for ${MAX_WAIT_MS / 1000} s.`;
  return new HearthError('OVERLOADED', message, { retryAfterS: 1 });
}

function noCapacity(): HearthError {
  return new HearthError('NO_CAPACITY', `No base came free within ${MAX_WAIT_MS / 1000} s.`, { retryAfterS: 1 });
}
