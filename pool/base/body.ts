/** What the other side of an exchange sends as a body, for whoever wants it: as a stream, whole, or not at all. */
import type { Exchange } from '../link/link.ts';

/**
 * Keeps what arrives until it is asked for; credit goes back only for what was taken, so a body nobody reads stops at
 * the link's credit. Chunks are copied when taken: they are views of the socket's buffer, which other frames share.
 */
export class IncomingBody {
  readonly #exchange: Exchange;
  #chunks: Uint8Array[] = [];
  #ended = false;
  #discarding = false;
  #error: Error | null = null;
  #wake: (() => void) | null = null;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  push(chunk: Uint8Array): void {
    if (this.#discarding) {
      this.#exchange.consumed(chunk.length);
      return;
    }
    this.#chunks.push(chunk);
    this.#notify();
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** Whoever reads gets this error. What has arrived already is dropped. */
  fail(error: Error): void {
    if (this.#ended && this.#chunks.length === 0) return;
    this.#error ??= error;
    this.#chunks = [];
    this.#notify();
  }

  /** What has come and what will come is of no interest. */
  discard(): void {
    if (this.#discarding) return;
    this.#discarding = true;
    for (const chunk of this.#chunks) this.#exchange.consumed(chunk.length);
    this.#chunks = [];
    this.#notify();
  }

  /** The next piece; null at the end. Throws when the other side broke off. */
  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    const chunk = await this.#take();
    return chunk === null ? null : new Uint8Array(chunk);
  }

  /** The next piece as it came: a view of what others see too. */
  async #take(): Promise<Uint8Array | null> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#exchange.consumed(chunk.length);
        return chunk;
      }
      if (this.#error !== null) throw this.#error;
      if (this.#ended || this.#discarding) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** All of it in one piece; null when it has not wholly arrived. Spares the wait where it has. */
  takeWhole(): Uint8Array<ArrayBuffer> | null {
    if (!this.#ended || this.#error !== null) return null;
    const whole = this.#chunks.length === 1 ? new Uint8Array(this.#chunks[0] as Uint8Array) : concat(this.#chunks);
    this.#exchange.consumed(whole.length);
    this.#chunks = [];
    return whole;
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const chunks: Uint8Array[] = [];
    for (let chunk = await this.#take(); chunk !== null; chunk = await this.#take()) chunks.push(chunk);
    return concat(chunks);
  }

  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream({
      type: 'bytes',
      pull: async (controller) => {
        const chunk = await this.read();
        if (chunk === null) {
          controller.close();
          controller.byobRequest?.respond(0);
        } else {
          controller.enqueue(chunk);
        }
      },
      cancel: () => this.discard(),
    });
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}

export function concat(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
