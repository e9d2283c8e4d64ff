/** `assets.binding` in `env`: the static assets of the module's own version, asked for with a Request. */
import type { Fetcher } from '../../../functions/contract/handlers.ts';
import type { HttpResponseHead } from '../../../functions/contract/invocation.ts';
import { headerList, isNullBodyStatus } from '../handlers/fetch.ts';
import type { BindingCalls } from './call.ts';

export function assetsBinding(calls: BindingCalls): Fetcher {
  return {
    async fetch(input: Request | string | URL, init?: RequestInit): Promise<Response> {
      const request = new Request(input as Request, init);
      const { method, url, headers } = request;
      const { head, body } = await calls.call<HttpResponseHead>(
        { op: 'assets.fetch', method, url, headers: headerList(headers) },
        null,
        request.signal,
      );
      const bodiless = method === 'HEAD' || isNullBodyStatus(head.status);
      if (bodiless) body.discard();
      return new Response(bodiless ? null : body.stream(), { status: head.status, headers: head.headers });
    },
  };
}
