/** Hosts and bases as they are, and why each was started, leased, retired or killed. */
import { createRoute, z } from '@hono/zod-openapi';
import type { Keeper } from '../../pool/keeper/api.ts';
import { requireRead } from './access.ts';
import { answers, type ControlApp, guard, iso, timestamp } from './http.ts';

const baseState = z.enum(['booting', 'rehearsing', 'warm', 'leased', 'draining', 'dead']);
const network = z.enum(['all', 'none']);

const poolSchema = z
  .object({
    hosts: z.array(
      z.object({
        id: z.string(),
        pid: z.int().nullable(),
        base: z.string(),
        trustGroup: z.string().nullable().openapi({ description: 'null: not bound by a first lease yet' }),
        network: network.nullable(),
        state: z.enum(['starting', 'running', 'draining', 'dead']),
        memoryBytes: z.int().nullable(),
        bases: z.array(
          z.object({
            id: z.string(),
            state: baseState,
            function: z.string().nullable(),
            version: z.string().nullable(),
            inFlight: z.int(),
          }),
        ),
      }),
    ),
    bases: z.record(baseState, z.int()),
    stock: z
      .array(z.object({ base: z.string(), warm: z.int(), target: z.int() }))
      .openapi({ description: 'By base definition: warm bases nobody holds, and how many there should be just now' }),
    waiting: z.int().openapi({ description: 'Invocations that wait for a slot' }),
  })
  .openapi('Pool');

const eventSchema = z
  .object({
    time: timestamp,
    subject: z.enum(['host', 'base', 'instance', 'function']),
    id: z.string(),
    what: z.enum(['started', 'warm', 'leased', 'loaded', 'retired', 'killed', 'died', 'quarantined', 'lifted']),
    why: z.string(),
    function: z.string().optional(),
  })
  .openapi('PoolEvent');

const read = guard((caller) => requireRead(caller));

const poolRoute = createRoute({
  method: 'get',
  path: '/v1/pool',
  summary: 'Hosts, bases by state, leases',
  tags: ['pool'],
  middleware: read,
  responses: answers(200, 'The pool', poolSchema),
});

const eventsRoute = createRoute({
  method: 'get',
  path: '/v1/pool/events',
  summary: 'What happened to hosts and bases, newest first',
  tags: ['pool'],
  middleware: read,
  request: { query: z.strictObject({ limit: z.coerce.number().int().min(1).max(10_000).default(200) }) },
  responses: answers(200, 'Events', z.object({ events: z.array(eventSchema) })),
});

export function poolResource(app: ControlApp, keeper: Pick<Keeper, 'snapshot' | 'events'>): void {
  app.openapi(poolRoute, (c) => c.json(keeper.snapshot(), 200));
  app.openapi(eventsRoute, (c) => {
    const newest = keeper.events().slice(-c.req.valid('query').limit).reverse();
    return c.json({ events: newest.map((event) => ({ ...event, time: iso(event.time) })) }, 200);
  });
}
