/** HTTP invocations: the request as the function sees it, and its Response on the way back. */
import type { HeaderList, HttpResponseHead } from '../../../functions/contract/invocation.ts';
import type { Exchange } from '../../link/link.ts';
import type { Invocation } from '../context.ts';
import { type KnownResponse, knownResponse } from '../web/light-response.ts';

/** How the rest of an answer travels: told when the link takes more, and when the exchange has ended. */
export interface AnswerPump {
  drained(): void;
  /** The other side has gone, or the answer is complete. */
  closed(): void;
  /** After `closed`: something still runs, and `ended` will be called when it does not. */
  readonly busy?: boolean;
}

/** Statuses whose answers never have a body (Fetch standard). */
export function isNullBodyStatus(status: number): boolean {
  return status === 101 || status === 204 || status === 205 || status === 304;
}

export function headerList(headers: Headers): HeaderList {
  // Iteration gives each set-cookie on its own, and all other names joined.
  return [...headers];
}

/** What a handler returned, if it is a Response; one of another copy of the class (a polyfill's) passes as well. */
export function checkResponse(value: unknown): Response {
  if (value instanceof Response) return value;
  if (typeof value === 'object' && value !== null) {
    const like = value as Partial<Response>;
    if (typeof like.status === 'number' && typeof like.headers?.forEach === 'function' && 'body' in like) {
      return value as Response;
    }
  }
  const what = value === null ? 'null' : typeof value;
  throw new TypeError(`The fetch handler has to return a Response; it returned ${what}.`);
}

export interface Answering {
  exchange: Exchange;
  invocation: Invocation;
  /** Monotonic ms. */
  calledAt: number;
  /** The answer is complete. */
  ended(): void;
  /** The body broke after the head had gone. */
  failed(error: unknown): void;
}

/** Sends the response. Returns the pump of a body that streams; null when the answer was complete at once. */
export function sendResponse(response: Response, isHead: boolean, answering: Answering): AnswerPump | null {
  const { exchange, invocation } = answering;
  const known = knownResponse(response);
  if (known !== null) {
    sendKnown(known, isHead, answering);
    return null;
  }
  const answer: HttpResponseHead = {
    kind: 'response',
    status: response.status,
    statusText: response.statusText,
    headers: headerList(response.headers),
    calledAt: answering.calledAt,
    waiting: false,
    webSocket: false,
  };
  const bodiless = isHead || isNullBodyStatus(response.status);
  const stream = response.body;
  if (stream === null || bodiless) {
    stream?.cancel().catch((error: unknown) => invocation.log.debug(error));
    if (!bodiless) setLength(answer.headers, 0);
    answer.waiting = invocation.waiting;
    exchange.sendHead(answer, null, true);
    answering.ended();
    return null;
  }
  invocation.streams();
  answer.waiting = true;
  exchange.sendHead(answer);
  return pumpStream(stream, answering);
}

/** Head and body in one frame, where they fit. */
function sendKnown(known: KnownResponse, isHead: boolean, answering: Answering): void {
  const { status, statusText, headers } = known;
  const answer: HttpResponseHead = {
    kind: 'response',
    status,
    statusText,
    headers,
    calledAt: answering.calledAt,
    waiting: answering.invocation.waiting,
    webSocket: false,
  };
  let body: Uint8Array | null = null;
  if (!isHead && !isNullBodyStatus(status)) {
    body = typeof known.body === 'string' ? Buffer.from(known.body) : known.body;
    setLength(headers, body === null ? 0 : body.length);
  }
  answering.exchange.sendHead(answer, body, true);
  answering.ended();
}

/** `content-length` of a body known whole, unless the function said it itself. */
export function setLength(headers: HeaderList, bytes: number): void {
  for (const [name] of headers) if (name === 'content-length' || name === 'transfer-encoding') return;
  headers.push(['content-length', String(bytes)]);
}

/** One chunk is read from the function at a time, and none while the link has no credit. */
function pumpStream(stream: ReadableStream<Uint8Array>, answering: Answering): AnswerPump {
  const { exchange, invocation } = answering;
  const reader = stream.getReader();
  let closed = false;
  let wake: (() => void) | null = null;
  const pump = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await reader.read();
      if (closed) return;
      if (done) break;
      if (!(value instanceof Uint8Array)) throw new TypeError('The body of a Response gave a chunk that is not bytes.');
      // The link takes ownership, the function may go on using its buffer.
      if (!exchange.write(value.slice())) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        if (closed) return;
      }
    }
    closed = true;
    exchange.end();
    answering.ended();
  };
  pump().catch((error: unknown) => {
    if (closed) return;
    closed = true;
    answering.failed(error);
  });
  const rouse = () => {
    const resolve = wake;
    wake = null;
    resolve?.();
  };
  return {
    drained: rouse,
    closed: () => {
      if (closed) return;
      closed = true;
      rouse();
      // The function's own cancel may throw: nobody is left to hear of it but its log.
      reader.cancel(invocation.abortReason).catch((error: unknown) => invocation.log.warn(error));
    },
  };
}
