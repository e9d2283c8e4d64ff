/** The control API put together: what every request passes, then the resources, each from its own file. */
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context, Next } from 'hono';
import { HearthError } from '../../functions/contract/errors.ts';
import { isTooDeep } from '../../pool/link/json-depth.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Access } from './access.ts';
import { limitBody } from './body-limit.ts';
import type { ControlApp, ControlEnv } from './http.ts';
import { asHearthError, invalidRequest, problemResponse, tooDeep } from './problems.ts';

/** Bodies other than deploys: a hundred messages of 128 KB fit, encoded as JSON strings. */
const MAX_JSON_BYTES = 32 * 1024 * 1024;

export interface AppOptions {
  access: Access;
  log: Logger;
  /** Names a browser may have typed to get here; null: any (see hostAllowed). */
  hosts: ReadonlySet<string> | null;
  maxDeployBytes: number;
  /** Routes outside /v1: no token. */
  open(app: ControlApp): void;
  resources: ((app: ControlApp) => void)[];
}

export function createControlApp(options: AppOptions): ControlApp {
  const app: ControlApp = new OpenAPIHono<ControlEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.target, result.error);
    },
  });

  app.use(async (c, next) => {
    const host = c.req.header('host');
    if (!hostAllowed(host, options.hosts)) {
      throw new HearthError(
        'FORBIDDEN',
        `The control API does not answer to the host ${JSON.stringify(host ?? '')}; use localhost or HEARTH_ADMIN_HOST.`,
      );
    }
    await next();
    c.res.headers.set('x-content-type-options', 'nosniff');
    c.res.headers.set('cache-control', 'no-store');
  });
  app.use('/v1/*', async (c, next) => {
    c.set('caller', options.access.authenticate(c.req.header('authorization')));
    await next();
  });
  const deployLimit = limitBody(options.maxDeployBytes, ' (HEARTH_MAX_DEPLOY_MB)');
  const jsonLimit = limitBody(MAX_JSON_BYTES, '');
  app.use('/v1/*', (c, next) => {
    const deploy = c.req.method === 'PUT' && /^\/v1\/(functions|bases)\/[^/]+$/.test(c.req.path);
    // The body of a deploy and of a base is looked at where it is read.
    return deploy ? deployLimit(c, next) : jsonLimit(c, () => limitDepth(c, next));
  });

  options.open(app);
  for (const resource of options.resources) resource(app);

  app.notFound((c) => {
    const allowed = methodsOf(app, c.req.path);
    if (allowed.length === 0) {
      return problemResponse(new HearthError('NOT_FOUND', `There is nothing at ${c.req.path}; /docs lists all calls.`));
    }
    const error = new HearthError(
      'BAD_REQUEST',
      `${c.req.path} does not take ${c.req.method}, but ${allowed.join(', ')}.`,
    );
    return problemResponse(error, { status: 405, headers: { allow: allowed.join(', ') } });
  });
  app.onError((thrown, c) => {
    const error = asHearthError(thrown);
    if (error.code === 'INTERNAL') {
      options.log.error('a control call failed', {
        method: c.req.method,
        path: c.req.path,
        error: error.cause ?? error,
      });
    }
    return problemResponse(error, { invocationId: c.get('invocationId') });
  });
  return app;
}

/** Throws BAD_REQUEST before anybody reads it. */
async function limitDepth({ req }: Context<ControlEnv>, next: Next): Promise<void> {
  const type = req.header('content-type') ?? '';
  const isJson = type === '' || /json/i.test(type);
  if (isJson && req.method !== 'GET' && req.method !== 'HEAD' && isTooDeep(await req.text())) throw tooDeep();
  await next();
}

/**
 * Against DNS rebinding: a page of some other site that resolved its own name to this address sends its own name. IP
 * addresses cannot be rebound.
 */
export function hostAllowed(header: string | undefined, hosts: ReadonlySet<string> | null): boolean {
  if (hosts === null) return true;
  if (header === undefined) return false;
  const name = header.replace(/:\d+$/, '').toLowerCase();
  return hosts.has(name) || /^(\d{1,3}\.){3}\d{1,3}$/.test(name) || /^\[[\da-f:.]+\]$/.test(name);
}

/** Host names for hostAllowed. A gateway that listens on all addresses cannot know its names. */
export function controlHosts(adminHost: string): ReadonlySet<string> | null {
  if (adminHost === '0.0.0.0' || adminHost === '::') return null;
  return new Set(['localhost', adminHost.toLowerCase()]);
}

/** Methods of the routes whose path fits, for 405 instead of 404. */
function methodsOf(app: ControlApp, path: string): string[] {
  const methods = new Set<string>();
  for (const route of app.routes) {
    if (route.method !== 'ALL' && pathFits(route.path, path)) methods.add(route.method);
  }
  return [...methods].sort();
}

function pathFits(pattern: string, path: string): boolean {
  const wanted = pattern.split('/');
  const given = path.split('/');
  return wanted.length === given.length && wanted.every((part, i) => part.startsWith(':') || part === given[i]);
}
