/**
 * All instances of one version, who waits for a slot in them, and when there are more or fewer of them.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import { MAX_WAIT_MS } from '../../functions/contract/limits.ts';
import type { InvokeCall, InvokeSink, KeeperHooks, ModuleSpec } from './api.ts';
import type { Base } from './base.ts';
import { Instance, type InstanceOwner } from './instance.ts';
import { didNotLoad, Invocation, type InvocationOwner } from './invocation.ts';
import { InvocationList } from './invocation-list.ts';
import type { Use } from './policy/evict.ts';
import { handicap, mayGrow, reservedBases, waitingLimit } from './scaling.ts';
import type { Warmth } from './warmth.ts';

/** A stream in which nothing moves either way for so long holds its slot no more. */
const STREAM_IDLE_MS = 300_000;

export interface FunctionPoolOptions {
  spec: ModuleSpec;
  hooks: KeeperHooks;
  now(): number;
  take(spec: ModuleSpec): Base | Promise<Base>;
  warmth: Warmth;
  /** Monotonic ms by which idle times are measured, where that is not the machine's own. */
  idleClock?: () => number;
  /** A base did not answer within the time: its thread is blocked. */
  unresponsive(instance: Instance): void;
  /** Nothing is left of a retired pool. */
  emptied(pool: FunctionPool): void;
}

/** What a look at a function has to know of the others. */
export interface Surroundings {
  now: number;
  /** Loops that are busy, over all functions. */
  busyLoops: number;
  cores: number;
  /** The gateway's own loop was late: what pings say is not believed. */
  lagged: boolean;
  /** There is a base to be had without taking one from somebody. */
  room: boolean;
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
  probe(): Instance {
    return this.#grow(null, true);
  }

  /** No new instances but for who waits already; resolves when all are gone. */
  retire(why: string): Promise<void> {
    this.#retiring ??= why;
    this.#endIdle(why);
    this.#maybeEmptied();
    return this.#retired.promise;
  }

  /** Drains instances in which nothing runs; says how many. None is loaded again before the next call. */
  evictIdle(why: string): number {
    this.#options.warmth.silence();
    return this.#endIdle(why);
  }

  /** It takes traffic now: its minimum of instances is kept, and its reserve. */
  activate(): void {
    this.#options.warmth.active = true;
  }

  /** An instance will be needed, and stays until then. */
  prewarm(keepMs: number): void {
    this.#options.warmth.hold(this.#idleNow() + keepMs);
    if (this.#retiring === null && this.#live().length === 0) this.#grow(null, false);
  }

  /** What giving up one of its idle instances means; null when none is idle or what is idle is not to be taken. */
  evictable(): Use | null {
    if (this.#live().length <= this.leastBases || this.#idle().length === 0) return null;
    return this.#options.warmth.use(this.spec.limits.memoryMb, this.#live().length > 1);
  }

  /** Bases that others cannot take from it. */
  get leastBases(): number {
    const { limits } = this.spec;
    return this.#options.warmth.active ? Math.max(limits.minInstances, reservedBases(limits)) : 0;
  }

  /** Drains the instance in which least runs, though something does. */
  giveOne(why: string): void {
    const ready = this.#live().filter(({ state }) => state === 'ready');
    ready.sort((a, b) => a.inFlight - b.inFlight);
    ready[0]?.drain(why);
  }

  /** Bases that its reserve still lacks. */
  get unusedReserve(): number {
    if (!this.#options.warmth.active || this.#retiring !== null) return 0;
    return Math.max(0, reservedBases(this.spec.limits) - this.basesHeld);
  }

  get basesHeld(): number {
    return this.#live().filter((instance) => instance.state !== 'acquiring').length;
  }

  get busyLoops(): number {
    let busy = 0;
    for (const instance of this.#instances) if (instance.loop.busy) busy++;
    return busy;
  }

  /** Drains one idle instance, the one that was used longest ago. */
  evictOldest(why: string): boolean {
    const [oldest] = this.#idle();
    oldest?.drain(why);
    return oldest !== undefined;
  }

  /** Nobody is served any more: who waits hears why, idle instances go, others when they are done. */
  refuse(error: HearthError): void {
    for (const invocation of this.#waiting.entries()) this.#failWaiting(invocation, error);
    for (const instance of [...this.#instances]) instance.drain(error.message);
  }

  kill(why: string): void {
    const error = new HearthError('NO_CAPACITY', why);
    for (const invocation of this.#waiting.entries()) this.#failWaiting(invocation, error);
    // No fault of their function.
    for (const list of [this.#running, this.#answering]) {
      for (const invocation of list.entries()) invocation.fail(error);
    }
    for (const instance of [...this.#instances]) instance.kill(why);
  }

  /** Deadlines, waiting limits, keep-alive. Called some times a second while there is anything to look at. */
  sweep(now: number): void {
    // Most of some thousands of functions have nothing to look at.
    if (this.#running.size + this.#waiting.size + this.#answering.size + this.#settling.size === 0) return;
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
    for (const invocation of this.#settling.entries()) {
      if (now < invocation.heldUntil) continue;
      invocation.instance?.drain('an invocation never came to its end');
      invocation.settled();
    }
  }

  /** Keep-alive, prewarming, minimum, scale-out by busy loops, scale-in. Called some times a second. */
  tend(around: Surroundings): void {
    for (const instance of this.#instances) instance.giveUpLoading(monotonicMs());
    if (this.#retiring !== null) return;
    const { now } = around;
    const live = this.#live();
    const ready = live.filter((instance) => instance.state === 'ready');
    let inFlight = 0;
    for (const instance of live) inFlight += instance.inFlight;
    for (const instance of ready) {
      if (instance.handicap > 0) this.#ease(instance, inFlight, ready.length);
      if (instance.inFlight < 2) instance.loop.reset();
      else if (!around.lagged) instance.loop.look(monotonicMs(), () => instance.base.ping());
    }
    const idle = this.#idle();
    const step = this.#options.warmth.decide({
      now,
      ready: ready.length,
      loading: live.length - ready.length,
      inFlight,
      waiting: this.#waiting.size,
      idleSince: idle.map((instance) => instance.lastUsedAt),
      busy: this.busyLoops,
      busyLoops: around.busyLoops,
      cores: around.cores,
      room: around.room,
    });
    for (let count = step.load; count > 0; count--) this.#grow(null, false);
    for (const instance of idle.slice(0, step.retire)) {
      instance.drain(`idle for ${Math.round((now - instance.lastUsedAt) / 1000)} s`);
    }
    if (step.drain === 0) return;
    const left = this.#live().filter((instance) => instance.state === 'ready');
    left.sort((a, b) => a.inFlight - b.inFlight || b.readyAt - a.readyAt);
    for (const instance of left.slice(0, step.drain)) instance.drain('fewer instances carry the load');
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

  /** The free instance with the fewest in flight, the oldest of equals: so that others become idle. */
  #choose(): Instance | undefined {
    let best: Instance | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const instance of this.#instances) {
      if (!instance.free) continue;
      const load = instance.inFlight + instance.handicap;
      if (load >= fewest) continue;
      best = instance;
      fewest = load;
    }
    return best;
  }

  #assign(instance: Instance, invocation: Invocation, cold: boolean, placedAt = monotonicMs()): void {
    instance.inFlight++;
    invocation.placed(instance, cold, placedAt);
    this.#running.add(invocation);
    const at = this.#options.idleClock?.() ?? invocation.placedAt;
    this.#options.warmth.called(at, invocation.call.trigger === 'cron', this.#alone);
  }

  /** The call that has just been placed is the only one. */
  readonly #alone = () => this.inFlight === 1;

  #idleNow(): number {
    return this.#options.idleClock?.() ?? monotonicMs();
  }

  #live(): Instance[] {
    return [...this.#instances].filter(({ state }) => state !== 'draining' && state !== 'gone');
  }

  /** What a new instance is spared shrinks with its age. */
  #ease(instance: Instance, inFlight: number, ready: number): void {
    const others = ready < 2 ? 0 : (inFlight - instance.inFlight) / (ready - 1);
    instance.handicap = handicap(monotonicMs() - instance.readyAt, others);
  }

  #mayGrow(): boolean {
    let ready = 0;
    let loading = 0;
    for (const instance of this.#instances) {
      if (instance.state === 'draining') continue;
      if (instance.state === 'ready') ready++;
      else loading++;
    }
    const { concurrency, maxInstances } = this.spec.limits;
    // Who asks waits too.
    return mayGrow({ ready, loading, waiting: this.#waiting.size + 1, concurrency, maxInstances });
  }

  /** One more instance, made for this invocation, which is its cold start. */
  #grow(invocation: Invocation | null, probe: boolean): Instance {
    const instance = new Instance(this.spec, probe, this, this.#options.hooks);
    if (invocation !== null && this.#instances.size === 0) this.#options.warmth.cold();
    this.#instances.add(instance);
    const asked = monotonicMs();
    const base = this.#options.take(this.spec);
    if (base instanceof Promise) {
      // No base at hand. Until one is, a slot may come free elsewhere: so the caller waits for either, at the head.
      if (invocation !== null) this.#waiting.addFirst(invocation);
      void base.then(
        (late) => this.#begin(instance, invocation === null ? null : this.#firstFor(instance, asked), late, asked),
        (error: unknown) =>
          instance.failed(error instanceof HearthError ? error : new HearthError('INTERNAL', String(error))),
      );
    } else {
      if (invocation !== null) this.#assign(instance, invocation, true);
      this.#begin(instance, invocation, base, asked);
    }
    return instance;
  }

  /** Whoever has waited longest is the cold start of an instance whose base has just come; null when nobody waits now. */
  #firstFor(instance: Instance, asked: number): Invocation | null {
    const first = instance.state === 'acquiring' ? this.#waiting.first : null;
    if (first === null) return null;
    this.#waiting.delete(first);
    this.#assign(instance, first, true, Math.max(asked, first.arrivedAt));
    return first;
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

  /** The one that was used longest ago first. */
  #idle(): Instance[] {
    const idle = [...this.#instances].filter((instance) => instance.state === 'ready' && instance.inFlight === 0);
    return idle.sort((a, b) => a.lastUsedAt - b.lastUsedAt);
  }

  #endIdle(why: string): number {
    const idle = this.#idle();
    for (const instance of idle) instance.drain(why);
    return idle.length;
  }

  /** A retired pool ends each instance as soon as nothing runs in it. */
  #afterUse(instance: Instance): void {
    if (instance.state === 'draining') instance.endWhenIdle();
    if (instance.inFlight > 0 || this.#waiting.size > 0) return;
    if (instance.state === 'ready' && this.#retiring !== null) instance.drain(this.#retiring);
    else if (instance.state === 'ready' && this.spec.limits.keepAlive === 0) instance.drain('keepAlive 0');
  }

  #maybeEmptied(): void {
    if (this.#retiring === null || this.#instances.size > 0 || this.#waiting.size > 0) return;
    this.#retired.resolve();
    this.#options.emptied(this);
  }

  /* ── InstanceOwner ── */

  ready(instance: Instance): void {
    const others = [...this.#instances].filter((other) => other !== instance && other.state === 'ready').length;
    instance.lastUsedAt = this.#idleNow();
    this.#options.warmth.loaded(instance.lastUsedAt, instance.readyAt - instance.acquiredAt, others > 0);
    if (others > 0) this.#ease(instance, this.inFlight, others + 1);
    this.#serveWaiting();
    this.#afterUse(instance);
  }

  gone(instance: Instance, error: HearthError | null): void {
    this.#instances.delete(instance);
    if (error !== null) this.#options.warmth.failed(this.#idleNow());
    for (const invocation of this.#settling.entries()) if (invocation.instance === instance) invocation.settled();
    if (error !== null) {
      for (const invocation of this.#running.entries()) {
        if (invocation.instance === instance && invocation.state === 'waiting') invocation.fail(didNotLoad(error));
      }
      // Of a base that never came those need not know who are served by another instance.
      if (error.code !== 'FUNCTION_CRASHED' && (error.code !== 'NO_CAPACITY' || this.#instances.size === 0)) {
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
    instance.lastUsedAt = this.#idleNow();
    this.#options.warmth.released(instance.lastUsedAt);
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
