/** What a module hears when it asks for something no base gives. */

export class NotAllowedError extends Error {
  readonly code = 'ERR_ACCESS_DENIED';

  constructor(what: string, instead = '') {
    super(`${what} is not available to functions.${instead === '' ? '' : ` ${instead}`}`);
    this.name = 'NotAllowedError';
  }
}

/** A function that is there, so that libraries which only mention it load, and that refuses to be used. */
export function refusal(what: string, instead = ''): (...args: unknown[]) => never {
  return function refused(): never {
    throw new NotAllowedError(what, instead);
  };
}

/** An object of refusals. */
export function refusals(module: string, names: readonly string[], instead = ''): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (let at = 0; at < names.length; at++) {
    const name = names[at] as string;
    made[name] = refusal(`${module}.${name}`, instead);
  }
  return made;
}

/** The named members of a built-in, and nothing else of it. By index alone: it may run beside code that replaced iterators. */
export function pick(source: object, names: readonly string[]): Record<string, unknown> {
  const from = source as Record<string, unknown>;
  const made: Record<string, unknown> = {};
  for (let at = 0; at < names.length; at++) {
    const name = names[at] as string;
    if (name in from) made[name] = from[name];
  }
  return made;
}
