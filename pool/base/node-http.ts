/**
 * `node:http` in a base: everything is Node's own, but a server that listens binds no port. It is noted here, and the
 * base hands it requests (node-http/invoke.ts), so Express, Fastify, Koa and bare servers run unmodified. The methods of
 * Server are changed in place, in this thread alone, so that it holds for shared libraries and subclasses as well.
 */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { NotAllowedError } from './policy/denied.ts';

export type Http = typeof import('node:http');

export interface NodeHttpOptions {
  /** Node's own modules: loaded late, since a base that serves no such application shall not pay for them. */
  real(specifier: 'node:http' | 'node:https'): unknown;
  /** Name of the module whose code runs. */
  module(): string;
}

interface Listening {
  server: Server;
  module: string;
  address: AddressInfo | string;
}

/** What `listen(0)` is said to have got. */
const FIRST_FREE_PORT = 49_152;

export function createNodeHttp(options: NodeHttpOptions): NodeHttp {
  return new NodeHttp(options);
}

export class NodeHttp {
  readonly #options: NodeHttpOptions;
  #listening: Listening[] = [];
  readonly #waiting = new Set<{ module: string; listener(): void }>();
  #http: Http | null = null;
  #closeServer: Server['close'] | null = null;
  #https: unknown = null;
  #nextPort = FIRST_FREE_PORT;

  constructor(options: NodeHttpOptions) {
    this.#options = options;
  }

  /** `node:http` with its servers captured. */
  http(): Http {
    if (this.#http === null) {
      this.#http = this.#options.real('node:http') as Http;
      this.#capture(this.#http);
    }
    return this.#http;
  }

  /** `node:https`: its clients, and a `createServer` that refuses. */
  https(): unknown {
    this.#https ??= {
      ...(this.#options.real('node:https') as object),
      createServer: () => {
        throw new NotAllowedError('https.createServer', 'TLS ends before Hearth: use http.createServer.');
      },
    };
    return this.#https;
  }

  /** Whether any code of this base has `node:http`, so that a server may come. */
  get inUse(): boolean {
    return this.#http !== null;
  }

  /** The module's server that listens; the first one, when there are several. */
  listening(module: string): Server | undefined {
    return this.#listening.find((listening) => listening.module === module)?.server;
  }

  /** Calls back each time a server of this module begins to listen, until the returned function is called. */
  onListening(module: string, listener: () => void): () => void {
    const waiter = { module, listener };
    this.#waiting.add(waiter);
    return () => this.#waiting.delete(waiter);
  }

  /** Forgets the servers of a module that was unloaded. */
  remove(module: string): void {
    const gone = this.#listening.filter((listening) => listening.module === module);
    this.#listening = this.#listening.filter((listening) => listening.module !== module);
    // Node's own timer over its connections, none of which there are, would keep it.
    for (const { server } of gone) this.#closeServer?.call(server);
  }

  #find(server: Server): Listening | undefined {
    return this.#listening.find((listening) => listening.server === server);
  }

  #capture({ Server: { prototype } }: Http): void {
    const self = this;
    const realClose = prototype.close;
    this.#closeServer = realClose;
    const methods = {
      listen(this: Server, ...args: unknown[]): Server {
        self.#listen(this, args);
        return this;
      },
      address(this: Server): AddressInfo | string | null {
        return self.#find(this)?.address ?? null;
      },
      close(this: Server, callback?: (error?: Error) => void): Server {
        const found = self.#find(this);
        // Node's own says to the callback that the server was not running.
        if (found === undefined) return realClose.call(this, callback);
        self.#listening.splice(self.#listening.indexOf(found), 1);
        if (typeof callback === 'function') this.once('close', () => callback());
        return realClose.call(this);
      },
    };
    Object.assign(prototype, methods);
    Object.defineProperty(prototype, 'listening', {
      get(this: Server) {
        return self.#find(this) !== undefined;
      },
      configurable: true,
    });
  }

  #listen(server: Server, args: unknown[]): void {
    if (this.#find(server) !== undefined) {
      throw Object.assign(new Error('Listen method has been called more than once without closing.'), {
        code: 'ERR_SERVER_ALREADY_LISTEN',
      });
    }
    const { address, callback, signal } = parseListen(args, () => this.#nextPort++);
    const module = this.#options.module();
    this.#listening.push({ server, module, address });
    if (callback !== null) server.once('listening', callback);
    signal?.addEventListener('abort', () => server.close(), { once: true });
    process.nextTick(() => {
      if (this.#find(server) === undefined) return;
      server.emit('listening');
      for (const waiter of this.#waiting) if (waiter.module === module) waiter.listener();
    });
  }
}

interface ListenCall {
  address: AddressInfo | string;
  callback: (() => void) | null;
  signal: AbortSignal | undefined;
}

/** listen(port, host, backlog, cb) · listen(path, cb) · listen({port, host, path, signal}, cb) · listen(cb) */
function parseListen(args: unknown[], freePort: () => number): ListenCall {
  const last = args.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : null;
  const [first, second] = args;
  const options = typeof first === 'object' && first !== null ? (first as Record<string, unknown>) : null;
  const path =
    options === null ? (typeof first === 'string' && Number.isNaN(Number(first)) ? first : undefined) : options.path;
  const signal = options?.signal instanceof AbortSignal ? options.signal : undefined;
  if (typeof path === 'string') return { address: path, callback, signal };
  const given = options === null ? (typeof first === 'function' ? undefined : first) : options.port;
  const host = options === null ? second : options.host;
  const asked = given === undefined || given === null || given === '' ? 0 : Number(given);
  if (!Number.isInteger(asked) || asked < 0 || asked > 65_535) {
    throw Object.assign(new RangeError(`options.port should be >= 0 and < 65536. Received ${String(given)}.`), {
      code: 'ERR_SOCKET_BAD_PORT',
    });
  }
  const address = typeof host === 'string' && host !== '' && host !== 'localhost' ? host : '127.0.0.1';
  const family = address.includes(':') ? 'IPv6' : 'IPv4';
  return { address: { address, family, port: asked === 0 ? freePort() : asked }, callback, signal };
}
