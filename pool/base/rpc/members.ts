/** What of an object may be called by others, after Workers' rules. */
import { RpcTarget, WorkerEntrypoint } from '../../../functions/runtime/hearth.ts';
import { behindReference } from './reference.ts';

/** Of a stub itself, or of every class. */
const NEVER = new Set(['constructor', 'dup', 'then']);
/** Handlers of triggers and what Workers keeps for itself: an entrypoint has them, and nobody calls them by method. */
const OF_ENTRYPOINTS = new Set([
  ...['fetch', 'connect', 'scheduled', 'queue', 'tail', 'trace', 'test', 'email'],
  ...['alarm', 'webSocketMessage', 'webSocketClose', 'webSocketError'],
]);

/** Passed by reference: its methods are called where it is. */
export function isTarget(value: unknown): value is object {
  return value instanceof RpcTarget || value instanceof WorkerEntrypoint;
}

/**
 * A method or the value of a getter. Its class has it, or the object hides it: own properties, private members and what
 * every object has are never reached. Throws TypeError.
 */
export function memberOf(target: object, name: string): unknown {
  if (NEVER.has(name) || (OF_ENTRYPOINTS.has(name) && target instanceof WorkerEntrypoint)) {
    throw new MissingMethodError(`"${name}" is reserved: it cannot be called over RPC.`);
  }
  if (Object.hasOwn(target, name)) {
    throw new MissingMethodError(
      `"${name}" is a property of the instance, which stays private. Make it a method or a getter of the class to share it.`,
    );
  }
  if (name in Object.prototype || !(name in target)) {
    throw new MissingMethodError(`The RPC receiver does not implement the method "${name}".`);
  }
  return Reflect.get(target, name);
}

/** A caller asked for a method that is not there for it. To callers it is a TypeError, as in Workers. */
export class MissingMethodError extends TypeError {}

/** What stands at a path from a value, with what a method there is called on. By the rules of `memberOf` at targets. */
export function follow(from: unknown, path: readonly string[]): { value: unknown; self: unknown } {
  let value = from;
  let self: unknown;
  for (const name of path) {
    self = value;
    if (isTarget(value)) value = memberOf(value, name);
    else if (typeof value === 'object' && value !== null && Object.hasOwn(value, name)) {
      value = (value as Record<string, unknown>)[name];
    } else if (behindReference(value) !== undefined) {
      value = (value as unknown as Record<string, unknown>)[name];
    } else throw new MissingMethodError(`The RPC receiver does not implement the method "${name}".`);
  }
  return { value, self };
}
