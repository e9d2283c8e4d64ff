/** The control API's own listener. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { ControlApp } from './http.ts';

export interface ControlServer {
  /** Resolves with the bound port; rejects with node's error (EADDRINUSE, EACCES). */
  listen(): Promise<{ port: number }>;
  /** Takes no new connections; resolves when what runs has ended. Idempotent. */
  close(): Promise<void>;
  /** Ends every connection at once. */
  kill(): void;
}

export function createControlServer(app: ControlApp, host: string, port: number): ControlServer {
  // Hono's classes would replace the global Request and Response of the whole gateway.
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false }) as Server;
  let closed: Promise<void> | null = null;
  return {
    async listen() {
      server.listen(port, host);
      await once(server, 'listening');
      return { port: (server.address() as AddressInfo).port };
    },
    close() {
      closed ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      });
      return closed;
    },
    kill: () => server.closeAllConnections(),
  };
}
