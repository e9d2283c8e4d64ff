/**
 * Node's own ServerResponse, with its bytes taken off before they become HTTP text. What applications and middleware
 * call and wrap (writeHead, write, end, setHeader, 'finish') stays Node's; replaced are the three methods below it
 * through which every answer goes. They are own properties of each response, since Express puts a prototype of its own
 * under every response. Node's internals are pinned by package.json, and by the tests of this folder.
 */
import type { OutgoingHttpHeader, ServerResponse } from 'node:http';
import type { HeaderList, HttpResponseHead } from '../../../functions/contract/invocation.ts';
import { currentInvocation } from '../context.ts';
import type { Answering } from '../handlers/fetch.ts';
import type { Http } from '../node-http.ts';

type Written = (error?: Error | null) => void;

/** The members of ServerResponse that Node keeps to itself. */
interface Internals {
  _header: string | null;
  _headerSent: boolean;
  _hasBody: boolean;
  _closed: boolean;
  _storeHeader(firstLine: string, headers: unknown): void;
  _send(data: string | Uint8Array, encoding?: BufferEncoding | null, callback?: Written | null): boolean;
  _writeRaw(data: unknown, encoding?: unknown, callback?: Written): boolean;
  _finish(): void;
  [ANSWER]: NodeAnswer;
}
type HookedResponse = ServerResponse & Internals;

const ANSWER = Symbol('hearth.answer');

/**
 *   open ──first write──► held ──next tick, or more──► streaming ──end──► ended
 *     └──────end──────► ended ◄──end in the same tick──┘
 *   any ──gone──► ended
 */
export class NodeAnswer {
  state: 'open' | 'held' | 'streaming' | 'ended' = 'open';
  readonly #answering: Answering;
  readonly #res: HookedResponse;
  readonly #http: Http;
  readonly #needDrain: symbol | undefined;
  #headers: HeaderList = [];
  #first: Uint8Array | null = null;
  #blocked = false;
  #written: Written[] = [];

  constructor(http: Http, res: ServerResponse, answering: Answering) {
    this.#http = http;
    this.#answering = answering;
    this.#res = res as HookedResponse;
    this.#needDrain = needDrainSymbol(res);
    this.#res[ANSWER] = this;
    this.#res._storeHeader = storeHeader;
    this.#res._send = send;
    this.#res._writeRaw = writeRaw;
    this.#res._finish = finish;
  }

  takeHeaders(headers: unknown): void {
    const res = this.#res;
    const list: HeaderList = [];
    const names = res.getHeaderNames();
    if (names.length > 0) {
      // Node has merged what writeHead was given into these, and has validated them.
      for (const name of names) addHeader(list, name, res.getHeader(name));
    } else {
      for (const [name, value] of pairs(headers)) {
        this.#http.validateHeaderName(name);
        if (Array.isArray(value)) for (const one of value) this.#http.validateHeaderValue(name, String(one));
        else this.#http.validateHeaderValue(name, String(value));
        addHeader(list, name.toLowerCase(), value);
      }
    }
    this.#headers = list;
  }

  send(data: string | Uint8Array, encoding: BufferEncoding | null, callback: Written | null): boolean {
    if (this.state === 'ended') {
      if (callback !== null) process.nextTick(callback);
      return true;
    }
    if (callback !== null) this.#written.push(callback);
    // With a callback the caller may use its buffer again once it was called, while the link holds on to what it got.
    const bytes =
      typeof data === 'string' ? Buffer.from(data, encoding ?? 'utf8') : callback === null ? data : Buffer.from(data);
    if (this.state === 'open') {
      this.state = 'held';
      this.#first = bytes.byteLength === 0 ? null : bytes;
      process.nextTick(flushHeld, this);
      return true;
    }
    this.flush();
    if (bytes.byteLength > 0 && !this.#answering.exchange.write(bytes)) this.#blocked = true;
    if (!this.#blocked) process.nextTick(tellWritten, this);
    return !this.#blocked;
  }

  /** What is held goes out: the head, and the first bytes where there are any. */
  flush(): void {
    if (this.state !== 'held') return;
    this.state = 'streaming';
    const { exchange, invocation } = this.#answering;
    invocation.streams();
    if (!exchange.sendHead(this.#head(true), this.#first, false)) this.#blocked = true;
    this.#first = null;
    // Never within the caller's own write or end: Node's are not prepared for 'finish' at that point.
    if (!this.#blocked) process.nextTick(tellWritten, this);
  }

  /** The application has ended its answer. */
  end(): void {
    if (this.state === 'ended') return;
    const { exchange, invocation } = this.#answering;
    const streaming = this.state === 'streaming';
    this.state = 'ended';
    if (streaming) exchange.end();
    else {
      exchange.sendHead(this.#head(invocation.waiting), this.#first, true);
      this.#first = null;
    }
    // No drain follows the end, so what waits for one is told now: the link holds the bytes.
    process.nextTick(tellWritten, this);
    this.#answering.ended();
  }

  /** Nobody reads it any more. */
  gone(): void {
    this.state = 'ended';
    this.#first = null;
    process.nextTick(tellWritten, this);
  }

  drained(): void {
    this.#blocked = false;
    currentInvocation.run(this.#answering.invocation, () => {
      this.tellWritten();
      const flags = this.#res as unknown as Record<symbol, boolean>;
      if (this.#needDrain === undefined || !flags[this.#needDrain] || this.#res.writableEnded) return;
      flags[this.#needDrain] = false;
      this.#res.emit('drain');
    });
  }

  tellWritten(): void {
    const written = this.#written;
    if (written.length === 0) return;
    this.#written = [];
    for (const callback of written) callback();
  }

  #head(waiting: boolean): HttpResponseHead {
    const { statusCode, statusMessage } = this.#res;
    return {
      kind: 'response',
      status: statusCode,
      statusText: statusMessage === this.#http.STATUS_CODES[statusCode] ? '' : statusMessage,
      headers: this.#headers,
      calledAt: this.#answering.calledAt,
      waiting,
      webSocket: false,
    };
  }
}

function storeHeader(this: HookedResponse, _firstLine: string, headers: unknown): void {
  this[ANSWER].takeHeaders(headers);
  // Any text: Node only asks whether there is one.
  this._header = 'sent by the link';
  this._headerSent = false;
}

function send(
  this: HookedResponse,
  data: string | Uint8Array,
  encoding?: BufferEncoding | null | Written,
  callback?: Written | null,
): boolean {
  this._headerSent = true;
  if (typeof encoding === 'function') return this[ANSWER].send(data, null, encoding);
  return this[ANSWER].send(data, encoding ?? null, callback ?? null);
}

/** Only interim answers (100, 102, 103) come this way: they end here. */
function writeRaw(this: HookedResponse, _data: unknown, encoding?: unknown, callback?: Written): boolean {
  const written = typeof encoding === 'function' ? (encoding as Written) : callback;
  if (typeof written === 'function') process.nextTick(written);
  return true;
}

function finish(this: HookedResponse): void {
  // What Node's own does, which Express's prototype may hide.
  this.emit('prefinish');
  this[ANSWER].end();
}

function flushHeld(answer: NodeAnswer): void {
  answer.flush();
}

function tellWritten(answer: NodeAnswer): void {
  answer.tellWritten();
}

/** Node notes under a private symbol that a writer waits for 'drain', and clears it only where a real socket drains. */
function needDrainSymbol(res: ServerResponse): symbol | undefined {
  return Object.getOwnPropertySymbols(res).find((symbol) => symbol.description === 'kNeedDrain');
}

function addHeader(list: HeaderList, name: string, value: unknown): void {
  if (value === undefined) return;
  if (Array.isArray(value)) for (const one of value) list.push([name, String(one)]);
  else list.push([name, String(value)]);
}

/** writeHead takes an object, a flat list, or a list of pairs. */
function pairs(headers: unknown): [string, OutgoingHttpHeader][] {
  if (headers === undefined || headers === null) return [];
  if (!Array.isArray(headers)) return Object.entries(headers as Record<string, OutgoingHttpHeader>);
  if (Array.isArray(headers[0])) return headers as [string, OutgoingHttpHeader][];
  const list: [string, OutgoingHttpHeader][] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) list.push([headers[i] as string, headers[i + 1]]);
  return list;
}
