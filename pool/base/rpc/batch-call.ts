/** An RPC invocation by a client that says all that it has to say at once. */
import type { RpcInvokeHead } from '../../../functions/contract/invocation.ts';
import { MessageDecoder } from '../../link/messages.ts';
import { describeThrown } from '../describe.ts';
import { Served, type ServeParts, said, TIMED_OUT, textOf } from './served.ts';
import { mostMessageBytes, Session } from './session.ts';

/** A whole session that comes in one piece, and is answered in one. */
export class BatchCall extends Served {
  readonly #main: object;
  readonly #timeoutMs: number;
  readonly #answers: string[] = [];
  #session: Session | null = null;

  constructor(head: RpcInvokeHead, main: object, parts: ServeParts) {
    super(parts);
    this.#main = main;
    this.#timeoutMs = head.timeoutMs;
    const ended = this.began(head.timeoutMs);
    this.#run()
      .then(
        () => this.#answer(),
        (error: unknown) => this.#break(error),
      )
      .finally(ended);
  }

  drained(): void {
    return;
  }

  closed(): void {
    this.#end(new Error('The caller has gone.'));
  }

  abort(reason: unknown): void {
    this.#break(reason);
  }

  async #run(): Promise<void> {
    const { body, capnweb, invocation } = this.parts;
    const most = mostMessageBytes(invocation.module.head.memoryMb);
    const lines = textOf(await body.bytes()).split('\n');
    if (this.over_) return;
    const decoder = new MessageDecoder({
      text: (payload) => this.#answers.push(textOf(payload)),
      binary: () => undefined,
      close: () => undefined,
    });
    const session = new Session({
      capnweb,
      main: this.#main,
      plain: true,
      mostMessageBytes: most,
      send: (chunk) => decoder.push(chunk),
      broken: (reason) => this.#break(reason),
      calls: {
        began: () => this.began(this.#timeoutMs),
        failed: (thrown) => invocation.log.error(`FUNCTION_EXCEPTION: ${describeThrown(thrown).stack}`),
      },
    });
    this.#session = session;
    for (const line of lines) if (line !== '') session.message(line);
    await session.taken();
    await session.drain();
    session.flush();
  }

  #answer(): void {
    if (this.over_) return;
    const { answering, invocation } = this.parts;
    const text = this.#answers.join('\n');
    // What it held is let go before it is said what still runs.
    this.#session?.end(new Error('The batch has been answered.'));
    answering.exchange.sendHead(this.resultHead(invocation.waiting), Buffer.from(text), true);
    this.over_ = true;
  }

  #break(reason: unknown): void {
    if (this.over_) return;
    this.#end(reason);
    const late = reason instanceof DOMException && reason.name === 'TimeoutError';
    this.parts.answering.exchange.cancel({
      code: late ? 'FUNCTION_TIMEOUT' : 'BAD_REQUEST',
      message: late ? TIMED_OUT : `The batch could not be read: ${said(reason)}`,
    });
  }

  #end(reason: unknown): void {
    this.over_ = true;
    this.#session?.end(reason);
    this.settle();
  }
}
