/** One use of a binding: an exchange that the base opens. */
import type { BindingCallHead } from '../../../functions/contract/invocation.ts';
import type { Exchange, ExchangeHandler, Link, LinkError } from '../../link/link.ts';
import { IncomingBody } from '../body.ts';
import type { Invocation } from '../context.ts';

/** What bindings need of the base: the link, and the name of the module and invocation that call. */
export interface CallContext {
  link(): Link;
  module: string;
  /** The invocation whose code calls. */
  invocation(): Invocation | undefined;
}

export type BindingCall = BindingCallHead['call'];

/** The gateway refused or failed the call; `code` is one of the error table's. */
export class BindingError extends Error {
  readonly code: string;

  constructor(error: LinkError) {
    super(error.message);
    this.name = 'BindingError';
    this.code = error.code;
  }
}

export interface CallAnswer<Head> {
  head: Head;
  body: IncomingBody;
}

export class BindingCalls {
  readonly #context: CallContext;
  readonly #binding: string;

  constructor(context: CallContext, binding: string) {
    this.#context = context;
    this.#binding = binding;
  }

  /**
   * Resolves with the answer's head; its body may still be on its way. Rejects with BindingError. At the signal the
   * call is given up: the gateway hears of it, the promise rejects and the body breaks with the signal's reason.
   */
  call<Head>(
    call: BindingCall,
    body: Uint8Array | ReadableStream<Uint8Array> | null,
    signal: AbortSignal | null = null,
  ): Promise<CallAnswer<Head>> {
    const { promise, resolve, reject } = Promise.withResolvers<CallAnswer<Head>>();
    const streams = body instanceof ReadableStream;
    let incoming: IncomingBody | null = null;
    let writer: StreamWriter | null = null;
    const handler: ExchangeHandler = {
      head: (answer) => {
        resolve({ head: answer as Head, body: incoming as IncomingBody });
      },
      data: (chunk) => incoming?.push(chunk),
      end: () => incoming?.end(),
      drain: () => writer?.drained(),
      closed: (error) => {
        writer?.closed();
        signal?.removeEventListener('abort', abort);
        if (error === null) return;
        const failure = signal?.aborted === true ? signal.reason : new BindingError(error);
        incoming?.fail(failure);
        reject(failure);
      },
    };
    const abort = () => exchange.cancel({ code: 'CANCELLED', message: 'The caller aborted.' });
    const exchange = this.open(call, this.caller, handler, streams ? null : body, !streams);
    incoming = new IncomingBody(exchange);
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort);
    if (streams) writer = new StreamWriter(body, exchange);
    return promise;
  }

  /** The invocation whose code runs. */
  get caller(): Invocation | undefined {
    return this.#context.invocation();
  }

  /** The exchange itself, for those who speak on it as they like. */
  open(
    call: BindingCall,
    caller: Invocation | undefined,
    handler: ExchangeHandler,
    body: Uint8Array | null,
    fin: boolean,
  ): Exchange {
    const { link, module } = this.#context;
    const head: BindingCallHead = { kind: 'binding', module, invocationId: null, binding: this.#binding, call };
    if (caller !== undefined) {
      // The gateway knows an invocation by the module that it sent it to.
      const { span } = caller;
      if (caller.isInner || caller.head.module !== module) {
        head.within = { hops: caller.head.hops, traceparent: caller.traceparent };
      } else {
        head.invocationId = caller.invocationId;
        if (span !== null) head.span = span;
      }
    }
    return link().open(head, handler, body, fin);
  }

  /** For calls whose exchange stays open: until `end`, or until it has broken off, which `gone` hears. */
  async keep<Head>(call: BindingCall, gone: () => void): Promise<{ head: Head; end(): void }> {
    const { promise, resolve, reject } = Promise.withResolvers<Head>();
    const handler: ExchangeHandler = {
      head: (answer) => resolve(answer as Head),
      data: (chunk) => exchange.consumed(chunk.length),
      end: () => undefined,
      drain: () => undefined,
      closed: (error) => {
        gone();
        if (error !== null) reject(new BindingError(error));
      },
    };
    const exchange = this.open(call, this.caller, handler, null, true);
    return { head: await promise, end: () => exchange.cancel({ code: 'CANCELLED', message: 'It is over.' }) };
  }

  /** For calls whose answer is a head alone. */
  async ask<Head>(call: BindingCall, body: Uint8Array | ReadableStream<Uint8Array> | null = null): Promise<Head> {
    const answer = await this.call<Head>(call, body);
    answer.body.discard();
    return answer.head;
  }
}

/** Writes a stream into an exchange, one chunk at a time, none while the link has no credit. */
class StreamWriter {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #exchange: Exchange;
  #closed = false;
  #wake: (() => void) | null = null;

  constructor(stream: ReadableStream<Uint8Array>, exchange: Exchange) {
    this.#reader = stream.getReader();
    this.#exchange = exchange;
    this.#run().catch((error: unknown) => {
      if (this.#closed) return;
      this.#exchange.cancel({ code: 'CANCELLED', message: `The body broke off: ${String(error)}` });
    });
  }

  drained(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.drained();
    // Nobody waits for the rest of it; that its source fails to stop concerns no one either.
    this.#reader.cancel().catch(() => undefined);
  }

  async #run(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (this.#closed) return;
      if (done) break;
      if (!(value instanceof Uint8Array)) throw new TypeError('A body stream has to give bytes.');
      if (!this.#exchange.write(value.slice())) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        if (this.#closed) return;
      }
    }
    this.#exchange.end();
  }
}
