/**
 * One invocation on its way through the pool.
 *
 *   waiting ──placed──► sent ──called──► started ──head──► answering ──ended──► settling ──► released
 *      │                  └─ its base died: waiting again, once, if its body is still whole ─┐
 *      └──────────────────────── failed, aborted, timed out ─────────────────────────► released
 *
 * `settling` is short or not at all: the slot is held while `waitUntil` runs. After a failure the sink hears `failed`,
 * then `released`.
 */
import { HearthError, isErrorCode } from '../../functions/contract/errors.ts';
import { monotonicMs } from '../../functions/contract/invocation.ts';
import { WAIT_UNTIL_MS } from '../../functions/contract/limits.ts';
import { LINK_CLOSED } from '../link/connection.ts';
import type { Exchange, ExchangeHandler, LinkError } from '../link/link.ts';
import type { InvokeCall, InvokeFacts, InvokeHandle, InvokeSink, ModuleSpec, Phases } from './api.ts';
import type { Instance } from './instance.ts';
import type { InvocationList } from './invocation-list.ts';
import { resultHead } from './validate.ts';

export type InvocationState = 'waiting' | 'sent' | 'started' | 'answering' | 'settling' | 'released';

/** The base cuts `waitUntil` off by its own clock; past this the gateway does not believe it any more. */
const SETTLE_GRACE_MS = 2_000;
/** Body bytes kept so that the invocation can be tried again elsewhere. */
const KEEP_BYTES = 256 * 1024;

/** What an invocation asks of the function it belongs to. */
export interface InvocationOwner {
  /** Its instance died, or takes nothing more, before the function was called: place it again. */
  again(invocation: Invocation, from: Instance | null): void;
  /** It waits no more: take it out of the queue. */
  leave(invocation: Invocation): void;
  /** All that is left is what `waitUntil`, or an abandoned handler, still does. */
  settling(invocation: Invocation): void;
  /** Its head has come: the wall clock limit is met. */
  answered(invocation: Invocation): void;
  /** The wall clock limit was reached: what becomes of its instance. */
  timedOut(instance: Instance): void;
  released(invocation: Invocation, instance: Instance | null): void;
}

/** The same moment on the monotonic clock and as epoch ms. */
export interface Arrival {
  arrivedAt: number;
  arrivedAtMs: number;
}

export class Invocation implements InvokeHandle {
  readonly spec: ModuleSpec;
  readonly call: InvokeCall;
  /** Monotonic ms. */
  readonly arrivedAt: number;
  /** The list it stands in, and its neighbours there: InvocationList's own business. */
  list: InvocationList | null = null;
  before: Invocation | null = null;
  after: Invocation | null = null;
  readonly #sink: InvokeSink;
  readonly #owner: InvocationOwner;
  readonly #arrivedAtMs: number;
  #state: InvocationState = 'waiting';
  #instance: Instance | null = null;
  #exchange: Exchange | null = null;
  #attempt = 0;
  /** Set for the one invocation that made its instance be loaded. */
  #cold = false;
  #placedAt = 0;
  #heldUntil = 0;
  #abandoned = false;
  /** The instance keeps it by its id, for the base's word that it has ended. */
  #toldToSettle = false;
  #kept: Uint8Array[] | null = [];
  #keptBytes = 0;
  /** Known from the head for what has no body: then the end of it goes out in the opening frame. */
  #bodyEnded: boolean;
  /** Monotonic ms of the last bytes either way. */
  #activeAt = 0;
  #facts: InvokeFacts | null = null;
  #waitingForSettled = false;
  #exchangeClosed = false;

  constructor(spec: ModuleSpec, call: InvokeCall, sink: InvokeSink, owner: InvocationOwner, arrival: Arrival) {
    this.spec = spec;
    this.call = call;
    this.#sink = sink;
    this.#owner = owner;
    this.#bodyEnded = call.trigger === 'cron' || (call.trigger === 'http' && !call.hasBody && !call.upgrade);
    this.arrivedAt = arrival.arrivedAt;
    this.#arrivedAtMs = arrival.arrivedAtMs;
  }

  get state(): InvocationState {
    return this.#state;
  }

  get instance(): Instance | null {
    return this.#instance;
  }

  /** Monotonic ms at which it got its slot. */
  get placedAt(): number {
    return this.#placedAt;
  }

  /** Monotonic ms until which the base's word is awaited that nothing of it runs any more. */
  get heldUntil(): number {
    return this.#heldUntil;
  }

  /** Monotonic ms of the last bytes; null for a WebSocket, which may be silent as long as its pings are answered. */
  get streamActiveAt(): number | null {
    const { call } = this;
    const socket = call.trigger === 'http' ? call.upgrade : call.trigger === 'rpc' && call.wire === 'client';
    return socket ? null : this.#activeAt;
  }

  /** It has a slot in this instance. `cold`: the load of the instance is its doing. */
  placed(instance: Instance, cold: boolean, placedAt: number): void {
    this.#instance = instance;
    this.#cold = cold;
    this.#placedAt = placedAt;
  }

  /** Goes out to the base, with what is there of the body. */
  send(): void {
    const instance = this.#instance;
    if (instance === null || this.#state !== 'waiting') return;
    this.#state = 'sent';
    this.#attempt++;
    const head = Object.assign(this.call, { module: instance.module, timeoutMs: this.spec.limits.timeoutMs });
    const kept = this.#kept ?? [];
    const single = kept.length <= 1;
    const fin = this.#bodyEnded && single;
    const exchange = instance.base.open(head, new FromBase(this), kept[0] ?? null, fin);
    this.#exchange = exchange;
    if (!single) for (const chunk of kept.slice(1)) exchange.write(chunk);
    if (this.#bodyEnded && !fin) exchange.end();
  }

  /** The base has handed it to a handler: from here on it is never tried elsewhere. */
  started(): void {
    if (this.#state !== 'sent') return;
    this.#state = 'started';
    this.#kept = null;
  }

  /** The base says that nothing of it runs any more, `waitUntil` included. */
  settled(): void {
    this.#waitingForSettled = false;
    this.#maybeRelease();
  }

  /* ── the caller's side ── */

  write(chunk: Uint8Array): boolean {
    if (this.#state === 'released' || this.#state === 'settling') return true;
    this.#activeAt = monotonicMs();
    if (this.#kept !== null) {
      this.#keptBytes += chunk.length;
      if (this.#keptBytes <= KEEP_BYTES || this.#exchange === null) this.#kept.push(chunk);
      else this.#kept = null;
    }
    if (this.#exchange === null) return this.#keptBytes < KEEP_BYTES;
    return this.#exchange.write(chunk);
  }

  end(): void {
    if (this.#bodyEnded) return;
    this.#bodyEnded = true;
    this.#exchange?.end();
  }

  consumed(bytes: number): void {
    this.#exchange?.consumed(bytes);
  }

  abort(reason: string): void {
    if (this.#state === 'settling' || this.#state === 'released') return;
    if (this.#state === 'waiting') this.#owner.leave(this);
    // The handler goes on until it heeds its signal: its slot is taken until the base says that it has ended.
    const running = this.#state === 'started' || this.#state === 'answering';
    this.#leave({ code: 'ABORTED', message: reason }, running);
  }

  /* ── the base's side ── */

  onHead(raw: unknown): void {
    const head = resultHead(raw, this.call.trigger);
    this.started();
    this.#state = 'answering';
    this.#owner.answered(this);
    this.#waitingForSettled = head.waiting;
    if (head.waiting) this.#expectSettled();
    const now = monotonicMs();
    const facts = this.#factsAt(now);
    if (facts === null) throw new Error('An answer without an instance.');
    this.#facts = facts;
    this.#activeAt = now;
    this.#sink.head(head, facts);
  }

  onData(chunk: Uint8Array): void {
    this.#activeAt = monotonicMs();
    this.#sink.data(chunk);
  }

  /** The answer is whole. A request body that is still under way is of no use any more. */
  onEnd(): void {
    if (this.#state !== 'answering') return;
    this.#state = 'settling';
    this.#sink.end();
    if (!this.#bodyEnded) this.#exchange?.cancel({ code: 'DONE', message: 'The answer is complete.' });
  }

  onDrain(): void {
    if (this.#state !== 'settling' && this.#state !== 'released') this.#sink.drain();
  }

  onClosed(error: LinkError | null): void {
    this.#exchangeClosed = true;
    if (this.#state === 'settling' || this.#state === 'released') {
      this.#maybeRelease();
      return;
    }
    const failure = this.#instance?.failure;
    if (failure !== undefined && failure !== null) {
      this.fail(didNotLoad(failure));
      return;
    }
    if (error?.code === LINK_CLOSED) {
      const crash = this.#instance?.crash(this.#exchange?.id ?? 0);
      if (this.#maybeAgain()) return;
      this.fail(crash ?? fromLink(error));
      return;
    }
    // A base that is about to go refuses what came too late for it.
    if (error?.code === 'FUNCTION_CRASHED' && this.#maybeAgain()) return;
    this.fail(error === null ? new HearthError('FUNCTION_CRASHED', 'The base sent no answer.') : fromLink(error));
  }

  /** True when the function was not called and the whole of the body is still here: then it is tried once more. */
  #maybeAgain(): boolean {
    if (this.#state !== 'sent' || this.#attempt > 1 || this.#kept === null) return false;
    const from = this.#instance;
    this.#state = 'waiting';
    this.#exchange = null;
    this.#exchangeClosed = false;
    this.#instance = null;
    this.#owner.again(this, from);
    return true;
  }

  /** Ends it with this error, at whatever point it is. */
  fail(error: HearthError): void {
    if (this.#state === 'settling' || this.#state === 'released') return;
    const facts = this.#facts ?? this.#factsAt(monotonicMs());
    this.#sink.failed(error, facts);
    this.#leave({ code: error.code, message: error.message });
  }

  /** The wall clock limit: the caller gets its answer now, the base hears of it. */
  timeout(): void {
    const instance = this.#instance;
    if (this.#state !== 'sent' && this.#state !== 'started') return;
    this.fail(new HearthError('FUNCTION_TIMEOUT', `No answer within ${this.spec.limits.timeoutMs} ms.`));
    if (instance !== null) this.#owner.timedOut(instance);
  }

  #leave(error: LinkError, waitForSettled = false): void {
    this.#state = 'settling';
    this.#waitingForSettled = waitForSettled;
    this.#abandoned = waitForSettled;
    if (waitForSettled) this.#expectSettled();
    // `cancel` calls onClosed, which releases.
    if (this.#exchange !== null && !this.#exchangeClosed) this.#exchange.cancel(error);
    this.#exchangeClosed = true;
    // Its end may have crossed the cancel, and then the base has forgotten it.
    if (waitForSettled) this.#instance?.abandoned(this);
    this.#maybeRelease();
  }

  /** `waitUntil` has its own limit; a handler whose caller has gone has what is left of the wall clock. */
  #holdUntil(): number {
    const now = monotonicMs();
    const most = this.#abandoned ? Math.max(now, this.#placedAt + this.spec.limits.timeoutMs) : now + WAIT_UNTIL_MS;
    return most + SETTLE_GRACE_MS;
  }

  #expectSettled(): void {
    if (this.#toldToSettle) return;
    this.#toldToSettle = true;
    this.#instance?.expectSettled(this);
  }

  #maybeRelease(): void {
    if (this.#state !== 'settling' || !this.#exchangeClosed) return;
    if (this.#waitingForSettled && this.#instance !== null && this.#instance.state !== 'gone') {
      this.#heldUntil ||= this.#holdUntil();
      this.#owner.settling(this);
      return;
    }
    this.#state = 'released';
    this.#kept = null;
    const instance = this.#instance;
    if (this.#toldToSettle) instance?.settled(this);
    this.#owner.released(this, instance);
    this.#sink.released();
  }

  /** Phases up to `headAt`. The base's own moments are believed only as far as they lie between ours. */
  #factsAt(headAt: number): InvokeFacts | null {
    const instance = this.#instance;
    if (instance === null || !instance.placed) return null;
    return {
      start: this.#cold ? 'cold' : 'warm',
      instance: instance.base.id,
      host: instance.base.host.id,
      phases: this.#cold ? this.#coldPhases(instance, headAt) : this.#warmPhases(instance, headAt),
      arrivedAtMs: this.#arrivedAtMs,
      headAt,
      attempt: this.#attempt,
    };
  }

  #warmPhases(instance: Instance, headAt: number): Phases {
    const ready = Math.max(this.#placedAt, Math.min(instance.readyAt, headAt));
    return { wait: ready - this.arrivedAt, run: headAt - ready };
  }

  #coldPhases(instance: Instance, headAt: number): Phases {
    const { times } = instance;
    const acquired = between(this.#placedAt, instance.acquiredAt, headAt);
    const received = between(acquired, times?.receivedAt ?? headAt, headAt);
    const compiled = between(received, times?.compiledAt ?? headAt, headAt);
    const evaluated = between(compiled, times?.evaluatedAt ?? headAt, headAt);
    return {
      wait: this.#placedAt - this.arrivedAt,
      acquire: acquired - this.#placedAt,
      transfer: received - acquired,
      compile: compiled - received,
      evaluate: evaluated - compiled,
      run: headAt - evaluated,
    };
  }
}

/** The base's side of an invocation, apart from the caller's, since both speak of an end. */
export class FromBase implements ExchangeHandler {
  readonly #invocation: Invocation;

  constructor(invocation: Invocation) {
    this.#invocation = invocation;
  }
  /** The base says that its function was called. */
  started(): void {
    this.#invocation.started();
  }
  head(head: unknown): void {
    this.#invocation.onHead(head);
  }
  data(chunk: Uint8Array): void {
    this.#invocation.onData(chunk);
  }
  end(): void {
    this.#invocation.onEnd();
  }
  drain(): void {
    this.#invocation.onDrain();
  }
  closed(error: LinkError | null): void {
    this.#invocation.onClosed(error);
  }
}

function between(low: number, value: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** A version that was proved at deploy does not come up now: the function's own doing, for its callers an exception. */
export function didNotLoad(failure: HearthError): HearthError {
  if (failure.code !== 'PROBE_FAILED') return failure;
  return new HearthError('FUNCTION_EXCEPTION', 'The function did not load.', {
    functionStack: failure.functionStack ?? failure.message,
    cause: failure,
  });
}

/** What a base or the link says went wrong, as an error with a code of the table. */
function fromLink(error: LinkError): HearthError {
  if (error.code === LINK_CLOSED) return new HearthError('FUNCTION_CRASHED', 'The base of the function died.');
  const code = isErrorCode(error.code) ? error.code : 'FUNCTION_EXCEPTION';
  return new HearthError(code, error.message, { functionStack: error.stack });
}
