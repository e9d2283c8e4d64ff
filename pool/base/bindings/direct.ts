/**
 * Calls between modules of one base: the handler is called with the caller's own Request, and what it answers is handed
 * back, neither copied nor written to a link. For both sides it is what a call over the link is: a context of its own for
 * the callee, one hop more, the caller's place in the trace, no longer than the caller has time, the same errors. The
 * gateway does not see it: it has no slot, no record and no span of its own.
 */
import type { BindingSpec, HttpInvokeHead } from '../../../functions/contract/invocation.ts';
import { MAX_HOPS } from '../../../functions/contract/limits.ts';
import { currentInvocation, Invocation, type InvocationHost } from '../context.ts';
import { describeThrown, headline } from '../describe.ts';
import type { Entrypoint, GuestModule } from '../guest.ts';
import { checkResponse } from '../handlers/fetch.ts';
import { isLight } from '../web/light-request.ts';
import { knownResponse } from '../web/light-response.ts';
import { BindingError } from './call.ts';

type ServiceSpec = Extract<BindingSpec, { kind: 'service' }>;

export interface DirectOptions {
  peers: { find(functionName: string): GuestModule | undefined; called(module: string): void };
  /** Deadlines, clock, logs. */
  host: Omit<InvocationHost, 'settled'>;
  /** Code of the module with this number is about to run; returns whose ran before. */
  turnTo(place: number): number;
  newId(): string;
}

export class DirectCalls {
  readonly #options: DirectOptions;
  readonly #host: InvocationHost;

  constructor(options: DirectOptions) {
    this.#options = options;
    this.#host = { ...options.host, settled: ({ module }) => module.left() };
  }

  /** Null: it has to go over the link. */
  call(spec: ServiceSpec, request: Request): Promise<Response> | null {
    const guest = this.#options.peers.find(spec.service);
    // A Node application takes its requests from the link alone.
    if (guest === undefined || guest.serve !== null) return null;
    const entrypoint = guest.entrypoint(spec.entrypoint);
    if (entrypoint === null || entrypoint.fetch === null) return null;
    return this.#call(guest, entrypoint.fetch, spec, request);
  }

  #call(
    guest: GuestModule,
    handler: NonNullable<Entrypoint['fetch']>,
    spec: ServiceSpec,
    request: Request,
  ): Promise<Response> {
    const caller = currentInvocation.getStore();
    if (caller?.aborted === true) return Promise.reject(caller.abortReason);
    // A request that was handed to the caller is aborted with the caller.
    const signal = isLight(request) ? null : request.signal;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    // Outside of any invocation it is background work: the first hop, as over the link.
    const hops = (caller?.head.hops ?? 0) + 1;
    if (hops > MAX_HOPS) {
      const message = `${spec.service} was called through ${MAX_HOPS} functions, one by another.`;
      return Promise.reject(new BindingError({ code: 'LOOP_DETECTED', message }));
    }
    const head = headOf(guest, caller, spec, request, hops, this.#options.newId);
    if (signal !== null && head.traceparent !== '' && !request.headers.has('traceparent')) {
      request.headers.set('traceparent', head.traceparent);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const inner = new Invocation(head, guest, this.#host, {
      parent: caller ?? null,
      aborted: (reason) => reject(abortError(reason, head)),
    });
    const giveUp = () => inner.abort(signal?.reason);
    signal?.addEventListener('abort', giveUp);
    const done = () => signal?.removeEventListener('abort', giveUp);
    const failed = (thrown: unknown) => {
      done();
      const described = describeThrown(thrown);
      inner.log.error(`FUNCTION_EXCEPTION: ${described.stack}`);
      inner.ended();
      reject(new BindingError({ code: 'FUNCTION_EXCEPTION', message: headline(described) }));
    };
    const answered = (value: unknown) => {
      try {
        resolve(answerOf(checkResponse(value), request.method === 'HEAD', inner, done));
      } catch (error) {
        failed(error);
      }
    };
    this.#options.peers.called(guest.head.module);
    guest.entered();
    const before = this.#options.turnTo(guest.head.group?.place ?? 0);
    currentInvocation.run(inner, () => {
      try {
        const result = handler(request, inner);
        if (isThenable(result)) result.then(answered, failed);
        else answered(result);
      } catch (error) {
        failed(error);
      }
    });
    this.#options.turnTo(before);
    return promise;
  }
}

/** What of it is read is the context's part: the request itself is handed over. */
function headOf(
  guest: GuestModule,
  caller: Invocation | undefined,
  { entrypoint, props }: ServiceSpec,
  request: Request,
  hops: number,
  newId: () => string,
): HttpInvokeHead {
  const own = guest.head.group?.timeoutMs ?? Number.POSITIVE_INFINITY;
  return {
    kind: 'invoke',
    trigger: 'http',
    module: guest.head.module,
    // It is a part of its caller's.
    invocationId: caller?.invocationId ?? newId(),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(props === undefined ? {} : { props }),
    hops,
    traceparent: caller?.traceparent ?? '',
    timeoutMs: Math.max(0, Math.min(own, caller?.leftMs ?? own)),
    method: request.method,
    url: request.url,
    headers: [],
    hasBody: false,
    upgrade: false,
    remoteAddress: '',
  };
}

/** The answer as it is; one whose body is still to be made holds its module until that is done. */
function answerOf(response: Response, isHead: boolean, inner: Invocation, done: () => void): Response {
  const ended = () => {
    done();
    inner.ended();
  };
  if (knownResponse(response) === null && response.body !== null && response.status !== 101) {
    inner.streams();
    const { status, statusText, headers } = response;
    if (!isHead) return new Response(watched(response.body, ended), { status, statusText, headers });
    response.body.cancel().catch((error: unknown) => inner.log.debug(error));
  }
  ended();
  if (!isHead) return response;
  const { status, statusText, headers } = response;
  return new Response(null, { status, statusText, headers });
}

function watched(body: ReadableStream<Uint8Array>, ended: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) {
          controller.enqueue(value);
          return;
        }
        controller.close();
      } catch (error) {
        controller.error(error);
      }
      ended();
    },
    async cancel(reason) {
      ended();
      await reader.cancel(reason);
    },
  });
}

function abortError(reason: unknown, { timeoutMs }: HttpInvokeHead): unknown {
  if (!(reason instanceof DOMException) || reason.name !== 'TimeoutError') return reason;
  return new BindingError({ code: 'FUNCTION_TIMEOUT', message: `No answer within ${Math.round(timeoutMs)} ms.` });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
