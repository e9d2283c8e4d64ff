/** A deploy on its way: sent piece by piece, so that a person sees how far it is. */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';

const PIECE_BYTES = 64 * 1024;

/** Called with bytes that were sent, and how many there are. */
export type OnSent = (sent: number, total: number) => void;

/** Resolves with the head of the answer. One that comes before all was sent ends the sending. */
export async function sendForm(
  target: URL,
  given: { method: string; headers: Record<string, string>; form: FormData; onSent: OnSent },
): Promise<IncomingMessage> {
  const encoded = new Response(given.form);
  const body = new Uint8Array(await encoded.arrayBuffer());
  const request = (target.protocol === 'https:' ? httpsRequest : httpRequest)(target, {
    method: given.method,
    headers: {
      ...given.headers,
      'content-type': encoded.headers.get('content-type') ?? '',
      'content-length': body.byteLength,
    },
  });
  let head: IncomingMessage | null = null;
  const answered = once(request, 'response').then(([response]) => {
    head = response as IncomingMessage;
    return head;
  });
  // Whoever waits for it below is told; nobody may be waiting yet.
  answered.catch(() => undefined);
  for (let at = 0; at < body.byteLength && head === null; at += PIECE_BYTES) {
    const piece = body.subarray(at, at + PIECE_BYTES);
    if (!request.write(piece)) await Promise.race([once(request, 'drain'), answered]);
    given.onSent(Math.min(at + PIECE_BYTES, body.byteLength), body.byteLength);
  }
  request.end();
  return await answered;
}
