/** Secrets of a function: written, never read back. A change reaches the next invocation. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Registry } from '../registry/registry.ts';
import type { SecretStore } from '../store/api/secrets.ts';
import type { Audit } from './audit.ts';
import type { Deployer } from './deploy.ts';
import { answers, type ControlApp, emptyAnswer, jsonBody, nameParam } from './http.ts';
import { requireDeploy } from './lookup.ts';

const keyParam = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'a name like that of an environment variable, at most 128 characters')
  .refine((key) => key !== 'BASE', '"BASE" is what the base definition provides')
  .openapi({ example: 'API_KEY' });

const params = z.object({ name: nameParam, key: keyParam });

const putRoute = createRoute({
  method: 'put',
  path: '/v1/functions/{name}/secrets/{key}',
  summary: 'Set a secret; the function need not exist yet',
  tags: ['secrets'],
  request: {
    params,
    body: jsonBody(z.strictObject({ value: z.string().max(128 * 1024) }).openapi('SecretValue')),
  },
  responses: emptyAnswer('Set, and encrypted in the store'),
});

const deleteRoute = createRoute({
  method: 'delete',
  path: '/v1/functions/{name}/secrets/{key}',
  summary: 'Remove a secret',
  tags: ['secrets'],
  request: { params },
  responses: emptyAnswer('Removed'),
});

const listRoute = createRoute({
  method: 'get',
  path: '/v1/functions/{name}/secrets',
  summary: 'Names of the secrets, without their values',
  tags: ['secrets'],
  request: { params: z.object({ name: nameParam }) },
  responses: answers(200, 'Names', z.object({ secrets: z.array(z.object({ key: z.string() })) })),
});

export interface SecretsParts {
  registry: Registry;
  store: SecretStore;
  deployer: Pick<Deployer, 'exclusive' | 'drain'>;
  /** Encrypts. */
  seal(functionName: string, key: string, value: string): Uint8Array;
  audit: Audit;
  now(): number;
}

export function secretsResource(app: ControlApp, parts: SecretsParts): void {
  const { registry, store, deployer, audit } = parts;

  /** New specs for the function's versions; instances with the old values end what they run and are gone. */
  async function refresh(name: string): Promise<void> {
    const before = [...(registry.function(name)?.versions.values() ?? [])];
    await registry.secretsChanged(name);
    for (const version of before) deployer.drain(version, 'a secret changed');
  }

  app.openapi(putRoute, async (c) => {
    const { name, key } = c.req.valid('param');
    const { value } = c.req.valid('json');
    const caller = c.get('caller');
    requireDeploy(caller, registry, name);
    await deployer.exclusive(name, async () => {
      await store.put(name, key, parts.seal(name, key, value), parts.now());
      await refresh(name);
      await audit(caller.id, 'secret.set', `${name}/${key}`);
    });
    return c.body(null, 204);
  });

  app.openapi(deleteRoute, async (c) => {
    const { name, key } = c.req.valid('param');
    const caller = c.get('caller');
    requireDeploy(caller, registry, name);
    await deployer.exclusive(name, async () => {
      const { found } = await store.delete(name, key);
      if (!found) throw new HearthError('NOT_FOUND', `"${name}" has no secret "${key}".`);
      await refresh(name);
      await audit(caller.id, 'secret.delete', `${name}/${key}`);
    });
    return c.body(null, 204);
  });

  app.openapi(listRoute, async (c) => {
    const { name } = c.req.valid('param');
    requireDeploy(c.get('caller'), registry, name);
    const secrets = await store.all(name);
    return c.json({ secrets: secrets.map(({ key }) => ({ key })) }, 200);
  });
}
