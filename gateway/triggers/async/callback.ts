/** Tells a URL what came of an invocation: one POST of JSON, guarded as guarded.ts says. */
import { HearthError } from '../../../functions/contract/errors.ts';
import type { AddressCheck, Resolve } from '../../addresses.ts';
import { createGuarded, refusedHost } from '../../guarded.ts';

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
  const ask = createGuarded({ allowed, refusal: refusedAddress, resolve });
  return async (text, headers, body) => {
    const url = new URL(text);
    const answer = await ask(url, {
      method: 'POST',
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        ...headers,
        'content-type': 'application/json',
        'content-length': body.byteLength,
        'user-agent': 'hearth',
      },
      body,
    });
    const { statusCode = 0 } = answer;
    // What it has to say is of no interest, however long it is.
    answer.destroy();
    if (statusCode < 200 || statusCode > 299) throw new Error(`${url.host} answered ${statusCode}`);
  };
}

/** Why this URL is never called back, as far as it tells itself. */
export function refusedUrl(url: URL, allowed: AddressCheck): HearthError | null {
  return refusedHost(url, { allowed, refusal: refusedAddress });
}

function refusedAddress(host: string, address: string): HearthError {
  const where = host === address ? 'is' : `is at ${address},`;
  return new HearthError(
    'FORBIDDEN',
    `${host} ${where} an address that Hearth calls nobody back at: one of this machine, its surroundings or a private network.`,
    { advice: 'Name another URL; HEARTH_CALLBACK_PRIVATE=allow, which the operator sets, admits private networks.' },
  );
}
