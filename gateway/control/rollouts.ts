/** Rollouts: new versions take the traffic step by step, under guard. */
import { createRoute, z } from '@hono/zod-openapi';
import {
  ROLLOUT_STATES,
  rolloutActionSchema,
  rolloutRequestSchema,
  stepSchema,
} from '../../functions/contract/rollout.ts';
import type { Registry } from '../registry/registry.ts';
import { rounded } from '../rollouts/guard.ts';
import type { Rollouts, RolloutView } from '../rollouts/rollouts.ts';
import { isOver } from '../rollouts/state.ts';
import { type Arm, boundOf, type Histogram } from '../rollouts/windows.ts';
import { requireClaims, requireRead } from './access.ts';
import { answers, type ControlApp, guard, iso, isoOrNull, jsonBody, timestamp } from './http.ts';
import { functionNamed, requireDeploy, versionNamed } from './lookup.ts';

const armSchema = z
  .object({
    requests: z.int(),
    errors: z.int().openapi({ description: 'Status 500 and above, or no answer' }),
    p95Ms: z.number().nullable().openapi({ description: 'In the function, to the response head' }),
    coldStarts: z.int(),
    coldStartMs: z.number().nullable().openapi({ description: 'Median of loading' }),
  })
  .openapi('RolloutArm');

const rolloutSchema = z
  .object({
    id: z.string(),
    state: z.enum(ROLLOUT_STATES).openapi({
      description: 'waiting: for a confirmation; stopped: by the guard; completed, stopped and aborted are its end',
    }),
    step: z.int().openapi({ description: 'The one whose traffic is set, from 1' }),
    percent: z.number().openapi({ description: 'Share of the new versions in the split, in this step' }),
    why: z.string().nullable().openapi({ description: 'How it ended, with the figures that ended it' }),
    steps: z.array(stepSchema),
    functions: z.array(
      z.object({
        name: z.string(),
        version: z.string(),
        before: z.record(z.string(), z.unknown()).openapi({ description: 'Its traffic when the rollout began' }),
        figures: z.object({ new: armSchema, old: armSchema }).nullable().openapi({
          description: 'Of its step, at most the last 20,000 calls of the new version; null: it is over',
        }),
      }),
    ),
    guard: z.union([z.literal(false), z.record(z.string(), z.unknown())]),
    createdBy: z.string(),
    createdAt: timestamp,
    updatedAt: timestamp,
    endedAt: timestamp.nullable(),
  })
  .openapi('Rollout');

const tags = ['rollouts'];
const id = z.object({ id: z.string() });

const beginRoute = createRoute({
  method: 'post',
  path: '/v1/rollouts',
  summary: 'Begin: one function or several move together, step by step',
  tags,
  request: { body: jsonBody(rolloutRequestSchema) },
  responses: answers(201, 'The first step is set', rolloutSchema),
});

const listRoute = createRoute({
  method: 'get',
  path: '/v1/rollouts',
  summary: 'Rollouts, newest first',
  tags,
  middleware: guard((caller) => requireRead(caller)),
  request: { query: z.strictObject({ limit: z.coerce.number().int().min(1).max(1000).default(100) }) },
  responses: answers(200, 'Rollouts', z.object({ rollouts: z.array(rolloutSchema) })),
});

const oneRoute = createRoute({
  method: 'get',
  path: '/v1/rollouts/{id}',
  summary: 'One rollout, with the figures of its step',
  tags,
  request: { params: id },
  responses: answers(200, 'The rollout', rolloutSchema),
});

const patchRoute = createRoute({
  method: 'patch',
  path: '/v1/rollouts/{id}',
  summary: 'Pause, resume, go on to the next step now (confirm), or go back (abort)',
  tags,
  request: { params: id, body: jsonBody(rolloutActionSchema) },
  responses: answers(200, 'The rollout as it is now', rolloutSchema),
});

export function rolloutsResource(app: ControlApp, rollouts: Rollouts, registry: Registry): void {
  app.openapi(beginRoute, async (c) => {
    const request = c.req.valid('json');
    const caller = c.get('caller');
    for (const { name, version } of request.functions) {
      requireDeploy(caller, registry, name);
      // As at its deploy: whoever may not claim its routes may not bring it there step by step either.
      requireClaims(caller, versionNamed(functionNamed(registry, name), version).manifest);
    }
    return c.json(view(await rollouts.create(request, caller.id)), 201);
  });

  app.openapi(listRoute, async (c) => {
    const { limit } = c.req.valid('query');
    return c.json({ rollouts: (await rollouts.list(limit)).map(view) }, 200);
  });

  app.openapi(oneRoute, async (c) => {
    const found = await rollouts.get(c.req.valid('param').id);
    for (const { name } of found.record.functions) requireRead(c.get('caller'), name);
    return c.json(view(found), 200);
  });

  app.openapi(patchRoute, async (c) => {
    const { id } = c.req.valid('param');
    const { action } = c.req.valid('json');
    const caller = c.get('caller');
    const { record } = await rollouts.get(id);
    for (const { name } of record.functions) requireDeploy(caller, registry, name);
    return c.json(view(await rollouts.change(id, action, caller.id)), 200);
  });
}

function view({ record, windows }: RolloutView): z.output<typeof rolloutSchema> {
  const { id, state, step, why, steps, createdBy } = record;
  return {
    id,
    state,
    step: step + 1,
    percent: steps[step]?.percent ?? 0,
    why,
    steps,
    functions: record.functions.map(({ name, version, before }) => {
      const window = windows?.get(name);
      const figures = window === undefined ? null : { new: armView(window.fresh), old: armView(window.old) };
      return { name, version, before: { ...before }, figures };
    }),
    guard: record.guard === false ? false : { ...record.guard },
    createdBy,
    createdAt: iso(record.createdAt),
    updatedAt: iso(record.updatedAt),
    endedAt: isoOrNull(isOver(record) ? record.updatedAt : null),
  };
}

function armView({ requests, errors, latency, coldStart }: Arm): z.output<typeof armSchema> {
  const at = (histogram: Histogram, quantile: number) =>
    histogram.count === 0 ? null : rounded(boundOf(histogram.bucketAt(quantile)));
  return {
    requests,
    errors,
    p95Ms: at(latency, 0.95),
    coldStarts: coldStart.count,
    coldStartMs: at(coldStart, 0.5),
  };
}
