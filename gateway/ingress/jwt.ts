/** Tokens that somebody else issued, checked with the issuer's keys: `hearth.auth.jwks`. */
import type { errors, JWTVerifyOptions, LocalJWKSet } from 'jose';
import { HearthError } from '../../functions/contract/errors.ts';
import type { JwksAuth } from '../../functions/contract/manifest-services.ts';
import type { KeySets } from './key-sets.ts';

/** Signatures by a key that only the issuer has. Never HS*, whose key is whatever a key set says, nor `none`. */
const ALGORITHMS = ['RS256', 'ES256', 'EdDSA', 'Ed25519'];
/** How far the issuer's clock may be from ours. */
const TOLERANCE_S = 10;

/** Null when the token is the issuer's, for this audience, and in its time. Never rejects. */
export async function tokenRefusal(
  sets: KeySets,
  auth: JwksAuth,
  token: string,
  nowMs: number,
): Promise<HearthError | null> {
  try {
    const { decodeProtectedHeader, errors, jwtVerify } = await import('jose');
    const { alg = 'none' } = decodeProtectedHeader(token);
    // Before any key is fetched for it.
    if (!ALGORITHMS.includes(alg)) {
      return refused(`is signed by ${JSON.stringify(alg.slice(0, 20))}; taken are ${ALGORITHMS.join(', ')}`);
    }
    const options: JWTVerifyOptions = {
      algorithms: ALGORITHMS,
      audience: auth.audience,
      ...(auth.issuer === undefined ? {} : { issuer: auth.issuer }),
      // A token without an end could never be taken back.
      requiredClaims: ['exp'],
      clockTolerance: TOLERANCE_S,
      currentDate: new Date(nowMs),
    };
    const verify = async (keys: LocalJWKSet) => {
      await jwtVerify(token, keys, options);
      return null;
    };
    try {
      return await verify(await sets.keys(auth.jwks));
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      const renewed = await sets.renewed(auth.jwks);
      if (renewed === null) throw error;
      return await verify(renewed);
    }
  } catch (error) {
    if (error instanceof HearthError) return error;
    return refused(reasonOf(error));
  }
}

function refused(why: string): HearthError {
  return new HearthError('UNAUTHORIZED', `The bearer token ${why}.`, {
    advice: "Send a valid one of the issuer that this function's owner names.",
  });
}

/** What the library says goes no further: it may quote the token. */
function reasonOf(error: unknown): string {
  const { code, claim } = error as Partial<errors.JWTClaimValidationFailed>;
  switch (code) {
    case 'ERR_JWT_EXPIRED':
      return 'has expired';
    case 'ERR_JWT_CLAIM_VALIDATION_FAILED':
      return `has a claim "${claim}" that this function does not take`;
    case 'ERR_JWKS_NO_MATCHING_KEY':
      return 'is signed by a key that its issuer does not have';
    case 'ERR_JWKS_MULTIPLE_MATCHING_KEYS':
      return 'does not say which of the issuer\'s keys it is signed by ("kid")';
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return "has no signature of its issuer's";
    default:
      return 'is no token that can be checked';
  }
}
