/** The control API's own port. */
import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { ControlApp } from './http.ts';
import { createListener, type Listener } from './listener.ts';

export function createControlServer(app: ControlApp, host: string, port: number): Listener {
  // Hono's classes would replace the global Request and Response of the whole gateway.
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false }) as Server;
  return createListener(server, host, port);
}
