/**
 * The request a fetch handler is given. Node's own Request costs about as much as the rest of an invocation, and most
 * handlers look at its method, url and a header: so this one answers those itself and becomes a real one (kept inside)
 * when anything else is asked of it. `instanceof Request` holds, and `new Request(it)` and `fetch(it)` take it.
 */
import type { HttpInvokeHead } from '../../../functions/contract/invocation.ts';
import type { IncomingBody } from '../body.ts';
import type { Invocation } from '../context.ts';

const RealRequest = globalThis.Request;
/** Asked for so seldom that the real one answers. */
const REST = [
  ...(['cache', 'credentials', 'destination', 'duplex', 'integrity', 'keepalive', 'mode', 'redirect'] as const),
  ...(['referrer', 'referrerPolicy'] as const),
];
const INSPECT = Symbol.for('nodejs.util.inspect.custom');
/** Drops a byte order mark, as `text()` of the Fetch standard does. */
const UTF8 = new TextDecoder();

/** For objects that inherit from the real class without being made by it. */
const LightBase = function LightBase() {
  return undefined;
} as unknown as new () => object;
LightBase.prototype = RealRequest.prototype;

class LightRequest extends LightBase {
  readonly #head: HttpInvokeHead;
  readonly #incoming: IncomingBody;
  readonly #invocation: Invocation;
  readonly #hasBody: boolean;
  #url: string | null = null;
  #headers: Headers | null = null;
  #real: Request | null = null;
  /** The body was read here, without the real one. */
  #used = false;

  constructor(head: HttpInvokeHead, incoming: IncomingBody, invocation: Invocation) {
    super();
    this.#head = head;
    this.#incoming = incoming;
    this.#invocation = invocation;
    this.#hasBody = head.hasBody && head.method !== 'GET' && head.method !== 'HEAD';
    // An upgrade has no body, and its messages come the same way.
    if (!this.#hasBody && !head.upgrade) incoming.discard();
  }

  /** The real request, for Node's own code: that looks inside and accepts no other. */
  static real(light: LightRequest): Request {
    const real = light.#upgrade();
    // Headers that were handed out may have been changed since.
    return light.#headers === null ? real : new RealRequest(real, { headers: light.#headers });
  }

  /** The same with the headers it was made with, its body untouched. */
  static inner(light: LightRequest): Request {
    return light.#upgrade();
  }

  get method(): string {
    return this.#head.method;
  }

  get url(): string {
    this.#url ??= new URL(this.#head.url).href;
    return this.#url;
  }

  get headers(): Headers {
    this.#headers ??= new Headers(this.#head.headers);
    return this.#headers;
  }

  get signal(): AbortSignal {
    return this.#invocation.signal;
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#hasBody ? (this.#upgrade().body as ReadableStream<Uint8Array<ArrayBuffer>>) : null;
  }

  get bodyUsed(): boolean {
    return this.#used || (this.#real?.bodyUsed ?? false);
  }

  async text(): Promise<string> {
    return this.#real === null ? UTF8.decode(await this.#read()) : this.#real.text();
  }

  async json(): Promise<unknown> {
    return this.#real === null ? JSON.parse(UTF8.decode(await this.#read())) : this.#real.json();
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#real === null ? (await this.#read()).buffer : this.#real.arrayBuffer();
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#real === null ? await this.#read() : ((await this.#real.bytes()) as Uint8Array<ArrayBuffer>);
  }

  blob(): Promise<Blob> {
    return this.#upgrade().blob();
  }

  formData(): Promise<FormData> {
    return this.#upgrade().formData();
  }

  clone(): Request {
    if (this.bodyUsed) throw new TypeError('unusable');
    const copy = this.#upgrade().clone();
    return this.#headers === null ? copy : new RealRequest(copy, { headers: this.#headers });
  }

  [INSPECT](depth: number, options: object): unknown {
    const real = this.#upgrade() as unknown as Record<symbol, (depth: number, options: object) => unknown>;
    return real[INSPECT]?.(depth, options);
  }

  #upgrade(): Request {
    if (this.#real !== null) return this.#real;
    const init: RequestInit & { duplex?: 'half' } = {
      method: this.#head.method,
      headers: this.#headers ?? this.#head.headers,
      signal: this.#invocation.signal,
    };
    if (this.#hasBody) {
      init.body = this.#incoming.stream();
      init.duplex = 'half';
    }
    this.#real = new RealRequest(this.#head.url, init);
    // Read already: the real one has to know that it is spent.
    if (this.#used)
      this.#real.body
        ?.getReader()
        .cancel()
        .catch(() => undefined);
    return this.#real;
  }

  async #read(): Promise<Uint8Array<ArrayBuffer>> {
    if (!this.#hasBody) return new Uint8Array(0);
    if (this.#used) throw new TypeError('Body is unusable: Body has already been read');
    this.#used = true;
    return this.#incoming.takeWhole() ?? (await this.#incoming.bytes());
  }
}

for (const name of REST) {
  Object.defineProperty(LightRequest.prototype, name, {
    get(this: LightRequest) {
      return LightRequest.inner(this)[name];
    },
    configurable: true,
  });
}

/** The request of one invocation, whose body is read from the link only as far as the function reads it. */
export function lightRequest(head: HttpInvokeHead, incoming: IncomingBody, invocation: Invocation): Request {
  return new LightRequest(head, incoming, invocation) as unknown as Request;
}

/** One that an invocation was given, and not one that a function made. */
export function isLight(input: unknown): boolean {
  return input instanceof LightRequest;
}

/** A request that Node's own code accepts; anything else as it is. */
export function unlight(input: unknown): unknown {
  return input instanceof LightRequest ? LightRequest.real(input) : input;
}

/**
 * What `globalThis.Request` is in a base: the real class, its prototype included, that also takes a light request as
 * input. Subclasses are subclasses of the real one.
 */
export function requestClass(): typeof Request {
  const facade = function Request(input: unknown, init?: RequestInit): object {
    if (new.target === undefined) throw new TypeError("Class constructor Request cannot be invoked without 'new'");
    const target = (new.target as unknown) === facade ? RealRequest : new.target;
    const args = init === undefined ? [unlight(input)] : [unlight(input), init];
    return Reflect.construct(RealRequest, args, target);
  } as unknown as typeof Request;
  Object.defineProperty(facade, 'prototype', { value: RealRequest.prototype, writable: false });
  Object.defineProperty(facade, 'name', { value: 'Request' });
  for (const prototype of [RealRequest.prototype, LightRequest.prototype]) {
    Object.defineProperty(prototype, 'constructor', { value: facade, writable: true, configurable: true });
  }
  return facade;
}
