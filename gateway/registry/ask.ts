/** What traffic rules ask of an HTTP request: its headers and query, and its body where that has been read. */
import type { HeaderList } from '../../functions/contract/invocation.ts';
import type { Ask } from './traffic.ts';

export class HttpAsk implements Ask {
  readonly #headers: HeaderList;
  readonly #query: string;
  readonly #body: EarlyBody | null;
  #cookies: ReadonlyMap<string, string> | null = null;
  #parameters: URLSearchParams | null = null;

  /** `query` with its leading `?`, or empty. `body` null: it has none, or nobody waits for it. */
  constructor(headers: HeaderList, query: string, body: EarlyBody | null) {
    this.#headers = headers;
    this.#query = query;
    this.#body = body;
  }

  /** One that repeats is one list, as RFC 9110 has it. */
  header(wanted: string): string | null {
    let found: string | null = null;
    for (const [name, value] of this.#headers) {
      if (name === wanted || name.toLowerCase() === wanted) found = found === null ? value : `${found}, ${value}`;
    }
    return found;
  }

  cookie(name: string): string | null {
    this.#cookies ??= cookiesOf(this.#headers);
    return this.#cookies.get(name) ?? null;
  }

  query(name: string): string | null {
    this.#parameters ??= new URLSearchParams(this.#query);
    return this.#parameters.get(name);
  }

  json(pointer: string): unknown {
    return at(this.#body?.json, pointer);
  }
}

/** The first of a name, as it was set: without quotes, percent-encoding undone. */
function cookiesOf(headers: HeaderList): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>();
  for (const [name, value] of headers) {
    if (name.toLowerCase() !== 'cookie') continue;
    for (const pair of value.split(';')) {
      const equals = pair.indexOf('=');
      const key = pair.slice(0, Math.max(equals, 0)).trim();
      if (key === '' || cookies.has(key)) continue;
      const given = pair.slice(equals + 1).trim();
      const bare = given.length > 1 && given.startsWith('"') && given.endsWith('"') ? given.slice(1, -1) : given;
      cookies.set(key, decoded(bare));
    }
  }
  return cookies;
}

function decoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    // Not encoded, then: a percent sign of its own.
    return text;
  }
}

/** RFC 6901; undefined where the pointer leads nowhere. Only what stands in the document itself is found. */
function at(document: unknown, pointer: string): unknown {
  if (pointer === '') return document;
  let here = document;
  for (const part of pointer.slice(1).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined;
    // Arrays have a length of their own, which is no part of the document.
    if (Array.isArray(here) && !/^\d+$/.test(key)) return undefined;
    here = (here as Record<string, unknown>)[key];
  }
  return here;
}

/** A longer body is not waited for. */
export const MAX_EARLY_BYTES = 1024 * 1024;
/** What is given to the link at once of it. */
export const PIECE_BYTES = 64 * 1024;

/**
 * What is kept of a body until it is known who is to get it; all of it is then passed on. Copied together, since a body
 * may come in pieces of one byte, each of which would be an object of a hundred.
 */
export class EarlyBody {
  /** Nothing comes after this. */
  whole = false;
  #buffer = Buffer.alloc(0);
  #bytes = 0;
  /** null: only white space so far. */
  #mayBeJson: boolean | null = null;
  #parsed: { value: unknown } | null = null;

  /** False: there is no use in waiting for more, since what is there is too long or is not JSON. */
  add(chunk: Uint8Array): boolean {
    this.#mayBeJson ??= opensDocument(chunk);
    const bytes = this.#bytes + chunk.byteLength;
    if (bytes > this.#buffer.byteLength) {
      const larger = Buffer.allocUnsafeSlow(Math.max(bytes, 2 * this.#bytes));
      larger.set(this.content);
      this.#buffer = larger;
    }
    this.#buffer.set(chunk, this.#bytes);
    this.#bytes = bytes;
    if (bytes > MAX_EARLY_BYTES) this.#mayBeJson = false;
    return this.#mayBeJson !== false;
  }

  end(): void {
    this.whole = true;
  }

  get content(): Uint8Array {
    return this.#buffer.subarray(0, this.#bytes);
  }

  /** Undefined where it is not a whole JSON object or array. */
  get json(): unknown {
    if (!this.whole || this.#mayBeJson !== true) return undefined;
    this.#parsed ??= { value: parsed(this.content) };
    return this.#parsed.value;
  }
}

/** Whether an object or an array begins here, which is known by the first byte. Null: it has not come yet. */
function opensDocument(chunk: Uint8Array): boolean | null {
  const first = chunk.find((byte) => !isSpace(byte));
  return first === undefined ? null : first === 0x7b || first === 0x5b;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function parsed(content: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch {
    // What is not JSON has no fields.
    return undefined;
  }
}
