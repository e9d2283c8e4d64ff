/**
 * One request to a URL that somebody else named. No proxy of the environment is used and redirects are not followed: the
 * address that was checked (addresses.ts) is the one that is connected to.
 */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { HearthError } from '../functions/contract/errors.ts';
import { type AddressCheck, checkedLookup, type Resolve } from './addresses.ts';

export interface GuardSettings {
  allowed: AddressCheck;
  /** Why this address is refused, for whoever named it. */
  refusal(host: string, address: string): HearthError;
  /** How names become addresses (default: as the system does it). */
  resolve?: Resolve | undefined;
}

export interface GuardedRequest {
  method: 'GET' | 'POST';
  headers: Record<string, string | number>;
  body?: Uint8Array;
  /** Of the request and of its answer's body. */
  signal: AbortSignal;
}

/** Resolves with the head of the answer, whatever its status. Rejects with `refusal`, else with an Error that says why. */
export type Guarded = (url: URL, request: GuardedRequest) => Promise<IncomingMessage>;

export function createGuarded(settings: GuardSettings): Guarded {
  const lookup = checkedLookup(settings.allowed, settings.refusal, settings.resolve);
  return (url, { method, headers, body, signal }) =>
    new Promise((fulfil, reject) => {
      const refused = refusedHost(url, settings);
      if (refused !== null) {
        reject(refused);
        return;
      }
      // A connection of its own, so that each is looked up and checked.
      const options: RequestOptions = { method, signal, agent: false, lookup, headers };
      const request = url.protocol === 'https:' ? httpsRequest(url, options) : httpRequest(url, options);
      request.once('response', fulfil);
      // Stays: what breaks after the head is told to whoever reads the body.
      request.on('error', (error) => {
        if (error instanceof HearthError) reject(error);
        else reject(new Error(signal.aborted ? `${url.host} did not answer in time` : error.message));
      });
      request.end(body);
    });
}

/**
 * Why this URL is never asked, as far as it tells itself: a look-up is not made for what is an address already. A URL has
 * any spelling of an IPv4 address (decimal, octal, hexadecimal, short) in its dotted form.
 */
export function refusedHost(url: URL, { allowed, refusal }: Pick<GuardSettings, 'allowed' | 'refusal'>) {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return isIP(host) !== 0 && !allowed(host) ? refusal(host, host) : null;
}

/** The whole body of an answer. Rejects over `mostBytes`, and when it breaks off. */
export async function boundedBody(answer: IncomingMessage, mostBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > mostBytes) throw new Error(`it answered more than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}
