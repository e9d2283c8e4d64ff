/**
 * WebSockets as Workers has them: a pair whose one end the function keeps and whose other end it returns with status 101.
 * The gateway speaks the protocol with the client; here only messages come and go (pool/link/messages.ts).
 */
import type { HttpResponseHead } from '../../functions/contract/invocation.ts';
import {
  type CloseMessage,
  encodeBytes,
  encodeClose,
  encodeText,
  MAX_MESSAGE_BYTES,
  MessageDecoder,
} from '../link/messages.ts';
import type { IncomingBody } from './body.ts';
import { currentInvocation } from './context.ts';
import type { Answering, AnswerPump } from './handlers/fetch.ts';

/** What a client that does not read may hold up before its connection is given up. */
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;
/** Messages that came before `accept`, or while nobody listens: the same bound. */
const READY = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 } as const;

type Message = string | Uint8Array;

/** Where an end's messages go: the other end, or the link. */
interface Peer {
  message(message: Message): void;
  close(message: CloseMessage): void;
}

/**
 *   fresh ──accept──► open ──close()──► closing ──the peer's close──► closed
 *                       └──the peer's close──► closed
 */
type EndState = 'fresh' | 'open' | 'closing' | 'closed';

/** One end. Named WebSocket for those who look. */
export class BaseWebSocket extends EventTarget {
  static readonly CONNECTING = READY.CONNECTING;
  static readonly OPEN = READY.OPEN;
  static readonly CLOSING = READY.CLOSING;
  static readonly CLOSED = READY.CLOSED;
  // Workers' own names for them.
  static readonly READY_STATE_CONNECTING = READY.CONNECTING;
  static readonly READY_STATE_OPEN = READY.OPEN;
  static readonly READY_STATE_CLOSING = READY.CLOSING;
  static readonly READY_STATE_CLOSED = READY.CLOSED;

  binaryType: 'arraybuffer' | 'blob' = 'arraybuffer';
  readonly url = null;
  readonly protocol = '';
  readonly extensions = '';
  #state: EndState = 'fresh';
  #peer: Peer | null = null;
  /** What came before `accept`. */
  #early: (() => void)[] = [];
  #earlyBytes = 0;
  #handlers = new Map<string, (event: Event) => void>();

  static {
    Object.defineProperty(BaseWebSocket, 'name', { value: 'WebSocket' });
  }

  get readyState(): number {
    if (this.#state === 'closing') return READY.CLOSING;
    if (this.#state === 'closed') return READY.CLOSED;
    return READY.OPEN;
  }

  get onmessage(): ((event: Event) => void) | null {
    return this.#handlers.get('message') ?? null;
  }
  set onmessage(handler: ((event: Event) => void) | null) {
    this.#handle('message', handler);
  }
  get onclose(): ((event: Event) => void) | null {
    return this.#handlers.get('close') ?? null;
  }
  set onclose(handler: ((event: Event) => void) | null) {
    this.#handle('close', handler);
  }
  get onerror(): ((event: Event) => void) | null {
    return this.#handlers.get('error') ?? null;
  }
  set onerror(handler: ((event: Event) => void) | null) {
    this.#handle('error', handler);
  }

  /** Says that this end is handled here: from now on its messages become events. */
  accept(): void {
    if (this.#state !== 'fresh') return;
    if (this.#peer === null) throw new TypeError('This WebSocket was returned in a response and cannot be accepted.');
    this.#state = 'open';
    const early = this.#early;
    this.#early = [];
    // The listeners are usually added in the lines that follow.
    queueMicrotask(() => {
      for (const deliver of early) deliver();
    });
  }

  send(data: string | ArrayBuffer | ArrayBufferView): void {
    if (this.#state === 'fresh') throw new TypeError('Call accept() on this WebSocket before sending messages.');
    // As in browsers: what is sent after the end goes nowhere.
    if (this.#state !== 'open') throw new TypeError("Can't call WebSocket send() after close().");
    const message = toMessage(data);
    const bytes = typeof message === 'string' ? Buffer.byteLength(message) : message.byteLength;
    if (bytes > MAX_MESSAGE_BYTES) {
      throw new RangeError(`A message of ${bytes} bytes is over the limit of ${MAX_MESSAGE_BYTES}.`);
    }
    this.#peer?.message(message);
  }

  close(code?: number, reason?: string): void {
    if (code !== undefined && !isCloseCode(code)) throw new TypeError(`Invalid WebSocket close code: ${code}.`);
    if (reason !== undefined && code === undefined) {
      throw new TypeError('If you specify a WebSocket close reason, you must also specify a code.');
    }
    const text = String(reason ?? '');
    if (Buffer.byteLength(text) > 123) throw new SyntaxError('A close reason is at most 123 bytes.');
    if (this.#state === 'fresh') throw new TypeError('Call accept() on this WebSocket before closing it.');
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#peer?.close({ code: code ?? 1005, reason: text });
  }

  /** The rest is for this file and the response: never called by functions, and harmless if it is. */
  static join(a: BaseWebSocket, b: BaseWebSocket): void {
    a.#peer = endAsPeer(b);
    b.#peer = endAsPeer(a);
  }

  /** Takes this end out of the function's hands: what the other end sends goes to `link`, once `flow` was called. */
  static take(end: BaseWebSocket, link: Peer): Peer {
    if (end.#state !== 'fresh') throw new TypeError('A WebSocket that was accepted cannot be returned in a response.');
    const other = end.#peer;
    if (other === null) throw new TypeError('This WebSocket was already returned in a response.');
    end.#peer = null;
    end.#relay = link;
    return other;
  }

  static flow(end: BaseWebSocket): void {
    for (const deliver of end.#early.splice(0)) deliver();
  }

  static deliver(end: BaseWebSocket, message: Message): void {
    end.#soon(() => end.#receive(message), typeof message === 'string' ? message.length : message.byteLength);
  }

  static deliverClose(end: BaseWebSocket, message: CloseMessage): void {
    end.#soon(() => end.#receiveClose(message), 0);
  }

  #relay: Peer | null = null;

  #soon(deliver: () => void, bytes: number): void {
    if (this.#relay !== null) {
      deliver();
      return;
    }
    if (this.#state !== 'fresh') {
      // Never within the sender's own call, as between a browser and a server.
      queueMicrotask(deliver);
      return;
    }
    this.#earlyBytes += bytes;
    if (this.#earlyBytes > MAX_QUEUED_BYTES) {
      throw new RangeError('Too much was sent to a WebSocket that nobody has accepted.');
    }
    this.#early.push(deliver);
  }

  #receive(message: Message): void {
    if (this.#relay !== null) {
      this.#relay.message(message);
      return;
    }
    if (this.#state === 'closed') return;
    const data = typeof message === 'string' ? message : this.#binary(message);
    this.dispatchEvent(new MessageEvent('message', { data }));
  }

  #receiveClose(message: CloseMessage): void {
    if (this.#relay !== null) {
      this.#relay.close(message);
      return;
    }
    if (this.#state === 'closed') return;
    const answered = this.#state === 'closing';
    this.#state = 'closed';
    if (!answered && message.code !== 1006) this.#peer?.close(message);
    const { code, reason } = message;
    if (code === 1006) this.dispatchEvent(new ErrorEvent('error', { message: 'The connection was lost.' }));
    this.dispatchEvent(new CloseEvent('close', { code, reason, wasClean: code !== 1006 }));
  }

  #binary(bytes: Uint8Array): ArrayBuffer | Blob {
    const copy = new Uint8Array(bytes);
    return this.binaryType === 'blob' ? new Blob([copy]) : copy.buffer;
  }

  #handle(type: string, handler: ((event: Event) => void) | null): void {
    const before = this.#handlers.get(type);
    if (before !== undefined) this.removeEventListener(type, before);
    this.#handlers.delete(type);
    if (typeof handler !== 'function') return;
    this.#handlers.set(type, handler);
    this.addEventListener(type, handler);
  }
}

/** `new WebSocketPair()`: an object with the ends under 0 and 1, so that Object.values gives them. */
export class WebSocketPair {
  readonly 0: BaseWebSocket;
  readonly 1: BaseWebSocket;

  constructor() {
    this[0] = new BaseWebSocket();
    this[1] = new BaseWebSocket();
    BaseWebSocket.join(this[0], this[1]);
  }
}

function endAsPeer(end: BaseWebSocket): Peer {
  return {
    message: (message) => BaseWebSocket.deliver(end, message),
    close: (message) => BaseWebSocket.deliverClose(end, message),
  };
}

const SOCKET = Symbol('hearth.webSocket');

/**
 * What `new Response(null, { status: 101, webSocket })` is in a base, which Node's own refuses to make; null for all other
 * arguments. `Real` is Node's class.
 */
export function upgradeResponse(Real: typeof Response, body: unknown, init: unknown): Response | null {
  if (typeof init !== 'object' || init === null || (init as { status?: unknown }).status !== 101) return null;
  const { webSocket, headers, statusText } = init as ResponseInit & { webSocket?: unknown };
  if (body !== null && body !== undefined) throw new TypeError('A Response with status 101 has no body.');
  if (!(webSocket instanceof BaseWebSocket)) {
    throw new TypeError('A Response with status 101 needs webSocket: one end of a WebSocketPair.');
  }
  const response = new Real(null, {
    ...(headers === undefined ? {} : { headers }),
    ...(statusText === undefined ? {} : { statusText }),
  });
  const fixed = (value: unknown) => ({ value, enumerable: true, configurable: true });
  return Object.defineProperties(response, {
    status: fixed(101),
    ok: fixed(false),
    webSocket: fixed(webSocket),
    [SOCKET]: { value: webSocket },
  });
}

/** The end that a response carries; null for an ordinary response. */
export function webSocketOf(response: Response): BaseWebSocket | null {
  return (response as { [SOCKET]?: BaseWebSocket })[SOCKET] ?? null;
}

/** The answer to an upgrade: its head, and the pump that relays from then on. */
export function sendWebSocket(
  end: BaseWebSocket,
  response: Response,
  isUpgrade: boolean,
  body: IncomingBody,
  answering: Answering,
): AnswerPump {
  if (!isUpgrade) throw new TypeError('The function answered with a WebSocket where none was asked for.');
  const { exchange, invocation, calledAt } = answering;
  const head: HttpResponseHead = {
    kind: 'response',
    status: 101,
    statusText: '',
    headers: [...response.headers],
    calledAt,
    waiting: true,
    webSocket: true,
  };
  invocation.streams();
  exchange.sendHead(head);
  return relayWebSocket(end, body, answering);
}

function relayWebSocket(end: BaseWebSocket, body: IncomingBody, answering: Answering): AnswerPump {
  const { exchange, invocation } = answering;
  let done = false;
  /** Sent since the link was full. */
  let queuedBytes = 0;

  const send = (chunk: Uint8Array): void => {
    if (done) return;
    if (exchange.write(chunk)) return;
    queuedBytes += chunk.byteLength;
    if (queuedBytes > MAX_QUEUED_BYTES) fail(new Error('The client of a WebSocket does not read what it is sent.'));
  };
  const fail = (error: Error): void => {
    if (done) return;
    done = true;
    answering.failed(error);
    inContext(() => other.close({ code: 1006, reason: '' }));
  };
  const inContext = (run: () => void): void => {
    currentInvocation.run(invocation, run);
  };

  const other = BaseWebSocket.take(end, {
    message: (message) => send(typeof message === 'string' ? encodeText(message) : encodeBytes('binary', message)),
    close: ({ code, reason }) => send(encodeClose(code, reason)),
  });
  const decoder = new MessageDecoder({
    text: (payload) => other.message(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString()),
    binary: (payload) => other.message(payload),
    close: (message) => other.close(message),
  });
  const pump = async (): Promise<void> => {
    for (let chunk = await body.read(); chunk !== null; chunk = await body.read()) {
      if (done) return;
      decoder.push(chunk);
    }
    if (done) return;
    done = true;
    exchange.end();
    answering.ended();
  };
  inContext(() => {
    BaseWebSocket.flow(end);
    pump().catch((error: unknown) => fail(error instanceof Error ? error : new Error(String(error))));
  });
  return {
    drained: () => {
      queuedBytes = 0;
    },
    closed: () => {
      if (done) return;
      done = true;
      inContext(() => other.close({ code: 1006, reason: '' }));
    },
  };
}

function toMessage(data: unknown): Message {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof Blob) throw new TypeError('A Blob cannot be sent: read it into an ArrayBuffer first.');
  return String(data);
}

/** What an application may close with (RFC 6455, 7.4.2). */
function isCloseCode(code: unknown): boolean {
  return code === 1000 || (typeof code === 'number' && Number.isInteger(code) && isSendable(code));
}

function isSendable(code: number): boolean {
  return (
    (code >= 1001 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999)
  );
}
