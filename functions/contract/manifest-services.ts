/** Keys of a manifest for what a function expects to be there: who may call it, and the services in its env. */
import { z } from 'zod';
import { bindingSchema, namespaceSchema } from './manifest-names.ts';

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

/** Routes of a manifest, and bindings of all kinds together. */
export const MOST_ROUTES = 500;
export const MOST_BINDINGS = 200;

const bucketSchema = z.strictObject({
  binding: bindingSchema,
  /** Buckets of one name are one bucket, whichever function of the trust group names it. Absent: one of its own. */
  bucket_name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, 'A bucket has 3 to 63 small letters, digits and dashes.')
    .optional(),
  preview_bucket_name: z.string().optional(),
  remote: z.boolean().optional(),
});

/** Absent: a namespace of its own. */
const namespacedSchema = z.strictObject({ binding: bindingSchema, namespace: namespaceSchema.optional() });

/** Keys at the top, as Workers has them. Absent where they are not given, so that a manifest is the version it always was. */
export const serviceKeys = {
  r2_buckets: z.array(bucketSchema).optional(),
};

/** Keys under `hearth`. */
export const hearthServiceKeys = {
  locks: z.array(namespacedSchema).optional(),
  counters: z.array(namespacedSchema).optional(),
};

const topSchema = z.object(serviceKeys);
const hearthSchema = z.object(hearthServiceKeys);
type Top = z.output<typeof topSchema>;
type Under = z.output<typeof hearthSchema>;

/** Names in env that these keys take, and where they stand. */
export function serviceNames(top: Top, under: Under): { name: string; path: (string | number)[] }[] {
  const lists = { r2_buckets: top.r2_buckets, 'hearth.locks': under.locks, 'hearth.counters': under.counters };
  return Object.entries(lists).flatMap(([key, list]) =>
    (list ?? []).map(({ binding }, i) => ({ name: binding, path: [...key.split('.'), i, 'binding'] })),
  );
}

/** The top-level ones as a manifest keeps them. */
export function keptServices(given: Top, name: string | null): Partial<Pick<Required<Top>, 'r2_buckets'>> {
  return given.r2_buckets === undefined
    ? {}
    : {
        r2_buckets: given.r2_buckets.map(({ binding, bucket_name }) => ({
          binding,
          bucket_name: bucket_name ?? ownName(name, binding),
        })),
      };
}

/** What a binding that names nothing stands for: something of its function alone. */
export function ownName(functionName: string | null, binding: string): string {
  return `${functionName ?? 'function'}-${binding}`;
}
