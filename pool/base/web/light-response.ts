/**
 * The Response that handlers make. Node's own builds a stream for each text; most answers are a text or some bytes with
 * a few headers, which this one keeps as they are, so that head and body leave in one frame. What is out of the
 * ordinary is a real Response from the start, and a light one becomes real (kept inside) when more is asked of it.
 */
import type { HeaderList } from '../../../functions/contract/invocation.ts';
import { upgradeResponse } from '../websocket.ts';

const RealResponse = globalThis.Response;
const INSPECT = Symbol.for('nodejs.util.inspect.custom');
const NAME = /^[\w!#$%&'*+\-.^`|~]+$/;
/** Printable ASCII without blanks at the ends: nothing that would have to be trimmed or refused. */
const VALUE = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;

const LightBase = function LightBase() {
  return undefined;
} as unknown as new () => object;
LightBase.prototype = RealResponse.prototype;

/** What can be sent without asking the response for a stream. */
export interface KnownResponse {
  status: number;
  statusText: string;
  headers: HeaderList;
  body: string | Uint8Array | null;
}

type LightBody = string | Uint8Array<ArrayBuffer> | null;

class LightResponse extends LightBase {
  readonly #status: number;
  readonly #statusText: string;
  readonly #list: HeaderList;
  readonly #body: LightBody;
  #headers: Headers | null = null;
  #real: Response | null = null;

  constructor(status: number, statusText: string, headers: HeaderList, body: LightBody) {
    super();
    this.#status = status;
    this.#statusText = statusText;
    this.#list = headers;
    this.#body = body;
  }

  /** The real response, for code that looks at its class. */
  static real(light: LightResponse): Response {
    return light.#upgrade();
  }

  /** Null when it has become a real one, whose body may have been read. */
  static known(light: LightResponse): KnownResponse | null {
    if (light.#real !== null) return null;
    const headers = light.#headers === null ? light.#list : [...light.#headers];
    return { status: light.#status, statusText: light.#statusText, headers, body: light.#body };
  }

  get status(): number {
    return this.#status;
  }

  get statusText(): string {
    return this.#statusText;
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299;
  }

  get headers(): Headers {
    this.#headers ??= new Headers(this.#list);
    return this.#headers;
  }

  get type(): string {
    return 'default';
  }

  get url(): string {
    return '';
  }

  get redirected(): boolean {
    return false;
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#body === null ? null : (this.#upgrade().body as ReadableStream<Uint8Array<ArrayBuffer>>);
  }

  get bodyUsed(): boolean {
    return this.#real?.bodyUsed ?? false;
  }

  text(): Promise<string> {
    return this.#upgrade().text();
  }

  json(): Promise<unknown> {
    return this.#upgrade().json();
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#upgrade().arrayBuffer();
  }

  bytes(): Promise<Uint8Array> {
    return this.#upgrade().bytes();
  }

  blob(): Promise<Blob> {
    return this.#upgrade().blob();
  }

  formData(): Promise<FormData> {
    return this.#upgrade().formData();
  }

  clone(): Response {
    const copy = this.#upgrade().clone();
    const { status, statusText, headers } = this;
    return new RealResponse(copy.body, { status, statusText, headers });
  }

  [INSPECT](depth: number, options: object): unknown {
    const { status, statusText, headers } = this;
    const real = new RealResponse(this.#body, { status, statusText, headers });
    return (real as unknown as Record<symbol, (depth: number, options: object) => unknown>)[INSPECT]?.(depth, options);
  }

  #upgrade(): Response {
    this.#real ??= new RealResponse(this.#body, {
      status: this.#status,
      statusText: this.#statusText,
      headers: this.#headers ?? this.#list,
    });
    return this.#real;
  }
}

/** What can be sent at once; null for real responses, and light ones that became real. */
export function knownResponse(response: Response): KnownResponse | null {
  const given: object = response;
  return given instanceof LightResponse ? LightResponse.known(given) : null;
}

/** A response of Node's own class, where it is a light one; any other as it is. */
export function realResponse(response: Response): Response {
  const given: object = response;
  return given instanceof LightResponse ? LightResponse.real(given) : response;
}

/**
 * What `globalThis.Response` is in a base. `instanceof` holds for light and real ones (of `fetch`), subclasses are
 * subclasses of the real one.
 */
export function responseClass(): typeof Response {
  const facade = function Response(body?: unknown, init?: unknown): object {
    if (new.target === undefined) throw new TypeError("Class constructor Response cannot be invoked without 'new'");
    const plain = (new.target as unknown) === facade;
    if (plain) {
      const light = lightResponse(body, init);
      if (light !== null) return light;
      const upgrade = upgradeResponse(RealResponse, body, init);
      if (upgrade !== null) return upgrade;
    }
    const args = init === undefined ? [body] : [body, init];
    return Reflect.construct(RealResponse, args, plain ? RealResponse : new.target);
  } as unknown as typeof Response;
  Object.defineProperty(facade, 'prototype', { value: RealResponse.prototype, writable: false });
  Object.defineProperty(facade, 'name', { value: 'Response' });
  for (const prototype of [RealResponse.prototype, LightResponse.prototype]) {
    Object.defineProperty(prototype, 'constructor', { value: facade, writable: true, configurable: true });
  }
  const statics = {
    error: () => RealResponse.error(),
    redirect: (...args: Parameters<typeof RealResponse.redirect>) => RealResponse.redirect(...args),
    json: (data: unknown, init?: ResponseInit) => {
      const text = JSON.stringify(data);
      const light = text === undefined ? null : lightResponse(text, init, 'application/json');
      return (light as unknown as Response | null) ?? RealResponse.json(data, init);
    },
  };
  for (const [name, value] of Object.entries(statics)) {
    Object.defineProperty(facade, name, { value, writable: true, configurable: true, enumerable: true });
  }
  return facade;
}

/** Null for whatever needs the real class, to be made or to be refused by it. */
function lightResponse(body: unknown, init: unknown, contentType = 'text/plain;charset=UTF-8'): LightResponse | null {
  let kept: LightBody;
  if (typeof body === 'string') kept = body;
  else if (body === null || body === undefined) kept = null;
  else if (body instanceof Uint8Array && body.buffer instanceof ArrayBuffer) kept = new Uint8Array(body);
  else return null;
  const typed = typeof kept === 'string' ? contentType : null;
  if (init === undefined) {
    return new LightResponse(200, '', typed === null ? [] : [['content-type', typed]], kept);
  }
  if (typeof init !== 'object' || init === null || Object.getPrototypeOf(init) !== Object.prototype) return null;
  const { status = 200, statusText = '', headers } = init as Record<string, unknown>;
  if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 599) return null;
  if (kept !== null && (status === 204 || status === 205 || status === 304)) return null;
  if (typeof statusText !== 'string' || (statusText !== '' && !VALUE.test(statusText))) return null;
  const list = headerEntries(headers);
  if (list === null) return null;
  if (typed !== null && !list.some(([name]) => name === 'content-type')) list.push(['content-type', typed]);
  return new LightResponse(status, statusText, list, kept);
}

/** Plain records and Headers, in lower case; null for all that has to be joined, trimmed, converted or refused. */
function headerEntries(headers: unknown): HeaderList | null {
  if (headers === undefined) return [];
  if (headers instanceof Headers) return [...headers];
  if (typeof headers !== 'object' || headers === null || Object.getPrototypeOf(headers) !== Object.prototype)
    return null;
  if (Symbol.iterator in headers) return null;
  const list: HeaderList = [];
  for (const [key, value] of Object.entries(headers)) {
    if (typeof value !== 'string' || !NAME.test(key) || !VALUE.test(value)) return null;
    const name = key.toLowerCase();
    for (const [known] of list) if (known === name) return null;
    list.push([name, value]);
  }
  return list;
}
