/** What the resources of the control API have in common: the app's types, the shape of a route, names in paths. */

import type { HttpBindings } from '@hono/node-server';
import { type OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { ERRORS } from '../../functions/contract/errors.ts';
import { ANY_QUEUE_NAME_PATTERN, NAME_PATTERN, NAME_RULE } from '../../functions/contract/limits.ts';
import type { Phases } from '../../pool/keeper/api.ts';
import type { Caller } from './access.ts';
import { PROBLEM_TYPE } from './problems.ts';

export interface ControlEnv {
  Bindings: HttpBindings;
  Variables: {
    caller: Caller;
    /** Set by a call that invokes a function, for the problem it may end in. */
    invocationId: string | undefined;
  };
}

export type ControlApp = OpenAPIHono<ControlEnv>;

export const nameParam = z.string().regex(NAME_PATTERN, `a name ${NAME_RULE}`).openapi({ example: 'hello' });

/** Queues may also be somebody's dead letters. */
export const queueNameParam = z
  .string()
  .regex(ANY_QUEUE_NAME_PATTERN, `a queue's name ${NAME_RULE}; dead-letter queues end in ".dead"`)
  .openapi({ example: 'orders' });

/** Epoch ms as the API shows times. */
export const timestamp = z.iso.datetime().openapi({ example: '2026-11-20T10:00:00.000Z' });

export function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

/** Milliseconds to the microsecond, as in `server-timing`. */
export function phasesView(phases: Phases): Phases {
  return Object.fromEntries(
    Object.entries(phases).map(([phase, ms]) => [phase, Math.round(ms * 1000) / 1000]),
  ) as unknown as Phases;
}

export function isoOrNull(epochMs: number | null): string | null {
  return epochMs === null ? null : iso(epochMs);
}

const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(ERRORS) as [string, ...string[]]),
    detail: z.string(),
    instance: z.string().optional(),
    errors: z
      .array(
        z.object({
          message: z.string(),
          file: z.string().optional(),
          line: z.int().optional(),
          column: z.int().optional(),
          path: z.string().optional(),
        }),
      )
      .optional(),
  })
  .openapi('Problem');

const problem = {
  description: 'A problem, with a code of /docs/errors',
  content: { [PROBLEM_TYPE]: { schema: problemSchema } },
};

/** The answers of a route: one success, and a problem for everything else. */
export function answers<const Status extends number, Schema extends z.ZodType>(
  status: Status,
  description: string,
  schema: Schema,
): { [K in Status]: { description: string; content: { 'application/json': { schema: Schema } } } } {
  return { [status]: { description, content: { 'application/json': { schema } } }, default: problem } as never;
}

/** A success without a body. */
export function emptyAnswer(description: string): { 204: { description: string } } {
  return { 204: { description }, default: problem } as never;
}

/** A success that is no JSON document of one schema: streams and texts. */
export function otherAnswer(description: string, type: string): RouteConfig['responses'] {
  return { 200: { description, content: { [type]: { schema: { type: 'string' } } } }, default: problem };
}

export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { 'application/json': { schema } } } as const;
}

/** For the description: idempotency-http.ts looks at it, before anything else does. */
export const idempotencyHeader = z.object({
  'idempotency-key': z
    .string()
    .optional()
    .openapi({ description: 'Sent again under the same key within 24 h, the call is made once and answered alike' }),
});

/** Lets a request pass to validation and handler only when `check` does not throw. */
export function guard(check: (caller: Caller, param: (name: string) => string) => void): MiddlewareHandler<ControlEnv> {
  return async (c, next) => {
    check(c.get('caller'), (name) => c.req.param(name) ?? '');
    await next();
  };
}
