/** One invocation as the function sees it (`ctx`), and its life until the last `waitUntil` has settled. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { ExecutionContext, Logger } from '../../functions/contract/handlers.ts';
import type { InvokeHead } from '../../functions/contract/invocation.ts';
import { WAIT_UNTIL_MS } from '../../functions/contract/limits.ts';
import type { Deadlines, Watched } from './deadlines.ts';
import type { GuestModule } from './guest.ts';

/** What an invocation needs of the base around it. */
export interface InvocationHost {
  readonly deadlines: Deadlines;
  /** Monotonic ms. */
  now(): number;
  logger(invocation: Invocation): Logger;
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

/** Whose invocation the running code belongs to, over all of its awaits. */
export const currentInvocation = new AsyncLocalStorage<Invocation>();

export class Invocation implements ExecutionContext, Watched {
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

  constructor(head: InvokeHead, module: GuestModule, host: InvocationHost) {
    this.head = head;
    this.module = module;
    this.#host = host;
    this.dueAt = host.now() + head.timeoutMs;
    host.deadlines.add(this);
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
  abort(reason: Error): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
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

  #oneDone(): void {
    this.#pending--;
    if (this.#pending === 0 && this.#state === 'waiting') this.#settle(false);
  }

  #settle(timedOut: boolean): void {
    this.#state = 'settled';
    this.#host.deadlines.delete(this);
    this.#host.settled(this, timedOut, this.#announced);
  }
}
