/**
 * What goes out on one socket: frames of one tick in one write, within credit, streams with queued bytes in turn.
 *
 * Credit: a direction of a stream may have STREAM_CREDIT bytes that the other side has not consumed, all streams of a
 * direction together CONNECTION_CREDIT. What is over stays in the stream's queue; streams with queued bytes are served
 * in turn, one frame each.
 */
import type { Socket } from 'node:net';
import type { BodyGarbage } from './body-garbage.ts';
import {
  CANCEL,
  CREDIT,
  DATA,
  EVENT,
  FIN,
  FrameWriter,
  HEAD,
  MAX_BODY_BYTES,
  OPEN,
  PING,
  PONG,
  ProtocolViolation,
} from './frames.ts';
import type { LinkError } from './link.ts';
import { cancelPayload } from './payload.ts';
import { STREAM_CREDIT, type Stream, type StreamSender } from './stream.ts';

export const CONNECTION_CREDIT = 4 * 1024 * 1024;
/** Bytes the socket may hold before bodies wait in their queues. */
const SOCKET_HIGH_BYTES = 256 * 1024;

export interface OutgoingOptions {
  /**
   * When frames of one tick are written. `tick`: when the running callback has ended. `immediate`: when all sockets
   * that were readable have been read, which joins the frames of many requests; only where no foreign code runs.
   */
  flush: 'tick' | 'immediate';
  /** Told of the bodies that pass. */
  garbage?: BodyGarbage;
}

export class Outgoing implements StreamSender {
  readonly #socket: Socket;
  readonly #writer: FrameWriter;
  readonly #later: (flush: () => void) => void;
  readonly #garbage: BodyGarbage | null;
  /** Streams with queued bytes and credit, in the order in which they are served; closed ones are passed over. */
  readonly #ready: Stream[] = [];
  #flushing = false;
  #closed = false;
  /** What all streams together may still send. */
  #credit = CONNECTION_CREDIT;

  constructor(socket: Socket, { flush, garbage }: OutgoingOptions) {
    this.#socket = socket;
    this.#writer = new FrameWriter(socket);
    this.#garbage = garbage ?? null;
    this.#later = flush === 'tick' ? process.nextTick : setImmediate;
  }

  /** Nothing is written any more. */
  close(): void {
    this.#closed = true;
  }

  /* ── frames without a stream ── */

  event(message: object): void {
    if (this.#closed) return;
    this.#writer.json(EVENT, 0, JSON.stringify(message));
    this.#schedule();
  }

  /** Both are written at once. */
  ping(id: number): void {
    this.#writer.u32(PING, 0, id);
    this.flush();
  }

  pong(id: number): void {
    this.#writer.u32(PONG, 0, id);
    this.flush();
  }

  /** So many received bytes are given back: the other side may send as many more on this stream; 0: on all together. */
  giveCredit(id: number, bytes: number): void {
    if (this.#closed) return;
    this.#writer.u32(CREDIT, id, bytes);
    this.#schedule();
  }

  /* ── streams ── */

  withHead(stream: Stream, kind: 'open' | 'head', head: object, body: Uint8Array | null, fin: boolean): void {
    const type = kind === 'open' ? OPEN : HEAD;
    let first = body;
    if (body !== null && body.length > 0) {
      const room = Math.min(MAX_BODY_BYTES, stream.credit, this.#credit);
      if (body.length > room) first = body.subarray(0, room);
    }
    const sent = first === null ? 0 : first.length;
    const whole = body === null || sent === body.length;
    this.#writer.head(fin && whole ? type | FIN : type, stream.id, JSON.stringify(head), first);
    stream.credit -= sent;
    this.#credit -= sent;
    if (body !== null) this.#garbage?.passed(body.length);
    if (!whole) stream.enqueue(body.subarray(sent));
    if (fin) {
      if (whole) stream.localEnd();
      else stream.finAfterQueue = true;
    }
    this.#makeReady(stream);
    this.#schedule();
  }

  data(stream: Stream, chunk: Uint8Array): boolean {
    this.#garbage?.passed(chunk.length);
    if (
      stream.queue.length === 0 &&
      chunk.length <= MAX_BODY_BYTES &&
      chunk.length <= stream.credit &&
      chunk.length <= this.#credit &&
      this.#socket.writableLength < SOCKET_HIGH_BYTES
    ) {
      this.#writer.bytes(DATA, stream.id, chunk);
      stream.credit -= chunk.length;
      this.#credit -= chunk.length;
      this.#schedule();
      return true;
    }
    stream.enqueue(chunk);
    this.#makeReady(stream);
    this.pump();
    return stream.queue.length === 0;
  }

  fin(stream: Stream): void {
    this.#writer.empty(DATA | FIN, stream.id);
    this.#schedule();
  }

  cancel(stream: Stream, error: LinkError): void {
    if (this.#closed) return;
    this.#writer.json(CANCEL, stream.id, cancelPayload(error));
    this.#schedule();
  }

  /** The other side has consumed so many bytes: of this stream, or, null, of all. Throws ProtocolViolation. */
  credited(stream: Stream | null, bytes: number): void {
    if (stream === null) {
      this.#credit += bytes;
      if (this.#credit > CONNECTION_CREDIT) throw new ProtocolViolation('credit over the limit');
    } else {
      stream.credit += bytes;
      if (stream.credit > STREAM_CREDIT) throw new ProtocolViolation('credit over the limit');
      this.#makeReady(stream);
    }
    this.pump();
  }

  #makeReady(stream: Stream): void {
    if (stream.isReady || stream.queue.length === 0 || stream.credit <= 0) return;
    stream.isReady = true;
    this.#ready.push(stream);
  }

  /* ── to the socket ── */

  /** Sends of what is queued as much as credit and socket take. */
  pump(): void {
    while (this.#ready.length > 0 && this.#credit > 0) {
      if (this.#socket.writableLength + this.#writer.pendingBytes >= SOCKET_HIGH_BYTES) break;
      const stream = this.#ready.shift() as Stream;
      stream.isReady = false;
      if (stream.queue.length === 0 || stream.credit <= 0) continue;
      const chunk = stream.dequeue(Math.min(MAX_BODY_BYTES, stream.credit, this.#credit));
      const last = stream.queue.length === 0;
      const fin = last && stream.finAfterQueue;
      this.#writer.bytes(fin ? DATA | FIN : DATA, stream.id, chunk);
      stream.credit -= chunk.length;
      this.#credit -= chunk.length;
      if (!last) this.#makeReady(stream);
      else if (fin) stream.localEnd();
      else if (stream.wantsDrain) {
        stream.wantsDrain = false;
        stream.handler.drain();
      }
    }
    this.flush();
  }

  flush(): void {
    if (!this.#closed) this.#writer.flush();
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#later(this.#flushLater);
  }

  readonly #flushLater = (): void => {
    this.#flushing = false;
    this.flush();
  };
}
