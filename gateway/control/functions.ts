/** Functions: deploy, list, delete, evict. */
import { createRoute, z } from '@hono/zod-openapi';
import type { Keeper } from '../../pool/keeper/api.ts';
import type { Registry } from '../registry/registry.ts';
import { type Caller, requireClaims, requireRead, requireScope } from './access.ts';
import type { Audit } from './audit.ts';
import type { Deployer } from './deploy.ts';
import { answers, type ControlApp, DEPLOY_STATUSES, emptyAnswer, guard, nameParam } from './http.ts';
import { functionNamed, requireDeploy } from './lookup.ts';
import { readUpload } from './upload.ts';
import { functionSchema, functionView, providedSchema } from './views.ts';

const tags = ['functions'];
const name = z.object({ name: nameParam });

export const deployedSchema = z
  .object({
    name: z.string(),
    version: z.string().openapi({ description: 'Hash of manifest and files: the same content is the same version' }),
    state: z.enum(['active', 'inactive']).openapi({ description: 'inactive: deployed with activate=false' }),
    url: z.url(),
    sizeBytes: z.int(),
    provided: z.array(providedSchema),
    ownCopies: z
      .array(z.object({ library: z.string(), version: z.string(), baseVersion: z.string() }))
      .optional()
      .openapi({ description: 'Libraries it carries itself, though the base has another version of them' }),
    timings: z.object({ buildMs: z.number(), loadMs: z.number(), probeMs: z.number(), totalMs: z.number() }),
  })
  .openapi('Deployed');

/** The body is read by upload.ts, so that trees of files need not pass through a JSON schema; here it is described. */
const deployRoute = createRoute({
  method: 'put',
  path: '/v1/functions/{name}',
  summary: 'Deploy: build, prove on a base, switch traffic',
  tags,
  middleware: guard((caller, param) => requireScope(caller, 'deploy', param('name'))),
  request: {
    params: name,
    query: z.strictObject({ activate: z.enum(['true', 'false']).default('true') }),
    body: {
      required: true,
      content: {
        'text/typescript': { schema: { type: 'string' as const, minLength: 1 } },
        'application/javascript': { schema: { type: 'string' as const, minLength: 1 } },
        'multipart/form-data': {
          schema: {
            type: 'object' as const,
            required: ['files'],
            additionalProperties: false,
            properties: {
              manifest: { type: 'string' as const, description: 'The manifest; default: one beside the code' },
              files: {
                type: 'array' as const,
                minItems: 1,
                items: { type: 'string' as const, format: 'binary' },
                description: 'One part per file; its filename is the path in the tree',
              },
            },
          },
        },
        'application/json': {
          schema: {
            type: 'object' as const,
            required: ['files'],
            additionalProperties: false,
            properties: {
              manifest: { type: 'object' as const },
              files: {
                type: 'object' as const,
                minProperties: 1,
                additionalProperties: { type: 'string' as const },
              },
            },
          },
        },
      },
    },
  },
  responses: answers(201, 'It serves', deployedSchema, DEPLOY_STATUSES),
});

const listRoute = createRoute({
  method: 'get',
  path: '/v1/functions',
  summary: 'All functions, by name',
  tags,
  middleware: guard((caller) => requireRead(caller)),
  responses: answers(200, 'Functions', z.object({ functions: z.array(functionSchema) })),
});

const oneRoute = createRoute({
  method: 'get',
  path: '/v1/functions/{name}',
  summary: 'One function',
  tags,
  middleware: guard((caller, param) => requireRead(caller, param('name'))),
  request: { params: name },
  responses: answers(200, 'The function', functionSchema),
});

const deleteRoute = createRoute({
  method: 'delete',
  path: '/v1/functions/{name}',
  summary: 'Remove a function with its versions, secrets and crons',
  tags,
  request: { params: name },
  responses: emptyAnswer('Removed'),
});

const evictRoute = createRoute({
  method: 'post',
  path: '/v1/functions/{name}/evict',
  summary: 'Retire idle instances: the next call is a cold start',
  tags,
  request: { params: name },
  responses: answers(200, 'How many were retired', z.object({ evicted: z.int() })),
});

export interface FunctionsParts {
  registry: Registry;
  keeper: Pick<Keeper, 'evict'>;
  deployer: Deployer;
  audit: Audit;
  urlOf(name: string): string;
}

export function functionsResource(app: ControlApp, parts: FunctionsParts): void {
  const { registry, keeper, deployer, audit, urlOf } = parts;

  app.openapi(deployRoute, async (c) => {
    const { name } = c.req.valid('param');
    const caller = c.get('caller');
    requireDeploy(caller, registry, name);
    const deployed = await deployer.deploy({
      name,
      upload: await readUpload(c.req.raw),
      activate: c.req.valid('query').activate === 'true',
      actor: caller.id,
      authorize: (manifest) => requireClaims(caller, manifest),
    });
    return c.json(deployed, 201);
  });

  app.openapi(listRoute, (c) => {
    const functions = Array.from(registry.functions(), (entry) =>
      functionView(entry, urlOf(entry.record.name), registry),
    );
    return c.json({ functions: functions.sort((a, b) => (a.name < b.name ? -1 : 1)) }, 200);
  });

  app.openapi(oneRoute, (c) => {
    const { name } = c.req.valid('param');
    return c.json(functionView(functionNamed(registry, name), urlOf(name), registry), 200);
  });

  app.openapi(deleteRoute, async (c) => {
    await deleteFunction(parts, c.get('caller'), c.req.valid('param').name);
    return c.body(null, 204);
  });

  app.openapi(evictRoute, async (c) => {
    const { name } = c.req.valid('param');
    requireDeploy(c.get('caller'), registry, name);
    functionNamed(registry, name);
    const evicted = await keeper.evict(name);
    await audit(c.get('caller').id, 'evict', name, { evicted });
    return c.json({ evicted }, 200);
  });
}

/** With its versions, secrets and crons. Throws FORBIDDEN, NOT_FOUND. */
export async function deleteFunction(
  { registry, deployer, audit }: Pick<FunctionsParts, 'registry' | 'deployer' | 'audit'>,
  caller: Caller,
  name: string,
): Promise<void> {
  requireDeploy(caller, registry, name);
  await deployer.exclusive(name, async () => {
    functionNamed(registry, name);
    const removed = await registry.deleteFunction(name);
    for (const version of removed?.versions.values() ?? []) deployer.drain(version, 'its function was deleted');
    await audit(caller.id, 'function.delete', name);
  });
  deployer.collectAssets(name);
}
