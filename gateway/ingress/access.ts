/** Who may call a function over HTTP (`hearth.auth`) and how often (`hearth.rateLimit`). What cannot be checked is refused. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { HearthError, toHearthError } from '../../functions/contract/errors.ts';
import type { HeaderList } from '../../functions/contract/invocation.ts';
import type { Rates } from '../rates.ts';
import type { VersionEntry } from '../registry/registry.ts';
import { rateRefusal } from './caller-rate.ts';
import { tokenRefusal } from './jwt.ts';
import type { KeySets } from './key-sets.ts';

/** Null when the caller may; a promise, which never rejects, where that takes an issuer's keys. */
export type AccessCheck = (
  version: VersionEntry,
  headers: HeaderList,
) => HearthError | null | Promise<HearthError | null>;

export interface AccessParts {
  keySets: KeySets;
  rates: Rates;
  /** Epoch ms. */
  now(): number;
}

export function createAccessCheck({ keySets, rates, now }: AccessParts): AccessCheck {
  return (version, headers) => {
    const locked = lockOf(version, headers);
    // Only who may call it is counted: nobody else uses up what is let through.
    if (locked === null) return rateRefusal(rates, version, headers);
    return locked instanceof HearthError
      ? locked
      : locked.then((refused) => refused ?? rateRefusal(rates, version, headers));
  };

  function lockOf(version: VersionEntry, headers: HeaderList): ReturnType<AccessCheck> {
    const { auth } = version.manifest.hearth;
    if (auth === null) return null;
    const token = bearerOf(headers);
    if ('bearer' in auth) return secretRefusal(version, auth.bearer, token);
    return token === '' ? noToken() : tokenRefusal(keySets, auth, token, now());
  }
}

/** Calls back once it is known whether the caller may. What fails is a refusal too. */
export function whenKnown(pending: Promise<HearthError | null>, begin: (refused: HearthError | null) => void): void {
  pending.then(begin, (error: unknown) => begin(toHearthError(error)));
}

function secretRefusal({ spec }: VersionEntry, name: string, token: string): HearthError | null {
  // An own one: a secret may be named `constructor`, and nobody has to have set it.
  const secret = Object.hasOwn(spec.vars, name) ? spec.vars[name] : undefined;
  if (secret === undefined || secret === '') {
    return new HearthError('FORBIDDEN', `This function is locked: its secret ${name} is not set.`, {
      advice: `Its owner sets it: PUT /v1/functions/${spec.functionName}/secrets/${name} of the control API.`,
    });
  }
  return timingSafeEqual(digest(token), digest(secret)) ? null : noToken();
}

function noToken(): HearthError {
  return new HearthError('UNAUTHORIZED', 'This function asks for a bearer token.', {
    advice: 'Send "authorization: Bearer TOKEN" with the one that its owner gave you.',
  });
}

function bearerOf(headers: HeaderList): string {
  const header = headers.find(([name]) => name === 'authorization')?.[1] ?? '';
  return header.slice(0, 7).toLowerCase() === 'bearer ' ? header.slice(7).trim() : '';
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
