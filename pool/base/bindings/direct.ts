/**
 * Calls between modules of one base: the handler is called with the caller's own Request, and what it answers is handed
 * back, neither copied nor written to a link. For both sides it is what a call over the link is: a context of its own for
 * the callee, one hop more, the caller's place in the trace, no longer than the caller has time, the same errors. The
 * gateway does not see it: it has no slot, no record and no span of its own.
 */
import type {
  BindingSpec,
  HttpInvokeHead,
  InvokeCommon,
  InvokeHead,
  RpcInvokeHead,
} from '../../../functions/contract/invocation.ts';
import { MAX_HOPS } from '../../../functions/contract/limits.ts';
import { currentInvocation, Invocation, type InvocationHost } from '../context.ts';
import { describeThrown, headline } from '../describe.ts';
import type { Entrypoint, GuestModule } from '../guest.ts';
import { checkResponse } from '../handlers/fetch.ts';
import type { Peers } from '../peers.ts';
import { callAt, disposable } from '../rpc/local.ts';
import { follow } from '../rpc/members.ts';
import { isLight } from '../web/light-request.ts';
import { knownResponse } from '../web/light-response.ts';
import { BindingError } from './call.ts';

type ServiceSpec = Extract<BindingSpec, { kind: 'service' }>;

export interface DirectOptions {
  peers: Pick<Peers, 'find' | 'called' | 'failed'>;
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

  /** As `call`, of a method of its class; without arguments the value of a property. */
  method(spec: ServiceSpec, path: readonly string[], args: unknown[] | null): Promise<unknown> | null {
    const guest = this.#options.peers.find(spec.service);
    const target = guest?.entrypoint(spec.entrypoint)?.target;
    // What is wrong is told by the module's own base, where one is asked.
    if (guest === undefined || !target) return null;
    const begun = this.#begin(guest, spec, { trigger: 'rpc', wire: 'base', method: path[0] ?? '' });
    if (begun instanceof Promise) return begun;
    const { inner, run, reject } = begun;
    const failed = (thrown: unknown) => {
      this.#options.peers.failed(guest.head.module);
      inner.ended();
      reject(thrown);
    };
    const answered = (value: unknown) => {
      inner.ended();
      begun.resolve(disposable(value));
    };
    run(() => {
      const self = target(inner);
      const value = args === null ? follow(self, path).value : callAt(self, path, args);
      if (isThenable(value)) value.then(answered, failed);
      else answered(value);
    }, failed);
    return begun.promise;
  }

  #call(
    guest: GuestModule,
    handler: NonNullable<Entrypoint['fetch']>,
    spec: ServiceSpec,
    request: Request,
  ): Promise<Response> {
    // A request that was handed to the caller is aborted with the caller.
    const signal = isLight(request) ? null : request.signal;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const begun = this.#begin<Response>(guest, spec, {
      trigger: 'http',
      method: request.method,
      url: request.url,
      headers: [],
      hasBody: false,
      upgrade: false,
      remoteAddress: '',
    });
    if (begun instanceof Promise) return begun;
    const { inner, run, resolve, reject } = begun;
    const { traceparent } = inner.head;
    if (signal !== null && traceparent !== '' && !request.headers.has('traceparent')) {
      request.headers.set('traceparent', traceparent);
    }
    const giveUp = () => inner.abort(signal?.reason);
    signal?.addEventListener('abort', giveUp);
    const done = () => signal?.removeEventListener('abort', giveUp);
    const failed = (thrown: unknown) => {
      done();
      this.#options.peers.failed(guest.head.module);
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
    run(() => {
      const result = handler(request, inner);
      if (isThenable(result)) result.then(answered, failed);
      else answered(result);
    }, failed);
    return begun.promise;
  }

  /** A context for the callee; rejects where the caller may not call any more. */
  #begin<Answer = unknown>(guest: GuestModule, spec: ServiceSpec, call: DirectHead): Begun<Answer> | Promise<never> {
    const caller = currentInvocation.getStore();
    if (caller?.aborted === true) return Promise.reject(caller.abortReason);
    // Outside of any invocation it is background work: the first hop, as over the link.
    const hops = (caller?.head.hops ?? 0) + 1;
    if (hops > MAX_HOPS) {
      const message = `${spec.service} was called through ${MAX_HOPS} functions, one by another.`;
      return Promise.reject(new BindingError({ code: 'LOOP_DETECTED', message }));
    }
    const head = headOf(guest, caller, spec, call, hops, this.#options.newId);
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const inner = new Invocation(head, guest, this.#host, {
      parent: caller ?? null,
      aborted: (reason) => reject(abortError(reason, head)),
    });
    const run = (handler: () => void, failed: (thrown: unknown) => void) => {
      this.#options.peers.called(guest.head.module);
      guest.entered();
      const before = this.#options.turnTo(guest.head.group?.place ?? 0);
      currentInvocation.run(inner, () => {
        try {
          handler();
        } catch (error) {
          failed(error);
        }
      });
      this.#options.turnTo(before);
    };
    return { inner, promise, resolve, reject, run };
  }
}

interface Begun<Answer> extends PromiseWithResolvers<Answer> {
  inner: Invocation;
  /** Calls it as the callee's code. */
  run(handler: () => void, failed: (thrown: unknown) => void): void;
}

type DirectHead = Omit<HttpInvokeHead, keyof InvokeCommon | 'kind'> | Omit<RpcInvokeHead, keyof InvokeCommon | 'kind'>;

/** What of it is read is the context's part: a request itself is handed over. */
function headOf(
  guest: GuestModule,
  caller: Invocation | undefined,
  { entrypoint, props }: ServiceSpec,
  call: DirectHead,
  hops: number,
  newId: () => string,
): InvokeHead {
  const own = guest.head.group?.timeoutMs ?? Number.POSITIVE_INFINITY;
  return {
    kind: 'invoke',
    module: guest.head.module,
    // It is a part of its caller's.
    invocationId: caller?.invocationId ?? newId(),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(props === undefined ? {} : { props }),
    hops,
    traceparent: caller?.traceparent ?? '',
    timeoutMs: Math.max(0, Math.min(own, caller?.leftMs ?? own)),
    ...call,
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

function abortError(reason: unknown, { timeoutMs }: InvokeHead): unknown {
  if (!(reason instanceof DOMException) || reason.name !== 'TimeoutError') return reason;
  return new BindingError({ code: 'FUNCTION_TIMEOUT', message: `No answer within ${Math.round(timeoutMs)} ms.` });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
