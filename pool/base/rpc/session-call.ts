/** An RPC invocation by another base, or by a client that keeps a WebSocket: a session. */
import type { RpcInvokeHead } from '../../../functions/contract/invocation.ts';
import type { LinkError } from '../../link/link.ts';
import { MessageDecoder, MessageError } from '../../link/messages.ts';
import { describeThrown } from '../describe.ts';
import { type RpcFailure, Served, type ServeParts, said, TIMED_OUT, textOf } from './served.ts';
import { mostMessageBytes, Session } from './session.ts';

/** A session as long as the other side wants it. The wall clock limit holds for each call of it. */
export class SessionCall extends Served {
  readonly #session: Session;
  readonly #decoder: MessageDecoder;
  #headSent = false;
  #answered = false;
  #failure: RpcFailure | null = null;
  #wake: (() => void) | null = null;

  constructor(head: RpcInvokeHead, main: object, parts: ServeParts) {
    super(parts);
    const { capnweb, invocation } = parts;
    const most = mostMessageBytes(invocation.module.head.memoryMb);
    this.#decoder = new MessageDecoder(
      {
        text: (payload) => this.#session.message(textOf(payload)),
        binary: () => {
          throw new MessageError(1002, 'Messages are texts.');
        },
        // The end of the exchange follows.
        close: () => undefined,
      },
      most,
    );
    this.#session = new Session({
      capnweb,
      main,
      plain: head.wire === 'client',
      mostMessageBytes: most,
      send: (chunk) => this.#send(chunk),
      broken: (reason) => this.#break({ code: 'BAD_REQUEST', message: `The session broke: ${said(reason)}` }, reason),
      calls: {
        began: () => this.began(head.timeoutMs),
        failed: (thrown) => this.#failed(thrown),
      },
    });
    // A client's session has begun when it hears of it; its calls come later.
    if (head.wire === 'client') {
      this.#sendHead(null);
      invocation.streams();
    }
    this.#read().catch((error: unknown) => this.#unreadable(error));
  }

  drained(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** The other side has gone, or the gateway took it back. */
  closed(): void {
    this.#end(this.parts.invocation.abortReason ?? new Error('The session has ended.'));
  }

  /** At the wall clock limit of one of its calls. */
  abort(reason: unknown): void {
    if (this.over_) return;
    const late = reason instanceof DOMException && reason.name === 'TimeoutError';
    this.#break({ code: late ? 'FUNCTION_TIMEOUT' : 'CANCELLED', message: late ? TIMED_OUT : said(reason) }, reason);
  }

  protected override called(): void {
    this.#answered = true;
  }

  async #read(): Promise<void> {
    const { body } = this.parts;
    for (let chunk = await body.read(); chunk !== null; chunk = await body.read()) {
      if (this.over_) return;
      this.#decoder.push(chunk);
    }
    if (this.over_) return;
    // Nothing is wanted any more, on either side.
    const { exchange } = this.parts.answering;
    this.#session.close();
    if (!this.#headSent) this.#sendHead(null);
    exchange.end();
    this.#end(new Error('The other side has ended the session.'));
  }

  #unreadable(error: unknown): void {
    if (this.over_) return;
    const tooMuch = error instanceof MessageError && error.closeCode === 1009;
    this.#break({ code: tooMuch ? 'PAYLOAD_TOO_LARGE' : 'BAD_REQUEST', message: said(error) }, error);
  }

  #send(chunk: Uint8Array): void {
    if (this.over_) return;
    if (!this.#headSent && this.#session.saidAll) {
      this.#sendAll(chunk);
      return;
    }
    if (this.#headSent) this.parts.answering.exchange.write(chunk);
    else this.#sendHead(chunk);
    // The deadline is met by the first answer; what is said before that, to the caller's own stubs, does not meet it.
    if (this.#answered) this.parts.invocation.streams();
  }

  #sendHead(body: Uint8Array | null): void {
    this.#headSent = true;
    this.parts.invocation.announce();
    this.parts.answering.exchange.sendHead(this.resultHead(true, this.#failure), body);
  }

  /** Most calls: one result, and nothing in it to come back for. */
  #sendAll(chunk: Uint8Array): void {
    const { answering, invocation, body } = this.parts;
    this.#headSent = true;
    answering.exchange.sendHead(this.resultHead(invocation.waiting, this.#failure), chunk, true);
    body.discard();
    this.#end(new Error('The session has ended.'));
  }

  #failed(thrown: unknown): void {
    const described = describeThrown(thrown);
    // Its stack is for the owner, and goes no further.
    this.parts.invocation.log.error(`FUNCTION_EXCEPTION: ${described.stack}`);
    this.#failure ??= { name: described.name, message: described.message };
  }

  #break(error: LinkError, reason: unknown): void {
    if (this.over_) return;
    this.#end(reason);
    this.parts.answering.exchange.cancel(error);
    this.parts.body.discard();
  }

  #end(reason: unknown): void {
    if (this.over_) return;
    this.over_ = true;
    this.#session.end(reason);
    this.settle();
  }
}
