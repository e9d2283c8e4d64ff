/** Who changed what, when: written by every call that changes something, before it answers. */
import { createRoute, z } from '@hono/zod-openapi';
import type { AuditStore } from '../store/api/audit.ts';
import { type Caller, requireAdmin } from './access.ts';
import { answers, type ControlApp, guard, iso, timestamp } from './http.ts';

/** Resolves once the record is durable. */
export type Audit = (actor: string, action: string, subject: string, detail?: Record<string, unknown>) => Promise<void>;

export function createAudit(store: AuditStore, now: () => number): Audit {
  return (actor, action, subject, detail = {}) => store.append({ time: now(), actor, action, subject, detail });
}

const recordSchema = z
  .object({
    time: timestamp,
    actor: z.string().openapi({ description: 'Token id, "admin", or "hearth"' }),
    action: z.string().openapi({ example: 'deploy' }),
    subject: z.string(),
    detail: z.record(z.string(), z.unknown()),
  })
  .openapi('AuditRecord');

const route = createRoute({
  method: 'get',
  path: '/v1/audit',
  summary: 'Who changed what, newest first',
  tags: ['audit'],
  middleware: guard((caller: Caller) => requireAdmin(caller)),
  request: {
    query: z.strictObject({
      limit: z.coerce.number().int().min(1).max(1000).default(100),
      before: z.iso
        .datetime({ offset: true })
        .optional()
        .openapi({ description: 'Only older ones: the time of the last one seen' }),
    }),
  },
  responses: answers(200, 'Audit records', z.object({ records: z.array(recordSchema) })),
});

export function auditResource(app: ControlApp, store: AuditStore): void {
  app.openapi(route, async (c) => {
    const { limit, before } = c.req.valid('query');
    const records = await store.list({ most: limit, before: before === undefined ? null : Date.parse(before) });
    return c.json({ records: records.map((record) => ({ ...record, time: iso(record.time) })) }, 200);
  });
}
