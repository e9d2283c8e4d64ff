/**
 * WebSocket messages above the bytes of an exchange, which keep no boundaries of their own:
 *
 *   u32 length · u8 kind · payload          (big endian; length counts the payload alone)
 *
 * The same both ways. `close` is the last message of a direction; its payload is `u16 code · UTF-8 reason`, or empty
 * when no code was given. Pings stay between client and gateway: the link has its own.
 */

/** Largest message (Workers: 32 MiB). A text is counted in UTF-8. */
export const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;

const HEADER_BYTES = 5;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 3;

export interface CloseMessage {
  /** 1005 when none was given (RFC 6455). */
  code: number;
  reason: string;
}

/** One text message as one chunk. */
export function encodeText(text: string): Uint8Array {
  const bytes = Buffer.byteLength(text);
  const chunk = Buffer.allocUnsafeSlow(HEADER_BYTES + bytes);
  chunk.writeUInt32BE(bytes, 0);
  chunk[4] = TEXT;
  chunk.write(text, HEADER_BYTES, 'utf8');
  return chunk;
}

/** Several text messages as one chunk. Small ones come from Node's pool of buffers, which costs a tenth of one of its own. */
export function encodeTexts(texts: readonly string[]): Uint8Array {
  let bytes = 0;
  for (const text of texts) bytes += HEADER_BYTES + Buffer.byteLength(text);
  const chunk = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const text of texts) {
    const written = chunk.write(text, at + HEADER_BYTES, 'utf8');
    chunk.writeUInt32BE(written, at);
    chunk[at + 4] = TEXT;
    at += HEADER_BYTES + written;
  }
  return chunk;
}

/** One text (already UTF-8) or binary message as one chunk. Copies, so the payload stays the caller's. */
export function encodeBytes(kind: 'text' | 'binary', payload: Uint8Array): Uint8Array {
  const chunk = Buffer.allocUnsafeSlow(HEADER_BYTES + payload.byteLength);
  chunk.writeUInt32BE(payload.byteLength, 0);
  chunk[4] = kind === 'text' ? TEXT : BINARY;
  chunk.set(payload, HEADER_BYTES);
  return chunk;
}

/** The last message of a direction. Reasons over 123 bytes, which no frame of a client can carry, are cut. */
export function encodeClose(code: number, reason: string): Uint8Array {
  if (code === 1005) return Buffer.from([0, 0, 0, 0, CLOSE]);
  let text = Buffer.from(reason);
  if (text.byteLength > 123) {
    let end = 123;
    // Not in the middle of a character: 10xxxxxx continues one.
    while (end > 0 && ((text[end] ?? 0) & 0xc0) === 0x80) end--;
    text = text.subarray(0, end);
  }
  const chunk = Buffer.allocUnsafeSlow(HEADER_BYTES + 2 + text.byteLength);
  chunk.writeUInt32BE(2 + text.byteLength, 0);
  chunk[4] = CLOSE;
  chunk.writeUInt16BE(code, HEADER_BYTES);
  chunk.set(text, HEADER_BYTES + 2);
  return chunk;
}

export interface MessageReader {
  text(payload: Uint8Array): void;
  binary(payload: Uint8Array): void;
  close(message: CloseMessage): void;
}

/** The other side broke the framing, or sent more than is allowed. */
export class MessageError extends Error {
  /** Close code for the peer: 1002 (protocol) or 1009 (too big). */
  readonly closeCode: 1002 | 1009;

  constructor(closeCode: 1002 | 1009, message: string) {
    super(message);
    this.name = 'MessageError';
    this.closeCode = closeCode;
  }
}

/**
 * Cuts a stream of chunks into messages. Holds one unfinished message at most, of `maxBytes`; payloads handed out may be
 * views into the chunk that came in.
 */
export class MessageDecoder {
  readonly #reader: MessageReader;
  readonly #maxBytes: number;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #payload: Buffer | null = null;
  #payloadBytes = 0;
  #closed = false;

  constructor(reader: MessageReader, maxBytes: number = MAX_MESSAGE_BYTES) {
    this.#reader = reader;
    this.#maxBytes = maxBytes;
  }

  /** Bytes of a message that is not complete yet. */
  get pendingBytes(): number {
    return this.#headerBytes + this.#payloadBytes;
  }

  /** Throws MessageError; the decoder must not be used after that. */
  push(chunk: Uint8Array): void {
    let offset = 0;
    while (offset < chunk.byteLength) {
      if (this.#closed) throw new MessageError(1002, 'Bytes after the close message.');
      if (this.#payload === null) {
        const taken = Math.min(HEADER_BYTES - this.#headerBytes, chunk.byteLength - offset);
        this.#header.set(chunk.subarray(offset, offset + taken), this.#headerBytes);
        this.#headerBytes += taken;
        offset += taken;
        if (this.#headerBytes < HEADER_BYTES) return;
        const length = this.#checkedLength();
        if (chunk.byteLength - offset >= length) {
          this.#emit(chunk.subarray(offset, offset + length));
          offset += length;
          continue;
        }
        this.#payload = Buffer.allocUnsafeSlow(length);
        this.#payloadBytes = 0;
      }
      const taken = Math.min(this.#payload.byteLength - this.#payloadBytes, chunk.byteLength - offset);
      this.#payload.set(chunk.subarray(offset, offset + taken), this.#payloadBytes);
      this.#payloadBytes += taken;
      offset += taken;
      if (this.#payloadBytes === this.#payload.byteLength) this.#emit(this.#payload);
    }
  }

  #checkedLength(): number {
    const length = this.#header.readUInt32BE(0);
    const kind = this.#header[4];
    if (kind !== TEXT && kind !== BINARY && kind !== CLOSE)
      throw new MessageError(1002, `Unknown message kind ${kind}.`);
    if (kind === CLOSE && (length === 1 || length > 125)) throw new MessageError(1002, 'Malformed close message.');
    if (length > this.#maxBytes) {
      throw new MessageError(1009, `A message of ${length} bytes is over the limit of ${this.#maxBytes}.`);
    }
    return length;
  }

  #emit(payload: Uint8Array): void {
    const kind = this.#header[4];
    this.#headerBytes = 0;
    this.#payloadBytes = 0;
    this.#payload = null;
    if (kind === TEXT) this.#reader.text(payload);
    else if (kind === BINARY) this.#reader.binary(payload);
    else {
      this.#closed = true;
      const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      const message =
        bytes.byteLength === 0
          ? { code: 1005, reason: '' }
          : { code: bytes.readUInt16BE(0), reason: bytes.toString('utf8', 2) };
      this.#reader.close(message);
    }
  }
}
