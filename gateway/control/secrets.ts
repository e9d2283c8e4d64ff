/** Secrets of a function: written, never read back. A change reaches the next invocation. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Registry } from '../registry/registry.ts';
import type { SecretStore } from '../store/api/secrets.ts';
import type { Caller } from './access.ts';
import type { Audit } from './audit.ts';
import type { Deployer } from './deploy.ts';
import { answers, type ControlApp, emptyAnswer, jsonBody, nameParam } from './http.ts';
import { requireDeploy } from './lookup.ts';

export const keyParam = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'a name like that of an environment variable, at most 128 characters')
  .refine((key) => key !== 'BASE', '"BASE" is what the base definition provides')
  .openapi({ example: 'API_KEY' });

export const secretValue = z.string().max(128 * 1024);

const params = z.object({ name: nameParam, key: keyParam });

const putRoute = createRoute({
  method: 'put',
  path: '/v1/functions/{name}/secrets/{key}',
  summary: 'Set a secret; the function need not exist yet',
  tags: ['secrets'],
  request: {
    params,
    body: jsonBody(z.strictObject({ value: secretValue }).openapi('SecretValue')),
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

/** Each throws FORBIDDEN. */
export interface SecretKeeper {
  put(caller: Caller, name: string, secrets: Readonly<Record<string, string>>): Promise<void>;
  /** Throws NOT_FOUND. */
  delete(caller: Caller, name: string, key: string): Promise<void>;
  keys(caller: Caller, name: string): Promise<string[]>;
}

export function createSecretKeeper(parts: SecretsParts): SecretKeeper {
  const { registry, store, deployer, audit } = parts;

  /** New specs for the function's versions; instances with the old values end what they run and are gone. */
  async function refresh(name: string): Promise<void> {
    const before = [...(registry.function(name)?.versions.values() ?? [])];
    await registry.secretsChanged(name);
    for (const version of before) deployer.drain(version, 'a secret changed');
  }

  return {
    async put(caller, name, secrets) {
      requireDeploy(caller, registry, name);
      await deployer.exclusive(name, async () => {
        for (const [key, value] of Object.entries(secrets)) {
          await store.put(name, key, parts.seal(name, key, value), parts.now());
        }
        await refresh(name);
        for (const key of Object.keys(secrets)) await audit(caller.id, 'secret.set', `${name}/${key}`);
      });
    },
    async delete(caller, name, key) {
      requireDeploy(caller, registry, name);
      await deployer.exclusive(name, async () => {
        const { found } = await store.delete(name, key);
        if (!found) throw new HearthError('NOT_FOUND', `"${name}" has no secret "${key}".`);
        await refresh(name);
        await audit(caller.id, 'secret.delete', `${name}/${key}`);
      });
    },
    async keys(caller, name) {
      requireDeploy(caller, registry, name);
      return (await store.all(name)).map(({ key }) => key);
    },
  };
}

export function secretsResource(app: ControlApp, keeper: SecretKeeper): void {
  app.openapi(putRoute, async (c) => {
    const { name, key } = c.req.valid('param');
    await keeper.put(c.get('caller'), name, { [key]: c.req.valid('json').value });
    return c.body(null, 204);
  });

  app.openapi(deleteRoute, async (c) => {
    const { name, key } = c.req.valid('param');
    await keeper.delete(c.get('caller'), name, key);
    return c.body(null, 204);
  });

  app.openapi(listRoute, async (c) => {
    const keys = await keeper.keys(c.get('caller'), c.req.valid('param').name);
    return c.json({ secrets: keys.map((key) => ({ key })) }, 200);
  });
}
