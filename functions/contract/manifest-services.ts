/** Keys of a manifest for what a function expects to be there: who may call it, and the services in its env. */
import { z } from 'zod';
import { bindingSchema, namespaceSchema, whole } from './manifest-names.ts';
import { topicsSchema } from './manifest-queues.ts';

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

const period = whole(1, 86_400);

const rateBindingSchema = z.strictObject({
  name: bindingSchema,
  /** Those of one id count together, whichever function of the trust group names it. */
  namespace_id: z.string().min(1).max(64),
  simple: z.strictObject({ limit: whole(1, 1_000_000), period }),
  type: z.literal('rate_limit').optional(),
});

/** How often the function may be called over HTTP. */
const rateLimitSchema = z.strictObject({
  limit: whole(1, 1_000_000),
  periodSeconds: period,
  /** Counted for all callers together, for each address, or for each value of a header. */
  by: z.union(
    [
      z.enum(['function', 'ip']),
      z.strictObject({
        header: z
          .string()
          .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'The name of a header.')
          .transform((header) => header.toLowerCase()),
      }),
    ],
    { error: 'Expected "function", "ip" or { "header": NAME }.' },
  ),
});
export type RateLimit = z.output<typeof rateLimitSchema>;

const breakerSchema = z.strictObject({
  /** So many within the window open it. */
  failures: whole(1, 1000),
  windowSeconds: whole(1, 3600).default(10),
  openSeconds: whole(1, 3600).default(30),
});

const outboundSchema = z.strictObject({
  binding: bindingSchema,
  origin: z
    .url({ protocol: /^https?$/ })
    .max(256)
    .refine(
      (url) => URL.canParse(url) && new URL(url).origin === url.replace(/\/$/, ''),
      'An origin such as "https://api.example.com", without a path.',
    )
    .transform((url) => url.replace(/\/$/, '')),
  /** Until the head of the answer, of each attempt. */
  timeoutMs: whole(1, 600_000).default(10_000),
  /** After the first attempt; of idempotent methods, and of what carries an idempotency-key. */
  retries: whole(0, 10).default(2),
  breaker: breakerSchema.optional(),
  /** `${NAME}` stands for a secret or a variable of the function. */
  headers: z
    .record(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'The name of a header.'), z.string().max(4096))
    .refine((headers) => Object.keys(headers).length <= 50, 'At most 50 headers.')
    .default({}),
});

/** Keys at the top, as Workers has them. Absent where they are not given, so that a manifest is the version it always was. */
export const serviceKeys = {
  r2_buckets: z.array(bucketSchema).optional(),
  ratelimits: z.array(rateBindingSchema).optional(),
};

/** Keys under `hearth`. */
export const hearthServiceKeys = {
  locks: z.array(namespacedSchema).optional(),
  counters: z.array(namespacedSchema).optional(),
  rateLimit: rateLimitSchema.optional(),
  outbound: z.array(outboundSchema).optional(),
  /** Of service bindings, by their names: calls of `fetch` that fail are not made for a while. */
  breakers: z.record(z.string(), breakerSchema).optional(),
  topics: topicsSchema.optional(),
  /** Of `/v1/config/NAMESPACE`. */
  config: z.array(z.strictObject({ binding: bindingSchema, namespace: namespaceSchema })).optional(),
};

const topSchema = z.object(serviceKeys);
const hearthSchema = z.object(hearthServiceKeys);
type Top = z.output<typeof topSchema>;
type Under = z.output<typeof hearthSchema>;

/** Names in env that these keys take, and where they stand. */
export function serviceNames(top: Top, under: Under): { name: string; path: (string | number)[] }[] {
  const hearth = {
    locks: under.locks,
    counters: under.counters,
    config: under.config,
    outbound: under.outbound,
  };
  const named = (path: string[], list: { binding: string }[] = []) =>
    list.map(({ binding }, i) => ({ name: binding, path: [...path, i, 'binding'] }));
  return [
    ...named(['r2_buckets'], top.r2_buckets),
    ...(top.ratelimits ?? []).map(({ name }, i) => ({ name, path: ['ratelimits', i, 'name'] })),
    ...named(['hearth', 'topics', 'publishers'], under.topics?.publishers),
    ...Object.entries(hearth).flatMap(([key, list]) => named(['hearth', key], list)),
  ];
}

/** The top-level ones as a manifest keeps them. */
export function keptServices({ r2_buckets, ratelimits }: Top, name: string | null) {
  return {
    ...(r2_buckets === undefined
      ? {}
      : {
          r2_buckets: r2_buckets.map(({ binding, bucket_name }) => ({
            binding,
            bucket_name: bucket_name ?? ownName(name, binding).toLowerCase(),
          })),
        }),
    ...(ratelimits === undefined ? {} : { ratelimits: ratelimits.map(({ type: _type, ...ratelimit }) => ratelimit) }),
  };
}

/** What a binding that names nothing stands for: something of its function alone. */
export function ownName(functionName: string | null, binding: string): string {
  return `${functionName ?? 'function'}-${binding}`;
}
