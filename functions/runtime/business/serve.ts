/** Modules whose whole code is components, or a business: what turns them into a function that Hearth serves. */
import type { ExecutionContext } from '../../contract/handlers.ts';
import { type Business, runBusiness } from './business.ts';
import { describeBusiness, describePoints, renderMarkdown } from './docs.ts';
import { BusinessError, fromThrown } from './errors.ts';
import { type AnyComponent, type ComponentContext, compensateComponent, runComponent } from './points.ts';
import type { CallInfo, ErrorBody, RunAnswer } from './remote.ts';
import { FlowError } from './run.ts';

type Env = Record<string, unknown>;

export interface FetchHandler<E> {
  fetch(request: Request, env: E, ctx: ExecutionContext): Promise<Response>;
}

/** Given as they are, or made from `env` at the first call: extension points are found in `env.BASE`. */
type Made<T, E> = T | ((env: E) => T);

/**
 * A module of components, for flows to call; see remote.ts for how. `GET /` describes them. Let nobody else in:
 * `"hearth": { "publish": false }`. Throws TypeError, at the first call, when two have one point and name.
 */
export function components<E extends object = Env>(list: Made<readonly AnyComponent[], E>): FetchHandler<E> {
  const find = once((env: E) => byPath(typeof list === 'function' ? list(env) : list));
  return {
    async fetch(request, env, ctx) {
      const known = find(env);
      const path = new URL(request.url).pathname;
      if (request.method === 'GET' && path === '/') return Response.json(describeComponents([...known.values()]));
      if (request.method !== 'POST') return answerError(new BusinessError('NO_COMPONENT', 'components take POST'), 405);
      const undo = path.endsWith(COMPENSATE);
      const component = known.get(undo ? path.slice(0, -COMPENSATE.length) : path);
      if (component === undefined) {
        const reason = `${path} is not there; this module has ${[...known.keys()].join(', ') || 'none'}`;
        return answerError(new BusinessError('NO_COMPONENT', reason), 404);
      }
      try {
        const { input, output, call } = await readCall(request);
        const context: ComponentContext = { env: env as Env, signal: ctx.signal, log: ctx.log, ...call };
        if (undo) {
          return Response.json({ compensated: await compensateComponent(component, input, output ?? null, context) });
        }
        const made = await runComponent(component, input, context);
        return Response.json({ output: made, compensates: component.compensate !== null } satisfies RunAnswer);
      } catch (thrown) {
        const error = fromThrown(thrown, {});
        if (error.code === 'COMPONENT_FAILED') ctx.log.error(error.cause ?? error);
        return answerError(error, STATUS[error.code]);
      }
    },
  };
}

const COMPENSATE = '/compensate';

function byPath(list: readonly AnyComponent[]): Map<string, AnyComponent> {
  const found = new Map<string, AnyComponent>();
  for (const component of list) {
    const path = `/${component.point.name}/${component.name}`;
    if (found.has(path)) throw new TypeError(`Two components are ${path.slice(1)}.`);
    found.set(path, component);
  }
  return found;
}

function describeComponents(list: readonly AnyComponent[]) {
  return {
    components: list.map(({ point, name, description, compensate }) => ({
      point: point.name,
      name,
      description,
      compensates: compensate !== null,
    })),
    points: describePoints([...new Map(list.map(({ point }) => [point.name, point])).values()]),
  };
}

async function readCall(request: Request): Promise<{ input: unknown; output: unknown; call: CallInfo }> {
  const body = (await readJson(request)) as { input?: unknown; output?: unknown; call?: Partial<CallInfo> } | null;
  const { key = crypto.randomUUID(), attempt = 1, flow = '', step = '' } = body?.call ?? {};
  return {
    input: body?.input,
    output: body?.output,
    call: { key: String(key), attempt: Number(attempt), flow: String(flow), step: String(step) },
  };
}

/**
 * A business as a function, at whatever route it is published: POST with the request as JSON answers with the output, GET
 * shows its documentation as Markdown, and as JSON Schema where the path ends in `/schema`. When the caller goes away in the middle the step that runs is aborted, and
 * what was done is undone all the same.
 */
export function business<E extends object = Env>(made: Made<Business, E>): FetchHandler<E> {
  const make = once((env: E) => (typeof made === 'function' ? made(env) : made));
  return {
    async fetch(request, env, ctx) {
      const own = make(env);
      if (request.method === 'GET' && new URL(request.url).pathname.endsWith('/schema')) {
        return Response.json(describeBusiness(own));
      }
      if (request.method === 'GET') {
        return new Response(renderMarkdown(describeBusiness(own)), {
          headers: { 'content-type': 'text/markdown; charset=utf-8' },
        });
      }
      if (request.method !== 'POST') {
        return Response.json({ error: 'only GET and POST' }, { status: 405, headers: { allow: 'GET, POST' } });
      }
      return answerRequest(own, request, env as Env, ctx);
    },
  };
}

async function answerRequest(own: Business, request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
  try {
    const result = await runBusiness(own, await readJson(request), {
      env,
      id: ctx.invocationId,
      signal: ctx.signal,
      log: ctx.log,
      startSpan: (name, attributes, parent) => ctx.startSpan(name, attributes, parent),
    });
    return Response.json(result.output, { headers: { 'x-template': result.template } });
  } catch (thrown) {
    const error = fromThrown(thrown, { business: own.name });
    const { code, place, issues } = error;
    const steps = error instanceof FlowError ? error.steps : [];
    // Before the first step it is the caller who has to do something else.
    const status = steps.length === 0 && code === 'INVALID_INPUT' ? 400 : BUSINESS_STATUS[code];
    if (status >= 500) ctx.log.error(error.message);
    else ctx.log.info(error.message);
    const shown = steps.map(({ error: _why, durationMs: _took, ...step }) => step);
    return Response.json({ error: { code, message: forCallers(error), ...place, issues, steps: shown } }, { status });
  }
}

/** What was thrown by accident may hold anything: it is for the log. A refusal was worded for who asked. */
function forCallers({ code, retryable, place, message }: BusinessError): string {
  const byAccident = code === 'FLOW_BROKEN' || (code === 'COMPONENT_FAILED' && retryable);
  return byAccident
    ? new BusinessError(code, 'it failed; the log of this invocation says why', { place }).message
    : message;
}

/** Of a component's answer to its flow. */
const STATUS: Record<BusinessError['code'], number> = {
  INVALID_INPUT: 422,
  INVALID_OUTPUT: 500,
  FLOW_BROKEN: 500,
  NO_TEMPLATE: 404,
  NO_COMPONENT: 404,
  COMPONENT_FAILED: 500,
  TIMEOUT: 504,
  ABORTED: 500,
};

/** Of a business's answer to its caller, who knows nothing of components. */
const BUSINESS_STATUS: Record<BusinessError['code'], number> = {
  INVALID_INPUT: 500,
  INVALID_OUTPUT: 500,
  FLOW_BROKEN: 500,
  NO_TEMPLATE: 400,
  NO_COMPONENT: 502,
  COMPONENT_FAILED: 502,
  TIMEOUT: 504,
  ABORTED: 503,
};

function answerError({ code, reason, issues, retryable }: BusinessError, status: number): Response {
  return Response.json({ error: { code, reason, issues, retryable } } satisfies ErrorBody, { status });
}

async function readJson(request: Request): Promise<unknown> {
  try {
    return await request.json();
  } catch (error) {
    const issues = [{ field: '', message: 'the body is not JSON' }];
    throw new BusinessError('INVALID_INPUT', 'the body is not JSON', { issues, cause: error });
  }
}

/** The first call's result for all: a module has one `env` as long as it lives. */
function once<A, T>(make: (argument: A) => T): (argument: A) => T {
  let made: { value: T } | null = null;
  return (argument) => {
    made ??= { value: make(argument) };
    return made.value;
  };
}
