/** `services` in `env`: another function, called with a Request. */
import type { Fetcher } from '../../../functions/contract/handlers.ts';
import type { HttpResponseHead } from '../../../functions/contract/invocation.ts';
import { headerList, isNullBodyStatus } from '../handlers/fetch.ts';
import type { BindingCalls } from './call.ts';

/** `network` plays no part here: the call goes by the link. */
export function serviceBinding(calls: BindingCalls): Fetcher {
  return {
    async fetch(input: Request | string | URL, init?: RequestInit): Promise<Response> {
      const request = new Request(input as Request, init);
      const { signal } = request;
      signal.throwIfAborted();
      const answer = await raceAbort(
        signal,
        calls.call<HttpResponseHead>(
          {
            op: 'service.fetch',
            method: request.method,
            url: request.url,
            headers: headerList(request.headers),
            hasBody: request.body !== null,
            upgrade: false,
          },
          request.body,
        ),
      );
      const { head, body, cancel } = answer;
      signal.addEventListener('abort', () => cancel('The caller aborted.'), { once: true });
      const bodiless = request.method === 'HEAD' || isNullBodyStatus(head.status);
      if (bodiless) body.discard();
      return new Response(bodiless ? null : body.stream(), {
        status: head.status,
        statusText: head.statusText,
        headers: head.headers,
      });
    },
  };
}

/** Gives up at the signal; the call that comes back later is cancelled then. */
function raceAbort<Answer extends { cancel(reason: string): void }>(
  signal: AbortSignal,
  call: Promise<Answer>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason);
      call.then(
        (late) => late.cancel('The caller aborted.'),
        () => undefined, // refused as well: the caller has its reason already
      );
    };
    signal.addEventListener('abort', abort, { once: true });
    call.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
