/** The control API's own port. */
import type { IncomingMessage, Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { ControlApp } from './http.ts';
import { createListener, type Listener } from './listener.ts';
import type { RpcSockets } from './rpc-sockets.ts';

/** `sockets`: who serves WebSockets; without it they are requests like any other. */
export function createControlServer(
  app: ControlApp,
  host: string,
  port: number,
  sockets: RpcSockets | null = null,
): Listener {
  // What is no WebSocket (HTTP/2 over plain text, say) is answered as if it had asked for no upgrade.
  const shouldUpgradeCallback = ({ headers }: IncomingMessage) =>
    sockets !== null && headers.upgrade?.toLowerCase() === 'websocket';
  // Hono's classes would replace the global Request and Response of the whole gateway.
  const server = createAdaptorServer({
    fetch: app.fetch,
    overrideGlobalObjects: false,
    serverOptions: { shouldUpgradeCallback },
  }) as Server;
  const listener = createListener(server, host, port);
  if (sockets === null) return listener;
  server.on('upgrade', sockets.serve);
  return {
    listen: listener.listen,
    close() {
      sockets.drain();
      return listener.close();
    },
    kill() {
      sockets.kill();
      listener.kill();
    },
  };
}
