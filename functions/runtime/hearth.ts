/**
 * What authors import as 'hearth' or 'cloudflare:workers'. The builder leaves both names out of the bundle; a base
 * gives each module its own copy of this shape, made by `moduleRuntime`.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { BaseModules, ExecutionContext } from '../contract/handlers.ts';
import type { target } from './stubs.ts';

export type {
  BaseModule,
  BaseModules,
  ExecutionContext,
  ExportedHandler,
  Fetcher,
  KVNamespace,
  Logger,
  Message,
  MessageBatch,
  Queue,
  ScheduledController,
  Span,
  SpanAttributes,
  StartSpan,
} from '../contract/handlers.ts';
export type {
  Config,
  ConfigSnapshot,
  Counters,
  Lock,
  LockOptions,
  Locks,
  Outbound,
  R2Bucket,
  R2Conditional,
  R2GetOptions,
  R2HttpMetadata,
  R2ListOptions,
  R2Object,
  R2ObjectBody,
  R2Objects,
  R2PutOptions,
  RateLimit,
  Topic,
} from '../contract/services.ts';
export type { Called, Service, Stub } from './stubs.ts';

/**
 * The default export of a base's setup: called once in each base, before its first module is loaded. `env` holds the
 * variables that the base definition names, `modules` tells who comes and goes. What it makes is `env.BASE` of every
 * module there.
 */
export type BaseSetup<Base> = (context: {
  readonly env: Readonly<Record<string, string>>;
  readonly modules: BaseModules;
}) => Base | Promise<Base>;

/**
 * Base class of modules whose public methods are handlers: `fetch`, `scheduled`, `queue`, and what other functions call as
 * methods of their service binding. Each call is an invocation, with an instance of its own. What is not for callers is
 * private (`#`), or a property of the instance.
 */
export class WorkerEntrypoint<Env = Record<string, unknown>> {
  protected readonly env: Env;
  protected readonly ctx: ExecutionContext;

  constructor(ctx: ExecutionContext, env: Env) {
    this.ctx = ctx;
    this.env = env;
  }
}

/**
 * Base class of what is passed over RPC by reference: its methods and getters are called where it is. Its
 * `[Symbol.dispose]` is called when nobody holds it any more.
 */
export class RpcTarget {
  declare readonly [target]: never;
}

/** The module's bindings and `BASE`, for code outside of handlers. Each module of a base has its own. */
export declare const env: unknown;

/** As `ctx.waitUntil` of the invocation that runs. Throws outside of one. */
export declare function waitUntil(promise: Promise<unknown>): void;

/** As `ctx.exports` of the invocation that runs. What is read of it outside of one throws. */
export declare const exports: Record<string, unknown>;

/** What `env` above is while this runs, and over its awaits. */
export declare function withEnv<Result>(env: unknown, run: () => Result): Result;

/** Refused by name where they are used, which is when the code that extends them is loaded. */
const NOT_HERE: object = {
  get DurableObject(): never {
    throw notHere('DurableObject');
  },
  get WorkflowEntrypoint(): never {
    throw notHere('WorkflowEntrypoint');
  },
};

const NONE: Record<string, unknown> = Object.freeze({});

function notHere(name: string): TypeError {
  return new TypeError(`"${name}" of cloudflare:workers is part of Workers that Hearth does not do.`);
}

export interface ModuleRuntime {
  WorkerEntrypoint: typeof WorkerEntrypoint;
  RpcTarget: typeof RpcTarget;
  /** The module's bindings, for code that is not handed `env`. */
  readonly env: unknown;
  /** As `ctx.exports` of the invocation that runs. What is read of it outside of one throws. */
  readonly exports: Record<string, unknown>;
  withEnv<Result>(env: unknown, run: () => Result): Result;
  /** As `ctx.waitUntil` of the invocation that runs. Throws outside of one. */
  waitUntil(promise: Promise<unknown>): void;
}

/** The object that `require('hearth')` gives inside one module. `current` is the running invocation. */
export function moduleRuntime(
  env: Record<string, unknown>,
  current: () => ExecutionContext | undefined,
): ModuleRuntime {
  /** Made by the first withEnv: hardly anybody uses it. */
  let others: AsyncLocalStorage<{ env: unknown }> | null = null;
  const running = (what: string) => {
    const ctx = current();
    if (ctx === undefined) throw new Error(`${what} outside of an invocation.`);
    return ctx;
  };
  const runtime: ModuleRuntime = {
    WorkerEntrypoint,
    RpcTarget,
    get env() {
      const other = others?.getStore();
      return other === undefined ? env : other.env;
    },
    exports: new Proxy(NONE, { get: (_none, name) => Reflect.get(running('exports was read').exports, name) }),
    waitUntil: (promise) => running('waitUntil was called').waitUntil(promise),
    withEnv(other, run) {
      others ??= new AsyncLocalStorage();
      return others.run({ env: other }, run);
    },
  };
  return Object.setPrototypeOf(runtime, NOT_HERE);
}
