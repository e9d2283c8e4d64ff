/** How one function fares: whether it serves, what went wrong last, what runs of it. */
import { createRoute, z } from '@hono/zod-openapi';
import type { Keeper, PoolSnapshot } from '../../pool/keeper/api.ts';
import type { Registry } from '../registry/registry.ts';
import type { Health } from '../telemetry/health.ts';
import { requireRead } from './access.ts';
import { answers, type ControlApp, guard, iso, isoOrNull, nameParam, timestamp } from './http.ts';
import { functionNamed } from './lookup.ts';

const healthSchema = z
  .object({
    name: z.string(),
    state: z.enum(['inactive', 'serving', 'failing', 'quarantined']).openapi({
      description:
        'inactive: no version takes traffic. failing: three calls or more in a row failed. quarantined: it took down three hosts within a minute',
    }),
    version: z.string().nullable().openapi({ description: 'With the largest share of the traffic' }),
    instances: z.int().openapi({ description: 'Bases that hold it here' }),
    inFlight: z.int(),
    lastSuccessAt: timestamp.nullable().openapi({ description: 'null: none since this gateway started' }),
    lastError: z
      .object({
        at: timestamp,
        code: z.string().openapi({ description: 'Of /docs/errors, or the status that the function answered' }),
        message: z.string(),
        invocationId: z.string(),
        version: z.string(),
      })
      .nullable(),
    failuresInARow: z.int(),
    restarts: z.int().openapi({ description: 'Bases that ended under it: over a limit, blocked, or with their host' }),
    quarantine: z.object({ since: timestamp, why: z.string() }).nullable(),
  })
  .openapi('FunctionHealth');

const route = createRoute({
  method: 'get',
  path: '/v1/functions/{name}/health',
  summary: 'State, last success, last error, restarts, as this gateway has seen them since its start',
  tags: ['functions'],
  middleware: guard((caller, param) => requireRead(caller, param('name'))),
  request: { params: z.object({ name: nameParam }) },
  responses: answers(200, 'Its health', healthSchema),
});

export interface HealthResourceParts {
  registry: Registry;
  keeper: Pick<Keeper, 'snapshot'>;
  /** Of this function. */
  healthOf(functionName: string): ReturnType<Health['of']>;
}

export function healthResource(app: ControlApp, { registry, keeper, healthOf }: HealthResourceParts): void {
  app.openapi(route, (c) => {
    const { name } = c.req.valid('param');
    const { active } = functionNamed(registry, name);
    const { lastError, quarantine, lastSuccessAt, state, ...rest } = healthOf(name);
    return c.json(
      {
        name,
        state: active === undefined ? ('inactive' as const) : state,
        version: active?.version ?? null,
        ...runningOf(keeper.snapshot(), name),
        lastSuccessAt: isoOrNull(lastSuccessAt),
        lastError: lastError === null ? null : { ...lastError, at: iso(lastError.at) },
        ...rest,
        quarantine: quarantine === null ? null : { ...quarantine, since: iso(quarantine.since) },
      },
      200,
    );
  });
}

function runningOf({ hosts }: PoolSnapshot, name: string): { instances: number; inFlight: number } {
  let instances = 0;
  let inFlight = 0;
  for (const base of hosts.flatMap(({ bases }) => bases)) {
    const own = base.modules?.find((module) => module.function === name) ?? (base.function === name ? base : undefined);
    if (own === undefined || base.state !== 'leased') continue;
    instances++;
    inFlight += own.inFlight;
  }
  return { instances, inFlight };
}
