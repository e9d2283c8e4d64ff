/** `ctx.exports.NAME`: an entrypoint of the module itself, called as a service binding would be, in process. */
import type { Invocation } from './context.ts';
import type { Entrypoint } from './guest.ts';

/** Properties that no stub has: a promise would be taken for one, and the instance is its own business. */
const NO_METHODS = new Set<PropertyKey>(['then', 'constructor', 'dup']);

/**
 * Its `fetch` and public methods; called as a function with `{ props }` it is the same with other props. Each use makes an
 * instance of its own, as each call over a binding does.
 */
export function loopback(entrypoint: Entrypoint, ctx: Invocation, props: unknown = {}): unknown {
  const within = withProps(ctx, props);
  const withOthers = (options?: { props?: unknown }) => loopback(entrypoint, ctx, options?.props ?? {});
  return new Proxy(withOthers, {
    get(_stub, name) {
      if (NO_METHODS.has(name) || typeof name === 'symbol') return undefined;
      const { fetch, target } = entrypoint;
      if (name === 'fetch' && fetch !== null) {
        return async (input: Request | string | URL, init?: RequestInit) =>
          fetch(new Request(input as Request, init), within);
      }
      const instance = target?.(within) as Record<string, unknown> | undefined;
      const value = instance?.[name];
      if (instance === undefined || typeof value !== 'function') return value;
      return async (...args: unknown[]) => Reflect.apply(value, instance, args);
    },
  });
}

/** The same invocation, of which the callee sees other props. */
function withProps(ctx: Invocation, props: unknown): Invocation {
  return new Proxy(ctx, {
    get(target, name) {
      if (name === 'props') return props;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
