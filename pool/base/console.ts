/** `console` of modules: lines for the gateway, each with the invocation it belongs to. */
import { Console } from 'node:console';
import { Writable } from 'node:stream';
import { formatWithOptions } from 'node:util';
import type { BaseEvent, LogLine } from '../../functions/contract/invocation.ts';

export type Level = LogLine['level'];

/**
 * Text of one event, and of all events within WINDOW_MS: who prints more keeps the gateway busy with reading it. What is
 * beyond is dropped and counted.
 */
export const MAX_PENDING_CHARS = 64 * 1024;
export const WINDOW_MS = 50;
const MAX_LINE_CHARS = 16 * 1024;
const MAX_PENDING_LINES = 1_000;

export interface LogOptions {
  send(event: BaseEvent): void;
  /** Epoch ms. */
  now(): number;
  /** Whose code is running. */
  source(): LogSource;
}

/** Whose line it is: of a module, and of its invocation where there is one, within one of its spans. */
export type LogSource = Pick<LogLine, 'module' | 'invocationId' | 'span'>;

/**
 * Collects lines and sends those of one turn of the loop together. The first line of a turn goes at once, as the code
 * that wrote it may be about to loop for ever.
 */
export class LogBuffer {
  readonly #options: LogOptions;
  #lines: LogLine[] = [];
  #chars = 0;
  #windowEndsAt = 0;
  #windowChars = 0;
  #dropped = 0;
  #scheduled = false;

  constructor(options: LogOptions) {
    this.#options = options;
  }

  /** Formats as console.log does. Never throws, whatever the arguments are. */
  print(level: Level, args: unknown[]): void {
    this.write(level, formatArguments(args));
  }

  write(level: Level, message: string, source: LogSource = this.#options.source()): void {
    const text = message.length <= MAX_LINE_CHARS ? message : `${message.slice(0, MAX_LINE_CHARS)}…`;
    const time = this.#options.now();
    if (time >= this.#windowEndsAt || time < this.#windowEndsAt - WINDOW_MS) {
      this.#windowEndsAt = time + WINDOW_MS;
      this.#windowChars = 0;
    }
    const most = Math.max(this.#chars, this.#windowChars) + text.length;
    if (most > MAX_PENDING_CHARS || this.#lines.length >= MAX_PENDING_LINES) {
      this.#dropped++;
    } else {
      this.#chars += text.length;
      this.#windowChars += text.length;
      this.#lines.push({ time, level, message: text, ...source });
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (this.#lines.length > 0) this.#send();
    const next = () => {
      this.#scheduled = false;
      this.#chars = 0;
      this.flush();
    };
    // A number alone can wait: a flood over many turns would send one with each.
    if (this.#dropped > 0 && this.#lines.length === 0) setTimeout(next, WINDOW_MS);
    else setImmediate(next);
  }

  flush(): void {
    if (this.#lines.length > 0 || this.#dropped > 0) this.#send();
  }

  #send(): void {
    const lines = this.#lines;
    const dropped = this.#dropped;
    this.#lines = [];
    this.#dropped = 0;
    this.#options.send({ event: 'log', lines, dropped });
  }
}

/** A `console` that writes into the buffer. What it cannot express as a line with a level goes through Node's own. */
export function makeConsole(buffer: LogBuffer): Console {
  const own = new Console({
    stdout: lineStream((line) => buffer.write('info', line)),
    stderr: lineStream((line) => buffer.write('warn', line)),
    colorMode: false,
  });
  const levels: [method: string, level: Level][] = [
    ['log', 'info'],
    ['info', 'info'],
    ['debug', 'debug'],
    ['warn', 'warn'],
    ['error', 'error'],
  ];
  const methods = Object.fromEntries(
    levels.map(([method, level]) => [method, (...args: unknown[]) => buffer.print(level, args)]),
  );
  return Object.assign(own, methods, {
    trace: (...args: unknown[]) => buffer.write('trace', `Trace: ${formatArguments(args)}\n${callerStack()}`),
    // Its class takes streams, and through them nothing that a module could not do already.
    Console,
  });
}

/** Whole lines of what is written, for `process.stdout` as well. */
export function lineStream(line: (text: string) => void): Writable {
  return new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      const text = typeof chunk === 'string' ? chunk : chunk.toString('utf8');
      line(text.endsWith('\n') ? text.slice(0, -1) : text);
      done();
    },
  });
}

export function formatArguments(args: unknown[]): string {
  if (args.length === 1 && typeof args[0] === 'string') return args[0];
  try {
    return formatWithOptions({ colors: false }, ...args);
  } catch {
    return '[a value that cannot be printed: its own formatting threw]';
  }
}

function callerStack(): string {
  return (new Error().stack ?? '').split('\n').slice(3).join('\n');
}
