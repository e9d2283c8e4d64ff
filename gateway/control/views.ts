/** Functions and versions as the API shows them. */
import { z } from '@hono/zod-openapi';
import type { FunctionEntry, Registry, VersionEntry } from '../registry/registry.ts';
import { iso, timestamp } from './http.ts';

const handler = z.enum(['fetch', 'scheduled', 'queue', 'rpc', 'node-http']);

export const providedSchema = z.object({ library: z.string(), version: z.string(), bytes: z.int() });

const named = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]));

/** As stored; `trafficSchema` of the contract is what is taken. */
export const trafficView = z
  .object({
    split: z.array(z.object({ version: z.string(), percent: z.number() })),
    rules: z
      .array(
        z.object({
          when: z.object({
            header: named.optional(),
            cookie: named.optional(),
            query: named.optional(),
            json: named.optional(),
          }),
          version: z.string(),
        }),
      )
      .optional(),
    stickyBy: z.record(z.string(), z.string()).optional(),
  })
  .nullable()
  .openapi({ description: 'Which versions serve; null: none' });

export const versionSchema = z
  .object({
    version: z.string(),
    active: z.boolean().openapi({ description: 'Takes traffic now, all or some of it' }),
    percent: z.number().openapi({ description: 'Its share of the split' }),
    handlers: z.array(handler).openapi({ description: 'What it can be triggered by' }),
    sizeBytes: z.int(),
    provided: z.array(providedSchema).openapi({ description: 'Libraries its base provides, left out of it' }),
    createdAt: timestamp,
  })
  .openapi('Version');

export const functionSchema = z
  .object({
    name: z.string(),
    state: z.enum(['active', 'inactive']).openapi({ description: 'inactive: deployed, no version takes traffic' }),
    version: z.string().nullable().openapi({ description: 'The one that takes traffic, or most of it' }),
    traffic: trafficView,
    url: z.url(),
    published: z.boolean().openapi({ description: 'By its manifest or by /v1/publications' }),
    base: z.string().nullable(),
    trustGroup: z.string().nullable(),
    routes: z.array(z.string()),
    crons: z.array(z.string()),
    queues: z.object({ consumes: z.array(z.string()), produces: z.array(z.string()) }),
    handlers: z.array(handler),
    versions: z.int().openapi({ description: 'How many are kept' }),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .openapi('Function');

export function versionView(entry: FunctionEntry, { record }: VersionEntry): z.output<typeof versionSchema> {
  const share = entry.record.traffic?.split.find(({ version }) => version === record.version);
  return {
    version: record.version,
    active: entry.serving.some(({ version }) => version === record.version),
    percent: share?.percent ?? 0,
    handlers: record.handlers,
    sizeBytes: record.sizeBytes,
    provided: record.provided,
    createdAt: iso(record.createdAt),
  };
}

export function functionView(
  entry: FunctionEntry,
  url: string,
  registry: Pick<Registry, 'isPublished'>,
): z.output<typeof functionSchema> {
  const { record, active, versions } = entry;
  const manifest = active?.manifest;
  return {
    name: record.name,
    state: active === undefined ? 'inactive' : 'active',
    version: active?.record.version ?? null,
    traffic: record.traffic,
    url,
    published: registry.isPublished(record.name),
    base: manifest?.hearth.base ?? null,
    trustGroup: manifest?.hearth.trustGroup ?? null,
    routes: manifest?.routes ?? [],
    crons: manifest?.triggers.crons.map(({ cron }) => cron) ?? [],
    queues: {
      consumes: manifest?.queues.consumers.map(({ queue }) => queue) ?? [],
      produces: manifest?.queues.producers.map(({ queue }) => queue) ?? [],
    },
    handlers: active?.record.handlers ?? [],
    versions: versions.size,
    createdAt: iso(record.createdAt),
    updatedAt: iso(record.updatedAt),
  };
}
