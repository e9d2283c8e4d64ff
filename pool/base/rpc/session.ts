/**
 * One session of Cap'n Web between two bases, or between a base and a client: who holds what of the other. Authors' own
 * objects never reach the library and its stubs never reach them: what goes out and comes in is translated here.
 */
import type * as capnweb from 'capnweb';
import { encodeTexts } from '../../link/messages.ts';
import { describeThrown } from '../describe.ts';
import { decode } from './decode.ts';
import { encode } from './encode.ts';
import { at, disposeMethod, ESCAPE, FarResult, FarStub, type Holder, type Raw } from './far-reference.ts';
import { LocalResult } from './local.ts';
import { memberOf } from './members.ts';
import { behindReference, type Result, type Stub, stub } from './reference.ts';
import { type Speaker, Transport } from './transport.ts';
import { MARK, type References } from './values.ts';

export type Capnweb = typeof capnweb;

/** Stubs and calls under way of one session, either side's. */
const MOST_REFERENCES = 10_000;
/** Bytes of one message at most, and what part of a base's memory. */
const MOST_MESSAGE_BYTES = 16 * 1024 * 1024;
const MEMORY_SHARE = 16;

/** Of the first thing that was asked for: nothing else has this number. */
const FIRST_ANSWER = /^\["(?:resolve|reject)",1,/;

/** What one message may hold in a base with so much memory; 0: nothing is watched. */
export function mostMessageBytes(memoryMb: number): number {
  return memoryMb === 0 ? MOST_MESSAGE_BYTES : Math.min(MOST_MESSAGE_BYTES, (memoryMb * 1024 * 1024) / MEMORY_SHARE);
}

export interface SessionOptions {
  capnweb: Capnweb;
  /** What the other side may call from the start; null: nothing. */
  main: object | null;
  /** The other side is not a base of ours: see values.ts. */
  plain: boolean;
  mostMessageBytes: number;
  /** Messages of one turn, framed. */
  send(chunk: Uint8Array): void;
  /** Neither side holds anything of the other and nothing is under way. May be called more than once. */
  idle?(): void;
  /** It cannot go on: the other side broke the rules, or says that it gave up. */
  broken(reason: unknown): void;
  calls?: CallWatcher;
}

/** The other side has said all: what it gave holds nothing of it. */
export class SessionOver extends Error {
  constructor() {
    super('The session has ended.');
  }
}

/** Hears of calls that come in. */
export interface CallWatcher {
  /** Gives what to call when it has ended. */
  began(): () => void;
  /** By what the method threw. */
  failed(thrown: unknown): void;
}

export class Session implements References, Holder, Speaker {
  readonly #options: SessionOptions;
  readonly #transport: Transport;
  readonly #session: capnweb.RpcSession;
  /** What went out before goes out as the same. Made when something does: most sessions send values alone. */
  #doors: WeakMap<object, object> | null = null;
  #pending: string[] = [];
  /** Results nobody has asked for yet. */
  #unasked: FarResult[] = [];
  #ended = false;
  /** What the other side asked for first has been said. */
  #answered = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#transport = new Transport(this, options.broken);
    const main = options.main === null ? undefined : this.#door(options.main);
    this.#session = new options.capnweb.RpcSession(this.#transport, main, {
      limits: { maxMessageSize: options.mostMessageBytes },
    });
  }

  /** What the other side offers from the start. */
  get main(): Stub {
    return new FarStub(this, this.#session.getRemoteMain() as unknown as Raw);
  }

  /** The other side says something. */
  message(text: string): void {
    this.#transport.received(text);
  }

  /** Resolves when everything that the other side has said has been read. */
  taken(): Promise<void> {
    return this.#transport.taken();
  }

  /** Nothing more is said; what has come stays as it is. */
  close(): void {
    this.flush();
    this.#ended = true;
  }

  /** As `end`, once what the other side has said before is read. */
  finish(): void {
    this.close();
    this.#transport.finish(new SessionOver());
  }

  /** Everything held ends: calls under way reject with the reason. Idempotent. */
  end(reason: unknown): void {
    if (!this.#ended) this.close();
    this.#transport.end(reason);
  }

  /** Resolves when everything that was asked for has been answered. */
  drain(): Promise<void> {
    return this.#session.drain();
  }

  out(message: string): void {
    if (this.#ended) return;
    this.#soon();
    this.#pending.push(message);
    this.#answered ||= FIRST_ANSWER.test(message);
    // The library forgets what it released after it has said so.
    if (message.startsWith('["release"')) queueMicrotask(() => this.checkIdle());
  }

  /** What was called in one turn goes out in one piece, with the wish for its result. */
  #soon(): void {
    if (this.#pending.length === 0 && this.#unasked.length === 0) process.nextTick(() => this.flush());
  }

  flush(): void {
    if (this.#ended) return;
    const unasked = this.#unasked;
    this.#unasked = [];
    for (const result of unasked) result.ask();
    const pending = this.#pending;
    this.#pending = [];
    if (pending.length > 0) this.#options.send(encodeTexts(pending));
  }

  checkIdle(): void {
    if (this.#ended || this.#options.idle === undefined) return;
    const { imports, exports } = this.#session.getStats();
    if (imports <= 1 && exports <= 1) this.#options.idle();
  }

  /** One call was made and is answered, and neither side holds anything but its result. */
  get saidAll(): boolean {
    if (!this.#answered) return false;
    const { imports, exports } = this.#session.getStats();
    return imports <= 1 && exports <= 2;
  }

  /** Throws when the other side holds more than it may. */
  checkCount(): void {
    const { imports, exports } = this.#session.getStats();
    if (imports + exports > MOST_REFERENCES) {
      throw new Error(`More than ${MOST_REFERENCES} stubs and calls under way in one session.`);
    }
  }

  /* ── what goes out ── */

  /** `of`: the result that it is called on. */
  call(raw: Raw, path: readonly string[], args: unknown[], of: FarResult | null): Result {
    try {
      const encoded = args.map((arg) => encode(arg, this, this.#options.plain));
      const again = of === null ? null : () => new LocalResult(of.value([])).call(path, args).value([]);
      const result = new FarResult(this, at(raw, path)(...encoded), again);
      this.#soon();
      this.#unasked.push(result);
      return result;
    } catch (error) {
      return new LocalResult(Promise.reject(error));
    }
  }

  /** The value of a result, as an author gets it. */
  take(raw: Raw, again: (() => Promise<unknown>) | null = null): Promise<unknown> {
    // At once, so that it is asked for in the turn in which it was called.
    return (raw as unknown as Promise<unknown>).then(
      (value) => this.#taken(value),
      (thrown: unknown) => {
        if (thrown instanceof SessionOver && again !== null) return again();
        throw this.#thrownThere(thrown);
      },
    );
  }

  #taken(value: unknown): unknown {
    const decoded = decode(value, this, this.#options.plain);
    // What the library has hung onto the value that it made.
    if (decoded !== value && isObject(value) && isObject(decoded) && !(Symbol.dispose in decoded)) {
      const dispose = (value as Partial<Disposable>)[Symbol.dispose];
      Object.defineProperty(decoded, Symbol.dispose, { value: dispose, writable: true, configurable: true });
    }
    return decoded;
  }

  #thrownThere(thrown: unknown): unknown {
    return isObject(thrown) && Object.hasOwn(thrown, MARK) ? decode(thrown, this, this.#options.plain) : thrown;
  }

  passed(value: object): unknown {
    const behind = behindReference(value);
    if (behind === undefined) return null;
    const { remote, path } = behind;
    if (remote instanceof FarStub || remote instanceof FarResult) return at(remote.raw, path);
    const { RpcPromise } = this.#options.capnweb;
    // A result of this very base; else a method of a binding, which is a function like any other.
    if (remote instanceof LocalResult) {
      return new RpcPromise(remote.value(path).then((it) => encode(it, this, this.#options.plain)) as Promise<never>);
    }
    return this.callback((...args) => remote.call(path, args).value([]));
  }

  target(target: object): object {
    this.#doors ??= new WeakMap();
    let door = this.#doors.get(target);
    if (door === undefined) {
      door = this.#door(target);
      this.#doors.set(target, door);
    }
    return door;
  }

  callback(method: (...args: unknown[]) => unknown): unknown {
    this.#doors ??= new WeakMap();
    let callback = this.#doors.get(method);
    if (callback === undefined) {
      callback = (...args: unknown[]) => this.#invoke(method, undefined, args);
      const dispose = (method as Partial<Disposable>)[Symbol.dispose];
      if (dispose !== undefined) {
        Object.defineProperty(callback, Symbol.dispose, { value: () => Reflect.apply(dispose, method, []) });
      }
      this.#doors.set(method, callback);
    }
    return callback;
  }

  /** What the library sees of an author's object: no property of its own, and methods that translate. */
  #door(target: object): object {
    const { RpcTarget } = this.#options.capnweb;
    return new Proxy(new RpcTarget() as object, {
      has: (_, name) => name === Symbol.dispose && Symbol.dispose in target,
      get: (_, name) => {
        if (typeof name === 'symbol') return name === Symbol.dispose ? disposeMethod(target) : undefined;
        // Asked by the library itself, which looks whether it is a promise or a stub.
        if (name === 'then' || name === 'dup') return undefined;
        const member = memberOf(target, name.startsWith(ESCAPE) ? name.slice(1) : name);
        if (typeof member !== 'function') return this.#property(member);
        return (...args: unknown[]) => this.#invoke(member, target, args);
      },
    });
  }

  #property(value: unknown): unknown {
    if (!isThenable(value)) return encode(value, this, this.#options.plain);
    const { RpcPromise } = this.#options.capnweb;
    return new RpcPromise(this.#settled(Promise.resolve(value)) as Promise<never>);
  }

  /* ── what comes in ── */

  received(raw: unknown): unknown {
    return stub(new FarStub(this, raw as Raw));
  }

  // biome-ignore lint/complexity/noBannedTypes: whatever is callable
  #invoke(method: Function, self: unknown, args: unknown[]): unknown {
    const { calls } = this.#options;
    const ended = calls?.began();
    let result: unknown;
    try {
      result = Reflect.apply(
        method,
        self,
        args.map((arg) => decode(arg, this, this.#options.plain)),
      );
      if (!isThenable(result)) {
        const encoded = encode(result, this, this.#options.plain);
        ended?.();
        return encoded;
      }
    } catch (thrown) {
      ended?.();
      throw this.#thrownHere(thrown);
    }
    return this.#settled(Promise.resolve(result)).finally(() => ended?.());
  }

  async #settled(promise: Promise<unknown>): Promise<unknown> {
    try {
      return encode(await promise, this, this.#options.plain);
    } catch (thrown) {
      throw this.#thrownHere(thrown);
    }
  }

  /** As others are told of it: never where it was thrown, and clients no more than what it says. */
  #thrownHere(thrown: unknown): unknown {
    this.#options.calls?.failed(thrown);
    if (!this.#options.plain) {
      try {
        return encode(thrown, this, false);
      } catch {
        // It cannot be sent; what it says can.
      }
    }
    const { name, message } = describeThrown(thrown);
    return Object.defineProperty(new Error(message), 'name', { value: name });
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return isObject(value) && typeof (value as { then?: unknown }).then === 'function';
}
