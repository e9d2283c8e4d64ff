/**
 * What the policy decides with. Function code shares the realm, so it can replace any method of a built-in prototype
 * before the policy runs again: these were taken before that, and tables are null-prototype objects read by key.
 */

/** `fn.call` fixed to `fn`: a call that looks nothing up. */
export function uncurry<This, Args extends unknown[], Result>(
  fn: (this: This, ...args: Args) => Result,
): (self: This, ...args: Args) => Result {
  return Function.prototype.call.bind(fn) as (self: This, ...args: Args) => Result;
}

export const startsWith = uncurry(String.prototype.startsWith);
export const sliceText = uncurry(String.prototype.slice) as (text: string, from: number) => string;
export const pop = uncurry(Array.prototype.pop) as (array: unknown[]) => unknown;
export const { apply, construct } = Reflect;
export const { defineProperty, hasOwn } = Object;

/** An object that inherits nothing: reading a key asks nobody else. */
export function table<Value>(entries: readonly (readonly [string, Value])[] = []): Record<string, Value> {
  const made = Object.create(null) as Record<string, Value>;
  for (let at = 0; at < entries.length; at++) {
    const entry = entries[at] as readonly [string, Value];
    made[entry[0]] = entry[1];
  }
  return made;
}
