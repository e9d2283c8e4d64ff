import { join } from 'node:path';
import type { Peer } from './peer.ts';
import { endServer, freePort, startServer } from './process.ts';

/** One Node process that runs Hono and nothing else: what the function would cost without a platform. */
export async function startHono(app: 'hello' | 'echo' = 'hello'): Promise<Peer> {
  const port = await freePort();
  const server = join(import.meta.dirname, 'hono-server.ts');
  const child = await startServer(process.execPath, [server, String(port), app], port);
  return {
    name: 'hono on node',
    port,
    path: '/',
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: () => endServer(child),
  };
}
