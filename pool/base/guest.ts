/** A module that was taken in: which handlers its exports offer, whatever form its author chose. */
import type { HttpInvokeHead, LoadHead } from '../../functions/contract/invocation.ts';
import type { IncomingBody } from './body.ts';
import type { Invocation } from './context.ts';
import type { Answering, AnswerPump } from './handlers/fetch.ts';
import { loopback } from './loopback.ts';
import type { ModuleScope } from './scope.ts';

export type HandlerKind = 'fetch' | 'scheduled' | 'queue' | 'rpc' | 'node-http';

/** Hands one invocation to a Node HTTP application. Throws what its listeners throw. */
export type ServeHttp = (head: HttpInvokeHead, body: IncomingBody, answering: Answering) => AnswerPump;

/** How one export is called. A null member means that it has no such handler. */
export interface Entrypoint {
  fetch: ((request: Request, ctx: Invocation) => unknown) | null;
  scheduled: ((controller: object, ctx: Invocation) => unknown) | null;
  queue: ((batch: object, ctx: Invocation) => unknown) | null;
  /** The object whose methods RPC may call. */
  target: ((ctx: Invocation) => object) | null;
}

export interface GuestOptions {
  head: LoadHead;
  env: Record<string, unknown>;
  /** What `module.exports` or the namespace of the module became. */
  exports: unknown;
  /** Class that marks entrypoints. */
  marker: abstract new (
    ...args: never[]
  ) => object;
  /** Set when the module called `listen`: a Node HTTP application. */
  serve: ServeHttp | null;
  scope: ModuleScope;
}

export class GuestModule {
  readonly head: LoadHead;
  readonly env: Record<string, unknown>;
  /** Takes the HTTP invocations where there is one, whatever is exported beside it. */
  readonly serve: ServeHttp | null;
  readonly handlers: HandlerKind[];
  readonly scope: ModuleScope;
  /** Calls from beside it that have not come to their end. */
  #inner = 0;
  #whenUnused: (() => void) | null = null;
  readonly #marker: GuestOptions['marker'];
  readonly #named: Record<string, unknown>;
  readonly #main: Entrypoint;
  readonly #entrypoints = new Map<string, Entrypoint>();

  constructor(options: GuestOptions) {
    this.head = options.head;
    this.env = options.env;
    this.scope = options.scope;
    this.#marker = options.marker;
    const { main, named } = splitExports(options.exports);
    this.#named = named;
    this.#main = this.#entrypoint(main);
    this.serve = options.serve;
    this.handlers = this.#findHandlers();
  }

  /** A call from beside it begins, whose end the gateway will not see. */
  entered(): void {
    this.#inner++;
  }

  left(): void {
    this.#inner--;
    if (this.#inner === 0) this.#whenUnused?.();
  }

  /** Nothing new reaches it. Calls back, at once where that is so, when no call from beside it runs any more. */
  taken(unused: () => void): void {
    if (this.#inner === 0) unused();
    else this.#whenUnused = unused;
  }

  /** `undefined`: the default export. Null when there is no such entrypoint. */
  entrypoint(name: string | undefined): Entrypoint | null {
    if (name === undefined || name === 'default') return this.#main;
    const known = this.#entrypoints.get(name);
    if (known !== undefined) return known;
    if (!Object.hasOwn(this.#named, name)) return null;
    const entrypoint = this.#entrypoint(this.#named[name]);
    this.#entrypoints.set(name, entrypoint);
    return entrypoint;
  }

  /** `ctx.exports`: the module's own entrypoints, run within this invocation. */
  entrypointStubs(ctx: Invocation): Record<string, unknown> {
    const stubs: Record<string, unknown> = {};
    for (const name of ['default', ...Object.keys(this.#named)]) {
      const entrypoint = this.entrypoint(name);
      if (entrypoint !== null && (entrypoint.target !== null || entrypoint.fetch !== null)) {
        stubs[name] = loopback(entrypoint, ctx);
      }
    }
    return stubs;
  }

  #findHandlers(): HandlerKind[] {
    const found = new Set<HandlerKind>();
    if (this.serve !== null) found.add('node-http');
    const entrypoints = [
      this.#main,
      ...Object.values(this.#named)
        .filter((it) => this.#isEntrypointClass(it))
        .map((it) => this.#entrypoint(it)),
    ];
    for (const entrypoint of entrypoints) {
      if (entrypoint.fetch !== null) found.add('fetch');
      if (entrypoint.scheduled !== null) found.add('scheduled');
      if (entrypoint.queue !== null) found.add('queue');
      if (entrypoint.target !== null) found.add('rpc');
    }
    return [...found];
  }

  #isEntrypointClass(value: unknown): value is new (ctx: unknown, env: unknown) => object {
    return typeof value === 'function' && value.prototype instanceof this.#marker;
  }

  #entrypoint(value: unknown): Entrypoint {
    const env = this.env;
    if (this.#isEntrypointClass(value)) {
      const proto = value.prototype as Record<string, unknown>;
      const method = (name: string) =>
        typeof proto[name] === 'function'
          ? (argument: object, ctx: Invocation) => {
              const instance = new value(ctx, env) as Record<string, (argument: object) => unknown>;
              return instance[name]?.(argument);
            }
          : null;
      return {
        fetch: method('fetch'),
        scheduled: method('scheduled'),
        queue: method('queue'),
        target: (ctx) => new value(ctx, env),
      };
    }
    // A function with a fetch of its own (callable routers) is taken as the object it also is.
    const holder = value as Record<string, ((...args: unknown[]) => unknown) | undefined>;
    const isHolder = (typeof value === 'object' && value !== null) || typeof value === 'function';
    const method = (name: string) =>
      isHolder && typeof holder[name] === 'function'
        ? (argument: object, ctx: Invocation) => holder[name]?.(argument, env, ctx)
        : null;
    // A callable that can listen is an application for Node's HTTP server: it takes no Request.
    const isPlain = typeof value === 'function' && typeof holder.listen !== 'function';
    const plain = value as (request: Request, env: unknown, ctx: Invocation) => unknown;
    return {
      fetch: method('fetch') ?? (isPlain ? (request, ctx) => plain(request, env, ctx) : null),
      scheduled: method('scheduled'),
      queue: method('queue'),
      target: null,
    };
  }
}

/** ES modules compiled to CommonJS, namespaces of real ones, and plain `module.exports = …`. */
function splitExports(exports: unknown): { main: unknown; named: Record<string, unknown> } {
  if ((typeof exports !== 'object' && typeof exports !== 'function') || exports === null) {
    return { main: undefined, named: {} };
  }
  const all = exports as Record<string, unknown>;
  const named: Record<string, unknown> = {};
  for (const key of Object.keys(all)) {
    if (key !== 'default' && key !== '__esModule') named[key] = all[key];
  }
  const isNamespace = all.__esModule === true || Object.prototype.toString.call(exports) === '[object Module]';
  const main = isNamespace || (all.default !== undefined && all.fetch === undefined) ? all.default : exports;
  return { main, named };
}
