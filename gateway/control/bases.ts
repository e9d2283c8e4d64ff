/** Base definitions: what there is, changing one while its functions serve, back again, and its types for authors. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { BaseChanges, BaseProgress } from '../bases/changes.ts';
import type { BaseDefinitions, KeptBase } from '../bases/definitions.ts';
import { servingOn } from '../bases/trial.ts';
import { typesOf } from '../bases/types.ts';
import type { Registry } from '../registry/registry.ts';
import type { BaseGeneration } from '../store/api/bases.ts';
import { requireAdmin, requireRead } from './access.ts';
import { inputJsonSchema, readBaseInput } from './base-input.ts';
import {
  answers,
  type ControlApp,
  DEPLOY_STATUSES,
  guard,
  iso,
  isoOrNull,
  nameParam,
  otherAnswer,
  timestamp,
} from './http.ts';

const tags = ['bases'];
const params = z.object({ name: nameParam });
const read = guard((caller) => requireRead(caller));
/** A setup runs before its base gives up its rights, so no scoped token reaches it: see SECURITY.md. */
const admin = guard((caller) => requireAdmin(caller));

const generationShape = {
  generation: z.int().openapi({ description: 'Counts the changes of this definition' }),
  shared: z.array(z.object({ as: z.string(), from: z.string() })),
  setup: z
    .union([z.object({ path: z.string() }), z.object({ files: z.array(z.string()) })])
    .nullable()
    .openapi({ description: 'path: of the configuration file; files: as they came over the API' }),
  env: z.array(z.string()),
  warm: z.int().nullable(),
  typed: z.boolean().openapi({ description: 'Whether declarations of env.BASE were given with it' }),
  createdAt: timestamp,
  by: z.string().openapi({ description: '"file", "admin"' }),
};

const changeSchema = z
  .object({
    generation: z.int(),
    state: z.enum(['building', 'proving', 'stocking', 'moving', 'done', 'refused']),
    versions: z
      .int()
      .openapi({ description: 'On this base that take traffic, or that a rollback or a rollout may lead to' }),
    proved: z.int().openapi({ description: 'Of these, tried on the new generation' }),
    left: z.int().openapi({ description: 'Still to be moved' }),
    why: z.string().nullable().openapi({ description: 'Why it was refused' }),
    startedAt: timestamp,
    endedAt: timestamp.nullable(),
  })
  .openapi('BaseChange');

const baseSchema = z
  .object({
    name: z.string(),
    ...generationShape,
    libraries: z.array(z.object({ specifier: z.string(), library: z.string(), version: z.string(), bytes: z.int() })),
    functions: z.int().openapi({ description: 'Versions on it that take traffic' }),
    previous: z.object(generationShape).nullable().openapi({ description: 'What a rollback leads to' }),
    change: changeSchema.nullable().openapi({ description: 'Under way, or the last one since the start' }),
  })
  .openapi('Base');

const changedSchema = baseSchema
  .extend({
    changed: z.boolean().openapi({ description: 'false: it was like that already' }),
    broken: z
      .array(z.string())
      .openapi({ description: 'Functions with a version that came up neither before nor now' }),
  })
  .openapi('ChangedBase');

const listRoute = createRoute({
  method: 'get',
  path: '/v1/bases',
  summary: 'Base definitions, and how far a change is',
  tags,
  middleware: read,
  responses: answers(200, 'Base definitions', z.object({ bases: z.array(baseSchema) })),
});

const oneRoute = createRoute({
  method: 'get',
  path: '/v1/bases/{name}',
  summary: 'One base definition',
  tags,
  middleware: read,
  request: { params },
  responses: answers(200, 'The base definition', baseSchema),
});

/** The body is read by base-input.ts; here it is described. */
const putRoute = createRoute({
  method: 'put',
  path: '/v1/bases/{name}',
  summary: 'Change a base: prove all that may serve on the new one, then move it host after host',
  tags,
  middleware: admin,
  request: {
    params,
    body: {
      required: true,
      content: {
        'application/json': { schema: inputJsonSchema() },
        'text/typescript': { schema: { type: 'string' as const, description: 'The setup alone' } },
        'multipart/form-data': {
          schema: {
            type: 'object' as const,
            properties: {
              definition: { type: 'string' as const, description: 'As the JSON body, with setup: {"main": path}' },
              files: {
                type: 'array' as const,
                items: { type: 'string' as const, format: 'binary' },
                description: 'One part per file of the setup; its filename is the path',
              },
            },
          },
        },
      },
    },
  },
  responses: {
    ...answers(200, 'Every call goes to the new generation', changedSchema, DEPLOY_STATUSES),
    201: { description: 'A base that is new', content: { 'application/json': { schema: changedSchema } } },
  },
});

const rollbackRoute = createRoute({
  method: 'post',
  path: '/v1/bases/{name}/rollback',
  summary: 'Back to what it was before its last change, in the same way',
  tags,
  middleware: admin,
  request: { params },
  responses: answers(200, 'Every call goes to it', changedSchema, DEPLOY_STATUSES),
});

const typesRoute = createRoute({
  method: 'get',
  path: '/v1/bases/{name}/types',
  summary: 'Declarations for authors of its modules: env.BASE, and what is shared',
  tags,
  request: { params },
  responses: otherAnswer('A declaration file', 'text/typescript'),
});

export interface BasesParts {
  definitions: BaseDefinitions;
  changes: BaseChanges;
  registry: Pick<Registry, 'functions'>;
}

export function basesResource(app: ControlApp, { definitions, changes, registry }: BasesParts): void {
  const view = (base: KeptBase) => {
    const { name, current, previous } = base.record;
    const progress = changes.progress(name);
    return {
      name,
      ...generationView(current),
      libraries: base.prepared.definition.shared.map(({ specifier, library, version, bytes }) => ({
        specifier,
        library,
        version,
        bytes,
      })),
      functions: servingOn(registry, name).length,
      previous: previous === null ? null : generationView(previous),
      change: progress === null ? null : changeView(progress),
    };
  };
  const named = (name: string): KeptBase => {
    const base = definitions.get(name);
    if (base === undefined) throw new HearthError('NOT_FOUND', `There is no base "${name}"; GET /v1/bases lists them.`);
    return base;
  };

  app.openapi(listRoute, (c) => c.json({ bases: [...definitions.list()].map(view) }, 200));

  app.openapi(oneRoute, (c) => c.json(view(named(c.req.valid('param').name)), 200));

  app.openapi(putRoute, async (c) => {
    const { name } = c.req.valid('param');
    const input = await readBaseInput(c.req.raw);
    const { base, changed, created, broken } = await changes.change(name, input, c.get('caller').id);
    return c.json({ ...view(base), changed, broken }, created ? 201 : 200);
  });

  app.openapi(rollbackRoute, async (c) => {
    const { name } = named(c.req.valid('param').name).record;
    const { base, changed, broken } = await changes.rollback(name, c.get('caller').id);
    return c.json({ ...view(base), changed, broken }, 200);
  });

  app.openapi(typesRoute, async (c) => {
    const base = named(c.req.valid('param').name);
    return c.body(typesOf(base, await definitions.typesOf(base)), 200, {
      'content-type': 'text/typescript; charset=utf-8',
    });
  });
}

function generationView({ generation, shared, setup, env, warm, types, createdAt, by }: BaseGeneration) {
  return {
    generation,
    shared,
    setup: setup === null ? null : setup.kind === 'path' ? { path: setup.path } : { files: setup.files },
    env,
    warm,
    typed: types !== null,
    createdAt: iso(createdAt),
    by,
  };
}

function changeView({ startedAt, endedAt, ...progress }: BaseProgress) {
  return { ...progress, startedAt: iso(startedAt), endedAt: isoOrNull(endedAt) };
}
