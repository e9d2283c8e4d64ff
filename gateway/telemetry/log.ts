/**
 * The gateway's log: JSON lines, or aligned text on a terminal. Each line goes to `write` at once and whole, so that
 * nothing is lost when the process ends.
 */

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug' | 'trace';

export const LOG_LEVELS: readonly LogLevel[] = ['silent', 'error', 'warn', 'info', 'debug', 'trace'];

/** Known fields: `trace_id`, `span_id`, `invocation_id`, `function`. An Error given as `error` is written with its stack. */
export type LogFields = Record<string, unknown>;

export interface Logger {
  trace(msg: string, fields?: LogFields): void;
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  warn(msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
  /** The same log with these fields on each line. */
  child(fields: LogFields): Logger;
}

type WrittenLevel = Exclude<LogLevel, 'silent'>;

export interface LoggerOptions {
  level: LogLevel;
  /** For a person at a terminal instead of JSON. */
  pretty: boolean;
  /** Takes one line with its line end. */
  write(line: string): void;
  /** Epoch ms. */
  now?(): number;
}

export function createLogger(options: LoggerOptions): Logger {
  const { write, now = Date.now } = options;
  const format = options.pretty ? prettyLine : jsonLine;
  const limit = LOG_LEVELS.indexOf(options.level);
  const isOn = (level: WrittenLevel) => LOG_LEVELS.indexOf(level) <= limit;

  function at(level: WrittenLevel, bound: LogFields) {
    if (!isOn(level)) return ignore;
    return (msg: string, fields?: LogFields) => write(format(now(), level, msg, bound, fields));
  }
  function make(bound: LogFields): Logger {
    return {
      trace: at('trace', bound),
      debug: at('debug', bound),
      info: at('info', bound),
      warn: at('warn', bound),
      error: at('error', bound),
      child: (fields) => make({ ...bound, ...fields }),
    };
  }
  return make({});
}

function ignore(): void {
  // Below the level.
}

function jsonLine(timeMs: number, level: WrittenLevel, msg: string, bound: LogFields, fields?: LogFields): string {
  const own = { time: iso(timeMs), level, msg };
  // Own keys first for the eye, and last so that a field of the same name cannot pose as them.
  return `${stringify(Object.assign({}, own, bound, fields, own))}\n`;
}

function prettyLine(timeMs: number, level: WrittenLevel, msg: string, bound: LogFields, fields?: LogFields): string {
  const { error, ...rest } = { ...bound, ...fields };
  let line = `${DIM}${iso(timeMs).slice(11, 23)}${RESET} ${COLOR[level]}${level.padEnd(5)}${RESET} ${printable(msg)}`;
  for (const [key, value] of Object.entries(rest)) {
    if (value === undefined) continue;
    const text = typeof value === 'string' ? value : stringify(value);
    line += ` ${DIM}${key}=${printable(/^[^\s"]+$/.test(text) ? text : stringify(text))}${RESET}`;
  }
  if (error !== undefined) {
    const text = error instanceof Error ? (error.stack ?? String(error)) : stringify(error);
    line += `\n${printable(text).replaceAll(/^/gm, '  ')}`;
  }
  return `${line}\n`;
}

const RESET = '\u001b[0m';
const DIM = '\u001b[2m';
const COLOR: Record<WrittenLevel, string> = {
  error: '\u001b[31m',
  warn: '\u001b[33m',
  info: '\u001b[32m',
  debug: '\u001b[36m',
  trace: DIM,
};

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** Functions write what they like: control characters but tab and newline must not reach the terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}

/** Never throws: a log line must not be the reason why a request fails. */
function stringify(value: unknown): string {
  try {
    return JSON.stringify(value, plain) ?? String(value);
  } catch (error) {
    return JSON.stringify({ ...shallow(value), unserializable: String(error) });
  }
}

/** What of a value can be written in any case: its own strings, numbers and booleans. */
function shallow(value: unknown): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  if (typeof value !== 'object' || value === null) return kept;
  for (const [key, field] of Object.entries(value)) {
    if (typeof field === 'string' || typeof field === 'number' || typeof field === 'boolean') kept[key] = field;
  }
  return kept;
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (!(value instanceof Error)) return value;
  const { name, message, stack, cause } = value;
  const code = 'code' in value ? value.code : undefined;
  return { name, message, code, stack, cause };
}
