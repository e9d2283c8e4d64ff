/** The one `fetch` of a base: carries the trace on, and says plainly when the network is off. */
import { unlight } from '../web/light-request.ts';

export interface FetchOptions {
  /** W3C traceparent of the invocation whose code calls; null outside of any. */
  traceparent(): string | null;
  /** Whether the base may open no connection. */
  offline(): boolean;
}

export function guardedFetch(original: typeof fetch, options: FetchOptions): typeof fetch {
  return function fetch(given: string | URL | Request, init?: RequestInit): Promise<Response> {
    const input = unlight(given) as string | URL | Request;
    if (options.offline() && !isData(input)) {
      return Promise.reject(
        new TypeError('fetch failed: this function has no network (hearth.network is "none"). Use a service binding.'),
      );
    }
    const traceparent = options.traceparent();
    if (traceparent === null) return original(input, init);
    if (init?.headers === undefined && !(input instanceof Request)) {
      return original(input, { ...init, headers: { traceparent } });
    }
    const headers = new Headers(init?.headers ?? (input as Request).headers);
    if (!headers.has('traceparent')) headers.set('traceparent', traceparent);
    return original(input, { ...init, headers });
  };
}

function isData(input: string | URL | Request): boolean {
  const url = input instanceof Request ? input.url : String(input);
  return url.startsWith('data:') || url.startsWith('blob:');
}
