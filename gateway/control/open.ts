/** What needs no token: health, metrics, the description of the API. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import { dashboardRoutes } from '../dashboard/dashboard.ts';
import type { ApiDocument } from '../docs/api.ts';
import { PAGE_POLICY, STYLE } from '../docs/page.ts';
import { createDocs } from '../docs/site.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { ControlApp } from './http.ts';

export interface OpenParts {
  telemetry: Pick<Telemetry, 'metricsChunks'>;
  /** Whether all of it answers: false while starting and draining. */
  ready(): boolean;
  version: string;
}

export function openRoutes(app: ControlApp, { telemetry, ready, version }: OpenParts): void {
  app.get('/healthz', (c) => c.json({ status: 'ok' }));
  app.get('/readyz', (c) => (ready() ? c.json({ status: 'ready' }) : c.json({ status: 'not ready' }, 503)));
  // Megabytes with thousands of functions: written in turns, so that requests get theirs.
  app.get('/metrics', (c) => {
    const text = ReadableStream.from(telemetry.metricsChunks()).pipeThrough(new TextEncoderStream());
    return c.body(text, 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
  });

  // Routes are all there by the first request and never change: made once.
  let document: ReturnType<OpenAPIHono['getOpenAPI31Document']> | null = null;
  const described = () => {
    document ??= app.getOpenAPI31Document({
      openapi: '3.1.0',
      info: {
        title: 'Hearth control API',
        version,
        description: 'Deploy, trigger and watch functions. Every call under /v1 needs a bearer token.',
        license: { name: 'Apache-2.0' },
      },
      security: [{ bearer: [] }],
    });
    return document;
  };
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  app.get('/openapi.json', (c) => c.json(described()));

  const docs = createDocs(() => described() as unknown as ApiDocument);
  app.get('/docs/style.css', (c) => c.body(STYLE, 200, { 'content-type': 'text/css; charset=utf-8' }));
  app.get('/docs/:page?', (c) => {
    const html = docs.page(c.req.param('page') ?? '');
    if (html === null) throw new HearthError('NOT_FOUND', 'There is no such page; /docs leads to all of them.');
    return c.html(html, 200, { 'content-security-policy': PAGE_POLICY });
  });
  dashboardRoutes(app);
}
