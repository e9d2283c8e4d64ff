/** `process` for modules: what describes the runtime is Node's own, what acts on the process is not there. */

import { EventEmitter } from 'node:events';
import process from 'node:process';
import type { Writable } from 'node:stream';
import { NotAllowedError, pick, refusal, refusals } from './denied.ts';

export interface GuardedProcessOptions {
  /** The variables of the module that asks; an object it may change. */
  env(): Record<string, string>;
  /** The directory of its files. */
  cwd(): string;
  stdout: Writable;
  stderr: Writable;
  /** The module called `process.exit` or `abort`. Must not return. */
  exit(code: number): never;
  getBuiltin(specifier: string): unknown;
  emitWarning(text: string): void;
}

const PLAIN = [
  ...['arch', 'platform', 'version', 'versions', 'release', 'features', 'pid', 'ppid', 'hrtime', 'uptime', 'nextTick'],
  ...['memoryUsage', 'constrainedMemory', 'availableMemory', 'cpuUsage', 'threadCpuUsage', 'resourceUsage'],
];
const REFUSED = [
  ...['kill', '_kill', 'setPriority', 'binding', '_linkedBinding', 'dlopen', 'chdir', 'umask', 'setuid', 'setgid'],
  ...['seteuid', 'setegid', 'setgroups', 'initgroups', 'loadEnvFile', 'setSourceMapsEnabled', '_debugProcess'],
  ...['_debugEnd', '_startProfilerIdleNotifier', '_getActiveHandles', '_getActiveRequests', 'getActiveResourcesInfo'],
  ...['setUncaughtExceptionCaptureCallback', 'addUncaughtExceptionCaptureCallback', 'execve', '_rawDebug', 'openStdin'],
];
/** The identity of the user Hearth runs as is nobody's business, but programs ask and branch on it. */
const IDENTITY = ['getuid', 'geteuid', 'getgid', 'getegid'];

/**
 * One object for a whole base, or one for a module: what differs is asked from the options each time. It has no way
 * back to the real one: neither by prototype nor by a method's `this`.
 */
export function guardedProcess(options: GuardedProcessOptions): object {
  // Listeners are taken and never called: signals and exits are the host's.
  const guarded = new EventEmitter() as EventEmitter & Record<string, unknown>;
  guarded.setMaxListeners(0);
  Object.assign(guarded, pick(process, PLAIN), refusals('process', REFUSED));
  for (const name of IDENTITY) guarded[name] = () => 65_534;
  Object.assign(guarded, {
    title: 'hearth',
    argv: ['node', 'module.js'],
    argv0: 'node',
    execArgv: [],
    execPath: '/usr/bin/node',
    exitCode: undefined,
    config: { target_defaults: {}, variables: {} },
    debugPort: 0,
    allowedNodeEnvironmentFlags: new Set<string>(),
    report: undefined,
    permission: { has: () => false },
    stdin: undefined,
    stdout: options.stdout,
    stderr: options.stderr,
    cwd: () => options.cwd(),
    exit: (code: unknown) => options.exit(typeof code === 'number' ? code : 0),
    reallyExit: (code: unknown) => options.exit(typeof code === 'number' ? code : 0),
    abort: () => options.exit(134),
    getBuiltinModule: (specifier: unknown) => {
      if (typeof specifier !== 'string') throw new TypeError('process.getBuiltinModule takes a name.');
      try {
        return options.getBuiltin(specifier);
      } catch (error) {
        if (error instanceof NotAllowedError) return undefined; // as Node answers for what does not exist
        throw error;
      }
    },
    emitWarning: (warning: unknown) =>
      options.emitWarning(warning instanceof Error ? warning.message : String(warning)),
    hasUncaughtExceptionCaptureCallback: () => false,
    [Symbol.toStringTag]: 'process',
  });
  Object.defineProperty(guarded, 'env', { get: () => options.env(), enumerable: true });
  return guarded;
}

/**
 * The real `process` of this thread, which Node's own code hands to whoever replaces `EventEmitter.prototype.emit`: what
 * acts on the whole program is taken off it. Signals are the worst of it: the permission model lets them pass, and the
 * gateway is the parent.
 */
export function disarmProcess(): void {
  const real = process as unknown as Record<string, unknown>;
  for (const name of [...REFUSED, 'getBuiltinModule', 'report', 'abort']) {
    if (!(name in real)) continue;
    Object.defineProperty(real, name, {
      value: refusal(`process.${name}`),
      writable: false,
      configurable: false,
      enumerable: true,
    });
  }
}
