/** Scoped tokens: a producer that may only enqueue, a pipeline that may only deploy its own functions. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import { NAME_PATTERN, NAME_RULE } from '../../functions/contract/limits.ts';
import { checkRoute } from '../../functions/contract/routes.ts';
import type { TokenRecord } from '../store/api/tokens.ts';
import { type Access, requireAdmin, SCOPE_PATTERN } from './access.ts';
import type { Audit } from './audit.ts';
import { answers, type ControlApp, emptyAnswer, guard, iso, jsonBody, timestamp } from './http.ts';

const routePattern = z.string().transform((written, context) => {
  const checked = checkRoute(written);
  if (checked.problem === null) return checked.pattern;
  context.addIssue({ code: 'custom', message: checked.problem });
  return z.NEVER;
});

const grantsSchema = z
  .strictObject({
    scopes: z
      .array(
        z
          .string()
          .regex(
            SCOPE_PATTERN,
            'read, or enqueue:, publish:, invoke:, rpc:, deploy:, override:, profile: or config: with a name or pattern',
          ),
      )
      .min(1)
      .max(100)
      .openapi({ example: ['enqueue:orders', 'deploy:shop-*', 'read'] }),
    trustGroups: z
      .array(z.string().regex(NAME_PATTERN, `a name ${NAME_RULE}`))
      .max(100)
      .default([])
      .openapi({ description: 'Trust groups a deployer may use; none: only "default"' }),
    routes: z
      .array(routePattern)
      .max(100)
      .default([])
      .openapi({ description: 'Routes a deployer may claim', example: ['shop.example.com/*'] }),
  })
  .openapi('TokenGrants');

const tokenSchema = z
  .object({
    id: z.string(),
    scopes: z.array(z.string()),
    trustGroups: z.array(z.string()),
    routes: z.array(z.string()),
    createdAt: timestamp,
  })
  .openapi('Token');

const admin = guard((caller) => requireAdmin(caller));

const createRoute_ = createRoute({
  method: 'post',
  path: '/v1/tokens',
  summary: 'Make a scoped token; its text is shown this once',
  tags: ['tokens'],
  middleware: admin,
  request: { body: jsonBody(grantsSchema) },
  responses: answers(201, 'The token', tokenSchema.extend({ token: z.string() })),
});

const listRoute = createRoute({
  method: 'get',
  path: '/v1/tokens',
  summary: 'Scoped tokens, without their text',
  tags: ['tokens'],
  middleware: admin,
  responses: answers(200, 'Tokens', z.object({ tokens: z.array(tokenSchema) })),
});

const deleteRoute = createRoute({
  method: 'delete',
  path: '/v1/tokens/{id}',
  summary: 'Revoke a token at once',
  tags: ['tokens'],
  middleware: admin,
  request: { params: z.object({ id: z.string() }) },
  responses: emptyAnswer('Revoked'),
});

export function tokensResource(app: ControlApp, access: Access, audit: Audit, now: () => number): void {
  app.openapi(createRoute_, async (c) => {
    const { token, record } = await access.create(c.req.valid('json'), now());
    await audit(c.get('caller').id, 'token.create', record.id, { scopes: record.scopes });
    return c.json({ token, ...view(record) }, 201);
  });
  app.openapi(listRoute, (c) => c.json({ tokens: Array.from(access.list(), view) }, 200));
  app.openapi(deleteRoute, async (c) => {
    const { id } = c.req.valid('param');
    if (!(await access.revoke(id))) throw new HearthError('NOT_FOUND', `There is no token ${id}.`);
    await audit(c.get('caller').id, 'token.revoke', id);
    return c.body(null, 204);
  });
}

function view({ id, scopes, trustGroups, routes, createdAt }: TokenRecord) {
  return { id, scopes, trustGroups, routes, createdAt: iso(createdAt) };
}
