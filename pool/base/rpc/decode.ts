/** Values that have come in, made again from what values.ts tells. */
import { isPrimitive, MARK, type Marked, type References } from './values.ts';

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
