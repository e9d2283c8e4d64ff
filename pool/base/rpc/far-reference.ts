/** What a session holds of the other side: stubs and results, as an author's proxies ask for them. */
import { LocalResult } from './local.ts';
import type { Result, Stub } from './reference.ts';

/** Names that Cap'n Web's stubs take for their own, and an author may mean. */
const TAKEN = new Set(['map', 'catch', 'finally', 'onRpcBroken']);
export const ESCAPE = '\u0000';

/** A stub or promise of the library, as far as it is used: any name is a method or property elsewhere. */
export type Raw = ((...args: unknown[]) => Raw) & { [name: string]: Raw };

/** Of a Session what they need. */
export interface Holder {
  /** `of`: the result that it is called on. */
  call(raw: Raw, path: readonly string[], args: unknown[], of: FarResult | null): Result;
  /** The value of a result, as an author gets it. */
  take(raw: Raw, again?: (() => Promise<unknown>) | null): Promise<unknown>;
}

/** What stands at a path from a stub. */
export function at(raw: Raw, path: readonly string[]): Raw {
  let found = raw;
  for (const name of path) found = found[TAKEN.has(name) ? ESCAPE + name : name] as Raw;
  return found;
}

export class FarStub implements Stub {
  readonly raw: Raw;
  readonly #session: Holder;

  constructor(session: Holder, raw: Raw) {
    this.#session = session;
    this.raw = raw;
  }

  call(path: readonly string[], args: unknown[]): Result {
    return this.#session.call(this.raw, path, args, null);
  }

  value(path: readonly string[]): Promise<unknown> {
    if (path.length === 0) return Promise.reject(new TypeError('A stub is not a promise.'));
    return this.#session.take(at(this.raw, path));
  }

  dispose(): void {
    disposeMethod(this.raw)?.();
  }

  dup(): Stub {
    return new FarStub(this.#session, (this.raw.dup as Raw)());
  }
}

export class FarResult implements Result {
  readonly raw: Raw;
  readonly #session: Holder;
  /** The same here, where the other side had given what it is called on, and gone, before it heard of this. */
  readonly #again: (() => Promise<unknown>) | null;
  #settled: Promise<unknown> | null = null;
  /** Something was called on it: its own value may not be wanted. */
  #passedThrough = false;

  constructor(session: Holder, raw: Raw, again: (() => Promise<unknown>) | null) {
    this.#session = session;
    this.raw = raw;
    this.#again = again;
  }

  call(path: readonly string[], args: unknown[]): Result {
    this.#passedThrough = true;
    return this.#session.call(this.raw, path, args, this);
  }

  value(path: readonly string[]): Promise<unknown> {
    if (path.length > 0) {
      this.#passedThrough = true;
      return this.#session.take(at(this.raw, path), () => new LocalResult(this.value([])).value(path));
    }
    this.#settled ??= this.#session.take(this.raw, this.#again);
    return this.#settled;
  }

  /** A call is made whether or not anyone waits for it, and what it threw is not lost. */
  ask(): void {
    if (!this.#passedThrough) this.#settled ??= this.#session.take(this.raw, this.#again);
  }

  dispose(): void {
    // Of what has come already, what it holds is disposed of with it.
    disposeMethod(this.raw)?.();
  }
}

export function disposeMethod(holder: object): (() => void) | undefined {
  const dispose = (holder as Partial<Disposable>)[Symbol.dispose];
  return dispose === undefined ? undefined : () => Reflect.apply(dispose, holder, []);
}
