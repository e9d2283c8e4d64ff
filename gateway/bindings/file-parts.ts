/** The content of a file on its way to the store and from it: one part in memory, and what the link has under way. */
import { HearthError } from '../../functions/contract/errors.ts';
import type { Exchange, ExchangeHandler, LinkError } from '../../pool/link/link.ts';
import { FILE_PART_BYTES } from '../store/api/files.ts';
import { type BodyRoom, NO_BODY } from './body.ts';
import type { ReadGate } from './read-gate.ts';

/**
 * Takes in the body of a call, part by part: the next one is asked for when `store` has taken the one before. Resolves with
 * the bytes of all. Rejects with PAYLOAD_TOO_LARGE, with NO_CAPACITY where too many bodies are in memory, and when the
 * module goes away.
 */
export async function receiveParts(
  exchange: Exchange,
  mostBytes: number,
  room: BodyRoom,
  store: (number: number, bytes: Uint8Array) => Promise<void>,
): Promise<number> {
  const body = new PartBody(exchange, mostBytes, room);
  try {
    for (let number = 0; ; number++) {
      const part = await body.next();
      if (part === null) return body.total;
      await store(number, part);
      body.stored(part.byteLength);
    }
  } finally {
    body.release();
  }
}

class PartBody implements ExchangeHandler {
  readonly #exchange: Exchange;
  readonly #mostBytes: number;
  readonly #room: BodyRoom;
  #chunks: Uint8Array[] = [];
  #waitingBytes = 0;
  /** Of the budget: what waits, and the part that is being stored. */
  #heldBytes = 0;
  /** Arrived beyond one part: given back when that has gone. */
  #owedBytes = 0;
  #ended = false;
  #failure: HearthError | null = null;
  #wake: (() => void) | null = null;
  total = 0;

  constructor(exchange: Exchange, mostBytes: number, room: BodyRoom) {
    this.#exchange = exchange;
    this.#mostBytes = mostBytes;
    this.#room = room;
    exchange.handler = this;
  }

  head = ignore;
  drain = ignore;

  data(chunk: Uint8Array): void {
    const bytes = chunk.byteLength;
    if (this.#failure !== null) {
      this.#exchange.consumed(bytes);
      return;
    }
    this.total += bytes;
    if (this.total > this.#mostBytes) {
      this.#fail(
        new HearthError('PAYLOAD_TOO_LARGE', `The file is over ${this.#mostBytes} bytes (HEARTH_MAX_BODY_MB).`),
      );
    } else if (!this.#room.budget.take(this.#room.trustGroup, bytes)) {
      const message = 'The gateway has too many bodies of binding calls in memory.';
      this.#fail(new HearthError('NO_CAPACITY', message, { retryAfterS: 1 }));
    } else {
      this.#heldBytes += bytes;
      this.#waitingBytes += bytes;
      this.#chunks.push(chunk);
      if (this.#waitingBytes <= FILE_PART_BYTES) this.#exchange.consumed(bytes);
      else this.#owedBytes += bytes;
      if (this.#waitingBytes >= FILE_PART_BYTES) this.#notify();
    }
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  closed(error: LinkError | null): void {
    this.#fail(new HearthError('INTERNAL', `The module went away: ${error?.message ?? 'its call was cut off'}.`));
  }

  /** The next part, all but the last of one size; null: that was all. */
  async next(): Promise<Uint8Array | null> {
    while (this.#failure === null && !this.#ended && this.#waitingBytes < FILE_PART_BYTES) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== null) throw this.#failure;
    if (this.#waitingBytes === 0) return null;
    const whole = Buffer.concat(this.#chunks, this.#waitingBytes);
    const part = whole.subarray(0, FILE_PART_BYTES);
    const rest = whole.subarray(part.byteLength);
    this.#chunks = rest.byteLength === 0 ? [] : [Buffer.from(rest)];
    this.#waitingBytes = rest.byteLength;
    return part;
  }

  stored(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#room.budget.giveBack(this.#room.trustGroup, bytes);
    if (this.#owedBytes > 0 && this.#failure === null) this.#exchange.consumed(this.#owedBytes);
    this.#owedBytes = 0;
  }

  release(): void {
    this.#room.budget.giveBack(this.#room.trustGroup, this.#heldBytes);
    this.#heldBytes = 0;
    this.#chunks = [];
    this.#failure ??= new HearthError('INTERNAL', 'The call is over.');
  }

  #fail(error: HearthError): void {
    if (this.#ended && error.code === 'INTERNAL') return;
    this.#failure ??= error;
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}

export interface PartSource {
  /** Null: it has gone. */
  read(number: number): Promise<Uint8Array | null>;
  gate: ReadGate;
  trustGroup: string;
  exchange: Exchange;
}

/** Sends the head, and this piece of the content behind it: a part is read when its reader has taken the one before. */
export async function sendParts(
  source: PartSource,
  head: object,
  { offset, length }: { offset: number; length: number },
  partBytes = FILE_PART_BYTES,
): Promise<void> {
  const { exchange } = source;
  const taken = new Taken();
  exchange.handler = { ...NO_BODY, drain: () => taken.drained(), closed: () => taken.close() };
  const end = offset + length;
  let at = offset;
  do {
    const number = Math.floor(at / partBytes);
    const start = number * partBytes;
    await heldPart(source, length === 0 ? null : number, async (part) => {
      if (taken.closed) return;
      const piece = part?.subarray(at - start, end - start) ?? null;
      if (at === offset) exchange.sendHead(head, null, length === 0);
      if (piece !== null && !exchange.write(piece)) await taken.next();
    });
    at = start + partBytes;
  } while (at < end && !taken.closed);
  if (length > 0 && !taken.closed) exchange.end();
}

/** Holds its room from before the part is read until its reader has taken it, or has gone. */
async function heldPart(
  { gate, trustGroup, read }: PartSource,
  number: number | null,
  use: (part: Uint8Array | null) => Promise<void>,
): Promise<void> {
  if (number === null) return use(null);
  await gate.enter(trustGroup);
  let part: Uint8Array | null = null;
  try {
    if (gate.full(trustGroup)) {
      throw new HearthError('NO_CAPACITY', 'Too many files wait to be read; read some first.');
    }
    part = await read(number);
  } finally {
    gate.read(trustGroup, part?.byteLength ?? 0);
  }
  if (part === null)
    throw new HearthError('INTERNAL', 'The file was replaced, and read too slowly to be kept so long.');
  try {
    await use(part);
  } finally {
    gate.released(trustGroup, part.byteLength);
  }
}

/** Whether the other side has taken what was written. */
class Taken {
  closed = false;
  #wake: (() => void) | null = null;

  drained(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  close(): void {
    this.closed = true;
    this.drained();
  }

  next(): Promise<void> {
    if (this.closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

function ignore(): void {
  // Only the opener of an exchange is answered, and nothing is sent while its body comes.
}
