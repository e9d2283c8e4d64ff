/** Bodies of calls to the control port, cut off at a limit. */
import type { MiddlewareHandler } from 'hono';
import { HearthError } from '../../functions/contract/errors.ts';

/**
 * Counts bodies that do not say their length, too: chunked ones, and calls without any body as curl sends them. Not
 * Hono's bodyLimit: that one makes a Request from the adapter's, which Node's own class refuses.
 */
export function limitBody(mostBytes: number, setting: string): MiddlewareHandler {
  const tooLarge = () =>
    new HearthError('PAYLOAD_TOO_LARGE', `The body may have ${Math.floor(mostBytes / 1024 / 1024)} MB${setting}.`);
  return async (c, next) => {
    const { raw } = c.req;
    if (raw.method === 'GET' || raw.method === 'HEAD') return next();
    const length = c.req.header('content-length');
    if (length !== undefined && c.req.header('transfer-encoding') === undefined) {
      if (Number(length) > mostBytes) throw tooLarge();
      return next();
    }
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of raw.body ?? []) {
      size += chunk.length;
      if (size > mostBytes) throw tooLarge();
      chunks.push(chunk);
    }
    const { url, method, headers, signal } = raw;
    const init = { method, headers, signal };
    c.req.raw = new Request(url, size === 0 ? init : { ...init, body: Buffer.concat(chunks) });
    return next();
  };
}
