/** Versions of a function, and which of them takes traffic. */
import { createRoute, z } from '@hono/zod-openapi';
import { versionsOf } from '../../functions/contract/traffic.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import type { Registry } from '../registry/registry.ts';
import { requireClaims, requireRead } from './access.ts';
import type { Audit } from './audit.ts';
import type { Deployer } from './deploy.ts';
import { answers, type ControlApp, emptyAnswer, guard, nameParam } from './http.ts';
import { functionNamed, requireDeploy, versionNamed } from './lookup.ts';
import { functionSchema, functionView, versionSchema, versionView } from './views.ts';

const name = z.object({ name: nameParam });
const nameAndVersion = z.object({ name: nameParam, version: z.string() });
const tags = ['versions'];

const read = guard((caller, param) => requireRead(caller, param('name')));

const listRoute = createRoute({
  method: 'get',
  path: '/v1/functions/{name}/versions',
  summary: 'Versions, newest first',
  tags,
  middleware: read,
  request: { params: name },
  responses: answers(200, 'Versions', z.object({ versions: z.array(versionSchema) })),
});

const oneRoute = createRoute({
  method: 'get',
  path: '/v1/functions/{name}/versions/{version}',
  summary: 'One version with its manifest',
  tags,
  middleware: read,
  request: { params: nameAndVersion },
  responses: answers(200, 'The version', versionSchema.extend({ manifest: z.record(z.string(), z.unknown()) })),
});

const deleteRoute = createRoute({
  method: 'delete',
  path: '/v1/functions/{name}/versions/{version}',
  summary: 'Remove a version that takes no traffic, and that neither a rollback nor a rollout leads to',
  tags,
  request: { params: nameAndVersion },
  responses: emptyAnswer('Removed'),
});

const rollbackRoute = createRoute({
  method: 'post',
  path: '/v1/functions/{name}/rollback',
  summary: 'Back to the previous traffic setting',
  tags,
  request: { params: name },
  responses: answers(200, 'The function as it is now', functionSchema),
});

export interface VersionsParts {
  registry: Registry;
  keeper: Pick<Keeper, 'retire'>;
  deployer: Pick<Deployer, 'exclusive' | 'drain'>;
  audit: Audit;
  urlOf(name: string): string;
}

export function versionsResource(app: ControlApp, { registry, deployer, audit, urlOf }: VersionsParts): void {
  app.openapi(listRoute, (c) => {
    const entry = functionNamed(registry, c.req.valid('param').name);
    const newest = [...entry.versions.values()].sort((a, b) => b.record.createdAt - a.record.createdAt);
    return c.json({ versions: newest.map((version) => versionView(entry, version)) }, 200);
  });

  app.openapi(oneRoute, (c) => {
    const { name, version } = c.req.valid('param');
    const entry = functionNamed(registry, name);
    const found = versionNamed(entry, version);
    const manifest: Record<string, unknown> = { ...found.manifest };
    return c.json({ ...versionView(entry, found), manifest }, 200);
  });

  app.openapi(deleteRoute, async (c) => {
    const { name, version } = c.req.valid('param');
    const caller = c.get('caller');
    requireDeploy(caller, registry, name);
    await deployer.exclusive(name, async () => {
      const found = versionNamed(functionNamed(registry, name), version);
      await registry.deleteVersion(name, found.version);
      deployer.drain(found, 'its version was deleted');
      await audit(caller.id, 'version.delete', name, { version: found.version });
    });
    return c.body(null, 204);
  });

  app.openapi(rollbackRoute, async (c) => {
    const { name } = c.req.valid('param');
    const caller = c.get('caller');
    requireDeploy(caller, registry, name);
    const entry = await deployer.exclusive(name, async () => {
      const before = functionNamed(registry, name);
      const { previousTraffic } = before.record;
      // As with PUT traffic. One that was deleted meanwhile is the registry's to refuse.
      for (const version of previousTraffic === null ? [] : versionsOf(previousTraffic)) {
        const found = before.versions.get(version);
        if (found !== undefined) requireClaims(caller, found.manifest);
      }
      const entry = await registry.rollback(name);
      await audit(caller.id, 'rollback', name, {
        version: entry.active?.version ?? null,
        traffic: entry.record.traffic,
      });
      return entry;
    });
    return c.json(functionView(entry, urlOf(name), registry), 200);
  });
}
