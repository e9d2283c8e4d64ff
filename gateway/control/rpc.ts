/**
 * Methods of a function for the world outside, by what is sent:
 *
 *   POST application/json   JSON-RPC 2.0: one call or a batch of them, each an invocation of its own
 *   POST text/plain         a batch of Cap'n Web (`newHttpBatchRpcSession`): one session, one invocation
 *   GET with an upgrade     Cap'n Web over a WebSocket: rpc-sockets.ts
 */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError, retryAfterOf } from '../../functions/contract/errors.ts';
import type { FunctionEntry, Registry } from '../registry/registry.ts';
import { chooseVersion } from '../triggers/choose.ts';
import type { CallResult, Dispatcher, TriggerHead } from '../triggers/dispatcher.ts';
import { requireScope } from './access.ts';
import { type ControlApp, INVOKE_STATUSES, nameParam, problems } from './http.ts';
import { answerJsonRpc } from './json-rpc.ts';
import { functionNamed } from './lookup.ts';

export const ENTRYPOINT_PATTERN = /^[A-Za-z_$][\w$]{0,99}$/;

const callSchema = z
  .object({
    jsonrpc: z.literal('2.0'),
    method: z.string().openapi({ example: 'add' }),
    params: z
      .union([z.array(z.unknown()), z.record(z.string(), z.unknown())])
      .optional()
      .openapi({ description: "The method's arguments; an object is its one argument" }),
    id: z
      .union([z.string(), z.number(), z.null()])
      .optional()
      .openapi({ description: 'Without it nobody is answered' }),
  })
  .openapi('JsonRpcCall');

const answerSchema = z
  .object({
    jsonrpc: z.literal('2.0'),
    id: z.union([z.string(), z.number(), z.null()]),
    result: z.unknown().optional(),
    error: z
      .object({
        code: z.int(),
        message: z.string(),
        data: z
          .object({ code: z.string(), status: z.int() })
          .loose()
          .optional()
          .openapi({ description: 'Our own code' }),
      })
      .optional(),
  })
  .openapi('JsonRpcAnswer');

const route = createRoute({
  method: 'post',
  path: '/v1/rpc/{name}',
  summary: "Call methods of a function's entrypoint: JSON-RPC 2.0, or Cap'n Web as text/plain or over a WebSocket",
  tags: ['invocations'],
  request: {
    params: z.object({ name: nameParam }),
    query: z.object({
      entrypoint: z
        .string()
        .regex(ENTRYPOINT_PATTERN)
        .optional()
        .openapi({ description: 'Export of the class; default: default' }),
    }),
    body: {
      required: true,
      content: {
        'application/json': { schema: z.union([callSchema, z.array(callSchema)]) },
        'text/plain': { schema: z.string().openapi({ description: "Messages of Cap'n Web, one a line" }) },
      },
    },
  },
  responses: {
    // A single call that fails has the status of its problem, and the body that JSON-RPC has for it.
    ...Object.fromEntries(
      Object.entries(problems(INVOKE_STATUSES)).map(([status, { description, content }]) => [
        status,
        { description, content: { ...content, 'application/json': { schema: answerSchema } } },
      ]),
    ),
    200: {
      description: "As JSON-RPC 2.0 has it, or Cap'n Web's messages",
      content: {
        'application/json': { schema: z.union([answerSchema, z.array(answerSchema)]) },
        'text/plain': { schema: { type: 'string' as const } },
      },
    },
    204: { description: 'Notifications alone' },
  },
});

export interface RpcParts {
  registry: Registry;
  dispatcher: Pick<Dispatcher, 'call'>;
}

export function rpcResource(app: ControlApp, { registry, dispatcher }: RpcParts): void {
  app.openAPIRegistry.registerPath(route);
  // What is wrong with a body is told as JSON-RPC does: it is read here.
  app.post('/v1/rpc/:name', async (c) => {
    const name = c.req.param('name');
    requireScope(c.get('caller'), 'rpc', name);
    const entry = functionNamed(registry, name);
    const to = entrypointOf(c.req.query('entrypoint'));
    const { signal } = c.req.raw;
    const context = { traceparent: c.req.header('traceparent') ?? null, hops: 0 };
    // Whoever sends a key and goes away comes back for the answer: then it is finished for them.
    const options = c.req.header('idempotency-key') === undefined ? { signal } : {};
    const call = async (head: TriggerHead, body: Uint8Array): Promise<CallResult> => {
      const { version, arm } = choiceOf(entry, head);
      return dispatcher.call(entry, version, head, context, body, { ...options, arm });
    };
    const kind = kindOf(c.req.header('content-type'));
    if (kind === 'batch') {
      const body = new Uint8Array(await c.req.arrayBuffer());
      const answer = await call({ trigger: 'rpc', wire: 'batch', method: '', ...to }, body);
      return c.body(new Uint8Array(answer.body), 200, {
        'content-type': 'text/plain; charset=utf-8',
        'hearth-invocation-id': answer.invocationId,
      });
    }
    const { text, failed } = await answerJsonRpc(await c.req.text(), async ({ method, args }) => {
      const head = { trigger: 'rpc', wire: 'json', method, ...to } as const;
      return Buffer.from((await call(head, Buffer.from(JSON.stringify(args)))).body).toString();
    });
    if (text === null) return c.body(null, 204);
    const retryAfter = failed === null ? null : retryAfterOf(failed);
    return new Response(text, {
      status: failed?.status ?? 200,
      headers: {
        'content-type': 'application/json',
        ...(retryAfter === null ? {} : { 'retry-after': String(retryAfter) }),
      },
    });
  });
}

/** Throws BAD_REQUEST. */
export function entrypointOf(named: string | undefined): { entrypoint?: string } {
  if (named === undefined || named === 'default') return {};
  if (ENTRYPOINT_PATTERN.test(named)) return { entrypoint: named };
  throw new HearthError('BAD_REQUEST', 'query.entrypoint: the name of an exported class.');
}

/** Who serves it. Throws NOT_FOUND. */
export function choiceOf(entry: FunctionEntry, head: TriggerHead): NonNullable<ReturnType<typeof chooseVersion>> {
  const choice = chooseVersion(entry, head, null);
  if (choice !== undefined) return choice;
  throw new HearthError('NOT_FOUND', `No version of "${entry.record.name}" takes traffic.`);
}

/** Throws BAD_REQUEST. */
function kindOf(contentType: string | undefined): 'json' | 'batch' {
  const type = contentType?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (type === '' || /^application\/(.+[+-])?json(-?rpc)?$/.test(type)) return 'json';
  if (type === 'text/plain') return 'batch';
  throw new HearthError('BAD_REQUEST', "Send application/json for JSON-RPC 2.0, text/plain for a batch of Cap'n Web.");
}
