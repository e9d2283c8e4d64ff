/** Who may call a function over HTTP, as its manifest says in `hearth.auth`. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { HearthError } from '../../functions/contract/errors.ts';
import type { HeaderList } from '../../functions/contract/invocation.ts';
import type { VersionEntry } from '../registry/registry.ts';

/** Null when the caller may. What cannot be checked is refused. */
export function refusal(version: VersionEntry, headers: HeaderList): HearthError | null {
  const auth = version.manifest.hearth.auth;
  if (auth === null) return null;
  if (!('bearer' in auth)) {
    return new HearthError(
      'FORBIDDEN',
      'This function asks for tokens checked by jwks, which this Hearth cannot do yet.',
    );
  }
  // An own one: a secret may be named `constructor`, and nobody has to have set it.
  const secret = Object.hasOwn(version.spec.vars, auth.bearer) ? version.spec.vars[auth.bearer] : undefined;
  if (secret === undefined || secret === '') {
    return new HearthError('FORBIDDEN', `This function is locked: its secret ${auth.bearer} is not set.`);
  }
  const header = headers.find(([name]) => name === 'authorization')?.[1] ?? '';
  const token = header.slice(0, 7).toLowerCase() === 'bearer ' ? header.slice(7).trim() : '';
  if (timingSafeEqual(digest(token), digest(secret))) return null;
  return new HearthError('UNAUTHORIZED', 'This function asks for a bearer token.');
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
