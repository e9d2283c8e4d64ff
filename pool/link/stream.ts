/** One stream of a connection: its states, its queue, its credit. outgoing.ts does the sending. */
import type { Exchange, ExchangeHandler, LinkError } from './link.ts';

/** Bytes of one direction that the other side has not consumed yet, at most. */
export const STREAM_CREDIT = 256 * 1024;
/** Consumed bytes are given back in portions, so that small chunks do not cost a frame each. */
const CREDIT_PORTION = STREAM_CREDIT / 4;

/** What a stream has sent. */
export interface StreamSender {
  /** The head with as much of the body as one frame and the credit take; the rest is queued. */
  withHead(stream: Stream, kind: 'open' | 'head', head: object, body: Uint8Array | null, fin: boolean): void;
  /** True when the chunk went out; false when (part of) it waits in the stream's queue. */
  data(stream: Stream, chunk: Uint8Array): boolean;
  fin(stream: Stream): void;
  cancel(stream: Stream, error: LinkError): void;
  giveCredit(id: number, bytes: number): void;
}

/** What a stream asks of its connection. */
export interface StreamOwner {
  readonly outgoing: StreamSender;
  /** Received bytes that nobody holds any more, whatever became of their stream. */
  returned(bytes: number): void;
  forget(stream: Stream): void;
}

/**
 *   open ──localEnd──► localEnded ──remoteEnd──► closed
 *    └───remoteEnd──► remoteEnded ──localEnd───► closed
 *   any ──fail, cancel──► closed
 */
type StreamState = 'open' | 'localEnded' | 'remoteEnded' | 'closed';

export class Stream implements Exchange {
  readonly id: number;
  readonly opener: boolean;
  handler: ExchangeHandler;
  readonly queue: Uint8Array[] = [];
  credit = STREAM_CREDIT;
  /** Received bytes that were not yet consumed, and consumed ones that were not yet given back. */
  held = 0;
  headSeen = false;
  wantsDrain = false;
  finAfterQueue = false;
  /** It stands in the connection's list of streams to serve. */
  isReady = false;
  nextInTable: Stream | null = null;
  readonly #owner: StreamOwner;
  #state: StreamState = 'open';
  #unreturned = 0;

  constructor(owner: StreamOwner, id: number, handler: ExchangeHandler, opener: boolean) {
    this.#owner = owner;
    this.id = id;
    this.handler = handler;
    this.opener = opener;
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  get remoteEnded(): boolean {
    return this.#state === 'remoteEnded';
  }

  sendHead(head: object, body: Uint8Array | null = null, fin = false): boolean {
    if (this.#state === 'closed') return true;
    if (this.opener || this.headSeen) throw new Error('sendHead is for the answerer, once.');
    this.headSeen = true;
    this.#owner.outgoing.withHead(this, 'head', head, body, fin);
    return this.#mayWriteOn();
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state === 'closed' || chunk.length === 0) return true;
    if (this.#state === 'localEnded' || this.finAfterQueue) throw new Error('write after end.');
    if (this.#owner.outgoing.data(this, chunk)) return true;
    return this.#mayWriteOn();
  }

  end(): void {
    if (this.#state === 'closed' || this.#state === 'localEnded' || this.finAfterQueue) return;
    if (this.queue.length > 0) {
      this.finAfterQueue = true;
      return;
    }
    this.#owner.outgoing.fin(this);
    this.localEnd();
  }

  cancel(error: LinkError): void {
    if (this.#state === 'closed') return;
    this.#owner.outgoing.cancel(this, error);
    this.#close(error);
  }

  consumed(bytes: number): void {
    if (this.#state === 'closed') return;
    this.held -= bytes;
    if (this.held < 0) throw new Error('More consumed than received.');
    this.#owner.returned(bytes);
    if (this.#state === 'remoteEnded') return;
    this.#unreturned += bytes;
    if (this.#unreturned < CREDIT_PORTION) return;
    this.#owner.outgoing.giveCredit(this.id, this.#unreturned);
    this.#unreturned = 0;
  }

  fail(error: LinkError): void {
    if (this.#state !== 'closed') this.#close(error);
  }

  localEnd(): void {
    if (this.#state === 'remoteEnded') this.#close(null);
    else if (this.#state === 'open') this.#state = 'localEnded';
  }

  remoteEnd(): void {
    if (this.#state === 'closed') return;
    const last = this.#state === 'localEnded';
    if (!last) this.#state = 'remoteEnded';
    this.handler.end();
    if (last) this.#close(null);
  }

  enqueue(chunk: Uint8Array): void {
    this.queue.push(chunk);
  }

  dequeue(most: number): Uint8Array {
    const first = this.queue[0] as Uint8Array;
    if (first.length <= most) {
      this.queue.shift();
      return first;
    }
    this.queue[0] = first.subarray(most);
    return first.subarray(0, most);
  }

  takeHeld(): number {
    const held = this.held;
    this.held = 0;
    return held;
  }

  #mayWriteOn(): boolean {
    if (this.queue.length === 0) return true;
    this.wantsDrain = true;
    return false;
  }

  #close(error: LinkError | null): void {
    this.#state = 'closed';
    this.queue.length = 0;
    this.#owner.forget(this);
    // What the user still holds counts no more: the connection's credit must not leak with streams that broke off.
    this.#owner.returned(this.takeHeld());
    this.handler.closed(error);
  }
}
