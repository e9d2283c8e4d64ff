/** A function's log: the last lines, or a stream of them as server-sent events. */
import { createRoute, z } from '@hono/zod-openapi';
import { streamSSE } from 'hono/streaming';
import type { Registry } from '../registry/registry.ts';
import type { CallFeed, FinishedCall } from '../telemetry/call-feed.ts';
import type { FunctionLogLine, FunctionLogs } from '../telemetry/function-logs.ts';
import { requireRead } from './access.ts';
import { type ControlApp, guard, iso, nameParam, problems, timestamp } from './http.ts';
import { functionNamed } from './lookup.ts';

/** Lines a slow reader may fall behind before older ones are left out. */
const MOST_PENDING = 5000;

const lineSchema = z
  .object({
    time: timestamp,
    level: z.enum(['trace', 'debug', 'info', 'warn', 'error']),
    function: z.string(),
    version: z.string(),
    instance: z.string(),
    invocationId: z.string().nullable(),
    arm: z.string().nullable().openapi({ description: 'How its version was chosen; null where that is not known' }),
    traceId: z.string().nullable(),
    spanId: z.string().nullable(),
    message: z.string(),
  })
  .openapi('LogLine');

const route = createRoute({
  method: 'get',
  path: '/v1/functions/{name}/logs',
  summary:
    'Recent log lines, oldest first: {lines, dropped}; follow=true streams each new line as an event "line", with calls=true each finished invocation as "call"',
  tags: ['logs'],
  middleware: guard((caller, param) => requireRead(caller, param('name'))),
  request: {
    params: z.object({ name: nameParam }),
    query: z.strictObject({
      follow: z.enum(['true', 'false']).default('false'),
      calls: z
        .enum(['true', 'false'])
        .default('false')
        .openapi({ description: 'With follow: an event "call" for each invocation of this gateway that ends' }),
      limit: z.coerce.number().int().min(0).max(1000).default(200),
      invocation: z.string().optional().openapi({ description: 'Only lines of this invocation' }),
      version: z
        .string()
        .min(8)
        .max(128)
        .optional()
        .openapi({ description: 'Only lines of versions whose id begins so' }),
      arm: z.string().min(1).max(200).optional().openapi({
        description: 'Only lines of calls whose version was chosen so: split, rule, override or PUBLICATION/SPLIT',
      }),
    }),
  },
  responses: {
    ...problems(),
    200: {
      description: 'Lines, or with follow=true a stream of events',
      content: {
        'application/json': { schema: z.object({ lines: z.array(lineSchema), dropped: z.int() }) },
        // Of each event.
        'text/event-stream': { schema: z.object({ event: z.enum(['line', 'call']), data: z.string() }) },
      },
    },
  },
});

export interface LogsParts {
  registry: Registry;
  functionLogs: FunctionLogs;
  callFeed: Pick<CallFeed, 'subscribe'>;
  /** Ends those that are followed. */
  ended: AbortSignal;
}

export function logsResource(app: ControlApp, parts: LogsParts): void {
  const { registry, functionLogs: logs, callFeed, ended } = parts;
  app.openapi(route, (c) => {
    const { name } = c.req.valid('param');
    const { follow, calls, limit, invocation, version, arm } = c.req.valid('query');
    functionNamed(registry, name);
    const wanted = (line: FunctionLogLine) =>
      (invocation === undefined || line.invocationId === invocation) &&
      (version === undefined || line.version.startsWith(version)) &&
      (arm === undefined || line.arm === arm);
    // Never slice(-0): that is everything.
    const recent = limit === 0 ? [] : logs.recent(name, 1000).filter(wanted).slice(-limit);
    if (follow === 'false') return c.json({ lines: recent.map(view), dropped: logs.dropped(name) });

    return streamSSE(c, async (stream) => {
      let pending = recent.map(lineEvent);
      let wake: () => void = () => undefined;
      const tell = (event: LogEvent) => {
        pending.push(event);
        if (pending.length > MOST_PENDING) pending = pending.slice(-MOST_PENDING);
        wake();
      };
      const unfollow = logs.subscribe(name, (line) => {
        if (wanted(line)) tell(lineEvent(line));
      });
      const unfollowCalls = calls === 'true' ? callFeed.subscribe(name, (call) => tell(callEvent(call))) : undefined;
      const end = () => {
        unfollow();
        unfollowCalls?.();
        wake();
      };
      stream.onAbort(end);
      ended.addEventListener('abort', end, { once: true });
      try {
        while (!stream.aborted && !ended.aborted) {
          const next = new Promise<void>((resolve) => {
            wake = resolve;
          });
          const events = pending;
          pending = [];
          for (const { event, value } of events) await stream.writeSSE({ event, data: JSON.stringify(value) });
          if (pending.length === 0 && !stream.aborted && !ended.aborted) await next;
        }
      } finally {
        end();
        ended.removeEventListener('abort', end);
      }
    });
  });
}

interface LogEvent {
  event: 'line' | 'call';
  value: unknown;
}

function lineEvent(line: FunctionLogLine): LogEvent {
  return { event: 'line', value: view(line) };
}

function callEvent(call: FinishedCall): LogEvent {
  return { event: 'call', value: { ...call, time: iso(call.time) } };
}

function view(line: FunctionLogLine) {
  return { ...line, time: iso(line.time) };
}
