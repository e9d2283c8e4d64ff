/** The source map of a version: what turns the stacks of its log into places of its author's source. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Registry } from '../registry/registry.ts';
import type { RegistryStore } from '../store/api/registry.ts';
import { requireRead } from './access.ts';
import { answers, type ControlApp, guard, nameParam } from './http.ts';
import { functionNamed, versionNamed } from './lookup.ts';

const mapSchema = z
  .looseObject({ version: z.literal(3), sources: z.array(z.string()), mappings: z.string() })
  .openapi('SourceMap', { description: 'ECMA-426' });

const route = createRoute({
  method: 'get',
  path: '/v1/functions/{name}/versions/{version}/source-map',
  summary: 'The source map of its code, which stacks call NAME.js; sources by their path in the deploy',
  tags: ['versions'],
  middleware: guard((caller, param) => requireRead(caller, param('name'))),
  request: { params: z.object({ name: nameParam, version: z.string() }) },
  responses: answers(200, 'The source map', mapSchema),
});

export function sourceMapResource(
  app: ControlApp,
  registry: Registry,
  store: Pick<RegistryStore, 'getArtifact'>,
): void {
  app.openapi(route, async (c) => {
    const { name, version } = c.req.valid('param');
    const found = versionNamed(functionNamed(registry, name), version);
    const artifact = await store.getArtifact(name, found.version);
    if (artifact === null || artifact.sourceMap === null) {
      throw new HearthError('NOT_FOUND', `Version ${found.version} of "${name}" has no source map.`);
    }
    // As the builder wrote it: megabytes are not parsed here to be written again.
    return c.body(Buffer.from(artifact.sourceMap), 200, { 'content-type': 'application/json' }) as never;
  });
}
