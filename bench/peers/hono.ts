import { join } from 'node:path';
import type { Peer } from './peer.ts';
import { endServer, freePort, startServer } from './process.ts';

/** One Node process that runs Hono and nothing else: what the function would cost without a platform. */
export async function startHono(): Promise<Peer> {
  const port = await freePort();
  const child = await startServer(process.execPath, [join(import.meta.dirname, 'hono-server.ts'), String(port)], port);
  return {
    name: 'hono on node',
    port,
    path: '/',
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: () => endServer(child),
  };
}
