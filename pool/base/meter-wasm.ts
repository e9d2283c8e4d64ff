/**
 * WASM code grows its memory without asking anybody: so the maximum is written into the module itself, in the limits of
 * its memory section, before the engine sees it.
 */

export const PAGE_BYTES = 65_536;

export interface Bounded {
  bytes: Uint8Array;
  /** Pages of its own memories to begin with, together. */
  initialPages: number;
}

const HEADER_BYTES = 8;
const MEMORY_SECTION = 5;
const HAS_MAXIMUM = 1;
const CUSTOM_PAGE_SIZE = 8;

/** With no memory over `maxPages`. What is not well formed comes back as it is: the engine refuses it. */
export function boundMemories(bytes: Uint8Array, maxPages: number): Bounded {
  try {
    return rewrite(bytes, maxPages);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { bytes, initialPages: 0 };
  }
}

class Malformed extends Error {}

function rewrite(bytes: Uint8Array, maxPages: number): Bounded {
  const reader = new Reader(bytes, HEADER_BYTES);
  while (!reader.ended) {
    const start = reader.at;
    const id = reader.byte();
    const size = reader.number();
    const payload = reader.at;
    if (id !== MEMORY_SECTION) {
      reader.skip(size);
      continue;
    }
    const { section, initialPages } = boundSection(reader, maxPages);
    if (reader.at !== payload + size) throw new Malformed();
    const head = [MEMORY_SECTION, ...encode(section.length)];
    return {
      bytes: Buffer.concat([
        bytes.subarray(0, start),
        Uint8Array.from([...head, ...section]),
        bytes.subarray(reader.at),
      ]),
      initialPages,
    };
  }
  return { bytes, initialPages: 0 };
}

function boundSection(reader: Reader, maxPages: number): { section: number[]; initialPages: number } {
  const count = reader.number();
  const section = [...encode(count)];
  let initialPages = 0;
  for (let n = 0; n < count; n++) {
    const flags = reader.byte();
    const initial = reader.number();
    const declared = (flags & HAS_MAXIMUM) === 0 ? Number.POSITIVE_INFINITY : reader.number();
    // Pages of another size are left alone: what they take is seen from outside.
    const custom = (flags & CUSTOM_PAGE_SIZE) === 0 ? null : reader.number();
    const maximum = custom === null ? Math.max(initial, Math.min(declared, maxPages)) : declared;
    section.push(Number.isFinite(maximum) ? flags | HAS_MAXIMUM : flags, ...encode(initial));
    if (Number.isFinite(maximum)) section.push(...encode(maximum));
    if (custom !== null) section.push(...encode(custom));
    initialPages += initial;
  }
  return { section, initialPages };
}

class Reader {
  at: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  get ended(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new Malformed();
    return byte;
  }

  /** LEB128, unsigned. */
  number(): number {
    let value = 0;
    for (let place = 1; place < 2 ** 56; place *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * place;
      if (byte < 0x80) return value;
    }
    throw new Malformed();
  }

  skip(count: number): void {
    this.at += count;
    if (this.at > this.#bytes.length) throw new Malformed();
  }
}

function encode(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return bytes;
}
