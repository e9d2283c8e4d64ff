/** Configuration of functions: put as a whole, and told to what runs, without a deploy. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import { MAX_CONFIG_BYTES, MAX_CONFIG_KEYS } from '../../functions/contract/limits.ts';
import { NAMESPACE_PATTERN } from '../../functions/contract/manifest-names.ts';
import type { Configs } from '../bindings/configs.ts';
import { storedNamespace } from '../bindings/kv.ts';
import type { ConfigRecord } from '../store/api/configs.ts';
import { type Caller, requireRead, requireScope, requireTrustGroup } from './access.ts';
import type { Audit } from './audit.ts';
import { answers, type ControlApp, isoOrNull, jsonBody, timestamp, trustGroupQuery } from './http.ts';

/** Whoever reads it goes through it by recursion. */
const MOST_DEPTH = 100;

const params = z.object({
  namespace: z
    .string()
    .regex(NAMESPACE_PATTERN, 'letters, digits, ".", "_" and "-", at most 128 characters')
    .openapi({ example: 'shop' }),
});

const values = z
  .record(z.string().min(1).max(256), z.unknown())
  .refine((given) => Object.keys(given).length <= MAX_CONFIG_KEYS, `At most ${MAX_CONFIG_KEYS} keys.`)
  .refine((given) => isShallow(given, MOST_DEPTH), `At most ${MOST_DEPTH} levels in each other.`)
  // Said here: z.json() holds itself, which the description cannot follow.
  .openapi({
    type: 'object',
    maxProperties: MAX_CONFIG_KEYS,
    example: { theme: 'dark', limits: { perPage: 20 } },
  });

const configSchema = z
  .object({
    namespace: z.string(),
    trustGroup: z.string(),
    version: z.int().openapi({ description: 'One more with each change; 0: nothing was ever put' }),
    values: z.record(z.string(), z.unknown()),
    updatedAt: timestamp.nullable(),
  })
  .openapi('Config');

const getRoute = createRoute({
  method: 'get',
  path: '/v1/config/{namespace}',
  summary: 'A configuration, as functions have it',
  tags: ['config'],
  request: { params, query: trustGroupQuery },
  responses: answers(200, 'The configuration', configSchema),
});

const putRoute = createRoute({
  method: 'put',
  path: '/v1/config/{namespace}',
  summary: 'Replace a configuration; running functions are told',
  tags: ['config'],
  request: {
    params,
    query: trustGroupQuery,
    body: jsonBody(
      z
        .strictObject({
          values,
          expectedVersion: z
            .int()
            .min(0)
            .optional()
            .openapi({ description: 'The version it has to have now; otherwise CONFLICT' }),
        })
        .openapi('ConfigInput'),
    ),
  },
  responses: answers(200, 'Stored', configSchema),
});

export function configResource(app: ControlApp, configs: Configs, audit: Audit): void {
  app.openapi(getRoute, async (c) => {
    const { namespace } = c.req.valid('param');
    const { trustGroup } = c.req.valid('query');
    requireConfigRead(c.get('caller'), namespace, trustGroup);
    const record = await configs.read(storedNamespace(trustGroup, namespace));
    return c.json(viewOf(namespace, trustGroup, record), 200);
  });

  app.openapi(putRoute, async (c) => {
    const { namespace } = c.req.valid('param');
    const { trustGroup } = c.req.valid('query');
    const caller = c.get('caller');
    requireScope(caller, 'config', namespace);
    requireTrustGroup(caller, trustGroup);
    const { values: given, expectedVersion } = c.req.valid('json');
    const bytes = Buffer.byteLength(JSON.stringify(given));
    if (bytes > MAX_CONFIG_BYTES) {
      throw new HearthError('PAYLOAD_TOO_LARGE', `The values have ${bytes} bytes; at most ${MAX_CONFIG_BYTES}.`);
    }
    const record = await configs.put(storedNamespace(trustGroup, namespace), given, expectedVersion ?? null);
    await audit(caller.id, 'config.put', namespace, { trustGroup, version: record.version });
    return c.json(viewOf(namespace, trustGroup, record), 200);
  });
}

/** It is JSON, in which nothing holds itself. */
function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1));
}

/** Who may change it may read it. */
function requireConfigRead(caller: Caller, namespace: string, trustGroup: string): void {
  if (caller.scopes.includes('read')) requireRead(caller);
  else requireScope(caller, 'config', namespace);
  requireTrustGroup(caller, trustGroup);
}

function viewOf(namespace: string, trustGroup: string, { version, values: given, updatedAt }: ConfigRecord) {
  return { namespace, trustGroup, version, values: given, updatedAt: isoOrNull(version === 0 ? null : updatedAt) };
}
