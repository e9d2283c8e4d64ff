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

/** Of what is named within a trust group. */
export const trustGroupQuery = z.object({
  trustGroup: nameParam.default('default').openapi({ description: 'Names mean something within one trust group' }),
});

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

/** Of any call: what was asked, by whom, what it met, and a store that is away or a pool that is full. */
const COMMON_STATUSES: readonly number[] = [400, 401, 403, 404, 409, 413, 503];
/** Of calls that build, load or check code. */
export const DEPLOY_STATUSES: readonly number[] = [422];
/** Of calls that run a function and wait for it. */
export const INVOKE_STATUSES: readonly number[] = [429, 500, 502, 504, 508];

/**
 * Problems of a route, status by status and never `default`: so an answer that the description does not name, a failure
 * of Hearth's own (INTERNAL) above all, is told apart from those it does.
 */
export function problems(also: readonly number[] = []): Record<number, ProblemAnswer> {
  const statuses = [...new Set([...COMMON_STATUSES, ...also])].sort((a, b) => a - b);
  return Object.fromEntries(statuses.map((status) => [status, problemAnswer(status)]));
}

type ProblemAnswer = ReturnType<typeof problemAnswer>;

function problemAnswer(status: number) {
  const codes = Object.entries(ERRORS).flatMap(([code, error]) =>
    error.status === status && code !== 'INTERNAL' && code !== 'NO_ROUTE' ? [code] : [],
  );
  return { description: codes.join(', '), content: { [PROBLEM_TYPE]: { schema: problemSchema } } };
}

/** The answers of a route: one success, and a problem for everything else. */
export function answers<const Status extends number, Schema extends z.ZodType>(
  status: Status,
  description: string,
  schema: Schema,
  also: readonly number[] = [],
): { [K in Status]: { description: string; content: { 'application/json': { schema: Schema } } } } {
  return { ...problems(also), [status]: { description, content: { 'application/json': { schema } } } } as never;
}

/** A success without a body. */
export function emptyAnswer(description: string): { 204: { description: string } } {
  return { ...problems(), 204: { description } } as never;
}

/** A success that no schema here describes: texts, and JSON of somebody else's format. */
export function otherAnswer(description: string, type: string): RouteConfig['responses'] {
  const schema = type === 'application/json' ? {} : { type: 'string' as const };
  return { ...problems(), 200: { description, content: { [type]: { schema } } } };
}

export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { 'application/json': { schema } } } as const;
}

/** For the description: idempotency-http.ts looks at it, before anything else does. */
export const idempotencyHeader = z.object({
  'idempotency-key': z.string().optional().openapi({
    description: 'Sent again under the same key within 24 h, the call is made once and answered alike',
    minLength: 1,
    maxLength: 255,
    pattern: '^[\\x20-\\x7e]+$',
  }),
});

/** Lets a request pass to validation and handler only when `check` does not throw. */
export function guard(check: (caller: Caller, param: (name: string) => string) => void): MiddlewareHandler<ControlEnv> {
  return async (c, next) => {
    check(c.get('caller'), (name) => c.req.param(name) ?? '');
    await next();
  };
}
