/** Keys of a manifest for what a function expects to be there: who may call it, and the services in its env. */
import { z } from 'zod';

const issuerUrl = z
  .url({ protocol: /^https?$/ })
  .max(2048)
  .refine(
    (url) => !URL.canParse(url) || (new URL(url).username === '' && new URL(url).password === ''),
    'A key set URL holds no user name or password.',
  );

const jwksSchema = z.strictObject({
  /** Where the issuer's keys are (RFC 7517). */
  jwks: issuerUrl,
  /** What `aud` of a token has to name. */
  audience: z.string().min(1).max(1024),
  /** What `iss` of a token has to be; absent: whoever has the keys. */
  issuer: z.string().min(1).max(2048).optional(),
});

export type JwksAuth = z.output<typeof jwksSchema>;

/** Who may call the function over HTTP. */
export const authSchema = z.union([z.strictObject({ bearer: z.string().min(1).max(256) }), jwksSchema], {
  error: 'Expected { "bearer": SECRET_NAME } or { "jwks": URL, "audience": NAME, "issuer"? }.',
});
