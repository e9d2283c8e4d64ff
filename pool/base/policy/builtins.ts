/**
 * Which of Node's built-ins a module gets, by allow-list: as they are, cut down to what cannot reach outside the base,
 * or as stubs that refuse when used (many libraries name `child_process` without ever calling it). All else is refused
 * when asked for.
 */
import asyncHooks from 'node:async_hooks';
import { builtinModules, isBuiltin as isBuiltinName } from 'node:module';
import os from 'node:os';
import v8 from 'node:v8';
import worker from 'node:worker_threads';
import { NotAllowedError, pick, refusal, refusals } from './denied.ts';
import { guardedFs } from './fs.ts';
import { sliceText, startsWith, table } from './intrinsics.ts';

const AS_THEY_ARE = [
  ...['assert', 'assert/strict', 'buffer', 'constants', 'crypto', 'dgram', 'diagnostics_channel', 'dns'],
  ...['dns/promises', 'events', 'net', 'path', 'path/posix', 'path/win32'],
  ...['perf_hooks', 'punycode', 'querystring', 'readline', 'readline/promises', 'stream', 'stream/consumers'],
  ...['stream/promises', 'stream/web', 'string_decoder', 'timers', 'timers/promises', 'tls', 'url', 'util'],
  ...['util/types', 'zlib', 'sys'],
];

/** A server could send what any descriptor number of the process holds (`respondWithFD`). */
const HTTP2_CLIENT = [
  ...['connect', 'constants', 'getDefaultSettings', 'getPackedSettings', 'getUnpackedSettings', 'sensitiveHeaders'],
  ...['Http2ServerRequest', 'Http2ServerResponse'],
];

export interface BuiltinsOptions {
  /** Node's own `process.getBuiltinModule`. */
  real(specifier: string): unknown;
  print(fd: 1 | 2, text: string): void;
  console: object;
  /** The guarded `process`. */
  process: object;
  /** Makers of replacements for whole modules, by bare name, such as `http` with its `listen` given to the base. */
  replaced: ReadonlyMap<string, () => unknown>;
}

export interface Builtins {
  /** Throws NotAllowedError for what no module gets. Undefined: no built-in has this name. */
  get(specifier: string): unknown;
  /** Whether it is a name of Node's, allowed or not. */
  isBuiltin(specifier: string): boolean;
  /** Whether modules get Node's own object, unchanged. */
  isPlain(specifier: string): boolean;
}

/**
 * Which name gives what is fixed here, before foreign code runs: later calls only read null-prototype tables. What is
 * cut down is cut now, what is plain or replaced is fetched when it is asked for, since most bases never need it.
 */
export function guardedBuiltins(options: BuiltinsOptions): Builtins {
  const { real } = options;
  const names = table(builtinModules.map((name) => [bareName(name), true] as const));
  const plain = table(AS_THEY_ARE.map((name) => [name, true] as const));
  const makers = table<() => unknown>([...options.replaced]);
  makers.http2 = () => ({
    ...pick(real('node:http2') as object, HTTP2_CLIENT),
    ...refusals('http2', ['createServer', 'createSecureServer', 'performServerHandshake'], 'Export a fetch handler.'),
  });
  const made = table<unknown>();
  const cut = reduced(options, get);
  for (const name of Object.keys(cut)) made[name] = cut[name];

  function get(specifier: string): unknown {
    if (typeof specifier !== 'string') throw new NotAllowedError('A module without a name');
    const name = bareName(specifier);
    const known = made[name];
    if (known !== undefined) return known;
    const maker = makers[name];
    let value: unknown;
    if (maker !== undefined) value = maker();
    else if (plain[name] === true) value = real(`node:${name}`);
    else if (isBuiltin(specifier)) throw new NotAllowedError(`The built-in module "node:${name}"`);
    else return undefined;
    made[name] = value;
    return value;
  }

  function isBuiltin(specifier: string): boolean {
    return typeof specifier === 'string' && (startsWith(specifier, 'node:') || names[specifier] === true);
  }

  return {
    get,
    isBuiltin,
    isPlain: (specifier) => {
      const name = bareName(specifier);
      return plain[name] === true && makers[name] === undefined;
    },
  };
}

/** What cannot be handed over as it is, and what is left of it. */
function reduced(options: BuiltinsOptions, get: (specifier: string) => unknown): Record<string, unknown> {
  const fs = guardedFs(options.print);
  return {
    fs,
    'fs/promises': fs.promises,
    os: reducedOs(),
    console: options.console,
    process: options.process,
    // No hooks: a hook's `resource` would be the base's own socket.
    async_hooks: pick(asyncHooks, ['AsyncLocalStorage', 'AsyncResource', 'executionAsyncId', 'triggerAsyncId']),
    v8: pick(v8, [
      ...['serialize', 'deserialize', 'Serializer', 'Deserializer', 'DefaultSerializer', 'DefaultDeserializer'],
      ...['getHeapStatistics', 'getHeapSpaceStatistics', 'cachedDataVersionTag', 'isStringOneByteRepresentation'],
    ]),
    module: reducedModule(get),
    worker_threads: reducedWorkerThreads(),
    tty: {
      isatty: () => false,
      ...refusals('tty', ['ReadStream', 'WriteStream']),
    },
    child_process: refusals('child_process', [
      'exec',
      'execFile',
      'execFileSync',
      'execSync',
      'fork',
      'spawn',
      'spawnSync',
      'ChildProcess',
    ]),
    cluster: {
      isMaster: true,
      isPrimary: true,
      isWorker: false,
      workers: {},
      settings: {},
      on: () => undefined,
      ...refusals('cluster', ['fork', 'setupPrimary', 'setupMaster', 'disconnect']),
    },
    vm: {
      isContext: () => false,
      ...refusals('vm', [
        ...['Script', 'createContext', 'createScript', 'runInContext', 'runInNewContext', 'runInThisContext'],
        ...['compileFunction', 'SourceTextModule', 'SyntheticModule', 'measureMemory'],
      ]),
    },
  };
}

/** Of the machine what programs branch on; neither who runs Hearth nor which processes there are. */
function reducedOs(): unknown {
  const { getPriority } = os;
  return {
    ...os,
    ...refusals('os', ['setPriority']),
    getPriority: (pid: unknown = 0) => {
      if (pid === 0) return getPriority(0);
      throw new NotAllowedError('os.getPriority of another process');
    },
    homedir: () => '/',
    userInfo: () => ({ uid: 65_534, gid: 65_534, username: 'nobody', homedir: '/', shell: null }),
  };
}

function reducedModule(get: (specifier: string) => unknown): unknown {
  const requireBuiltin = (specifier: unknown) => {
    const found = typeof specifier === 'string' ? get(specifier) : undefined;
    if (found === undefined) throw new NotAllowedError(`require(${JSON.stringify(specifier)}) made by createRequire`);
    return found;
  };
  const isBuiltin = (name: unknown) => typeof name === 'string' && isBuiltinName(name);
  return {
    builtinModules: [...builtinModules],
    isBuiltin,
    createRequire: () => Object.assign(requireBuiltin, { resolve: (id: string) => id, cache: {} }),
    ...refusals('module', [
      'register',
      'registerHooks',
      'runMain',
      'syncBuiltinESMExports',
      'enableCompileCache',
      '_load',
    ]),
  };
}

function reducedWorkerThreads(): unknown {
  return {
    // As seen by the module it is alone: libraries branch on this to find their main thread.
    isMainThread: true,
    isInternalThread: false,
    threadId: 0,
    threadName: '',
    parentPort: null,
    workerData: null,
    resourceLimits: {},
    SHARE_ENV: Symbol('SHARE_ENV'),
    getEnvironmentData: () => undefined,
    ...pick(worker, [
      ...['MessageChannel', 'MessagePort', 'receiveMessageOnPort', 'markAsUntransferable', 'markAsUncloneable'],
      ...['isMarkedAsUntransferable'],
    ]),
    Worker: refusal('worker_threads.Worker', 'A base is one thread; call another function instead.'),
    BroadcastChannel: refusal('BroadcastChannel'),
    ...refusals('worker_threads', ['setEnvironmentData', 'postMessageToThread', 'moveMessagePortToContext']),
  };
}

function bareName(specifier: string): string {
  return startsWith(specifier, 'node:') ? sliceText(specifier, 5) : specifier;
}
