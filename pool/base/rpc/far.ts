/** Methods of a function in another base: for each call a session of its own, as each call is an invocation there. */
import type { Exchange, ExchangeHandler, LinkError } from '../../link/link.ts';
import { MessageDecoder, MessageError } from '../../link/messages.ts';
import { type BindingCalls, BindingError } from '../bindings/call.ts';
import type { Follower, Invocation } from '../context.ts';
import { LocalResult } from './local.ts';
import type { Remote, Result } from './reference.ts';
import { type Capnweb, Session } from './session.ts';

export interface FarOptions {
  capnweb(): Capnweb;
  mostMessageBytes: number;
}

export class FarEntrypoint implements Remote {
  readonly #calls: BindingCalls;
  readonly #options: FarOptions;

  constructor(calls: BindingCalls, options: FarOptions) {
    this.#calls = calls;
    this.#options = options;
  }

  call(path: readonly string[], args: unknown[]): Result {
    const opened = this.#open(path);
    return opened instanceof FarSession ? opened.session.main.call(path, args) : opened;
  }

  value(path: readonly string[]): Promise<unknown> {
    const opened = this.#open(path);
    return opened instanceof FarSession ? opened.session.main.value(path) : opened.value([]);
  }

  #open(path: readonly string[]): FarSession | Result {
    const { caller } = this.#calls;
    // It is over, and what it calls would be over with it.
    if (caller?.aborted === true) return new LocalResult(Promise.reject(caller.abortReason));
    try {
      return new FarSession(this.#calls, caller, path.join('.'), this.#options);
    } catch (error) {
      return new LocalResult(Promise.reject(error));
    }
  }
}

/**
 *   unsent ──first turn ends──► open ──nothing held──► ended (this side) ──other side ends──► closed
 *     └──────────── caller's end or abort, other side breaks ──────────────────────────────────►
 *
 * It lives as long as something of the other side is held or under way, and never longer than the invocation that called.
 */
class FarSession implements ExchangeHandler, Follower {
  readonly session: Session;
  readonly #calls: BindingCalls;
  readonly #caller: Invocation | undefined;
  readonly #method: string;
  readonly #decoder: MessageDecoder;
  #exchange: Exchange | null = null;
  #state: 'unsent' | 'open' | 'ended' | 'closed' = 'unsent';

  constructor(calls: BindingCalls, caller: Invocation | undefined, method: string, options: FarOptions) {
    this.#calls = calls;
    this.#caller = caller;
    this.#method = method;
    this.#decoder = new MessageDecoder(
      { text: (payload) => this.#message(payload), binary: unknownKind, close: unknownKind },
      options.mostMessageBytes,
    );
    this.session = new Session({
      capnweb: options.capnweb(),
      main: null,
      plain: false,
      mostMessageBytes: options.mostMessageBytes,
      send: (chunk) => this.#send(chunk),
      idle: () => this.#idle(),
      broken: (reason) => this.#break('FUNCTION_EXCEPTION', 'The RPC session broke.', reason),
    });
    caller?.begin(this);
  }

  /* ── the caller's invocation ── */

  abort(reason: unknown): void {
    this.#break('CANCELLED', 'The caller was aborted.', reason);
  }

  over(): void {
    const message = 'The invocation that held this stub has ended.';
    this.#break('CANCELLED', message, new BindingError({ code: 'CANCELLED', message }));
  }

  /* ── the other side ── */

  head(): void {
    return;
  }

  data(chunk: Uint8Array): void {
    this.#exchange?.consumed(chunk.length);
    if (this.#state === 'closed') return;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      this.#break('PAYLOAD_TOO_LARGE', error.message, error);
    }
  }

  /** It has given its result, and that was all. */
  end(): void {
    if (this.#state !== 'open') return;
    this.session.finish();
    this.#state = 'ended';
    this.#caller?.end(this);
    this.#exchange?.end();
  }

  drain(): void {
    return;
  }

  closed(error: LinkError | null): void {
    if (this.#state === 'closed') return;
    // What it said last is still to be read.
    if (this.#state === 'ended') this.#state = 'closed';
    else this.#close(error === null ? ended() : new BindingError(error));
  }

  #message(payload: Uint8Array): void {
    this.session.message(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
  }

  #send(chunk: Uint8Array): void {
    if (this.#state === 'unsent') {
      this.#state = 'open';
      const call = { op: 'service.rpc', method: this.#method.slice(0, MOST_METHOD_CHARS) } as const;
      this.#exchange = this.#calls.open(call, this.#caller, this, chunk, false);
    } else if (this.#state === 'open') {
      this.#exchange?.write(chunk);
    }
  }

  #idle(): void {
    if (this.#state !== 'open' && this.#state !== 'unsent') return;
    // What was said in this turn goes out before.
    this.session.close();
    this.#state = 'ended';
    this.#caller?.end(this);
    this.#exchange?.end();
  }

  #break(code: string, message: string, reason: unknown): void {
    if (this.#state === 'closed' || this.#state === 'ended') return;
    this.#close(reason);
    this.#exchange?.cancel({ code, message });
  }

  #close(reason: unknown): void {
    this.#state = 'closed';
    this.#caller?.end(this);
    this.session.end(reason);
  }
}

/** Of the method's name, for logs and traces; what is called is said in the message. */
const MOST_METHOD_CHARS = 200;

function ended(): BindingError {
  return new BindingError({ code: 'CANCELLED', message: 'The session has ended.' });
}

function unknownKind(): never {
  throw new MessageError(1002, 'A message of an unknown kind.');
}
