/** `hearth.outbound` in `env`: one origin, with a timeout, retries and a breaker. */
import type { OutboundSpec } from '../../../functions/contract/service-calls.ts';
import type { Outbound } from '../../../functions/contract/services.ts';
import { Breaker } from './breaker.ts';

/** Tried again where the same call twice is the same as once, or the other side sees to that. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);
const AGAIN = new Set([429, 502, 503, 504]);

const FIRST_PAUSE_MS = 100;
const MOST_PAUSE_MS = 2_000;
/** A longer retry-after is the caller's to wait for. */
const MOST_RETRY_AFTER_S = 10;

export interface OutboundParts {
  /** The base's own, as the module would call it. */
  fetch(input: Request): Promise<Response>;
  /** Monotonic ms. */
  now(): number;
  /** 0 ≤ x < 1. */
  random(): number;
}

export function outbound(spec: OutboundSpec, parts: OutboundParts): Outbound {
  const breaker = spec.breaker === undefined ? null : new Breaker(spec.name, spec.breaker, parts.now);
  return {
    async fetch(input, init) {
      const request = requestOf(spec, input, init);
      const attempt = () => once(request.clone() as Request, spec.timeoutMs, parts);
      const call = () => (breaker === null ? attempt() : breaker.run(attempt, ({ status }) => status >= 500));
      // A body that streams is read by the first attempt.
      const streams = input instanceof Request ? input.body !== null : init?.body instanceof ReadableStream;
      const repeatable = IDEMPOTENT.has(request.method) || request.headers.has('idempotency-key');
      if (streams || !repeatable || spec.retries === 0) return await call();
      return await withRetries(call, spec.retries, request.signal, parts);
    },
  };
}

function requestOf(spec: OutboundSpec, input: string | URL | Request, init?: RequestInit): Request {
  const { name, origin, headers, missing } = spec;
  const [first] = missing;
  if (first !== undefined) throw new Error(`env.${name} needs the secret ${first}, which is not set.`);
  const url = new URL(input instanceof Request ? input.url : input, origin);
  if (url.origin !== origin) throw new TypeError(`env.${name} calls ${origin} and nothing else, not ${url.origin}.`);
  const given = new Request(input instanceof Request ? new Request(url, input) : url, {
    ...init,
    // Whoever it leads to is not who the headers are for.
    redirect: init?.redirect === 'error' ? 'error' : 'manual',
    ...(init?.body instanceof ReadableStream ? { duplex: 'half' } : {}),
  } as RequestInit);
  for (const [header, value] of headers) if (!given.headers.has(header)) given.headers.set(header, value);
  return given;
}

/** The timeout holds until the head of the answer: its body may stream. */
async function once(request: Request, timeoutMs: number, { fetch }: OutboundParts): Promise<Response> {
  const timeout = new AbortController();
  const timer = setTimeout(() => {
    timeout.abort(
      new DOMException(`${new URL(request.url).host} did not answer within ${timeoutMs} ms.`, 'TimeoutError'),
    );
  }, timeoutMs);
  try {
    return await fetch(new Request(request, { signal: AbortSignal.any([request.signal, timeout.signal]) }));
  } finally {
    clearTimeout(timer);
  }
}

async function withRetries(
  call: () => Promise<Response>,
  retries: number,
  signal: AbortSignal,
  { random }: OutboundParts,
): Promise<Response> {
  for (let tried = 0; ; tried++) {
    let waitMs = random() * Math.min(MOST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tried);
    try {
      const response = await call();
      const afterS = Number(response.headers.get('retry-after') ?? 0);
      if (tried === retries || !AGAIN.has(response.status) || afterS > MOST_RETRY_AFTER_S) return response;
      if (afterS > 0) waitMs += afterS * 1000;
      await response.body?.cancel();
    } catch (error) {
      // An open breaker stays so longer than a pause here.
      if (tried === retries || signal.aborted || (error as { code?: unknown }).code === 'CIRCUIT_OPEN') throw error;
    }
    await pause(waitMs, signal);
  }
}

/** Rejects with the signal's reason. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal.addEventListener('abort', abort, { once: true });
  });
}
