/**
 * Of the globals those that a module of a group has to itself, given to its code as names of its own scope. The context of
 * an invocation says whose code runs too, but not where one module calls what it was handed by another: a callback, a
 * listener. And what a module's own timers hold must be given back when the module is taken out.
 */
import { promisify } from 'node:util';
import { formatArguments, type Level, type LogBuffer } from './console.ts';
import type { Invocation } from './context.ts';
import { sourceOf } from './logger.ts';

export interface GuestGlobals {
  console: object;
  setTimeout: object;
  setInterval: object;
  /** The module is out, and nothing of it runs any more: its timers end. */
  end(): void;
}

export interface GuestGlobalsOptions {
  module: string;
  /** Of the base; it answers for what is not a line with a level. */
  console: object;
  log: LogBuffer;
  /** The invocation whose code runs, when that is the module's own. */
  invocation(): Invocation | undefined;
}

const LEVELS: [method: string, level: Level][] = [
  ['log', 'info'],
  ['info', 'info'],
  ['debug', 'debug'],
  ['warn', 'warn'],
  ['error', 'error'],
];

// Taken before foreign code runs.
const { setTimeout: timeout, setInterval: interval, clearTimeout: clear } = globalThis;

export function guestGlobals({ module, console, log, invocation }: GuestGlobalsOptions): GuestGlobals {
  let ended = false;
  const own = Object.create(console) as Record<string, unknown>;
  for (const [method, level] of LEVELS) {
    own[method] = (...args: unknown[]) => log.write(level, formatArguments(args), sourceOf(module, invocation()));
  }
  const setTimeout = (callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    const timer = timeout(callback, ms, ...args);
    // One that is set again and again would keep the module for ever.
    if (ended) clear(timer);
    return timer;
  };
  const setInterval = (callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    if (typeof callback !== 'function') return interval(callback, ms, ...args);
    const timer = interval(function (this: unknown) {
      if (ended) clear(timer);
      else Reflect.apply(callback, this, args);
    }, ms);
    return timer;
  };
  Object.defineProperty(setTimeout, promisify.custom, { value: timeout[promisify.custom as never] });
  return {
    console: own,
    setTimeout,
    setInterval,
    end() {
      ended = true;
    },
  };
}
