/**
 * What an author holds of something that stands elsewhere: a proxy that takes every name for a method or property there.
 *
 *   binding ──env.OTHER.add(1, 2)──► result ──await──► a value, or a stub
 *      │                               └──.name, .method()──► result    (pipelined: sent before the first has come back)
 *      └──env.OTHER.version──► property ──await──► its value
 */

/** Something elsewhere. */
export interface Remote {
  /** Calls the method at the path; of the thing itself where it is empty. Never throws. */
  call(path: readonly string[], args: unknown[]): Result;
  /** The value at the path; rejects for a stub itself. */
  value(path: readonly string[]): Promise<unknown>;
}

/** Of a call: it will be a value, and may be used before. */
export interface Result extends Remote {
  /** Not wanted any more. */
  dispose(): void;
}

/** Held until it is disposed of. */
export interface Stub extends Remote {
  dispose(): void;
  /** One more that is held by itself. */
  dup(): Stub;
}

/** What stands behind a proxy that `reference` made, for whoever passes it on. */
export interface Behind {
  remote: Remote | Result | Stub;
  path: readonly string[];
}

/**
 * What only this file asks a reference for. A WeakMap of them would do as well, but then a young collection keeps all that
 * went through it, and calls are measured in the memory they leave behind.
 */
const BEHIND = Symbol('behind');

export function behindReference(value: unknown): Behind | undefined {
  return typeof value === 'function' ? (value as { [BEHIND]?: Behind })[BEHIND] : undefined;
}

/** Methods kept for the next access of the same name. */
const MOST_KEPT_NAMES = 64;
const NOTHING: readonly string[] = [];

type Kind = 'result' | 'stub' | 'member';

class Handler implements ProxyHandler<() => void> {
  readonly #kind: Kind;
  readonly #remote: Remote;
  readonly #path: readonly string[];

  constructor(kind: Kind, remote: Remote, path: readonly string[]) {
    this.#kind = kind;
    this.#remote = remote;
    this.#path = path;
  }

  apply(_target: unknown, _self: unknown, args: unknown[]): unknown {
    return result(this.#remote.call(this.#path, args));
  }

  get(_target: unknown, name: string | symbol): unknown {
    if (typeof name === 'symbol') {
      if (name === BEHIND) return { remote: this.#remote, path: this.#path };
      return name === Symbol.dispose ? this.#dispose() : undefined;
    }
    if (name === 'then' || name === 'catch' || name === 'finally') {
      // A stub is no promise: it would be called where it is merely handed on.
      if (this.#kind !== 'stub') return promiseMethod(this.#remote.value(this.#path), name);
      if (name === 'then') return undefined;
    }
    if (name === 'dup' && this.#kind === 'stub') return () => stub((this.#remote as Stub).dup());
    return proxy('member', this.#remote, [...this.#path, name]);
  }

  has(_target: unknown, name: string | symbol): boolean {
    if (typeof name === 'symbol') return name === Symbol.dispose && this.#kind !== 'member';
    return name !== 'then' || this.#kind !== 'stub';
  }

  set(): boolean {
    throw new TypeError('What stands elsewhere cannot be assigned to.');
  }

  getOwnPropertyDescriptor(): undefined {
    return undefined;
  }

  ownKeys(): string[] {
    return [];
  }

  #dispose(): (() => void) | undefined {
    return this.#kind === 'member' ? undefined : () => (this.#remote as Result | Stub).dispose();
  }
}

/** Rejections are left to whoever asked for the method. */
function promiseMethod(promise: Promise<unknown>, name: 'then' | 'catch' | 'finally'): unknown {
  return (promise[name] as (...args: unknown[]) => unknown).bind(promise);
}

function proxy(kind: Kind, remote: Remote, path: readonly string[]): object {
  return new Proxy(() => undefined, new Handler(kind, remote, path));
}

/** What a call gives back at once. */
export function result(remote: Result): object {
  return proxy('result', remote, NOTHING);
}

export function stub(remote: Stub): object {
  return proxy('stub', remote, NOTHING);
}

/**
 * An object with these members of its own; every other name is a method or property of the remote. Not a promise, and
 * not one for JSON, whatever the other side may have.
 */
export function binding<Own extends object>(remote: Remote, own: Own): Own {
  let kept = 0;
  const names = new Proxy(Object.create(Object.prototype) as object, {
    get(target, name, receiver) {
      if (typeof name === 'symbol' || name === 'then' || name === 'toJSON' || name in Object.prototype) {
        return Reflect.get(target, name, receiver);
      }
      const member = proxy('member', remote, [name]);
      // Found without the trap from now on.
      if (kept++ < MOST_KEPT_NAMES) Object.defineProperty(receiver, name, { value: member, configurable: true });
      return member;
    },
    has: (target, name) => name !== 'then' && (typeof name === 'string' || Reflect.has(target, name)),
  });
  const made = Object.create(names) as Own;
  for (const [name, value] of Object.entries(own)) {
    Object.defineProperty(made, name, { value, writable: true, configurable: true });
  }
  return made;
}
