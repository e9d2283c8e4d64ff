/**
 * The link over one socket: streams, credit, fairness, ends. See link.ts for what it promises.
 *
 * Credit: a direction of a stream may have STREAM_CREDIT bytes that the other side has not consumed, all streams of a
 * direction together CONNECTION_CREDIT. What is over stays in the exchange's queue; exchanges with queued bytes are
 * served in turn, one frame each.
 */
import type { Socket } from 'node:net';
import type { BodyGarbage } from './body-garbage.ts';
import {
  CANCEL,
  CREDIT,
  DATA,
  EVENT,
  FIN,
  FrameReader,
  FrameWriter,
  HEAD,
  MAX_BODY_BYTES,
  OPEN,
  PING,
  PONG,
  ProtocolViolation,
} from './frames.ts';
import type { Exchange, ExchangeHandler, Link, LinkError, LinkHandler } from './link.ts';
import { STREAM_CREDIT, Stream, type StreamOwner } from './stream.ts';
import { Table } from './table.ts';

export const CONNECTION_CREDIT = 4 * 1024 * 1024;
/** Streams that the other side may have open at once. */
export const MAX_STREAMS = 65_536;
/** A side that asks and never reads its answers would fill the other's memory: over these it has gone too far. */
const MOST_UNREAD_PONGS = 65_536;
const MOST_UNREAD_BYTES = 64 * 1024 * 1024;
/** Bytes the socket may hold before bodies wait in their queues. */
const SOCKET_HIGH_BYTES = 256 * 1024;
/** Given back in portions, as with streams. */
const CONNECTION_PORTION = CONNECTION_CREDIT / 4;

export interface LinkOptions {
  /** Which side of the socket this is: decides who uses odd and who even streams. */
  side: 'connect' | 'listen';
  /**
   * When frames of one tick are written. `tick`: when the running callback has ended. `immediate`: when all sockets
   * that were readable have been read, which joins the frames of many requests; only where no foreign code runs.
   */
  flush: 'tick' | 'immediate';
  /** Told of the bodies that pass. */
  garbage?: BodyGarbage;
}

/** Speaks the link on this socket from now on. The handler hears nothing before this call has returned. */
export function connectLink(socket: Socket, handler: LinkHandler, options: LinkOptions): Link {
  return new Connection(socket, handler, options);
}

class Connection implements Link, StreamOwner {
  readonly #socket: Socket;
  readonly #handler: LinkHandler;
  readonly #writer: FrameWriter;
  readonly #later: (flush: () => void) => void;
  readonly #garbage: BodyGarbage | null;
  readonly #open = new Table<number, Stream>((id) => id >>> 1);
  /** Streams with queued bytes and credit, in the order in which they are served; closed ones are passed over. */
  readonly #ready: Stream[] = [];
  readonly #pings = new Map<number, { at: number; resolve(ms: number): void; reject(error: Error): void }>();
  #nextId: number;
  #lastPeerId: number;
  #nextPing = 1;
  #flushing = false;
  #closed = false;
  /** What we may still send, and what the other side has been given back too little of. */
  #sendCredit = CONNECTION_CREDIT;
  #received = 0;
  #unreturned = 0;
  /** Pings answered since the socket was last seen empty. */
  #unreadPongs = 0;

  constructor(socket: Socket, handler: LinkHandler, options: LinkOptions) {
    this.#socket = socket;
    this.#handler = handler;
    this.#writer = new FrameWriter(socket);
    this.#garbage = options.garbage ?? null;
    this.#later = options.flush === 'tick' ? process.nextTick : setImmediate;
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
      this.#pump();
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
    this.sendWithHead(stream, 'open', head, body, fin);
    return stream;
  }

  event(message: object): void {
    if (this.#closed) return;
    this.#writer.json(EVENT, 0, JSON.stringify(message));
    this.schedule();
  }

  ping(): Promise<number> {
    if (this.#closed) return Promise.reject(new Error('The connection has ended.'));
    const id = this.#nextPing++;
    return new Promise((resolve, reject) => {
      this.#pings.set(id, { at: performance.now(), resolve, reject });
      this.#writer.u32(PING, 0, id);
      this.flush();
    });
  }

  destroy(_reason: string): void {
    this.#end(null);
  }

  /** Writes what is pending now, before any other code runs. */
  flush(): void {
    if (!this.#closed) this.#writer.flush();
  }

  schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#later(this.#flushLater);
  }

  readonly #flushLater = (): void => {
    this.#flushing = false;
    this.flush();
  };

  /** The head with as much of the body as one frame and the credit take; the rest is queued. */
  sendWithHead(stream: Stream, kind: 'open' | 'head', head: object, body: Uint8Array | null, fin: boolean): void {
    const type = kind === 'open' ? OPEN : HEAD;
    let first = body;
    if (body !== null && body.length > 0) {
      const room = Math.min(MAX_BODY_BYTES, stream.credit, this.#sendCredit);
      if (body.length > room) first = body.subarray(0, room);
    }
    const sent = first === null ? 0 : first.length;
    const whole = body === null || sent === body.length;
    this.#writer.head(fin && whole ? type | FIN : type, stream.id, JSON.stringify(head), first);
    stream.credit -= sent;
    this.#sendCredit -= sent;
    if (body !== null) this.#garbage?.passed(body.length);
    if (!whole) stream.enqueue(body.subarray(sent));
    if (fin) {
      if (whole) stream.localEnd();
      else stream.finAfterQueue = true;
    }
    this.#makeReady(stream);
    this.schedule();
  }

  /** True when the chunk went out; false when (part of) it waits in the stream's queue. */
  sendData(stream: Stream, chunk: Uint8Array): boolean {
    this.#garbage?.passed(chunk.length);
    if (
      stream.queue.length === 0 &&
      chunk.length <= MAX_BODY_BYTES &&
      chunk.length <= stream.credit &&
      chunk.length <= this.#sendCredit &&
      this.#socket.writableLength < SOCKET_HIGH_BYTES
    ) {
      this.#writer.bytes(DATA, stream.id, chunk);
      stream.credit -= chunk.length;
      this.#sendCredit -= chunk.length;
      this.schedule();
      return true;
    }
    stream.enqueue(chunk);
    this.#makeReady(stream);
    this.#pump();
    return stream.queue.length === 0;
  }

  sendFin(stream: Stream): void {
    this.#writer.empty(DATA | FIN, stream.id);
    this.schedule();
  }

  sendCancel(stream: Stream, error: LinkError): void {
    if (this.#closed) return;
    const { code, message, stack } = error;
    this.#writer.json(CANCEL, stream.id, JSON.stringify({ code, message: cut(message), stack: cut(stack) }));
    this.schedule();
  }

  sendCredit(stream: Stream, bytes: number): void {
    if (this.#closed) return;
    this.#writer.u32(CREDIT, stream.id, bytes);
    this.schedule();
  }

  /** Received bytes that nobody holds any more, whatever became of their stream. */
  returned(bytes: number): void {
    this.#unreturned += bytes;
    this.#received -= bytes;
    if (this.#unreturned < CONNECTION_PORTION || this.#closed) return;
    this.#writer.u32(CREDIT, 0, this.#unreturned);
    this.#unreturned = 0;
    this.schedule();
  }

  forget(stream: Stream): void {
    this.#open.delete(stream);
  }

  #makeReady(stream: Stream): void {
    if (stream.isReady || stream.queue.length === 0 || stream.credit <= 0) return;
    stream.isReady = true;
    this.#ready.push(stream);
  }

  #pump(): void {
    while (this.#ready.length > 0 && this.#sendCredit > 0) {
      if (this.#socket.writableLength + this.#writer.pendingBytes >= SOCKET_HIGH_BYTES) break;
      const stream = this.#ready.shift() as Stream;
      stream.isReady = false;
      if (stream.queue.length === 0 || stream.credit <= 0) continue;
      const chunk = stream.dequeue(Math.min(MAX_BODY_BYTES, stream.credit, this.#sendCredit));
      const last = stream.queue.length === 0;
      const fin = last && stream.finAfterQueue;
      this.#writer.bytes(fin ? DATA | FIN : DATA, stream.id, chunk);
      stream.credit -= chunk.length;
      this.#sendCredit -= chunk.length;
      if (!last) this.#makeReady(stream);
      else if (fin) stream.localEnd();
      else if (stream.wantsDrain) {
        stream.wantsDrain = false;
        stream.handler.drain();
      }
    }
    this.flush();
  }

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
        this.#writer.u32(PONG, 0, u32(payload));
        this.flush();
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
    if (id === 0) {
      this.#sendCredit += bytes;
      if (this.#sendCredit > CONNECTION_CREDIT) throw new ProtocolViolation('credit over the limit');
    } else {
      const stream = this.#find(id);
      if (stream === undefined) return;
      stream.credit += bytes;
      if (stream.credit > STREAM_CREDIT) throw new ProtocolViolation('credit over the limit');
      this.#makeReady(stream);
    }
    this.#pump();
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
    this.#socket.destroy();
    // The user of the link first: who hears of a broken exchange may ask at once for another connection.
    this.#handler.closed(violation);
    const error = { code: LINK_CLOSED, message: violation ?? 'The connection has ended.' };
    for (const ping of this.#pings.values()) ping.reject(new Error(error.message));
    this.#pings.clear();
    for (const stream of this.#open.entries()) stream.fail(error);
  }
}

/** Code of the error that exchanges get when their connection ends. */
export const LINK_CLOSED = 'LINK_CLOSED';

/** Until `opened` has set a handler: streams of a handler that forgot are answered by silence, never by a crash. */
const NOBODY: ExchangeHandler = { head: noop, data: noop, end: noop, drain: noop, closed: noop };
function noop(): void {
  return;
}

function splitHead(payload: Buffer): { head: unknown; body: Buffer } {
  if (payload.length < 4) throw new ProtocolViolation('head cut short');
  const end = 4 + payload.readUInt32BE(0);
  if (end > payload.length) throw new ProtocolViolation('head cut short');
  return { head: parseJson(payload.subarray(4, end)), body: payload.subarray(end) };
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new ProtocolViolation('not JSON');
  }
}

function u32(payload: Buffer): number {
  if (payload.length !== 4) throw new ProtocolViolation('number cut short');
  return payload.readUInt32BE(0);
}

function linkError(value: unknown): LinkError {
  const { code, message, stack } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  return {
    code: typeof code === 'string' ? code : 'UNKNOWN',
    message: typeof message === 'string' ? message : '',
    ...(typeof stack === 'string' ? { stack } : {}),
  };
}

/** Messages and stacks come from function code: bounded, so that they fit a head. */
function cut(text: string | undefined): string | undefined {
  return text === undefined || text.length <= 32_768 ? text : `${text.slice(0, 32_768)}…`;
}
