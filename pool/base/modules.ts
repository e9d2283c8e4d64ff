/** Modules of one base: taking them in, finding them again. */

import type { BaseModule, BaseModules } from '../../functions/contract/handlers.ts';
import { type LoadHead, type LoadTimes, monotonicMs } from '../../functions/contract/invocation.ts';
import * as business from '../../functions/runtime/business.ts';
import { moduleRuntime, WorkerEntrypoint } from '../../functions/runtime/hearth.ts';
import { firstSnapshots } from './bindings/config.ts';
import type { LogBuffer } from './console.ts';
import { currentInvocation, runInModule } from './context.ts';
import { describeThrown } from './describe.ts';
import { GuestModule, type ServeHttp } from './guest.ts';
import { type GuestGlobals, guestGlobals } from './guest-globals.ts';
import { type Evaluated, evaluateCommonJs, evaluateEsModule } from './loader.ts';
import { invokeNodeHttp } from './node-http/invoke.ts';
import type { Http, NodeHttp } from './node-http.ts';
import { NotAllowedError } from './policy/denied.ts';
import type { Policy } from './policy/policy.ts';
import type { ModuleScope } from './scope.ts';

/** One for all modules, none of which can change it for the others. */
const BUSINESS = Object.freeze({ ...business });

/** `cloudflare:node`: here a server is found by its `listen`, whatever is exported. */
const NODE_SERVERS = Object.freeze({ httpServerHandler: () => ({}) });

/** How long a module that uses node:http may take to call listen. */
const LISTEN_WITHIN_MS = 5_000;

export interface ModulesOptions {
  policy: Policy;
  log: LogBuffer;
  /** Shared libraries of the base definition, by the specifier modules import them with. */
  shared: ReadonlyMap<string, unknown>;
  /** Runs the base definition's setup, once, at the first real module; what it returned is `env.BASE`. Null: none. */
  setup: ((modules: BaseModules) => unknown) | null;
  nodeHttp: NodeHttp;
  /** Node's own `node:http`. */
  http(): Http;
  /** Bindings of the module as objects for `env`. */
  bindings(head: LoadHead): Record<string, unknown>;
}

export interface Taken {
  module: GuestModule;
  times: LoadTimes;
  cacheUsed: boolean;
  codeCache: Uint8Array | null;
}

export class Modules {
  readonly #options: ModulesOptions;
  readonly #byName = new Map<string, GuestModule>();
  readonly #globals = new Map<string, GuestGlobals>();
  readonly #leaving: ((module: BaseModule) => void)[] = [];
  readonly #known: BaseModules = {
    current: () => this.#options.policy.scope().identity,
    onLeave: (listener) => this.#leaving.push(listener),
  };
  #base: { value: unknown } | null = null;
  #settingUp: Promise<unknown> | null = null;

  constructor(options: ModulesOptions) {
    this.#options = options;
  }

  get(name: string): GuestModule | undefined {
    return this.#byName.get(name);
  }

  /** Takes it out, also one that did not load. Calls of neighbours that run in it come to their end. */
  remove(name: string): void {
    const module = this.#byName.get(name);
    this.#byName.delete(name);
    if (module === undefined) this.#forget(name, null);
    else module.taken(() => this.#forget(name, module.scope.identity));
  }

  #forget(name: string, identity: BaseModule | null): void {
    const { nodeHttp, policy, log } = this.#options;
    nodeHttp.remove(name);
    policy.leave();
    this.#globals.get(name)?.end();
    this.#globals.delete(name);
    if (identity === null) return;
    for (const listener of this.#leaving) {
      try {
        listener(identity);
      } catch (error) {
        log.write('error', `The base, of a module that left: ${describeThrown(error).stack}`);
      }
    }
  }

  /** Throws (or rejects) with what the module's top level threw. Answers at once wherever nothing has to be awaited. */
  load(head: LoadHead, code: string, codeCache: Uint8Array | null, receivedAt: number): Taken | Promise<Taken> {
    if (this.#base === null) {
      const made = this.#settingUp ?? (head.rehearsal ? undefined : this.#options.setup?.(this.#known));
      if (made instanceof Promise) {
        this.#settingUp = made;
        return made.then(
          (value: unknown) => {
            if (this.#base === null) this.#leased(head, value);
            return this.#evaluate(head, code, codeCache, receivedAt);
          },
          (error: unknown) => {
            // The next module of a group tries again.
            if (this.#settingUp === made) this.#settingUp = null;
            throw error;
          },
        );
      }
      this.#leased(head, made);
    }
    return this.#evaluate(head, code, codeCache, receivedAt);
  }

  /** A rehearsal goes the same way, so that all of it has been compiled before the first function comes. */
  #leased(head: LoadHead, base: unknown): void {
    if (!head.rehearsal) this.#base = { value: base };
    this.#options.policy.lease(head);
  }

  #evaluate(head: LoadHead, code: string, codeCache: Uint8Array | null, receivedAt: number): Taken | Promise<Taken> {
    const bindings = this.#options.bindings(head);
    const needed = firstSnapshots(bindings);
    const evaluate = () => this.#evaluateWith(bindings, head, code, codeCache, receivedAt);
    return needed === null ? evaluate() : needed.then(evaluate);
  }

  #evaluateWith(
    bindings: Readonly<Record<string, unknown>>,
    head: LoadHead,
    code: string,
    codeCache: Uint8Array | null,
    receivedAt: number,
  ): Taken | Promise<Taken> {
    const { policy, nodeHttp } = this.#options;
    const env: Record<string, unknown> = { ...head.jsonVars, ...head.vars, ...bindings };
    const base = this.#base?.value;
    if (base !== undefined) env.BASE = base;
    const processEnv = { ...head.vars };
    const dirname = head.filesDir ?? '/';
    const own = policy.moduleProcess(processEnv, dirname);
    const globals = head.group === undefined ? null : this.#ownGlobals(head.module);
    const runtime = moduleRuntime(env, () => currentInvocation.getStore());
    const provided = (specifier: string): unknown => {
      if (specifier === 'hearth' || specifier === 'cloudflare:workers') return runtime;
      if (specifier === 'cloudflare:node') return NODE_SERVERS;
      return specifier === 'hearth/business' ? BUSINESS : this.#options.shared.get(specifier);
    };
    let usesHttp = false;
    const require = (specifier: string): unknown => {
      if (specifier === 'http' || specifier === 'node:http') usesHttp = true;
      if (specifier === 'process' || specifier === 'node:process') return own;
      if (globals !== null && (specifier === 'console' || specifier === 'node:console')) return globals.console;
      const found = policy.builtins.isBuiltin(specifier) ? policy.builtins.get(specifier) : provided(specifier);
      if (found !== undefined) return found;
      throw new NotAllowedError(
        `require(${JSON.stringify(specifier)})`,
        'It was not bundled, and the base does not share it.',
      );
    };

    const identity = Object.freeze({ function: head.functionName, version: head.version });
    const scope: ModuleScope = { module: head.module, env: processEnv, cwd: dirname, identity, provided };
    if (head.group === undefined) policy.enter(scope);
    const finish = (evaluated: Evaluated): Taken | Promise<Taken> => {
      const guest = () =>
        new GuestModule({
          head,
          env,
          exports: evaluated.exports,
          marker: WorkerEntrypoint,
          serve: this.#serve(head.module),
          scope,
        });
      const take = (module: GuestModule): Taken => {
        if (module.handlers.length === 0) throw new Error(NO_HANDLER);
        this.#byName.set(head.module, module);
        return {
          module,
          times: { receivedAt, compiledAt: evaluated.compiledAt, evaluatedAt: monotonicMs() },
          cacheUsed: evaluated.cacheUsed,
          codeCache: head.wantCodeCache ? evaluated.makeCodeCache() : null,
        };
      };
      const module = guest();
      const mayListen = module.handlers.length === 0 && (usesHttp || nodeHttp.inUse);
      return mayListen ? this.#untilListening(head.module).then(() => take(guest())) : take(module);
    };
    if (head.format === 'esm') {
      // Node keeps it for ever, and what it sees of a base is one scope for all.
      if (head.group !== undefined) throw new Error(NOT_IN_GROUP);
      return evaluateEsModule(head.functionName, code).then(finish);
    }
    const evaluate = () => {
      const within = { require, process: own, dirname, globals };
      return finish(evaluateCommonJs(head.functionName, code, codeCache, within));
    };
    return head.group === undefined ? evaluate() : runInModule(scope, evaluate);
  }

  #ownGlobals(module: string): GuestGlobals {
    const globals = guestGlobals({
      module,
      log: this.#options.log,
      console: this.#options.policy.console,
      invocation: () => {
        const invocation = currentInvocation.getStore();
        return invocation?.head.module === module ? invocation : undefined;
      },
    });
    this.#globals.set(module, globals);
    return globals;
  }

  #serve(module: string): ServeHttp | null {
    const server = this.#options.nodeHttp.listening(module);
    if (server === undefined) return null;
    return (head, body, answering) => invokeNodeHttp(this.#options.http(), server, head, body, answering);
  }

  /** Applications that await something before they listen; those that never do are judged by their exports. */
  #untilListening(module: string): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      const timer = setTimeout(done, LISTEN_WITHIN_MS);
      const stop = this.#options.nodeHttp.onListening(module, done);
    });
  }
}

const NOT_IN_GROUP =
  'A module of a group cannot use top-level await: it could never be taken out again. Await within the handlers, or leave ' +
  'out hearth.group.';
const NO_HANDLER =
  'The module exports no handler: export default { fetch(request, env, ctx) { … } }, ' +
  'a class that extends WorkerEntrypoint, or call listen() on an HTTP server.';
