/** The one `fetch` of a base: a span for each call, which carries the trace on; says plainly when the network is off. */
import { FETCH_ATTR } from '../../../functions/contract/span.ts';
import type { InvocationSpans } from '../spans.ts';
import { unlight } from '../web/light-request.ts';

export interface FetchOptions {
  /** Of the invocation whose code calls; null outside of any. */
  spans(): InvocationSpans | null;
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
    const spans = options.spans();
    if (spans === null) return original(input, init);
    const span = beginSpan(spans, input, init);
    const traceparent = spans.traceparentOf(span?.id ?? spans.current);
    const called = original(input, traceparent === '' ? init : withTrace(input, init, traceparent));
    if (span === null) return called;
    return called.then(
      (response) => {
        span.answered(response.status);
        return response;
      },
      (error: unknown) => {
        span.failed(error);
        throw error;
      },
    );
  };
}

function withTrace(input: string | URL | Request, init: RequestInit | undefined, traceparent: string): RequestInit {
  if (init?.headers === undefined && !(input instanceof Request)) return { ...init, headers: { traceparent } };
  const headers = new Headers(init?.headers ?? (input as Request).headers);
  if (!headers.has('traceparent')) headers.set('traceparent', traceparent);
  return { ...init, headers };
}

interface CallSpan {
  id: number;
  /** The head of the answer is there. */
  answered(status: number): void;
  failed(error: unknown): void;
}

/** Null for what goes to nobody, and where it cannot be told without reading twice what may answer differently. */
function beginSpan(spans: InvocationSpans, input: unknown, init: RequestInit | undefined): CallSpan | null {
  const url = urlOf(input);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null;
  const parent = spans.current;
  const id = spans.begin();
  const startedAt = spans.now();
  const method = methodOf(input, init);
  const attributes: Record<string, string | number> = {
    [FETCH_ATTR.method]: method ?? '_OTHER',
    [FETCH_ATTR.url]: url.origin + url.pathname,
    [FETCH_ATTR.host]: url.hostname,
    [FETCH_ATTR.port]: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
  };
  const end = (error: string | null) =>
    spans.report({
      id,
      parent,
      name: method ?? 'HTTP',
      startedAt,
      endedAt: spans.now(),
      error,
      attributes,
      kind: 'client',
    });
  return {
    id,
    answered(status) {
      attributes[FETCH_ATTR.status] = status;
      if (status >= 400) attributes[FETCH_ATTR.errorType] = String(status);
      end(status >= 400 ? '' : null);
    },
    failed(error) {
      const { name, message } = error instanceof Error ? error : { name: 'Error', message: 'fetch failed' };
      attributes[FETCH_ATTR.errorType] = name;
      end(message);
    },
  };
}

function urlOf(input: unknown): URL | null {
  if (input instanceof Request) return URL.parse(input.url);
  return typeof input === 'string' || input instanceof URL ? URL.parse(String(input)) : null;
}

const KNOWN_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'];

/** Null: one that anybody may have made up. */
function methodOf(input: unknown, init: RequestInit | undefined): string | null {
  const given: unknown = init?.method ?? (input instanceof Request ? input.method : 'GET');
  return typeof given === 'string' ? (KNOWN_METHODS.find((known) => known === given.toUpperCase()) ?? null) : null;
}

function isData(input: string | URL | Request): boolean {
  const url = input instanceof Request ? input.url : String(input);
  return url.startsWith('data:') || url.startsWith('blob:');
}
