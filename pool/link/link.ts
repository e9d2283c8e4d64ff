/**
 * One connection between two processes that carries many streams: both ends of it. Knows nothing of functions.
 *
 *   u32 length · u8 type · u32 stream · payload          (big endian; length counts type, stream and payload)
 *
 * An exchange is one stream: an opening head with an optional body one way, an answering head with an optional body
 * the other way. Heads are JSON, bodies raw bytes. The side that listens opens even streams, the side that connects odd
 * ones.
 *
 *   opener                                        answerer
 *   OPEN  head [+ first bytes] ───────────────►   opened(head, exchange)
 *   DATA… ────────────────────────────────────►   data()
 *   (FIN flag on the last frame)                  end()
 *   head()  ◄──────────────────────────── HEAD    exchange.sendHead(…)
 *   data()  ◄──────────────────────────── DATA…   exchange.write(…)
 *   end()   ◄──────────────────────────── (FIN)
 *   either may CANCEL {code, message, stack} at any time: both directions end.
 *   CREDIT returns what was consumed; a direction has 256 KiB outstanding at most.
 */

export interface LinkError {
  code: string;
  message: string;
  stack?: string;
}

/** What an exchange tells its user. Each is called at most once but data and drain. `closed` is always the last call. */
export interface ExchangeHandler {
  /** The answering head. Only on the opener's side. */
  head(head: unknown): void;
  data(chunk: Uint8Array): void;
  /** The other side has sent all. */
  end(): void;
  /** After `write` returned false. */
  drain(): void;
  /** Both directions have ended (null), or it was cancelled or the connection died. */
  closed(error: LinkError | null): void;
}

export interface Exchange {
  readonly id: number;
  handler: ExchangeHandler;
  /** Answerer only, once. `body` goes in the same frame where it fits; `fin` ends this direction. */
  sendHead(head: object, body?: Uint8Array | null, fin?: boolean): boolean;
  /** False: credit is used up; the chunk is kept and sent, but wait for `drain` before the next. Takes ownership. */
  write(chunk: Uint8Array): boolean;
  /** Ends this direction. */
  end(): void;
  /** Ends both. The other side's `closed` gets the error. Idempotent. */
  cancel(error: LinkError): void;
  /** So many received bytes have gone on: the other side may send as many more. Nothing to do once closed. */
  consumed(bytes: number): void;
}

/** A handler that finds a head or event against the rules throws ProtocolViolation: the connection ends with it. */
export interface LinkHandler {
  /** The other side opened a stream. Set `exchange.handler` before returning. */
  opened(head: unknown, exchange: Exchange): void;
  /** A message without a stream. */
  event(message: unknown): void;
  /** The connection has ended; its exchanges are closed next with LINK_CLOSED. `violation` says why when the other side broke the rules. */
  closed(violation: string | null): void;
}

export interface Link {
  /**
   * `body` complete in one piece goes in the same write; `fin`: no more will follow. Of a link that has ended, and of a
   * head over 512 KB, the exchange is closed when it is given: the handler has heard LINK_CLOSED or PAYLOAD_TOO_LARGE.
   */
  open(head: object, handler: ExchangeHandler, body?: Uint8Array | null, fin?: boolean): Exchange;
  event(message: object): void;
  /** Who was given for this stream; undefined when it has ended or never was. */
  handlerOf(stream: number): ExchangeHandler | undefined;
  /** Resolves with the round-trip time in ms; rejects when the link closes. */
  ping(): Promise<number>;
  /** Writes what is pending now, before any other code runs. Else frames of one tick go out together, a little later. */
  flush(): void;
  /** Ends the connection at once. */
  destroy(reason: string): void;
  readonly exchanges: number;
}
