/** The built-in policy of one base: installed once after boot, tightened when the base is leased. */

import type net from 'node:net';
import process from 'node:process';
import type { LoadHead } from '../../../functions/contract/invocation.ts';
import type { LogBuffer } from '../console.ts';
import { lineStream, makeConsole } from '../console.ts';
import type { Invocation } from '../context.ts';
import { installOpenTelemetry } from '../otel/install.ts';
import type { ModuleScope } from '../scope.ts';
import { requestClass } from '../web/light-request.ts';
import { responseClass } from '../web/light-response.ts';
import { WebSocketPair } from '../websocket.ts';
import { type Builtins, guardedBuiltins } from './builtins.ts';
import { sealFileHandles, sealSockets } from './descriptors.ts';
import { guardedFetch } from './fetch.ts';
import { guardImports } from './imports.ts';
import { dropBootGrants, dropForLease } from './permissions.ts';
import { disarmProcess, guardedProcess } from './process.ts';

export interface PolicyOptions {
  log: LogBuffer;
  /** The invocation whose code runs. */
  current(): Invocation | undefined;
  /** Of the module whose code runs, as far as that is known. */
  scope(): ModuleScope | undefined;
  /** The link's own socket. */
  socket: net.Socket;
  filesDir: string;
  /** Variables of `process.env` until a module is there. */
  env: Record<string, string>;
  /** A module ended the program: this base. */
  exit(code: number): never;
  /** Makers of built-ins that are replaced as a whole, by bare name. */
  replaced: ReadonlyMap<string, () => unknown>;
}

interface PreparedProcess {
  scope: { env: Record<string, string>; cwd: string };
  made: object;
}

export class Policy {
  readonly builtins: Builtins;
  readonly #options: PolicyOptions;
  readonly #makeProcess: (env: () => Record<string, string>, cwd: () => string) => object;
  readonly #globalProcess: object;
  readonly #console: Console;
  /** What code counts as of which nothing is known: the module that was loaded last, where there is one alone. */
  #last: ModuleScope;
  /** Made when a module has left, as it costs a tenth of a millisecond: the next one finds it. */
  #spare: PreparedProcess | null = null;
  #offline = false;
  #leased = false;

  /** Changes nothing yet: `install` does. */
  constructor(options: PolicyOptions) {
    const { log } = options;
    this.#options = options;
    this.#last = { module: '', env: options.env, cwd: '/', identity: null, provided: () => undefined };
    this.#console = makeConsole(log);
    const print = (fd: 1 | 2, text: string) => log.write(fd === 1 ? 'info' : 'error', text);
    const stdout = Object.assign(
      lineStream((line) => print(1, line)),
      { fd: 1, isTTY: false },
    );
    const stderr = Object.assign(
      lineStream((line) => print(2, line)),
      { fd: 2, isTTY: false },
    );
    this.#makeProcess = (env, cwd) =>
      guardedProcess({
        env,
        cwd,
        stdout,
        stderr,
        exit: options.exit,
        getBuiltin: (specifier) => (this.builtins.isBuiltin(specifier) ? this.builtins.get(specifier) : undefined),
        emitWarning: (text) => log.write('warn', text),
      });
    this.#globalProcess = this.#makeProcess(
      () => this.scope().env,
      () => this.scope().cwd,
    );
    this.builtins = guardedBuiltins({
      real: process.getBuiltinModule.bind(process),
      print,
      console: this.#console,
      process: this.#globalProcess,
      replaced: options.replaced,
    });
  }

  /** Puts the guarded globals in place and shuts the ways around them. Nothing is loaded from files after this. */
  install(): void {
    const options = this.#options;
    dropBootGrants(process.execArgv, options.filesDir);
    sealSockets(options.socket);
    sealFileHandles();
    guardImports({
      builtins: this.builtins,
      provided: (specifier) => this.scope().provided(specifier),
      filesDir: options.filesDir,
    });
    const fetch = guardedFetch(globalThis.fetch, {
      spans: () => options.current()?.spans ?? null,
      offline: () => this.#offline,
    });
    installOpenTelemetry(globalThis);
    disarmProcess();
    fix('process', this.#globalProcess);
    Object.defineProperty(globalThis, 'console', { value: this.#console, writable: true, configurable: true });
    Object.defineProperty(globalThis, 'fetch', { value: fetch, writable: true, configurable: true, enumerable: true });
    for (const [name, value] of [
      ['Request', requestClass()],
      ['Response', responseClass()],
      ['WebSocketPair', WebSocketPair],
    ] as const) {
      Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
    }
    // Channels and locks reach into other threads of the host, storage into files.
    Reflect.deleteProperty(Object.getPrototypeOf(navigator) as object, 'locks');
    for (const name of ['BroadcastChannel', 'localStorage', 'sessionStorage']) Reflect.deleteProperty(globalThis, name);
  }

  /** A `process` whose env and cwd are this module's, whoever else shares the base. */
  moduleProcess(env: Record<string, string>, cwd: string): object {
    const { scope, made } = this.#spare ?? this.#prepareProcess();
    this.#spare = null;
    scope.env = env;
    scope.cwd = cwd;
    return made;
  }

  /** The one module of this base is loaded. */
  enter(scope: ModuleScope): void {
    this.#last = scope;
  }

  /** A module is out; another may come. */
  leave(): void {
    this.#spare ??= this.#prepareProcess();
  }

  /** `console` as modules have it. */
  get console(): object {
    return this.#console;
  }

  #prepareProcess(): PreparedProcess {
    const scope = { env: {}, cwd: '/' };
    const made = this.#makeProcess(
      () => scope.env,
      () => scope.cwd,
    );
    return { scope, made };
  }

  /** The first real module is about to run: what it does not get goes. Later calls change nothing, a rehearsal's neither. */
  lease({ filesDir, network, rehearsal, group }: Pick<LoadHead, 'filesDir' | 'network' | 'rehearsal' | 'group'>): void {
    if (this.#leased) return;
    // A rehearsal compiles what follows and takes nothing away. Of a group a later module may have files.
    dropForLease(rehearsal || filesDir !== null || group !== undefined, rehearsal ? 'all' : network);
    if (rehearsal) return;
    this.#leased = true;
    this.#offline = network === 'none';
    if (group !== undefined) this.#last = { module: '', env: {}, cwd: '/', identity: null, provided: () => undefined };
  }

  /** Whose code runs, as well as that is known. */
  scope(): ModuleScope {
    return this.#options.scope() ?? this.#last;
  }
}

function fix(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, writable: false, configurable: false, enumerable: false });
}
