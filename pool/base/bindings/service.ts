/** `services` in `env`: another function, called with a Request, or by the methods of its class. */
import type { Fetcher } from '../../../functions/contract/handlers.ts';
import type { HttpResponseHead } from '../../../functions/contract/invocation.ts';
import { headerList, isNullBodyStatus } from '../handlers/fetch.ts';
import { binding, type Remote } from '../rpc/reference.ts';
import type { Breaker } from './breaker.ts';
import type { BindingCalls } from './call.ts';

/**
 * `network` plays no part here: the call goes by the link, or straight to a module beside the caller's. `direct` says null
 * when the one that serves does not stand there; with it a Request is handed over as it is.
 */
export function serviceBinding(
  calls: BindingCalls,
  direct: ((request: Request) => Promise<Response> | null) | null,
  methods: Remote,
  breaker: Breaker | null,
): Fetcher {
  const call = async (input: Request | string | URL, init?: RequestInit): Promise<Response> => {
    const asIs = direct !== null && init === undefined && input instanceof Request;
    const given = asIs ? input : new Request(input as Request, init);
    const answer = direct?.(given) ?? null;
    if (answer !== null) return answer;
    const request = asIs ? new Request(given) : given;
    const { head, body } = await calls.call<HttpResponseHead>(
      {
        op: 'service.fetch',
        method: request.method,
        url: request.url,
        headers: headerList(request.headers),
        hasBody: request.body !== null,
        upgrade: false,
      },
      request.body,
      request.signal,
    );
    const bodiless = request.method === 'HEAD' || isNullBodyStatus(head.status);
    if (bodiless) body.discard();
    return new Response(bodiless ? null : body.stream(), {
      status: head.status,
      statusText: head.statusText,
      headers: head.headers,
    });
  };
  const fetch: Fetcher['fetch'] =
    breaker === null
      ? call
      : (input, init) =>
          breaker.run(
            () => call(input, init),
            ({ status }) => status >= 500,
          );
  return binding(methods, { fetch });
}
