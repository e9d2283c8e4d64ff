/**
 * The calls of one version by how far they have come, each in one list at a time, and the end of those whose time is over.
 *
 *   waiting ──slot──► running ──head──► answering ──answered──► settling ──waitUntil──► (released)
 */
import { HearthError } from '../../functions/contract/errors.ts';
import { MAX_WAIT_MS } from '../../functions/contract/limits.ts';
import type { ModuleSpec } from './api.ts';
import type { Instance } from './instance.ts';
import { didNotLoad, type Invocation } from './invocation.ts';
import { InvocationList } from './invocation-list.ts';

/** A stream in which nothing moves either way for so long holds its slot no more. */
const STREAM_IDLE_MS = 300_000;

export class Calls {
  readonly #spec: ModuleSpec;
  /** In order of arrival. */
  readonly waiting = new InvocationList();
  /** Placed and without a head yet, in order of placing: the first is the first to run out of time. */
  readonly running = new InvocationList();
  /** Their head has gone out and the rest is under way. */
  readonly answering = new InvocationList();
  /** They have their answer and hold their slot still, in order of answering. */
  readonly settling = new InvocationList();

  constructor(spec: ModuleSpec) {
    this.#spec = spec;
  }

  /** `served`: some instance has a base, so that who waits waits for a slot. `now`: monotonic ms. */
  sweep(now: number, served: () => boolean): void {
    // Most of some thousands of functions have nothing to look at.
    if (this.running.size + this.waiting.size + this.answering.size + this.settling.size === 0) return;
    for (const invocation of this.running.entries()) {
      if (invocation.state === 'waiting') {
        // It has an instance, and that has no base yet.
        if (now - invocation.arrivedAt >= MAX_WAIT_MS) invocation.fail(noCapacity());
      } else if (now - invocation.placedAt >= this.#spec.limits.timeoutMs) invocation.timeout();
      else break;
    }
    for (const invocation of this.waiting.entries()) {
      if (now - invocation.arrivedAt < MAX_WAIT_MS) break;
      this.#failWaiting(invocation, served() ? overloaded(this.#spec.functionName) : noCapacity());
    }
    for (const invocation of this.answering.entries()) {
      const { streamActiveAt } = invocation;
      if (streamActiveAt === null || now - streamActiveAt < STREAM_IDLE_MS) continue;
      invocation.fail(new HearthError('FUNCTION_TIMEOUT', `Nothing was streamed for ${STREAM_IDLE_MS / 1000} s.`));
    }
    for (const invocation of this.settling.entries()) {
      if (now < invocation.heldUntil) continue;
      invocation.instance?.drain('an invocation never came to its end');
      invocation.settled();
    }
  }

  /** Who waits for a slot hears why there is none. */
  failWaiting(error: HearthError): void {
    for (const invocation of this.waiting.entries()) this.#failWaiting(invocation, error);
  }

  /** All but those who have their answer. */
  failAll(error: HearthError): void {
    this.failWaiting(error);
    for (const list of [this.running, this.answering]) {
      for (const invocation of list.entries()) invocation.fail(error);
    }
  }

  /** An instance is gone; `error`: why it was never ready, null when it was. */
  instanceGone(gone: Instance, error: HearthError | null): void {
    for (const invocation of this.settling.entries()) if (invocation.instance === gone) invocation.settled();
    if (error === null) return;
    for (const invocation of this.running.entries()) {
      if (invocation.instance === gone && invocation.state === 'waiting') invocation.fail(didNotLoad(error));
    }
  }

  #failWaiting(invocation: Invocation, error: HearthError): void {
    this.waiting.delete(invocation);
    invocation.fail(error);
  }
}

function overloaded(functionName: string): HearthError {
  const message = `All slots of ${functionName} were taken for ${MAX_WAIT_MS / 1000} s.`;
  return new HearthError('OVERLOADED', message, { retryAfterS: 1 });
}

function noCapacity(): HearthError {
  return new HearthError('NO_CAPACITY', `No base came free within ${MAX_WAIT_MS / 1000} s.`, { retryAfterS: 1 });
}
