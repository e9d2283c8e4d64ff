/**
 * Frames on the wire, and nothing above them: reading them out of socket chunks, writing them into one buffer a tick.
 *
 *   u32 length · u8 type · u32 stream · payload          big endian; length counts everything behind itself
 *
 * OPEN and HEAD carry `u32 headBytes · head JSON · first body bytes`. The highest bit of the type is FIN.
 */
import { Buffer } from 'node:buffer';

export const OPEN = 1;
export const HEAD = 2;
export const DATA = 3;
export const CANCEL = 4;
export const CREDIT = 5;
export const EVENT = 6;
export const PING = 7;
export const PONG = 8;
export const FIN = 0x80;

/** Body bytes in one frame at most. A head is never split, so a frame may be longer by its head. */
export const MAX_BODY_BYTES = 64 * 1024;
/** A head or an event at most. */
export const MAX_HEAD_BYTES = 512 * 1024;

export const PREFIX_BYTES = 4;
export const HEADER_BYTES = 9;
const MAX_LENGTH = HEADER_BYTES - PREFIX_BYTES + 4 + MAX_HEAD_BYTES + MAX_BODY_BYTES;

/**
 * Called for each frame, and for each piece of a body whose frame comes in several chunks: what follows the first piece
 * is told as DATA of its stream. `payload` is a view into the socket's chunk: it lives as long as somebody keeps it.
 */
export type OnFrame = (type: number, fin: boolean, stream: number, payload: Buffer) => void;

/** Cuts frames out of chunks of any size. Heads are put together again; bodies are passed on as they come, uncopied. */
export class FrameReader {
  readonly #onFrame: OnFrame;
  /** Chunks of a frame whose head is not complete yet, so that it is joined once and not again for each chunk. */
  #parts: Buffer[] = [];
  #partBytes = 0;
  #needed = PREFIX_BYTES;
  /** Bytes of a body that are still to come, of which stream, and whether they end it. */
  #left = 0;
  #leftOf = 0;
  #leftFin = false;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** Throws ProtocolViolation when the other side breaks the rules; the reader is of no use then. */
  push(chunk: Buffer): void {
    let buffer = chunk;
    let offset = 0;
    if (this.#left > 0) {
      offset = Math.min(this.#left, chunk.length);
      this.#left -= offset;
      this.#onFrame(DATA, this.#leftFin && this.#left === 0, this.#leftOf, chunk.subarray(0, offset));
    } else if (this.#partBytes > 0) {
      this.#parts.push(chunk);
      this.#partBytes += chunk.length;
      if (this.#partBytes < this.#needed) return;
      buffer = Buffer.concat(this.#parts, this.#partBytes);
      this.#parts = [];
      this.#partBytes = 0;
    }
    while (buffer.length - offset >= PREFIX_BYTES) {
      const length = buffer.readUInt32BE(offset);
      if (length < HEADER_BYTES - PREFIX_BYTES || length > MAX_LENGTH) {
        throw new ProtocolViolation(`frame length ${length}`);
      }
      const end = offset + PREFIX_BYTES + length;
      const here = Math.min(end, buffer.length);
      if (here < end) {
        const needed = neededBytes(buffer, offset, length);
        if (here - offset < needed) {
          this.#keep(buffer.subarray(offset), needed);
          return;
        }
      }
      const type = buffer[offset + 4] as number;
      const fin = (type & FIN) !== 0;
      const stream = buffer.readUInt32BE(offset + 5);
      // Before the frame is told: who hears of it may end the connection, and then nothing more is read.
      this.#left = end - here;
      this.#leftOf = stream;
      this.#leftFin = fin;
      this.#onFrame(type & 0x7f, fin && here === end, stream, buffer.subarray(offset + HEADER_BYTES, here));
      offset = here;
    }
    if (offset < buffer.length) this.#keep(buffer.subarray(offset), PREFIX_BYTES);
  }

  #keep(rest: Buffer, needed: number): void {
    this.#parts.push(rest);
    this.#partBytes = rest.length;
    this.#needed = needed;
  }
}

/** How much of a frame must be there before it can be told: all of it, but for bodies. */
function neededBytes(buffer: Buffer, offset: number, length: number): number {
  const whole = PREFIX_BYTES + length;
  const there = buffer.length - offset;
  if (there < HEADER_BYTES) return Math.min(whole, HEADER_BYTES);
  const type = (buffer[offset + 4] as number) & 0x7f;
  if (type === DATA) return HEADER_BYTES;
  if (type !== OPEN && type !== HEAD) return whole;
  if (there < HEADER_BYTES + 4) return Math.min(whole, HEADER_BYTES + 4);
  return Math.min(whole, HEADER_BYTES + 4 + buffer.readUInt32BE(offset + HEADER_BYTES));
}

/** The other side sent what the protocol does not allow. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
}

/** What the writer needs of a socket. */
export interface ByteSink {
  write(chunk: Uint8Array): boolean;
  cork(): void;
  uncork(): void;
  readonly writableLength: number;
}

const SCRATCH_BYTES = 64 * 1024;

/**
 * Collects the frames of one tick and gives them to the socket in one write. Small frames are encoded straight into one
 * scratch buffer; large bodies are passed on as they are, between pieces of it.
 */
export class FrameWriter {
  readonly #sink: ByteSink;
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  /** Where the next frame goes, and from where on the scratch is not yet in `#segments`. */
  #offset = 0;
  #from = 0;
  #segments: Uint8Array[] = [];

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  get pendingBytes(): number {
    let bytes = this.#offset - this.#from;
    for (const segment of this.#segments) bytes += segment.length;
    return bytes;
  }

  /** OPEN or HEAD: a JSON head with body bytes behind it. */
  head(type: number, stream: number, json: string, body: Uint8Array | null): void {
    const bodyBytes = body === null ? 0 : body.length;
    this.#reserve(HEADER_BYTES + 4 + json.length * 3 + (bodyBytes > INLINE_BYTES ? 0 : bodyBytes));
    const at = this.#offset;
    const headBytes = this.#scratch.write(json, at + HEADER_BYTES + 4, 'utf8');
    if (headBytes > MAX_HEAD_BYTES) throw new RangeError(`A head of ${headBytes} bytes is over ${MAX_HEAD_BYTES}.`);
    this.#prefix(type, stream, 4 + headBytes + bodyBytes);
    this.#scratch.writeUInt32BE(headBytes, at + HEADER_BYTES);
    this.#offset = at + HEADER_BYTES + 4 + headBytes;
    if (body !== null) this.#append(body);
  }

  bytes(type: number, stream: number, body: Uint8Array): void {
    this.#reserve(HEADER_BYTES + (body.length > INLINE_BYTES ? 0 : body.length));
    this.#prefix(type, stream, body.length);
    this.#offset += HEADER_BYTES;
    this.#append(body);
  }

  json(type: number, stream: number, json: string): void {
    this.#reserve(HEADER_BYTES + json.length * 3);
    const bytes = this.#scratch.write(json, this.#offset + HEADER_BYTES, 'utf8');
    if (bytes > MAX_HEAD_BYTES) throw new RangeError(`A message of ${bytes} bytes is over ${MAX_HEAD_BYTES}.`);
    this.#prefix(type, stream, bytes);
    this.#offset += HEADER_BYTES + bytes;
  }

  u32(type: number, stream: number, value: number): void {
    this.#reserve(HEADER_BYTES + 4);
    this.#prefix(type, stream, 4);
    this.#scratch.writeUInt32BE(value, this.#offset + HEADER_BYTES);
    this.#offset += HEADER_BYTES + 4;
  }

  empty(type: number, stream: number): void {
    this.#reserve(HEADER_BYTES);
    this.#prefix(type, stream, 0);
    this.#offset += HEADER_BYTES;
  }

  /** Hands everything to the socket: libuv writes at once what the kernel takes. */
  flush(): void {
    if (this.#offset > this.#from) this.#cut();
    const segments = this.#segments;
    if (segments.length === 0) return;
    this.#segments = [];
    if (segments.length === 1) {
      this.#sink.write(segments[0] as Uint8Array);
    } else {
      this.#sink.cork();
      for (const segment of segments) this.#sink.write(segment);
      this.#sink.uncork();
    }
    // All written already: the scratch can be used again. Else the socket still holds a view of it.
    if (this.#sink.writableLength === 0) {
      this.#offset = 0;
      this.#from = 0;
    }
  }

  #prefix(type: number, stream: number, payloadBytes: number): void {
    const at = this.#offset;
    this.#scratch.writeUInt32BE(HEADER_BYTES - PREFIX_BYTES + payloadBytes, at);
    this.#scratch[at + 4] = type;
    this.#scratch.writeUInt32BE(stream, at + 5);
  }

  #append(body: Uint8Array): void {
    if (body.length > INLINE_BYTES) {
      this.#cut();
      this.#segments.push(body);
    } else {
      this.#scratch.set(body, this.#offset);
      this.#offset += body.length;
    }
  }

  #cut(): void {
    if (this.#offset === this.#from) return;
    this.#segments.push(this.#scratch.subarray(this.#from, this.#offset));
    this.#from = this.#offset;
  }

  #reserve(bytes: number): void {
    if (this.#scratch.length - this.#offset >= bytes) return;
    this.#cut();
    this.#scratch = Buffer.allocUnsafeSlow(Math.max(SCRATCH_BYTES, bytes));
    this.#offset = 0;
    this.#from = 0;
  }
}

/** Bodies up to this are copied into the scratch: cheaper than one more segment. */
const INLINE_BYTES = 8 * 1024;
