/** One invocation as the function sees it (`ctx`), and its life until the last `waitUntil` has settled. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ExecutionContext, Logger, Span, SpanAttributes } from '../../functions/contract/handlers.ts';
import type { InvokeHead } from '../../functions/contract/invocation.ts';
import { WAIT_UNTIL_MS } from '../../functions/contract/limits.ts';
import type { Deadlines, Watched } from './deadlines.ts';
import type { GuestModule } from './guest.ts';
import type { ModuleScope } from './scope.ts';
import { InvocationSpans } from './spans.ts';

/** What an invocation needs of the base around it. */
export interface InvocationHost {
  readonly deadlines: Deadlines;
  /** Monotonic ms. */
  now(): number;
  logger(invocation: Invocation): Logger;
  spans(invocation: Invocation): InvocationSpans;
  /** A promise given to `waitUntil` was rejected. */
  waitUntilFailed(invocation: Invocation, error: unknown): void;
  /** Nothing of this invocation runs any more. `announced`: the gateway was told to wait for this. */
  settled(invocation: Invocation, timedOut: boolean, announced: boolean): void;
}

/**
 *   running ──streams()──► streaming ──ended()──► waiting ──last promise, or 30 s──► settled
 *      └────────────────ended()──────────────────►  │
 *                                                   └── nothing to wait for: settled at once
 *
 * The wall clock limit holds while running only: it ends at the response head.
 */
type InvocationState = 'running' | 'streaming' | 'waiting' | 'settled';

/** Whose code runs, over all of its awaits: of an invocation, or of a module outside of any, in a base of many. */
const running = new AsyncLocalStorage<Invocation | ModuleScope>();

/** The invocation that the running code belongs to. */
export const currentInvocation = {
  run: <Result>(invocation: Invocation, call: () => Result): Result => running.run(invocation, call),
  getStore: (): Invocation | undefined => {
    const at = running.getStore();
    return at instanceof Invocation ? at : undefined;
  },
};

/** What `call` begins outside of invocations (top level, timers, listeners) belongs to this module. */
export function runInModule<Result>(scope: ModuleScope, call: () => Result): Result {
  return running.run(scope, call);
}

/** The scope of the module whose code runs, as far as that is known. */
export function currentScope(): ModuleScope | undefined {
  const at = running.getStore();
  return at instanceof Invocation ? at.module.scope : at;
}

/** Of a call from a neighbour in the same base: it takes part in the life of its caller. */
export interface Within {
  /** Null: it was made outside of any invocation. */
  parent: Invocation | null;
  /** The call is given up; its handler may still run. */
  aborted(reason: unknown): void;
}

/** What an invocation has begun elsewhere, and is given up with it. */
export interface Follower {
  abort(reason: unknown): void;
  /** Nothing of the invocation runs any more. */
  over(): void;
}

export class Invocation implements ExecutionContext, Watched, Follower {
  readonly head: InvokeHead;
  readonly module: GuestModule;
  dueAt: number;
  deadlineSlot = -1;
  readonly #host: InvocationHost;
  #state: InvocationState = 'running';
  #pending = 0;
  #controller: AbortController | null = null;
  #abortReason: unknown;
  #aborted = false;
  #announced = false;
  #log: Logger | null = null;
  #spans: InvocationSpans | null = null;
  readonly #within: Within | null;
  /** Calls of neighbours that it waits for, and sessions with others. */
  #inner: Set<Follower> | null = null;

  constructor(head: InvokeHead, module: GuestModule, host: InvocationHost, within: Within | null = null) {
    this.head = head;
    this.module = module;
    this.#host = host;
    this.#within = within;
    this.dueAt = host.now() + head.timeoutMs;
    host.deadlines.add(this);
    if (within !== null) within.parent?.begin(this);
  }

  /** Called from beside it: the gateway does not know it. */
  get isInner(): boolean {
    return this.#within !== null;
  }

  /** Milliseconds until it is given up. */
  get leftMs(): number {
    return this.#state === 'running' ? this.dueAt - this.#host.now() : Number.POSITIVE_INFINITY;
  }

  /** What is called from it is given up with it. */
  begin(inner: Follower): void {
    this.#inner ??= new Set();
    this.#inner.add(inner);
  }

  get invocationId(): string {
    return this.head.invocationId;
  }

  get props(): unknown {
    return this.head.props ?? {};
  }

  get exports(): Record<string, unknown> {
    return this.module.entrypointStubs(this);
  }

  get log(): Logger {
    this.#log ??= this.#host.logger(this);
    return this.#log;
  }

  /** Those of a call from beside it are its caller's: the gateway knows one invocation of the two. */
  get spans(): InvocationSpans {
    this.#spans ??= this.#within?.parent?.spans ?? this.#host.spans(this);
    return this.#spans;
  }

  startSpan(name: string, attributes?: SpanAttributes, parent?: number | null): Span {
    return this.spans.start(name, attributes, parent);
  }

  /** W3C traceparent of what its code calls now: under the span within which that stands. */
  get traceparent(): string {
    return InvocationSpans.any ? this.spans.traceparent : this.head.traceparent;
  }

  /** Number of that span; null: its code stands within none. */
  get span(): number | null {
    return InvocationSpans.any ? this.spans.current : null;
  }

  /** Made when first asked for: most handlers never do. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get abortReason(): unknown {
    return this.#abortReason;
  }

  waitUntil(promise: Promise<unknown>): void {
    // The slot that is held is the outermost one's.
    this.#within?.parent?.waitUntil(Promise.resolve(promise).catch(() => undefined));
    this.#pending++;
    Promise.resolve(promise).then(
      () => this.#oneDone(),
      (error: unknown) => {
        this.#host.waitUntilFailed(this, error);
        this.#oneDone();
      },
    );
  }

  /** There is no origin to pass through to. */
  passThroughOnException(): void {
    return;
  }

  /** Aborts `ctx.signal` and what follows it. The reason is what `signal.reason` will be. */
  abort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
    this.#within?.aborted(reason);
    if (this.#inner !== null) for (const inner of this.#inner) inner.abort(reason);
  }

  /** Whether something will go on after an answer that is whole: the gateway then holds the slot until `settled`. */
  get waiting(): boolean {
    if (this.#pending > 0) this.#announced = true;
    return this.#pending > 0;
  }

  /** The answer's head goes out and its body follows. The gateway has to be told that this is `waiting`. */
  streams(): void {
    if (this.#state !== 'running') return;
    this.#state = 'streaming';
    this.#announced = true;
    this.#host.deadlines.delete(this);
  }

  /** The gateway took the exchange back: it hears of the end by `settled` alone. */
  abandoned(reason: Error): void {
    if (this.#state === 'settled') return;
    this.#announced = true;
    this.abort(reason);
  }

  /** The answer is complete, or there will be none. */
  ended(): void {
    if (this.#state === 'settled' || this.#state === 'waiting') return;
    if (this.#pending === 0) {
      this.#settle(false);
      return;
    }
    this.#state = 'waiting';
    this.#host.deadlines.delete(this);
    this.dueAt = this.#host.now() + WAIT_UNTIL_MS;
    this.#host.deadlines.add(this);
  }

  /** Called by the sweep: the wall clock limit while running, the cap on waitUntil afterwards. */
  expired(): void {
    if (this.#state === 'running') {
      this.abort(new DOMException(`The invocation ran longer than ${this.head.timeoutMs} ms.`, 'TimeoutError'));
    } else if (this.#state === 'waiting') {
      this.abort(new DOMException(`waitUntil ran longer than ${WAIT_UNTIL_MS} ms.`, 'TimeoutError'));
      this.#settle(true);
    }
  }

  /** It has come to its end by itself. */
  end(inner: Follower): void {
    this.#inner?.delete(inner);
  }

  /** A call from beside it goes on without its caller. */
  over(): void {
    return;
  }

  /** The gateway is told to wait until nothing of it runs any more. */
  announce(): void {
    this.#announced = true;
  }

  #oneDone(): void {
    this.#pending--;
    if (this.#pending === 0 && this.#state === 'waiting') this.#settle(false);
  }

  #settle(timedOut: boolean): void {
    this.#state = 'settled';
    this.#host.deadlines.delete(this);
    this.#within?.parent?.end(this);
    if (this.#inner !== null) for (const inner of this.#inner) inner.over();
    this.#host.settled(this, timedOut, this.#announced);
  }
}
