/** How asynchronous invocations of a function are tried again, and who is told what came of them. */
import { z } from 'zod';
import { MAX_DELAY_S, NAME_PATTERN, NAME_RULE, QUEUE_NAME_PATTERN } from './limits.ts';

/** Exactly one of the three. */
export const destinationSchema = z.union(
  [
    z.strictObject({ queue: z.string().regex(QUEUE_NAME_PATTERN, `A queue's name ${NAME_RULE}.`) }),
    z.strictObject({
      /** Invoked asynchronously, over HTTP: POST with the outcome as JSON. */
      function: z.string().regex(NAME_PATTERN, `A name ${NAME_RULE}.`),
      path: z.string().startsWith('/').max(2048).default('/'),
    }),
    z.strictObject({
      url: z
        .url({ protocol: /^https?$/, error: 'Expected an http: or https: URL.' })
        .max(2048)
        .refine(
          (url) => !URL.canParse(url) || (new URL(url).username === '' && new URL(url).password === ''),
          'A callback URL holds no user name or password.',
        ),
    }),
  ],
  { error: 'Expected { "queue": NAME }, { "function": NAME, "path"? } or { "url": URL }.' },
);

/** As given; what is absent comes from elsewhere, see asyncPlan. */
export const asyncSettingsSchema = z.strictObject({
  /** Attempts after the first. */
  retries: z.int().min(0).max(10).optional(),
  /** Before the first retry, the second and so on; the last one holds for all that follow. */
  retryDelaysSeconds: z.array(z.number().min(0).max(MAX_DELAY_S)).min(1).max(10).optional(),
  /** No attempt begins later than this after acceptance. */
  maxAgeSeconds: z.int().min(1).max(86_400).optional(),
  /** null: nobody is told, whatever the manifest says. */
  onSuccess: destinationSchema.nullable().optional(),
  onFailure: destinationSchema.nullable().optional(),
});

export type AsyncSettings = z.output<typeof asyncSettingsSchema>;
export type Destination = z.output<typeof destinationSchema>;

export interface AsyncPlan {
  retries: number;
  retryDelaysSeconds: number[];
  maxAgeSeconds: number;
  onSuccess: Destination | null;
  onFailure: Destination | null;
}

/** Attempts, delays and age of AWS Lambda. */
export const DEFAULT_ASYNC: AsyncPlan = {
  retries: 2,
  retryDelaysSeconds: [60, 120],
  maxAgeSeconds: 6 * 60 * 60,
  onSuccess: null,
  onFailure: null,
};

/** What the call says, else the manifest, else the default; key by key. */
export function asyncPlan(call: AsyncSettings | undefined, manifest: AsyncSettings | undefined): AsyncPlan {
  const first = <Key extends keyof AsyncPlan>(key: Key): AsyncPlan[Key] => {
    const given = call?.[key] === undefined ? manifest?.[key] : call[key];
    return given === undefined ? DEFAULT_ASYNC[key] : (given as AsyncPlan[Key]);
  };
  return {
    retries: first('retries'),
    retryDelaysSeconds: first('retryDelaysSeconds'),
    maxAgeSeconds: first('maxAgeSeconds'),
    onSuccess: first('onSuccess'),
    onFailure: first('onFailure'),
  };
}
