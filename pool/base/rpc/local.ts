/** Calls within one base: what is given and what comes back are the very objects, nothing is copied. */
import { follow } from './members.ts';
import type { Result } from './reference.ts';

export class LocalResult implements Result {
  readonly #promise: Promise<unknown>;

  constructor(promise: Promise<unknown>) {
    this.#promise = promise;
  }

  call(path: readonly string[], args: unknown[]): Result {
    return new LocalResult(this.#promise.then((value) => callAt(value, path, args)));
  }

  value(path: readonly string[]): Promise<unknown> {
    return path.length === 0 ? this.#promise : this.#promise.then((value) => follow(value, path).value);
  }

  dispose(): void {
    this.#promise.then(disposeOf, () => undefined);
  }
}

/** Throws what the method throws, and TypeError where there is none. */
export function callAt(from: unknown, path: readonly string[], args: unknown[]): unknown {
  const { value, self } = follow(from, path);
  if (typeof value !== 'function') throw new TypeError(`"${path.join('.')}" is not a method.`);
  return Reflect.apply(value, self, args);
}

/** So that `using` takes it, as it takes what has come from another base. */
export function disposable(value: unknown): unknown {
  const holds = (typeof value === 'object' && value !== null) || typeof value === 'function';
  if (holds && !(Symbol.dispose in value) && Object.isExtensible(value)) {
    Object.defineProperty(value, Symbol.dispose, { value: nothingHeld, writable: true, configurable: true });
  }
  return value;
}

function nothingHeld(): void {
  return;
}

function disposeOf(value: unknown): void {
  (value as Partial<Disposable> | null | undefined)?.[Symbol.dispose]?.();
}
