/**
 * Tells a URL what came of an invocation: one POST of JSON. Redirects are not followed, and no proxy of the environment
 * is used: the address that was checked is the one that is connected to.
 */
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { HearthError } from '../../../functions/contract/errors.ts';
import { type AddressCheck, checkedLookup, type Resolve } from '../../addresses.ts';

export interface CallbackSettings {
  /** See gateway/addresses.ts. */
  allowed: AddressCheck;
  /** From the look-up of the name to the head of the answer. */
  timeoutMs: number;
  /** How names become addresses (default: as the system does it). */
  resolve?: Resolve;
}

/** Resolves when it answered 2xx. Rejects with FORBIDDEN for an address that is not called back, else with an Error. */
export type Callback = (url: string, headers: Record<string, string>, body: Uint8Array) => Promise<void>;

export function createCallback({ allowed, timeoutMs, resolve }: CallbackSettings): Callback {
  const lookup = checkedLookup(allowed, refusedAddress, resolve);
  return (text, headers, body) =>
    new Promise((fulfil, reject) => {
      const url = new URL(text);
      const refusal = refusedUrl(url, allowed);
      if (refusal !== null) {
        reject(refusal);
        return;
      }
      const signal = AbortSignal.timeout(timeoutMs);
      const options: RequestOptions = {
        method: 'POST',
        signal,
        // A connection of its own, so that each is looked up and checked.
        agent: false,
        lookup,
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': body.byteLength,
          'user-agent': 'hearth',
        },
      };
      const request = url.protocol === 'https:' ? httpsRequest(url, options) : httpRequest(url, options);
      request.once('response', (answer) => {
        const { statusCode = 0 } = answer;
        // What it has to say is of no interest, however long it is.
        answer.destroy();
        if (statusCode >= 200 && statusCode < 300) fulfil();
        else reject(new Error(`${url.host} answered ${statusCode}`));
      });
      // Stays: what breaks after the answer is nobody's concern.
      request.on('error', (error) => {
        if (error instanceof HearthError) reject(error);
        else reject(new Error(signal.aborted ? `${url.host} did not answer in time` : error.message));
      });
      request.end(body);
    });
}

/**
 * Why this URL is never called back, as far as it tells itself: a look-up is not made for what is an address already. A
 * URL has any spelling of an IPv4 address (decimal, octal, hexadecimal, short) in its dotted form.
 */
export function refusedUrl(url: URL, allowed: AddressCheck): HearthError | null {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return isIP(host) !== 0 && !allowed(host) ? refusedAddress(host, host) : null;
}

function refusedAddress(host: string, address: string): HearthError {
  const where = host === address ? 'is' : `is at ${address},`;
  return new HearthError(
    'FORBIDDEN',
    `${host} ${where} an address that Hearth calls nobody back at: one of this machine, its surroundings or a private ` +
      'network. HEARTH_CALLBACK_PRIVATE=allow admits private networks.',
  );
}
