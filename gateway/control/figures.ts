/** How functions did in the last minutes, as the dashboard shows it. For longer than that there is /metrics. */
import { createRoute, z } from '@hono/zod-openapi';
import type { Registry } from '../registry/registry.ts';
import type { Figures, Totals } from '../telemetry/figures.ts';
import { requireRead } from './access.ts';
import { answers, type ControlApp, guard, iso, nameParam, timestamp } from './http.ts';
import { functionNamed } from './lookup.ts';

const tags = ['metrics'];
const durationMs = z.number().nullable();

const totals = {
  spanSeconds: z.number().openapi({ description: 'How long back they reach: five minutes, or since the start' }),
  calls: z.int(),
  errors: z
    .int()
    .openapi({ description: 'Calls that ended in a code of /docs/errors; a status the function chose is none' }),
  timeouts: z.int().openapi({ description: 'Among the errors' }),
  coldStarts: z.int(),
  p50Ms: durationMs.openapi({ description: 'In the function, to the end of the answer; null: no call' }),
  p95Ms: durationMs,
  p99Ms: durationMs,
};

const rowSchema = z
  .object({
    name: z.string(),
    ...totals,
    callsByStep: z.array(z.int()).openapi({ description: 'Of ten seconds each, oldest first; the last is not over' }),
  })
  .openapi('FunctionMetricsRow');

const oneSchema = z
  .object({
    name: z.string(),
    ...totals,
    steps: z.array(
      z.object({ at: timestamp, calls: z.int(), errors: z.int(), coldStarts: z.int(), p95Ms: durationMs }),
    ),
  })
  .openapi('FunctionMetrics');

const listRoute = createRoute({
  method: 'get',
  path: '/v1/metrics',
  summary: 'Calls, errors, durations and cold starts of the last five minutes, of each function this gateway served',
  tags,
  middleware: guard((caller) => requireRead(caller)),
  responses: answers(200, 'Functions that were called', z.object({ functions: z.array(rowSchema) })),
});

const oneRoute = createRoute({
  method: 'get',
  path: '/v1/functions/{name}/metrics',
  summary: 'The same of one function, in steps of ten seconds',
  tags,
  middleware: guard((caller, param) => requireRead(caller, param('name'))),
  request: { params: z.object({ name: nameParam }) },
  responses: answers(200, 'Its figures', oneSchema),
});

export function figuresResource(app: ControlApp, registry: Registry, figures: Pick<Figures, 'of' | 'all'>): void {
  app.openapi(listRoute, async (c) => {
    const all = await figures.all();
    const rows = [...all].filter(([name]) => registry.function(name) !== undefined);
    const functions = rows.map(([name, { callsByStep, ...rest }]) => ({ name, ...totalsOf(rest), callsByStep }));
    return c.json({ functions: functions.sort((a, b) => (a.name < b.name ? -1 : 1)) }, 200);
  });

  app.openapi(oneRoute, (c) => {
    const { name } = c.req.valid('param');
    functionNamed(registry, name);
    const { steps, ...rest } = figures.of(name);
    return c.json({ name, ...totalsOf(rest), steps: steps.map((step) => ({ ...step, at: iso(step.at) })) }, 200);
  });
}

function totalsOf({ spanMs, ...rest }: Totals) {
  return { spanSeconds: Math.round(spanMs) / 1000, ...rest };
}
