/** Values on their way out. What they become is told in values.ts. */
import { unlight } from '../web/light-request.ts';
import { realResponse } from '../web/light-response.ts';
import { isTarget } from './members.ts';
import { isPrimitive, MARK, type Marked, type References } from './values.ts';

/** Cap'n Web takes 256 levels; a marked value uses up some for itself. */
const MOST_NESTED = 60;

export class DataCloneError extends DOMException {
  constructor(what: string) {
    super(`${what} cannot be sent over RPC.`, 'DataCloneError');
  }
}

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

/** Cap'n Web drops these, and the last is ours. */
function isOdd(key: string): boolean {
  return key in Object.prototype || key === 'toJSON' || key === MARK;
}

function nameOf(value: object): string {
  const made = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof made === 'string' && made !== '' ? made : 'its own';
}
