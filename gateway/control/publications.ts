/** Publish and unpublish, apart from deploying: what makes a function reachable, and by whom. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import { type PublicationSettings, publicationSchema } from '../../functions/contract/publication.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import type { FunctionEntry, Publication, Registry } from '../registry/registry.ts';
import type { Logger } from '../telemetry/log.ts';
import { type Caller, requireRead, requireRoutes, requireScope } from './access.ts';
import type { Audit } from './audit.ts';
import { answers, type ControlApp, emptyAnswer, guard, iso, jsonBody, nameParam, timestamp } from './http.ts';
import { functionNamed, requireDeploy } from './lookup.ts';

const tags = ['publications'];
const params = z.object({ name: nameParam });
const deployer = guard((caller, param) => requireScope(caller, 'deploy', param('name')));

const viewSchema = z
  .object({
    name: z.string(),
    function: z.string(),
    routes: z.array(z.string()),
    byName: z.boolean().openapi({ description: 'Reached at /NAME and NAME.localhost, too' }),
    crons: z.array(z.string()),
    queues: z.array(z.string()),
    rpc: publicationSchema.shape.rpc,
    tag: z.string().nullable(),
    splits: publicationSchema.shape.splits,
    implied: z.boolean().openapi({ description: 'By the manifest alone' }),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .openapi('Publication');

const listRoute = createRoute({
  method: 'get',
  path: '/v1/publications',
  summary: 'All that is published, by name',
  tags,
  middleware: guard((caller) => requireRead(caller)),
  responses: answers(200, 'Publications', z.object({ publications: z.array(viewSchema) })),
});

const oneRoute = createRoute({
  method: 'get',
  path: '/v1/publications/{name}',
  summary: 'One publication',
  tags,
  middleware: guard((caller, param) => requireRead(caller, param('name'))),
  request: { params },
  responses: answers(200, 'The publication', viewSchema),
});

const putRoute = createRoute({
  method: 'put',
  path: '/v1/publications/{name}',
  summary: 'Publish: routes, crons and queues, apart from deploying; what is left out is as in the manifest',
  tags,
  middleware: deployer,
  request: { params, body: jsonBody(publicationSchema) },
  responses: { ...answers(200, 'It replaces the one before', viewSchema), ...answers(201, 'It is new', viewSchema) },
});

const deleteRoute = createRoute({
  method: 'delete',
  path: '/v1/publications/{name}',
  summary:
    'Take it back: what runs ends, nothing new comes in; of a function’s own name also what its manifest publishes',
  tags,
  middleware: deployer,
  request: { params },
  responses: emptyAnswer('Nobody reaches it any more'),
});

export interface PublicationsParts {
  registry: Registry;
  keeper: Pick<Keeper, 'retire'>;
  audit: Audit;
  log: Pick<Logger, 'error'>;
}

export function publicationsResource(app: ControlApp, { registry, keeper, audit, log }: PublicationsParts): void {
  /** The pools of what was split off end once they have served what they were given. */
  function retireSplits(functionName: string, name: string, why: string): void {
    for (const { key } of registry.function(functionName)?.versions.values() ?? []) {
      keeper.retire(`${key}/${name}`, why).catch((error: unknown) => {
        log.error('retiring a split failed', { function: functionName, publication: name, error });
      });
    }
  }

  app.openapi(listRoute, (c) => {
    const all = [...registry.functions()].flatMap(({ record }) => registry.publicationsOf(record.name));
    return c.json({ publications: all.sort((a, b) => (a.name < b.name ? -1 : 1)).map(view) }, 200);
  });

  app.openapi(oneRoute, (c) => c.json(view(publicationNamed(registry, c.req.valid('param').name)), 200));

  app.openapi(putRoute, async (c) => {
    const { name } = c.req.valid('param');
    const settings = c.req.valid('json');
    const caller = c.get('caller');
    const before = registry.publication(name);
    requireDeploy(caller, registry, settings.function);
    if (before !== undefined) requireDeploy(caller, registry, before.function);
    const entry = functionNamed(registry, settings.function);
    requireReach(caller, entry, settings);
    requireHandlers(entry, settings);

    await registry.putPublication(name, settings);
    const moved = before !== undefined && before.function !== settings.function;
    if (before !== undefined && (moved || JSON.stringify(before.splits) !== JSON.stringify(settings.splits))) {
      retireSplits(before.function, name, 'its publication was changed');
    }
    await audit(caller.id, 'publish', name, { ...settings });
    return c.json(view(publicationNamed(registry, name)), before === undefined ? 201 : 200);
  });

  app.openapi(deleteRoute, async (c) => {
    const { name } = c.req.valid('param');
    const caller = c.get('caller');
    requireDeploy(caller, registry, registry.publication(name)?.function ?? name);
    const functionName = await registry.deletePublication(name);
    if (functionName === undefined) throw notPublished(name);
    retireSplits(functionName, name, 'its publication was taken back');
    await audit(caller.id, 'unpublish', name, { function: functionName });
    return c.body(null, 204);
  });
}

function publicationNamed(registry: Registry, name: string): Publication {
  const owner = registry.publication(name)?.function ?? name;
  const found = registry.publicationsOf(owner).find((publication) => publication.name === name);
  if (found === undefined) throw notPublished(name);
  return found;
}

function notPublished(name: string): HearthError {
  return new HearthError('NOT_FOUND', `Nothing is published as "${name}"; GET /v1/publications lists what is.`);
}

/** Who publishes a function by its manifest takes on the manifest's routes. Throws FORBIDDEN. */
function requireReach(caller: Caller, { active }: FunctionEntry, settings: PublicationSettings): void {
  requireRoutes(caller, settings.routes ?? active?.claims.routes ?? []);
}

/** Throws BAD_REQUEST when the version that takes traffic could not serve what is asked for. */
function requireHandlers({ record, active }: FunctionEntry, { crons, queues }: PublicationSettings): void {
  if (active === undefined) return;
  const { handlers } = active.record;
  const missing = (key: string, handler: string) =>
    new HearthError('BAD_REQUEST', `body.${key}: "${record.name}" has no ${handler} handler.`);
  if (crons !== null && crons.length > 0 && !handlers.includes('scheduled')) throw missing('crons', 'scheduled');
  if (queues !== null && queues.length > 0 && !handlers.includes('queue')) throw missing('queues', 'queue');
}

function view({ routes, crons, queues, splits, ...publication }: Publication): z.output<typeof viewSchema> {
  return {
    ...publication,
    routes: [...routes],
    crons: [...crons],
    queues: [...queues],
    splits: [...splits],
    createdAt: iso(publication.createdAt),
    updatedAt: iso(publication.updatedAt),
  };
}
