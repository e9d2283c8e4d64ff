/** A port that is opened, drained and closed with the gateway. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Listener {
  /** Resolves with the bound port; rejects with node's error (EADDRINUSE, EACCES). */
  listen(): Promise<{ port: number }>;
  /** Takes no new connections; resolves when what runs has ended. Idempotent. */
  close(): Promise<void>;
  /** Ends every connection at once. */
  kill(): void;
}

export function createListener(server: Server, host: string, port: number): Listener {
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
