/**
 * Values on their way between bases. Cap'n Web carries plain objects and arrays, bytes, dates, big integers, errors,
 * HTTP objects, streams and stubs; what structured clone has beyond that travels as a plain object with one key that
 * says what it is:
 *
 *   Map, Set, RegExp, errors with their class, objects whose keys Cap'n Web would drop      {"\0hearth": kind, v: …}
 *   what holds itself, holds one object twice, or is very deep: its objects side by side     {"\0hearth": "graph", v: […]}
 *   an object that has such a key itself: its entries
 *
 * Not carried: symbols, class instances other than RpcTarget, boxed primitives, promises within values, FormData, File,
 * AbortSignal, the sign of -0, and what two typed arrays share. For others than bases of Hearth (`plain`) nothing is
 * dressed up like this, and nothing of theirs is taken for it: they get and give what Cap'n Web itself has.
 */

export const MARK = '\u0000hearth';

/** What of a value stands elsewhere, or is to be called from there. */
export interface References {
  /** Null: not one of ours. `value` is a function. */
  passed(value: object): unknown;
  target(value: object): unknown;
  /** A function of this base. */
  callback(value: (...args: unknown[]) => unknown): unknown;
  /** A stub that came in. */
  received(stub: unknown): unknown;
}

export type Marked = { [MARK]: string; v: unknown };

export function isPrimitive(value: unknown): boolean {
  return (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') || value === null;
}
