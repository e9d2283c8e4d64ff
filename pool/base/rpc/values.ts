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

import { unlight } from '../web/light-request.ts';
import { realResponse } from '../web/light-response.ts';
import { isTarget } from './members.ts';

export const MARK = '\u0000hearth';
/** Cap'n Web takes 256 levels; a marked value uses up some for itself. */
const MOST_NESTED = 60;

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

export class DataCloneError extends DOMException {
  constructor(what: string) {
    super(`${what} cannot be sent over RPC.`, 'DataCloneError');
  }
}

type Marked = { [MARK]: string; v: unknown };

function marked(kind: string, v: unknown): Marked {
  return { [MARK]: kind, v };
}

/** Thrown to begin anew, where a value is no tree. */
const NO_TREE = Symbol('no tree');

/** Throws DataCloneError. Hands back the same object where nothing of it had to be changed. */
export function encode(value: unknown, references: References, plain: boolean): unknown {
  if (isPrimitive(value)) return value;
  try {
    return new Encoder(references, plain, null).encode(value, 0);
  } catch (thrown) {
    if (thrown !== NO_TREE) throw thrown;
    return new GraphEncoder(references).encode(value);
  }
}

type Children = (value: unknown, depth: number) => unknown;

class Encoder {
  readonly #references: References;
  readonly #plain: boolean;
  readonly #child: Children;
  #seen: Set<object> | null = null;
  readonly #tracks: boolean;

  constructor(references: References, plain: boolean, child: Children | null) {
    this.#references = references;
    this.#plain = plain;
    this.#tracks = child === null;
    this.#child = child ?? ((value, depth) => this.encode(value, depth));
  }

  encode(value: unknown, depth: number): unknown {
    if (isPrimitive(value)) return value;
    if (typeof value === 'function') {
      return this.#references.passed(value) ?? this.#references.callback(value as (...args: unknown[]) => unknown);
    }
    if (typeof value !== 'object' || value === null) throw new DataCloneError(`A ${typeof value}`);
    if (isTarget(value)) return this.#references.target(value);
    if (this.#tracks) this.#track(value, depth);
    return this.shallow(value, depth);
  }

  /** Of a tree each object is met once. Others are counted where Cap'n Web itself would loop or copy. */
  #track(value: object, depth: number): void {
    this.#seen ??= new Set();
    if (!this.#seen.has(value) && depth <= MOST_NESTED) {
      this.#seen.add(value);
      return;
    }
    if (!this.#plain) throw NO_TREE;
    if (depth > 4 * MOST_NESTED) throw new DataCloneError('A value that holds itself, or is this deep,');
  }

  shallow(value: object, depth: number): unknown {
    const next = depth + 1;
    switch (Object.getPrototypeOf(value)) {
      case Object.prototype:
        return this.#object(value as Record<string, unknown>, next, false);
      case null:
        return this.#object(value as Record<string, unknown>, next, true);
      case Array.prototype:
        return this.#array(value as unknown[], next);
      default:
        return this.#special(value, next);
    }
  }

  #object(value: Record<string, unknown>, depth: number, copy: boolean): unknown {
    const keys = Object.keys(value);
    if (!this.#plain && keys.some(isOdd)) {
      return marked(
        'object',
        keys.map((key) => [key, this.#child(value[key], depth)]),
      );
    }
    let encoded: Record<string, unknown> | null = copy ? {} : null;
    for (const key of keys) {
      const before = value[key];
      const after = this.#child(before, depth);
      if (encoded === null && after !== before) {
        encoded = { ...value };
      }
      if (encoded !== null) encoded[key] = after;
    }
    return encoded ?? value;
  }

  #array(value: unknown[], depth: number): unknown {
    let encoded: unknown[] | null = null;
    for (let i = 0; i < value.length; i++) {
      const after = this.#child(value[i], depth);
      if (encoded === null && after !== value[i]) encoded = value.slice(0, i);
      if (encoded !== null) encoded[i] = after;
    }
    return encoded ?? value;
  }

  #special(value: object, depth: number): unknown {
    if (value instanceof Error) return this.#error(value, depth);
    if (value instanceof Response) return realResponse(value);
    if (value instanceof Request) return unlight(value);
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
      if (value instanceof Float16Array) {
        if (this.#plain) throw new DataCloneError('A Float16Array');
        return marked('float16', new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
      }
      return value;
    }
    if (CARRIED.some((known) => value instanceof known)) return value;
    if (!this.#plain) {
      if (value instanceof Map) {
        return marked(
          'map',
          Array.from(value, ([key, item]) => [this.#child(key, depth), this.#child(item, depth)]),
        );
      }
      if (value instanceof Set)
        return marked(
          'set',
          Array.from(value, (item) => this.#child(item, depth)),
        );
      if (value instanceof RegExp) return marked('regexp', [value.source, value.flags]);
    }
    throw new DataCloneError(`An object of class ${nameOf(value)}`);
  }

  #error(error: Error, depth: number): unknown {
    if (this.#plain) return error;
    const props: Record<string, unknown> = {};
    for (const key of Object.keys(error)) {
      if (key === 'name' || key === 'message' || key === 'stack') continue;
      this.#prop(props, key, (error as unknown as Record<string, unknown>)[key], depth);
    }
    if ('cause' in error) this.#prop(props, 'cause', error.cause, depth);
    if (error instanceof AggregateError) this.#prop(props, 'errors', error.errors, depth);
    return marked('error', [String(error.name), String(error.message), props]);
  }

  /** What cannot travel must not hide the error that it belongs to. */
  #prop(props: Record<string, unknown>, key: string, value: unknown, depth: number): void {
    try {
      props[key] = this.#child(value, depth);
    } catch (thrown) {
      if (!(thrown instanceof DataCloneError)) throw thrown;
    }
  }
}

const CARRIED = [Date, Headers, ReadableStream, WritableStream, URL, Blob];

/** Each object once, in a list; where one holds another there is the other's place. */
class GraphEncoder {
  readonly #encoder: Encoder;
  readonly #places = new Map<object, number>();
  readonly #found: object[] = [];

  constructor(references: References) {
    this.#encoder = new Encoder(references, false, (value) => this.#child(value));
  }

  encode(root: unknown): Marked {
    this.#child(root);
    const nodes: unknown[] = [];
    // What is found on the way is encoded later on, so that no depth is too much.
    for (let i = 0; i < this.#found.length; i++) nodes.push(this.#encoder.shallow(this.#found[i] as object, 0));
    return marked('graph', nodes);
  }

  #child(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || isTarget(value)) return this.#encoder.encode(value, 0);
    let place = this.#places.get(value);
    if (place === undefined) {
      place = this.#found.push(value) - 1;
      this.#places.set(value, place);
    }
    return marked('at', place);
  }
}

/**
 * Changes what it is given. Throws TypeError for what no encoder makes. `plain`: what is dressed up is data like any other.
 * Of clients it is not taken off: forty objects that each hold the next one twice are a thousand billion to whoever
 * writes them down.
 */
export function decode(value: unknown, references: References, plain: boolean): unknown {
  return isPrimitive(value) ? value : new Decoder(references, plain).decode(value, 0);
}

class Decoder {
  readonly #references: References;
  readonly #plain: boolean;
  #nodes: unknown[] | null = null;

  constructor(references: References, plain: boolean) {
    this.#references = references;
    this.#plain = plain;
  }

  decode(value: unknown, depth: number): unknown {
    if (isPrimitive(value)) return value;
    // Functions do not travel: these are stubs of Cap'n Web.
    if (typeof value === 'function') return this.#references.received(value);
    if (depth > MOST_LEVELS) throw new TypeError('A value is too deep.');
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) value[i] = this.decode(value[i], depth + 1);
      return value;
    }
    if (Object.getPrototypeOf(value) === Object.prototype) {
      const fields = value as Record<string, unknown>;
      if (!this.#plain && Object.hasOwn(fields, MARK)) return this.#marked(fields as Marked, depth + 1);
      for (const key of Object.keys(fields)) fields[key] = this.decode(fields[key], depth + 1);
      return value;
    }
    // Its buffer is shared with what else this base reads.
    if (Buffer.isBuffer(value)) return new Uint8Array(value);
    return value;
  }

  #marked(value: Marked, depth: number): unknown {
    const { [MARK]: kind, v } = value;
    if (kind === 'graph') return this.#graph(list(v), depth);
    if (kind === 'at') {
      const node = typeof v === 'number' && this.#nodes !== null ? this.#nodes[v] : undefined;
      if (node === undefined) throw new TypeError('A value refers to what it does not hold.');
      return node;
    }
    const empty = emptyOf(kind, v);
    this.#fill(empty, kind, v, depth);
    return empty;
  }

  #graph(encoded: unknown[], depth: number): unknown {
    if (this.#nodes !== null) throw new TypeError('A value within a value.');
    // All of them first: they hold each other.
    this.#nodes = encoded.map((node) => {
      if (Array.isArray(node)) return [];
      if (typeof node === 'object' && node !== null && Object.getPrototypeOf(node) === Object.prototype) {
        return Object.hasOwn(node, MARK) ? emptyOf((node as Marked)[MARK], (node as Marked).v) : {};
      }
      return this.decode(node, depth);
    });
    for (const [i, node] of encoded.entries()) {
      const filled = this.#nodes[i] as object;
      if (Array.isArray(node)) for (const item of node) (filled as unknown[]).push(this.decode(item, depth + 1));
      else if (typeof node === 'object' && node !== null && Object.getPrototypeOf(node) === Object.prototype) {
        if (Object.hasOwn(node, MARK)) this.#fill(filled, (node as Marked)[MARK], (node as Marked).v, depth + 1);
        else for (const [key, item] of Object.entries(node)) define(filled, key, this.decode(item, depth + 1));
      }
    }
    const root = this.#nodes[0];
    this.#nodes = null;
    return root;
  }

  #fill(empty: object, kind: string, v: unknown, depth: number): void {
    switch (kind) {
      case 'map':
        for (const pair of list(v)) {
          const [key, item] = list(pair);
          (empty as Map<unknown, unknown>).set(this.decode(key, depth), this.decode(item, depth));
        }
        return;
      case 'set':
        for (const item of list(v)) (empty as Set<unknown>).add(this.decode(item, depth));
        return;
      case 'object':
        for (const pair of list(v)) {
          const [key, item] = list(pair);
          define(empty, String(key), this.decode(item, depth));
        }
        return;
      case 'error':
        for (const [key, item] of Object.entries(list(v)[2] ?? {})) {
          define(empty, key, this.decode(item, depth), key !== 'cause' && key !== 'errors');
        }
        return;
    }
  }
}

/** Above what one message can hold. */
const MOST_LEVELS = 1000;

/** Throws TypeError for a kind that there is not. */
function emptyOf(kind: unknown, v: unknown): object {
  switch (kind) {
    case 'map':
      return new Map();
    case 'set':
      return new Set();
    case 'object':
      return {};
    case 'regexp': {
      const [source, flags] = list(v);
      return new RegExp(String(source), String(flags));
    }
    case 'float16':
      if (!(v instanceof Uint8Array)) break;
      return new Float16Array(new Uint8Array(v).buffer);
    case 'error': {
      const [name, message] = list(v);
      return errorOf(String(name), String(message));
    }
  }
  throw new TypeError(`A value of an unknown kind: ${JSON.stringify(kind)?.slice(0, 40)}.`);
}

const ERRORS: Record<string, ErrorConstructor> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** Of the class where it is one of the language's own. Where it was thrown is not told. */
function errorOf(name: string, message: string): Error {
  const known = Object.hasOwn(ERRORS, name) ? ERRORS[name] : undefined;
  const error =
    name === 'AggregateError'
      ? new AggregateError([], message)
      : known === undefined
        ? new Error(message)
        : new known(message);
  if (error.name !== name) define(error, 'name', name, false);
  Object.defineProperty(error, 'stack', { value: `${name}: ${message}`, writable: true, configurable: true });
  return error;
}

function define(object: object, key: string, value: unknown, enumerable = true): void {
  Object.defineProperty(object, key, { value, enumerable, writable: true, configurable: true });
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new TypeError('A value that no encoder makes.');
  return value;
}

function isPrimitive(value: unknown): boolean {
  return (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') || value === null;
}

/** Cap'n Web drops these, and the last is ours. */
function isOdd(key: string): boolean {
  return key in Object.prototype || key === 'toJSON' || key === MARK;
}

function nameOf(value: object): string {
  const made = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof made === 'string' && made !== '' ? made : 'its own';
}
