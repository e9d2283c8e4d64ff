/** Pools, hosts and bases as they are, and why each was started, leased, lent, retired or killed; what operators change. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import type { Keeper } from '../../pool/keeper/api.ts';
import { requireAdmin, requireRead } from './access.ts';
import type { Audit } from './audit.ts';
import { answers, type ControlApp, guard, iso, jsonBody, nameParam, timestamp } from './http.ts';

const baseState = z.enum(['booting', 'rehearsing', 'warm', 'leased', 'draining', 'dead']);
const network = z.enum(['all', 'none']);

const hostSchema = z
  .object({
    id: z.string(),
    pid: z.int().nullable(),
    base: z.string(),
    generation: z.int().openapi({ description: 'Of that base definition' }),
    pool: z.string().openapi({ description: 'The pool it serves' }),
    lentBy: z.string().nullable().openapi({ description: 'The pool it goes back to when it is idle' }),
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
        group: z.string().optional().openapi({ description: 'The group whose modules it holds' }),
        modules: z
          .array(z.object({ function: z.string(), version: z.string(), inFlight: z.int() }))
          .optional()
          .openapi({ description: 'Of a group: what stands in it' }),
      }),
    ),
  })
  .openapi('PoolHost');

const namedPoolSchema = z
  .object({
    name: z.string(),
    placement: z.enum(['spread', 'pack']),
    maxBases: z.int().openapi({ description: 'Bases it may have of its own' }),
    memoryMb: z.number().openapi({ description: 'What its hosts may use together, borrowed ones included' }),
    usedMb: z.number(),
    pressure: z
      .enum(['none', 'stock', 'full'])
      .openapi({ description: 'stock: no base is booted that nobody waits for; full: none while any is in use' }),
    hosts: z.int(),
    bases: z.record(baseState, z.int()),
    borrowed: z.int().openapi({ description: 'Bases that the buffer has lent to it' }),
    lent: z.int().openapi({ description: 'Bases of its own that serve other pools' }),
    waiting: z.int(),
  })
  .openapi('NamedPool');

const poolSchema = z
  .object({
    hosts: z.array(hostSchema),
    bases: z.record(baseState, z.int()),
    stock: z.array(z.object({ pool: z.string(), base: z.string(), warm: z.int(), target: z.int() })).openapi({
      description: 'By pool and base definition: warm bases nobody holds, and how many there should be just now',
    }),
    pools: z.array(namedPoolSchema),
    waiting: z.int().openapi({ description: 'Invocations that wait for a slot' }),
  })
  .openapi('Pool');

const eventSchema = z
  .object({
    time: timestamp,
    subject: z.enum(['host', 'base', 'instance', 'function']),
    id: z.string(),
    what: z.enum([
      'started',
      'warm',
      'leased',
      'loaded',
      'retired',
      'killed',
      'died',
      'quarantined',
      'lifted',
      'lent',
      'returned',
      'moved',
      'profiled',
    ]),
    why: z.string(),
    lost: z.boolean().optional().openapi({ description: 'A base ended for what it did, or with its host' }),
    pool: z.string().optional().openapi({ description: 'The pool that the host serves' }),
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

const moveRoute = createRoute({
  method: 'post',
  path: '/v1/pool/hosts/{id}/move',
  summary: 'Give a host, with the room it takes up, to another pool',
  description:
    'A host that no lease has bound moves as it is. One that has served a trust group serves no other: its calls end, then it does, and the other pool starts hosts of its own in its room. A lent one can only go back.',
  tags: ['pool'],
  middleware: guard((caller) => requireAdmin(caller)),
  request: { params: z.object({ id: z.string() }), body: jsonBody(z.strictObject({ pool: nameParam })) },
  responses: answers(
    200,
    'What became of it',
    z.object({ id: z.string(), pool: z.string(), state: z.enum(['moved', 'draining']) }),
  ),
});

const changeRoute = createRoute({
  method: 'patch',
  path: '/v1/pool/pools/{name}',
  summary: 'Change the size of a pool until Hearth ends; hearth.config.jsonc holds from the next start on',
  tags: ['pool'],
  middleware: guard((caller) => requireAdmin(caller)),
  request: {
    params: z.object({ name: nameParam }),
    body: jsonBody(
      z.strictObject({
        maxBases: z.int().min(1).optional(),
        memoryMb: z.int().min(64).optional(),
        warm: z.int().min(0).max(1000).optional(),
        placement: z.enum(['spread', 'pack']).optional(),
      }),
    ),
  },
  responses: answers(200, 'The pool as it is now', namedPoolSchema),
});

type PoolKeeper = Pick<Keeper, 'snapshot' | 'events' | 'moveHost' | 'changePool'>;

export function poolResource(app: ControlApp, keeper: PoolKeeper, audit: Audit): void {
  app.openapi(poolRoute, (c) => c.json(keeper.snapshot(), 200));

  app.openapi(moveRoute, async (c) => {
    const { id } = c.req.valid('param');
    const { pool } = c.req.valid('json');
    const state = keeper.moveHost(id, pool);
    await audit(c.get('caller').id, 'pool.move', id, { pool, state });
    return c.json({ id, pool, state }, 200);
  });

  app.openapi(changeRoute, async (c) => {
    const { name } = c.req.valid('param');
    const change = c.req.valid('json');
    keeper.changePool(name, change);
    await audit(c.get('caller').id, 'pool.change', name, change);
    const view = keeper.snapshot().pools.find((pool) => pool.name === name);
    if (view === undefined) throw new HearthError('NOT_FOUND', `There is no pool "${name}".`);
    return c.json(view, 200);
  });

  app.openapi(eventsRoute, (c) => {
    const newest = keeper.events().slice(-c.req.valid('query').limit).reverse();
    return c.json({ events: newest.map((event) => ({ ...event, time: iso(event.time) })) }, 200);
  });
}
