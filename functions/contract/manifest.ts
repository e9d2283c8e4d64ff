/**
 * The manifest of a function: Workers' own shape, and Hearth's settings under `hearth`. After parsing everything is
 * present, with its default where it was not given. How files become values is in manifest-file.ts.
 */
import { z } from 'zod';
import { asyncSettingsSchema } from './async.ts';
import { fromWranglerWeekdays, isTimezone, validateCron } from './cron.ts';
import { MAX_DELAY_S } from './limits.ts';
import { IGNORED_KEYS, type IgnoredKey } from './manifest-keys.ts';
import { bindingSchema, nameSchema, queueNameSchema, whole } from './manifest-names.ts';
import { consumerSchema, subscribed } from './manifest-queues.ts';
import {
  authSchema,
  hearthServiceKeys,
  keptServices,
  MOST_BINDINGS,
  MOST_ROUTES,
  ownName,
  serviceKeys,
  serviceNames,
} from './manifest-services.ts';
import { assetsSchema, rulesSchema } from './manifest-workers.ts';
import { checkRoute } from './routes.ts';

/** `wrangler`: weekday numbers of crons are 1–7 for Sunday–Saturday; otherwise both read the same. */
export type ManifestDialect = 'hearth' | 'wrangler';

const ENTRYPOINT_PATTERN = /^[A-Za-z_$][A-Za-z0-9_$]*$/;
/** As Maven and npm write versions. */
export const LABEL_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/;

const varsSchema = z
  .record(
    z
      .string()
      .min(1)
      .refine((name) => name !== 'BASE' && name !== '__proto__', 'This name cannot be used for a variable.')
      .refine((name) => !/[=\0]/.test(name), 'The name of a variable holds no "=".'),
    z.json(),
  )
  .default({});

const routeSchema = z
  .union(
    [
      z.string(),
      z.strictObject({
        pattern: z.string(),
        zone_name: z.string().optional(),
        zone_id: z.string().optional(),
        custom_domain: z.boolean().optional(),
        enabled: z.boolean().optional(),
        previews_enabled: z.boolean().optional(),
      }),
    ],
    { error: 'A route is a pattern such as "example.com/api/*", or an object with "pattern".' },
  )
  .transform((route, context) => {
    const written = typeof route === 'string' ? route : route.pattern;
    // A custom domain is Workers' word for "all paths of this host".
    const wholeHost = typeof route !== 'string' && route.custom_domain === true && !written.includes('/');
    const checked = checkRoute(wholeHost ? `${written}/*` : written);
    if (checked.problem === null) return checked.pattern;
    context.addIssue({ code: 'custom', message: checked.problem });
    return z.NEVER;
  });

const producerSchema = z.strictObject({
  binding: bindingSchema,
  queue: queueNameSchema,
  /** Seconds each message is held back; a message's own delay wins. */
  delivery_delay: whole(0, MAX_DELAY_S).default(0),
  remote: z.boolean().optional(),
});

export const kvSchema = z.strictObject({
  binding: bindingSchema,
  /** Namespaces of one id are one namespace, whichever function names it. */
  id: z.string().min(1).max(256).optional(),
  preview_id: z.string().optional(),
  remote: z.boolean().optional(),
});

const serviceSchema = z.strictObject({
  binding: bindingSchema,
  service: nameSchema,
  /** Named export that is a WorkerEntrypoint; absent: the default export. */
  entrypoint: z.string().regex(ENTRYPOINT_PATTERN, 'An entrypoint is the name of an export.').optional(),
  /** What the callee sees as `ctx.props`. */
  props: z.record(z.string(), z.json()).optional(),
  remote: z.boolean().optional(),
});

const settingsSchema = z
  .strictObject({
    base: nameSchema.default('default'),
    trustGroup: nameSchema.default('default'),
    group: nameSchema.nullable().default(null),
    pool: nameSchema.default('default'),
    timeoutMs: whole(1, 24 * 60 * 60 * 1000).default(30_000),
    memoryMb: whole(16, 16_384).default(128),
    concurrency: whole(1, 10_000).default(64),
    minInstances: whole(0, 1000).default(0),
    maxInstances: whole(1, 1000).default(16),
    reserved: whole(0, 1_000_000).default(0),
    keepAlive: z
      .union(
        [
          z.literal('auto'),
          z
            .number()
            .min(0)
            .max(30 * 24 * 60 * 60),
        ],
        {
          error: 'Expected "auto", or seconds from 0 to 2592000.',
        },
      )
      .default('auto'),
    publish: z.boolean().default(true),
    timezone: z
      .string()
      .refine(isTimezone, { error: 'Not a time zone; use an IANA name such as "Europe/Berlin".' })
      .default('UTC'),
    missed: z.enum(['skip', 'once', 'all']).default('once'),
    overlap: z.enum(['skip', 'allow', 'queue']).default('skip'),
    ready: z
      .string()
      .regex(/^\/[^\s#]*$/, 'A path that starts with "/".')
      .nullable()
      .default(null),
    /** null: what HEARTH_NETWORK says. */
    network: z.enum(['all', 'none']).nullable().default(null),
    auth: authSchema.nullable().default(null),
    ...hearthServiceKeys,
    /** Asynchronous invocations; absent: two retries and no destinations. */
    async: asyncSettingsSchema.optional(),
    /**
     * What its author calls this version, such as "1.2.0": part of its content, so the same files under another label are
     * another version. Absent: it is known by its hash alone.
     */
    label: z
      .string()
      .regex(LABEL_PATTERN, 'A label has letters, digits, ".", "_", "+" and "-", at most 128 characters.')
      .optional(),
  })
  .superRefine((settings, context) => {
    if (settings.minInstances > settings.maxInstances) {
      const message = `minInstances (${settings.minInstances}) is over maxInstances (${settings.maxInstances}).`;
      context.addIssue({ code: 'custom', path: ['minInstances'], message });
    }
    const most = settings.concurrency * settings.maxInstances;
    if (settings.reserved > most) {
      const message = `reserved (${settings.reserved}) is over what concurrency × maxInstances allows (${most}).`;
      context.addIssue({ code: 'custom', path: ['reserved'], message });
    }
  });

const ignoredShape = Object.fromEntries(IGNORED_KEYS.map((key) => [key, z.unknown().optional()])) as Record<
  IgnoredKey,
  z.ZodOptional<z.ZodUnknown>
>;

/** The schema of one dialect. Its output is the same for both. */
export function manifestSchemaFor(dialect: ManifestDialect) {
  return z
    .strictObject({
      ...ignoredShape,
      /** The name in a deploy's URL wins: see manifest-file.ts. */
      name: nameSchema.nullable().default(null),
      main: z.string().min(1).nullable().default(null),
      vars: varsSchema,
      route: routeSchema.optional(),
      routes: z.array(routeSchema).max(MOST_ROUTES).default([]),
      triggers: z.strictObject({ crons: z.array(z.string()).default([]) }).prefault({}),
      queues: z
        .strictObject({
          producers: z.array(producerSchema).default([]),
          consumers: z.array(consumerSchema).default([]),
        })
        .prefault({}),
      kv_namespaces: z.array(kvSchema).default([]),
      services: z.array(serviceSchema).default([]),
      ...serviceKeys,
      /** Milliseconds one uninterrupted turn of the loop may take; null: no limit of its own. */
      limits: z.strictObject({ cpu_ms: whole(1, 300_000).nullable().default(null) }).prefault({}),
      compatibility_date: z
        .string()
        .regex(/^\d{4}-\d{2}-\d{2}$/, 'A date such as "2026-01-31".')
        .nullable()
        .default(null),
      compatibility_flags: z.array(z.string()).default([]),
      rules: rulesSchema.optional(),
      assets: assetsSchema.extend({ binding: bindingSchema.optional() }).optional(),
      version_metadata: z.strictObject({ binding: bindingSchema }).optional(),
      hearth: settingsSchema.prefault({}),
    })
    .transform((given, context) => {
      const { name, main, vars, triggers, queues, services, limits, hearth } = given;
      const problem = (path: (string | number)[], message: string) =>
        context.addIssue({ code: 'custom', path, message, input: given });

      const taken = new Set(Object.keys(vars));
      let bindings = 0;
      const claim = (binding: string, path: (string | number)[]) => {
        if (taken.has(binding)) problem(path, `"${binding}" is already a name in env; each binding needs its own.`);
        taken.add(binding);
        if (++bindings === MOST_BINDINGS + 1) problem(path, `A function has at most ${MOST_BINDINGS} bindings.`);
      };
      queues.producers.forEach(({ binding }, i) => {
        claim(binding, ['queues', 'producers', i, 'binding']);
      });
      given.kv_namespaces.forEach(({ binding }, i) => {
        claim(binding, ['kv_namespaces', i, 'binding']);
      });
      services.forEach(({ binding }, i) => {
        claim(binding, ['services', i, 'binding']);
      });
      if (given.assets?.binding !== undefined) claim(given.assets.binding, ['assets', 'binding']);
      if (given.version_metadata !== undefined) claim(given.version_metadata.binding, ['version_metadata', 'binding']);
      for (const { name: binding, path } of serviceNames(given, hearth)) claim(binding, path);
      for (const binding of Object.keys(hearth.breakers ?? {})) {
        if (services.some((service) => service.binding === binding)) continue;
        problem(['hearth', 'breakers', binding], `"${binding}" is none of the service bindings.`);
      }
      if (hearth.network === 'none' && hearth.outbound !== undefined) {
        problem(['hearth', 'outbound'], 'A function without a network calls nobody: leave out hearth.network or this.');
      }
      const subscriptions = subscribed(hearth.topics, name);
      const topics = new Set<string>();
      hearth.topics?.subscriptions.forEach(({ topic }, i) => {
        if (topics.has(topic))
          problem(['hearth', 'topics', 'subscriptions', i, 'topic'], `"${topic}" is subscribed twice.`);
        topics.add(topic);
      });
      const consumed = new Set<string>();
      queues.consumers.forEach(({ queue }, i) => {
        if (consumed.has(queue)) problem(['queues', 'consumers', i, 'queue'], `"${queue}" is consumed twice.`);
        consumed.add(queue);
      });

      const crons = triggers.crons.flatMap((cron, i) => {
        const read = readCron(cron, dialect, hearth.timezone);
        if (read.problem === null) return [{ cron, expression: read.expression }];
        problem(['triggers', 'crons', i], read.problem);
        return [];
      });

      return {
        name,
        main,
        vars,
        /** Canonical patterns, see routes.ts. */
        routes: [...new Set(given.route === undefined ? given.routes : [given.route, ...given.routes])],
        triggers: {
          /** `cron` as it was written, which is what `controller.cron` says; `expression` is what nextRun takes. */
          crons: crons.filter(({ cron }, i) => crons.findIndex((other) => other.cron === cron) === i),
        },
        queues: {
          producers: queues.producers.map(({ remote: _remote, ...producer }) => producer),
          /** What it subscribes to among them, each topic as a queue of its own. */
          consumers: [...queues.consumers, ...subscriptions],
        },
        kv_namespaces: given.kv_namespaces.map(({ binding, id }) => ({
          binding,
          id: id ?? ownName(name, binding),
        })),
        services: services.map(({ remote: _remote, ...service }) => service),
        limits,
        compatibility_date: given.compatibility_date,
        compatibility_flags: given.compatibility_flags,
        // Only where they are given: a manifest without them is the version it always was.
        ...keptServices(given, name),
        ...(given.rules === undefined ? {} : { rules: given.rules }),
        ...(given.assets === undefined ? {} : { assets: given.assets }),
        ...(given.version_metadata === undefined ? {} : { version_metadata: given.version_metadata }),
        hearth,
      };
    });
}

/** As `hearth.jsonc` and the control API have it. */
export const manifestSchema = manifestSchemaFor('hearth');

export type Manifest = z.output<typeof manifestSchema>;
export type ManifestInput = z.input<typeof manifestSchema>;

type CronRead = { expression: string; problem: null } | { expression: null; problem: string };

function readCron(cron: string, dialect: ManifestDialect, timezone: string): CronRead {
  try {
    const expression = dialect === 'wrangler' ? fromWranglerWeekdays(cron) : cron.trim();
    const problem = validateCron(expression, timezone);
    return problem === null ? { expression, problem } : { expression: null, problem };
  } catch (error) {
    if (error instanceof RangeError) return { expression: null, problem: error.message };
    throw error;
  }
}
