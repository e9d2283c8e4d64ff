/** The link over one socket: what comes in, and the beginning and end of streams. See link.ts for what it promises. */
import type { Socket } from 'node:net';
import type { BodyGarbage } from './body-garbage.ts';
import { CANCEL, CREDIT, DATA, EVENT, FrameReader, HEAD, OPEN, PING, PONG, ProtocolViolation } from './frames.ts';
import type { Exchange, ExchangeHandler, Link, LinkHandler } from './link.ts';
import { CONNECTION_CREDIT, Outgoing, type OutgoingOptions } from './outgoing.ts';
import { linkError, parseJson, splitHead, u32 } from './payload.ts';
import { STREAM_CREDIT, Stream, type StreamOwner } from './stream.ts';
import { Table } from './table.ts';

/** Code of the error that exchanges get when their connection ends. */
export const LINK_CLOSED = 'LINK_CLOSED';

/** Streams that the other side may have open at once. */
const MAX_STREAMS = 65_536;
/** A side that asks and never reads its answers would fill the other's memory: over these it has gone too far. */
const MOST_UNREAD_PONGS = 65_536;
const MOST_UNREAD_BYTES = 64 * 1024 * 1024;
/** Given back in portions, as with streams. */
const CONNECTION_PORTION = CONNECTION_CREDIT / 4;

export interface LinkOptions extends OutgoingOptions {
  /** Which side of the socket this is: decides who uses odd and who even streams. */
  side: 'connect' | 'listen';
}

/** Speaks the link on this socket from now on. The handler hears nothing before this call has returned. */
export function connectLink(socket: Socket, handler: LinkHandler, options: LinkOptions): Link {
  return new Connection(socket, handler, options);
}

class Connection implements Link, StreamOwner {
  readonly outgoing: Outgoing;
  readonly #socket: Socket;
  readonly #handler: LinkHandler;
  readonly #garbage: BodyGarbage | null;
  readonly #open = new Table<number, Stream>((id) => id >>> 1);
  readonly #pings = new Map<number, { at: number; resolve(ms: number): void; reject(error: Error): void }>();
  #nextId: number;
  #lastPeerId: number;
  #nextPing = 1;
  #closed = false;
  /** Of all streams: bytes that are held here, and those that the other side has been given back too little of. */
  #received = 0;
  #unreturned = 0;
  /** Pings answered since the socket was last seen empty. */
  #unreadPongs = 0;

  constructor(socket: Socket, handler: LinkHandler, options: LinkOptions) {
    this.#socket = socket;
    this.#handler = handler;
    this.outgoing = new Outgoing(socket, options);
    this.#garbage = options.garbage ?? null;
    this.#nextId = options.side === 'connect' ? 1 : 2;
    this.#lastPeerId = options.side === 'connect' ? 0 : -1;
    const reader = new FrameReader((type, fin, stream, payload) => this.#onFrame(type, fin, stream, payload));
    socket.on('data', (chunk: Buffer) => {
      if (this.#closed) return;
      try {
        reader.push(chunk);
      } catch (error) {
        if (!(error instanceof ProtocolViolation)) throw error;
        this.#end(error.message);
      }
    });
    socket.on('drain', () => {
      this.#unreadPongs = 0;
      this.outgoing.pump();
    });
    socket.on('error', () => this.#end(null));
    socket.on('close', () => this.#end(null));
  }

  get exchanges(): number {
    return this.#open.size;
  }

  handlerOf(id: number): ExchangeHandler | undefined {
    return this.#open.get(id)?.handler;
  }

  open(head: object, handler: ExchangeHandler, body: Uint8Array | null = null, fin = false): Exchange {
    const stream = new Stream(this, this.#nextId, handler, true);
    if (this.#closed) {
      stream.fail({ code: LINK_CLOSED, message: 'The connection has ended.' });
      return stream;
    }
    this.#nextId += 2;
    this.#open.add(stream);
    try {
      this.outgoing.withHead(stream, 'open', head, body, fin);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // As if the other side had refused it: who opened it is told as of any other end, and left with nothing half begun.
      stream.fail({ code: 'PAYLOAD_TOO_LARGE', message: tooLarge(error) });
    }
    return stream;
  }

  event(message: object): void {
    this.outgoing.event(message);
  }

  ping(): Promise<number> {
    if (this.#closed) return Promise.reject(new Error('The connection has ended.'));
    const id = this.#nextPing++;
    return new Promise((resolve, reject) => {
      this.#pings.set(id, { at: performance.now(), resolve, reject });
      this.outgoing.ping(id);
    });
  }

  destroy(_reason: string): void {
    this.#end(null);
  }

  flush(): void {
    this.outgoing.flush();
  }

  /* ── StreamOwner ── */

  returned(bytes: number): void {
    this.#unreturned += bytes;
    this.#received -= bytes;
    if (this.#unreturned < CONNECTION_PORTION || this.#closed) return;
    this.outgoing.giveCredit(0, this.#unreturned);
    this.#unreturned = 0;
  }

  forget(stream: Stream): void {
    this.#open.delete(stream);
  }

  /* ── what comes in ── */

  #onFrame(type: number, fin: boolean, id: number, payload: Buffer): void {
    if (this.#closed) return;
    switch (type) {
      case OPEN:
        this.#onOpen(id, fin, payload);
        return;
      case HEAD: {
        const stream = this.#find(id);
        const { head, body } = splitHead(payload);
        if (stream === undefined) {
          this.#discard(body.length);
          return;
        }
        if (!stream.opener || stream.headSeen) throw new ProtocolViolation('unexpected head');
        stream.headSeen = true;
        stream.handler.head(head);
        this.#onBody(stream, body, fin);
        return;
      }
      case DATA: {
        const stream = this.#find(id);
        if (stream === undefined) {
          this.#discard(payload.length);
          return;
        }
        if (stream.opener && !stream.headSeen) throw new ProtocolViolation('data before head');
        this.#onBody(stream, payload, fin);
        return;
      }
      case CANCEL:
        this.#find(id)?.fail(linkError(parseJson(payload)));
        return;
      case CREDIT:
        this.#onCredit(id, payload);
        return;
      case EVENT:
        this.#handler.event(parseJson(payload));
        return;
      case PING:
        // Bodies that wait in the socket say nothing of it: they are within their credit, and may be megabytes.
        if (this.#socket.writableLength === 0) this.#unreadPongs = 0;
        if (++this.#unreadPongs > MOST_UNREAD_PONGS) throw new ProtocolViolation('pings without reading');
        this.outgoing.pong(u32(payload));
        return;
      case PONG: {
        const ping = this.#pings.get(u32(payload));
        if (ping === undefined) throw new ProtocolViolation('pong without ping');
        this.#pings.delete(u32(payload));
        ping.resolve(performance.now() - ping.at);
        return;
      }
      default:
        throw new ProtocolViolation(`frame type ${type}`);
    }
  }

  #onOpen(id: number, fin: boolean, payload: Buffer): void {
    if (id <= this.#lastPeerId || (id & 1) === (this.#nextId & 1)) throw new ProtocolViolation(`stream ${id} opened`);
    if (this.#open.size >= MAX_STREAMS) throw new ProtocolViolation('too many streams');
    if (this.#socket.writableLength > MOST_UNREAD_BYTES) throw new ProtocolViolation('streams without reading');
    this.#lastPeerId = id;
    const { head, body } = splitHead(payload);
    const stream = new Stream(this, id, NOBODY, false);
    this.#open.add(stream);
    this.#handler.opened(head, stream);
    this.#onBody(stream, body, fin);
  }

  #onBody(stream: Stream, body: Buffer, fin: boolean): void {
    if (stream.remoteEnded) throw new ProtocolViolation('data after the end');
    if (body.length > 0) {
      stream.held += body.length;
      this.#received += body.length;
      if (stream.held > STREAM_CREDIT || this.#received > CONNECTION_CREDIT) throw new ProtocolViolation('over credit');
      if (stream.closed) this.returned(stream.takeHeld());
      else stream.handler.data(body);
      this.#garbage?.passed(body.length);
    }
    if (fin) stream.remoteEnd();
  }

  #onCredit(id: number, payload: Buffer): void {
    const bytes = u32(payload);
    const stream = id === 0 ? null : this.#find(id);
    if (stream !== undefined) this.outgoing.credited(stream, bytes);
  }

  /** Undefined for a stream that has ended here while the other side's frames were under way. */
  #find(id: number): Stream | undefined {
    const stream = this.#open.get(id);
    if (stream !== undefined) return stream;
    const ours = (id & 1) === (this.#nextId & 1);
    if (id === 0 || (ours ? id >= this.#nextId : id > this.#lastPeerId))
      throw new ProtocolViolation(`unknown stream ${id}`);
    return undefined;
  }

  #discard(bytes: number): void {
    if (bytes === 0) return;
    this.#received += bytes;
    if (this.#received > CONNECTION_CREDIT) throw new ProtocolViolation('over credit');
    this.returned(bytes);
  }

  #end(violation: string | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.outgoing.close();
    this.#socket.destroy();
    // The user of the link first: who hears of a broken exchange may ask at once for another connection.
    this.#handler.closed(violation);
    const error = { code: LINK_CLOSED, message: violation ?? 'The connection has ended.' };
    for (const ping of this.#pings.values()) ping.reject(new Error(error.message));
    this.#pings.clear();
    for (const stream of this.#open.entries()) stream.fail(error);
  }
}

/** Until `opened` has set a handler: streams of a handler that forgot are answered by silence, never by a crash. */
const NOBODY: ExchangeHandler = { head: noop, data: noop, end: noop, drain: noop, closed: noop };
function noop(): void {
  return;
}

function tooLarge({ message }: RangeError): string {
  return `${message} It holds names, headers, variables and bindings; what is larger belongs into the body.`;
}
