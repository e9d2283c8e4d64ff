/** Whatever a module throws, as plain text. A module may throw anything: getters that throw, proxies, functions. */

export interface Described {
  name: string;
  message: string;
  stack: string;
}

const MAX_MESSAGE = 8_192;
const MAX_STACK = 16_384;

/** Never throws, and never returns anything but short strings. */
export function describeThrown(thrown: unknown): Described {
  if (!isErrorLike(thrown)) {
    const message = cut(plainText(thrown), MAX_MESSAGE);
    return { name: 'Error', message, stack: `Uncaught ${message}` };
  }
  const name = readText(thrown, 'name') || 'Error';
  const message = readText(thrown, 'message');
  const stack = readText(thrown, 'stack') || `${name}: ${message}`;
  return { name: cut(name, 256), message: cut(message, MAX_MESSAGE), stack: cut(stack, MAX_STACK) };
}

/** `name: message`, without repeating a name that says nothing. */
export function headline(described: Described): string {
  return described.message === '' ? described.name : `${described.name}: ${described.message}`;
}

function isErrorLike(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return value instanceof Error || typeof (value as { message?: unknown }).message === 'string';
  } catch {
    return false; // a proxy whose traps throw: described as a plain value
  }
}

function readText(value: object, key: string): string {
  try {
    const text: unknown = (value as Record<string, unknown>)[key];
    return typeof text === 'string' ? text : '';
  } catch {
    return ''; // a getter that throws has nothing to say
  }
}

function plainText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) {
    return typeof value === 'function' ? 'a function was thrown' : String(value);
  }
  try {
    return JSON.stringify(value) ?? 'an object was thrown';
  } catch {
    return 'an object was thrown'; // cycles, throwing getters, proxies
  }
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}…`;
}
