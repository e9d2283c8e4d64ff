/** Crons as they stand: next and last run, pause. What there is to run comes from manifests. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Registry } from '../registry/registry.ts';
import type { Crons } from '../triggers/cron/crons.ts';
import type { CronView } from '../triggers/cron/view.ts';
import { requireRead } from './access.ts';
import type { Audit } from './audit.ts';
import { answers, type ControlApp, guard, iso, isoOrNull, jsonBody, timestamp } from './http.ts';
import { requireDeploy } from './lookup.ts';

const cronSchema = z
  .object({
    id: z.string(),
    function: z.string(),
    expression: z.string(),
    timezone: z.string(),
    missed: z.enum(['skip', 'once', 'all']),
    overlap: z.enum(['skip', 'allow', 'queue']),
    paused: z.boolean(),
    nextAt: timestamp.nullable(),
    running: z.int(),
    last: z
      .object({
        dueAt: timestamp,
        startedAt: timestamp,
        endedAt: timestamp.nullable(),
        lateMs: z.number().openapi({ description: 'From when it was due until it was begun, or skipped' }),
        outcome: z.enum(['running', 'ok', 'error', 'skipped']),
        attempts: z.int().openapi({ description: '2 and more: the gateway that ran it died, and it was run again' }),
        invocationId: z.string(),
        error: z.string().nullable(),
      })
      .nullable(),
  })
  .openapi('Cron');

const listRoute = createRoute({
  method: 'get',
  path: '/v1/crons',
  summary: 'Crons with next and last run',
  tags: ['crons'],
  middleware: guard((caller) => requireRead(caller)),
  responses: answers(200, 'Crons', z.object({ crons: z.array(cronSchema) })),
});

const patchRoute = createRoute({
  method: 'patch',
  path: '/v1/crons/{id}',
  summary: 'Pause or go on; ticks that pass meanwhile are not made up for',
  tags: ['crons'],
  request: {
    params: z.object({ id: z.string() }),
    body: jsonBody(z.strictObject({ paused: z.boolean() })),
  },
  responses: answers(200, 'The cron as it is now', cronSchema),
});

export function cronsResource(app: ControlApp, crons: Crons, registry: Registry, audit: Audit): void {
  app.openapi(listRoute, async (c) => c.json({ crons: (await crons.list()).map(view) }, 200));

  app.openapi(patchRoute, async (c) => {
    const { id } = c.req.valid('param');
    const { paused } = c.req.valid('json');
    const caller = c.get('caller');
    const cron = (await crons.list()).find((candidate) => candidate.id === id);
    if (cron === undefined) throw new HearthError('NOT_FOUND', `There is no cron "${id}"; GET /v1/crons lists them.`);
    requireDeploy(caller, registry, cron.function);
    const changed = await crons.setPaused(id, paused);
    await audit(caller.id, paused ? 'cron.pause' : 'cron.resume', id);
    return c.json(view(changed), 200);
  });
}

function view(cron: CronView): z.output<typeof cronSchema> {
  return {
    ...cron,
    nextAt: isoOrNull(cron.nextAt),
    last:
      cron.last === null
        ? null
        : {
            ...cron.last,
            dueAt: iso(cron.last.dueAt),
            startedAt: iso(cron.last.startedAt),
            endedAt: isoOrNull(cron.last.endedAt),
          },
  };
}
