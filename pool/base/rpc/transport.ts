/** The messages of one session as the library takes them: one when it asks for one. */
import type * as capnweb from 'capnweb';

/** The session counts what is held once in so many messages. */
const COUNT_EVERY = 64;

/** Of a Session what this needs. */
export interface Speaker {
  /** To the other side. */
  out(message: string): void;
  /** Throws when the other side holds more than it may. */
  checkCount(): void;
  /** Everything that has come is read. */
  checkIdle(): void;
}

export class Transport implements capnweb.RpcTransport {
  readonly #session: Speaker;
  readonly #broken: (reason: unknown) => void;
  #messages: string[] = [];
  #waiting: PromiseWithResolvers<string> | null = null;
  #end: { reason: unknown } | null = null;
  #asked = 0;
  #read: PromiseWithResolvers<void> | null = null;

  constructor(session: Speaker, broken: (reason: unknown) => void) {
    this.#session = session;
    this.#broken = broken;
  }

  send(message: string): void {
    this.#session.out(message);
  }

  /** The library comes for the next one when it is done with the last. */
  async receive(): Promise<string> {
    if (++this.#asked % COUNT_EVERY === 0) this.#session.checkCount();
    const message = this.#messages.shift();
    if (message !== undefined) return message;
    if (this.#end !== null) throw this.#end.reason;
    this.#read?.resolve();
    if (this.#asked > 1) this.#session.checkIdle();
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  abort(reason: unknown): void {
    if (this.#end === null) this.#broken(reason);
  }

  taken(): Promise<void> {
    if (this.#messages.length === 0 && this.#waiting !== null) return Promise.resolve();
    this.#read ??= Promise.withResolvers();
    return this.#read.promise;
  }

  received(message: string): void {
    if (this.#end !== null) return;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) this.#messages.push(message);
    else waiting.resolve(message);
  }

  finish(reason: unknown): void {
    this.#end ??= { reason };
    if (this.#messages.length === 0) this.end(reason);
  }

  end(reason: unknown): void {
    this.#end ??= { reason };
    this.#messages = [];
    this.#waiting?.reject(reason);
    this.#waiting = null;
    this.#read?.reject(reason);
  }
}
