/**
 * An RPC invocation in the base that is called. What travels depends on who calls:
 *
 *   base     a session of Cap'n Web with another base, as long as either holds something of the other
 *   client   a session with a client beyond the gateway, which speaks over a WebSocket
 *   batch    a client's messages at once, one a line, and the answers to them
 *   json     one call, its arguments and its result as JSON
 */
import { monotonicMs, type RpcInvokeHead, type RpcResultHead } from '../../../functions/contract/invocation.ts';
import type { LinkError } from '../../link/link.ts';
import { MessageDecoder, MessageError } from '../../link/messages.ts';
import type { IncomingBody } from '../body.ts';
import type { Follower, Invocation } from '../context.ts';
import type { Deadlines, Watched } from '../deadlines.ts';
import { describeThrown, headline } from '../describe.ts';
import type { Entrypoint } from '../guest.ts';
import type { Answering, AnswerPump } from '../handlers/fetch.ts';
import { toJson } from './json.ts';
import { follow, MissingMethodError } from './members.ts';
import { type Capnweb, mostMessageBytes, Session } from './session.ts';

export interface ServeParts {
  capnweb: Capnweb;
  invocation: Invocation;
  body: IncomingBody;
  answering: Answering;
  deadlines: Pick<Deadlines, 'add' | 'delete'>;
}

/** Calls the entrypoint. Throws what its constructor throws, and LinkError-like errors of its own by `refuse`. */
export function serveRpc(head: RpcInvokeHead, entrypoint: Entrypoint, parts: ServeParts): AnswerPump {
  const { target } = entrypoint;
  if (target === null) throw new NoEntrypointError(NO_CLASS);
  const main = target(parts.invocation);
  if (head.wire === 'json') return new JsonCall(head, main, parts);
  return head.wire === 'batch' ? new BatchCall(head, main, parts) : new SessionCall(head, main, parts);
}

/** For the gateway and for callers: there is no such thing. */
export class NoEntrypointError extends Error {}

const NO_CLASS = 'Only classes that extend WorkerEntrypoint can be called over RPC, and this export is none.';

/** What a call that could not even begin is answered with. */
export function rpcRefusal(thrown: unknown): LinkError | null {
  const missing = thrown instanceof MissingMethodError || thrown instanceof NoEntrypointError;
  return missing ? { code: 'NOT_FOUND', message: thrown.message } : null;
}

/** What the three have in common: it ends when the exchange is over and no method runs any more. */
abstract class Served implements AnswerPump, Follower {
  protected readonly parts: ServeParts;
  protected readonly calledAt = monotonicMs();
  protected over_ = false;
  #running = 0;
  #done = false;

  constructor(parts: ServeParts) {
    this.parts = parts;
    parts.invocation.begin(this);
  }

  /** A method runs on, though nobody waits for it. */
  get busy(): boolean {
    return this.#running > 0;
  }

  abstract drained(): void;
  abstract closed(): void;
  abstract abort(reason: unknown): void;

  over(): void {
    return;
  }

  /** A call begins. Gives what to call when it has ended. */
  protected began(timeoutMs: number): () => void {
    this.#running++;
    const { deadlines } = this.parts;
    const call: Watched = {
      dueAt: monotonicMs() + timeoutMs,
      deadlineSlot: -1,
      expired: () => this.abort(new DOMException(`The call ran longer than ${timeoutMs} ms.`, 'TimeoutError')),
    };
    deadlines.add(call);
    return () => {
      deadlines.delete(call);
      this.#running--;
      this.called();
      this.settle();
    };
  }

  /** One of the calls has ended. */
  protected called(): void {
    return;
  }

  protected settle(): void {
    if (!this.over_ || this.#running > 0 || this.#done) return;
    this.#done = true;
    this.parts.invocation.end(this);
    this.parts.answering.ended();
  }

  protected resultHead(waiting: boolean, error: RpcFailure | null = null): RpcResultHead {
    return { kind: 'rpc-result', calledAt: this.calledAt, waiting, ...(error === null ? {} : { error }) };
  }
}

type RpcFailure = NonNullable<RpcResultHead['error']>;

const TIMED_OUT = 'No answer within its time.';

/** A session as long as the other side wants it. The wall clock limit holds for each call of it. */
class SessionCall extends Served {
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

/** One call, by the gateway in someone's name: small enough to be answered in one frame. */
class JsonCall extends Served {
  readonly #method: string;

  constructor(head: RpcInvokeHead, main: object, parts: ServeParts) {
    super(parts);
    this.#method = head.method;
    const ended = this.began(head.timeoutMs);
    this.#run(main)
      .then(
        (text) => this.#answer(text),
        (error: unknown) => this.#failed(error),
      )
      .finally(ended);
  }

  drained(): void {
    return;
  }

  closed(): void {
    this.over_ = true;
    this.settle();
  }

  abort(): void {
    return;
  }

  async #run(main: object): Promise<string> {
    const text = textOf(await this.parts.body.bytes());
    const args: unknown = text === '' ? [] : JSON.parse(text);
    if (!Array.isArray(args)) throw new TypeError('Arguments are an array.');
    const { value } = follow(main, [this.#method]);
    if (typeof value !== 'function') throw new MissingMethodError(`"${this.#method}" is not a method.`);
    return toJson(await Reflect.apply(value, main, args));
  }

  #answer(text: string): void {
    if (this.over_) return;
    this.over_ = true;
    const { answering, invocation } = this.parts;
    answering.exchange.sendHead(this.resultHead(invocation.waiting), Buffer.from(text), true);
  }

  #failed(error: unknown): void {
    if (this.over_) return;
    this.over_ = true;
    const described = describeThrown(error);
    const { exchange } = this.parts.answering;
    exchange.cancel(
      rpcRefusal(error) ?? { code: 'FUNCTION_EXCEPTION', message: headline(described), stack: described.stack },
    );
  }
}

/** A whole session that comes in one piece, and is answered in one. */
class BatchCall extends Served {
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

function textOf(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString();
}

function said(reason: unknown): string {
  return headline(describeThrown(reason)).slice(0, 500);
}
