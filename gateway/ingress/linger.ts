/** How an answer ends while its client is still sending a body that nobody reads any more. */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** How long such a client may go on. */
const LINGER_MS = 2000;

/** To be called before the head is written: the connection cannot be used again with a body half sent. */
export function closeUnlessComplete(req: IncomingMessage, res: ServerResponse): void {
  if (!req.complete) res.shouldKeepAlive = false;
}

/**
 * Sends the last of an answer. Ending the connection under the client's hands would reset it, and the answer might never
 * be read, so what comes is thrown away until the client has ended too, at most for LINGER_MS.
 */
export function endWithUpload(req: IncomingMessage, res: ServerResponse, body: Uint8Array | string | null): void {
  if (req.complete) {
    if (body === null) res.end();
    else res.end(body);
    return;
  }
  if (body === null) res.flushHeaders();
  else res.write(body);
  const end = () => {
    clearTimeout(timer);
    res.end();
  };
  const timer = setTimeout(end, LINGER_MS);
  req.once('end', end);
  res.once('close', () => clearTimeout(timer));
  req.resume();
}
