/** Publish and unpublish, apart from deploying: what makes a function reachable, and by whom. */
import { createRoute, z } from '@hono/zod-openapi';
import { publicationSchema } from '../../functions/contract/publication.ts';
import type { Publication, Registry } from '../registry/registry.ts';
import { requireRead, requireScope } from './access.ts';
import { answers, type ControlApp, emptyAnswer, guard, iso, jsonBody, nameParam, timestamp } from './http.ts';
import { notPublished, type Publisher } from './publisher.ts';

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
    cronNames: publicationSchema.shape.cronNames,
    queues: z.array(z.string()),
    consumers: publicationSchema.shape.consumers,
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

export function publicationsResource(app: ControlApp, registry: Registry, publisher: Publisher): void {
  app.openapi(listRoute, (c) => {
    const all = [...registry.functions()].flatMap(({ record }) => registry.publicationsOf(record.name));
    return c.json({ publications: all.sort((a, b) => (a.name < b.name ? -1 : 1)).map(view) }, 200);
  });

  app.openapi(oneRoute, (c) => c.json(view(publicationNamed(registry, c.req.valid('param').name)), 200));

  app.openapi(putRoute, async (c) => {
    const { name } = c.req.valid('param');
    const settings = c.req.valid('json');
    const isNew = await publisher.publish(c.get('caller'), name, settings);
    return c.json(view(publicationNamed(registry, name)), isNew ? 201 : 200);
  });

  app.openapi(deleteRoute, async (c) => {
    await publisher.unpublish(c.get('caller'), c.req.valid('param').name);
    return c.body(null, 204);
  });
}

function publicationNamed(registry: Registry, name: string): Publication {
  const owner = registry.publication(name)?.function ?? name;
  const found = registry.publicationsOf(owner).find((publication) => publication.name === name);
  if (found === undefined) throw notPublished(name);
  return found;
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
