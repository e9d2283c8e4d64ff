/**
 * One version and its callers: gives each call a slot in an instance, one more instance where that is what it takes, and
 * else a place among those who wait.
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import type { InvokeCall, InvokeSink, KeeperHooks, ModuleLimits, ModuleSpec } from './api.ts';
import { Calls } from './calls.ts';
import type { BaseDefinition } from './definition.ts';
import { Instance, type InstanceOwner } from './instance.ts';
import { Instances } from './instances.ts';
import { didNotLoad, Invocation, type InvocationOwner } from './invocation.ts';
import type { Room } from './place.ts';
import type { Idle } from './policy/evict.ts';
import { limitsOf, mayGrow, waitingLimit } from './policy/scaling.ts';
import { type Surroundings, Upkeep } from './upkeep/upkeep.ts';
import type { Warmth } from './upkeep/warmth.ts';

export interface FunctionPoolOptions {
  spec: ModuleSpec;
  /** On whose bases it runs; undefined: there is none of that name, and `take` says so. */
  definition: BaseDefinition | undefined;
  hooks: KeeperHooks;
  now(): number;
  /** A base for one more instance, or a place in its group's. */
  take(spec: ModuleSpec): Room | Promise<Room>;
  warmth: Warmth;
  /** Monotonic ms by which idle times are measured, where that is not the machine's own. */
  idleClock?: () => number;
  /** A base did not answer within the time: its thread is blocked. */
  unresponsive(instance: Instance): void;
  /** Nothing is left of a retired pool. */
  emptied(pool: FunctionPool): void;
}

export class FunctionPool implements InstanceOwner, InvocationOwner {
  readonly spec: ModuleSpec;
  readonly limits: ModuleLimits;
  readonly definition: BaseDefinition | undefined;
  readonly upkeep: Upkeep;
  readonly #options: FunctionPoolOptions;
  readonly #instances = new Instances();
  readonly #calls: Calls;
  readonly #retired = Promise.withResolvers<void>();
  #retiring: string | null = null;

  constructor(options: FunctionPoolOptions) {
    this.spec = options.spec;
    this.limits = limitsOf(options.spec);
    this.definition = options.definition;
    this.#options = options;
    this.#calls = new Calls(options.spec);
    this.upkeep = new Upkeep({
      limits: this.limits,
      instances: this.#instances,
      warmth: options.warmth,
      grow: () => this.#grow(null, false),
      idleNow: () => this.#idleNow(),
    });
  }

  get instances(): ReadonlySet<Instance> {
    return this.#instances.all;
  }

  get waiting(): number {
    return this.#calls.waiting.size;
  }

  get busyLoops(): number {
    return this.#instances.busyLoops;
  }

  /** Bases of its own. */
  get basesHeld(): number {
    return this.spec.group === null ? this.#instances.bases : 0;
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

  /** Resolves when there is an instance that takes calls. Rejects with why there is none. */
  async install(): Promise<void> {
    for (const instance of this.instances) {
      if (instance.state !== 'draining') return void (await instance.loaded.promise);
    }
    await this.#grow(null, false).loaded.promise;
  }

  /** Instances that take calls, and those that will. */
  get live(): number {
    const { ready, loading } = this.#instances.count;
    return ready + loading;
  }

  /** Loads so many instances for nobody's call. Rejects with why the first of them did not load; of the others fewer will do. */
  async fill(count: number): Promise<void> {
    await this.#grow(null, false).loaded.promise;
    const more = Array.from({ length: count - 1 }, () => this.#grow(null, false).loaded.promise);
    await Promise.allSettled(more);
  }

  /** Deadlines and waiting limits. Called some times a second while there is anything to look at. */
  sweep(now: number): void {
    this.#calls.sweep(now, this.#hasBase);
  }

  /** See Upkeep. */
  tend(around: Surroundings): void {
    this.upkeep.tend(around, this.waiting);
  }

  /** No new instances but for who waits already; resolves when all are gone. */
  retire(why: string): Promise<void> {
    this.#retiring ??= why;
    this.upkeep.retiring = true;
    this.#endIdle(why);
    this.#maybeEmptied();
    return this.#retired.promise;
  }

  /** Drains instances in which nothing runs; says how many. None is loaded again before the next call. */
  evictIdle(why: string): number {
    this.#options.warmth.silence();
    return this.#endIdle(why);
  }

  /** Nobody is served any more: who waits hears why, idle instances go, others when they are done. */
  refuse(error: HearthError): void {
    this.#calls.failWaiting(error);
    for (const instance of [...this.instances]) instance.drain(error.message);
  }

  kill(why: string): void {
    // No fault of their function.
    this.#calls.failAll(new HearthError('NO_CAPACITY', why));
    for (const instance of [...this.instances]) instance.kill(why);
  }

  /* ── placing ── */

  #place(invocation: Invocation): void {
    const { waiting } = this.#calls;
    const instance = waiting.size === 0 ? this.#instances.choose() : undefined;
    if (instance !== undefined) {
      this.#assign(instance, invocation, false);
      invocation.send();
      return;
    }
    if (this.#mayGrow()) {
      this.#grow(invocation, false);
      return;
    }
    if (waiting.size >= waitingLimit(this.limits)) {
      const message = `${this.spec.functionName} has all its slots taken and ${waiting.size} calls waiting.`;
      // Not before the caller has its handle.
      queueMicrotask(() => invocation.fail(new HearthError('OVERLOADED', message, { retryAfterS: 1 })));
      return;
    }
    waiting.add(invocation);
  }

  #assign(instance: Instance, invocation: Invocation, cold: boolean, placedAt = monotonicMs()): void {
    instance.inFlight++;
    invocation.placed(instance, cold, placedAt);
    this.#calls.running.add(invocation);
    const at = this.#options.idleClock?.() ?? invocation.placedAt;
    this.#options.warmth.called(at, invocation.call.trigger === 'cron', this.#alone);
  }

  /** Slots may have come free that it has not heard of. */
  serveWaiting(): void {
    if (this.waiting > 0) this.#serveWaiting();
  }

  #serveWaiting(): void {
    const { waiting } = this.#calls;
    for (let invocation = waiting.first; invocation !== null; invocation = waiting.first) {
      const instance = this.#instances.choose();
      if (instance === undefined) break;
      waiting.delete(invocation);
      this.#assign(instance, invocation, false);
      invocation.send();
    }
    const next = waiting.first;
    if (next !== null && this.#mayGrow()) {
      waiting.delete(next);
      this.#grow(next, false);
    }
  }

  #mayGrow(): boolean {
    const { concurrency, maxInstances } = this.limits;
    // Who asks waits too.
    return mayGrow({ ...this.#instances.count, waiting: this.waiting + 1, concurrency, maxInstances });
  }

  /** One more instance, made for this invocation, which is its cold start. */
  #grow(invocation: Invocation | null, probe: boolean): Instance {
    const instance = new Instance(this.spec, probe, this, this.#options.hooks);
    if (invocation !== null && this.instances.size === 0) this.#options.warmth.foundCold();
    this.#instances.add(instance);
    const asked = monotonicMs();
    const room = this.#options.take(this.spec);
    if (room instanceof Promise) {
      // No base at hand. Until one is, a slot may come free elsewhere: so the caller waits for either, at the head.
      if (invocation !== null) this.#calls.waiting.addFirst(invocation);
      void room.then(
        (late) => this.#begin(instance, invocation === null ? null : this.#firstFor(instance, asked), late, asked),
        (error: unknown) =>
          instance.failed(error instanceof HearthError ? error : new HearthError('INTERNAL', String(error))),
      );
    } else {
      if (invocation !== null) this.#assign(instance, invocation, true);
      this.#begin(instance, invocation, room, asked);
    }
    return instance;
  }

  /** Whoever has waited longest is the cold start of an instance whose base has just come; null when nobody waits now. */
  #firstFor(instance: Instance, asked: number): Invocation | null {
    const first = instance.state === 'acquiring' ? this.#calls.waiting.first : null;
    if (first === null) return null;
    this.#calls.waiting.delete(first);
    this.#assign(instance, first, true, Math.max(asked, first.arrivedAt));
    return first;
  }

  #begin(instance: Instance, invocation: Invocation | null, room: Room, asked: number): void {
    if (instance.state !== 'acquiring') {
      room.refuse('nobody waits for it any more');
      return;
    }
    const go = () => {
      if (invocation !== null) this.#options.hooks.acquired(instance.acquiredAt - asked);
      invocation?.send();
      this.#serveWaiting();
    };
    const pending = instance.begin(room);
    if (pending instanceof Promise) void pending.then(() => instance.state === 'loading' && go());
    else go();
  }

  /* ── InvocationOwner ── */

  again(invocation: Invocation, from: Instance | null): void {
    this.#calls.running.delete(invocation);
    this.#place(invocation);
    if (from === null) return;
    // It may only have waited for this one to leave.
    from.inFlight--;
    this.#afterUse(from);
  }

  leave(invocation: Invocation): void {
    this.#calls.waiting.delete(invocation);
  }

  settling(invocation: Invocation): void {
    invocation.list?.delete(invocation);
    this.#calls.settling.add(invocation);
  }

  answered(invocation: Invocation): void {
    this.#calls.running.delete(invocation);
    this.#calls.answering.add(invocation);
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
    if (this.waiting > 0) this.#serveWaiting();
    this.#afterUse(instance);
  }

  /* ── InstanceOwner ── */

  ready(instance: Instance): void {
    const others = this.#instances.count.ready > 1;
    instance.lastUsedAt = this.#idleNow();
    this.#options.warmth.loaded(instance.lastUsedAt);
    if (others) this.#instances.ease(instance);
    this.#serveWaiting();
    this.#afterUse(instance);
  }

  gone(instance: Instance, error: HearthError | null): void {
    this.#instances.delete(instance);
    if (error !== null) this.#options.warmth.failed(this.#idleNow());
    this.#calls.instanceGone(instance, error);
    // Of a base that never came those need not know who are served by another instance.
    const elsewhere = error?.code === 'NO_CAPACITY' && this.instances.size > 0;
    if (error !== null && error.code !== 'FUNCTION_CRASHED' && !elsewhere) this.#calls.failWaiting(didNotLoad(error));
    this.#serveWaiting();
    this.#maybeEmptied();
  }

  used(instance: Instance): void {
    const now = this.#idleNow();
    instance.lastUsedAt = now;
    this.#options.warmth.called(now, false, () => false);
  }

  suspect(instance: Instance): void {
    this.#options.unresponsive(instance);
  }

  restore(): void {
    const { ready, loading } = this.#instances.count;
    if (this.#retiring === null && ready + loading === 0) this.#grow(null, false);
  }

  worth(): Idle | null {
    return this.upkeep.evictable();
  }

  /** A retired pool ends each instance as soon as nothing runs in it. */
  #afterUse(instance: Instance): void {
    if (instance.state === 'draining') instance.endWhenIdle();
    if (instance.inFlight > 0 || this.waiting > 0) return;
    if (instance.state === 'ready' && this.#retiring !== null) instance.drain(this.#retiring);
    else if (instance.state === 'ready' && this.spec.limits.keepAlive === 0) instance.drain('keepAlive 0');
  }

  #endIdle(why: string): number {
    const { idle } = this.#instances;
    for (const instance of idle) instance.drain(why);
    return idle.length;
  }

  #maybeEmptied(): void {
    if (this.#retiring === null || this.instances.size > 0 || this.waiting > 0) return;
    this.#retired.resolve();
    this.#options.emptied(this);
  }

  /** The call that has just been placed is the only one. */
  readonly #alone = () => this.#instances.inFlight === 1;

  readonly #hasBase = () => [...this.instances].some(({ state }) => state !== 'acquiring');

  #idleNow(): number {
    return this.#options.idleClock?.() ?? monotonicMs();
  }
}
