/** What makes a deployed function reachable: as the API takes it and the store keeps it. */
import { z } from 'zod';
import { validateCron } from './cron.ts';
import { NAME_PATTERN, NAME_RULE, QUEUE_NAME_PATTERN } from './limits.ts';
import { consumerSchema } from './manifest-queues.ts';
import { checkRoute } from './routes.ts';
import { whenSchema } from './traffic.ts';

const MOST_ROUTES = 200;
const MOST_CRONS = 50;
const MOST_QUEUES = 100;
const MOST_SPLITS = 50;

/** Of an HTTP request: says which of several publications of one route it is for. The query is looked at where the header is missing. */
export const TAG_HEADER = 'x-hearth-tag';
export const TAG_QUERY = 'hearth-tag';

const nameSchema = z.string().regex(NAME_PATTERN, `A name ${NAME_RULE}.`);

const tagSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'A tag has letters, digits, dots, dashes and underscores, at most 63.');

const routeSchema = z.string().transform((written, context) => {
  const checked = checkRoute(written);
  if (checked.problem === null) return checked.pattern;
  context.addIssue({ code: 'custom', message: checked.problem });
  return z.NEVER;
});

const cronSchema = z
  .string()
  .max(256)
  .transform((written) => written.trim())
  .superRefine((expression, context) => {
    // Whether it is due some day does not hang on the function's time zone.
    const problem = validateCron(expression, 'UTC');
    if (problem !== null) context.addIssue({ code: 'custom', message: problem });
  });

/** Which requests of a publication are served apart, and by how much. */
const splitSchema = z
  .strictObject({
    name: nameSchema,
    when: whenSchema.optional(),
    tag: tagSchema.optional(),
    maxInstances: z.int().min(1).max(1000).optional(),
    concurrency: z.int().min(1).max(10_000).optional(),
  })
  .refine(
    ({ when, tag }) => when !== undefined || tag !== undefined,
    'A split says by "when" or "tag" which requests it serves.',
  );
export type Split = z.output<typeof splitSchema>;

const list = <Item extends z.ZodType<string>>(item: Item, most: number) =>
  z
    .array(item)
    .max(most)
    .transform((items) => [...new Set(items)])
    .nullable()
    .default(null);

export const publicationSchema = z.strictObject({
  function: nameSchema,
  /** Null: by its own name (`/NAME`, `NAME.localhost`), and the routes of the manifest. Given: these and nothing else. */
  routes: list(routeSchema, MOST_ROUTES),
  /** Reached at `/NAME` and `NAME.localhost` as well. Absent: where no routes are given. */
  byName: z.boolean().optional(),
  /** Null: the manifest's. */
  crons: list(cronSchema, MOST_CRONS),
  /** By cron: what `controller.cron` says of it. Absent: the cron itself. */
  cronNames: z.record(z.string().max(256), z.string().max(256)).optional(),
  /** Null: the manifest's. */
  queues: list(z.string().regex(QUEUE_NAME_PATTERN, `A queue's name ${NAME_RULE}.`), MOST_QUEUES),
  /** How it consumes them, as in a manifest. Absent, or of a queue that is not named: the manifest's, or the defaults. */
  consumers: z.array(consumerSchema).max(MOST_QUEUES).optional(),
  /**
   * Whether functions of other trust groups may call it: by `fetch`, as any HTTP client; `methods`: also the methods of its
   * default class, which no client reaches without a token.
   */
  rpc: z.union([z.boolean(), z.literal('methods')]).default(true),
  /** Answers only requests that carry it. Null: all that no other one of the same route answers. */
  tag: tagSchema.nullable().default(null),
  /** The first that matches serves a request, with instances and limits of its own. */
  splits: z
    .array(splitSchema)
    .max(MOST_SPLITS)
    .default([])
    .superRefine((splits, context) => {
      if (new Set(splits.map(({ name }) => name)).size === splits.length) return;
      context.addIssue({ code: 'custom', message: 'A name stands in the splits once.' });
    }),
});
export type PublicationSettings = z.output<typeof publicationSchema>;
