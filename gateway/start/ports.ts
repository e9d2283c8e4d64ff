/** All ports of a gateway. One that is taken ends the start in a line that names its setting. */
import type { Config } from '../config.ts';
import { listenError } from './start-error.ts';

interface Listens {
  listen(): Promise<{ port: number }>;
}

/** `arklet`: null where its API is off. */
export async function openPorts(
  config: Config,
  servers: { ingress: Listens; control: Listens; arklet: Listens | null },
): Promise<{ port: number; adminPort: number; arkletPort: number | undefined }> {
  const { ingress, control, arklet } = servers;
  const [{ port }, { port: adminPort }, arkletAt] = await Promise.all([
    ingress.listen().catch((error: unknown) => {
      throw listenError(error, 'HEARTH_HOST', config.host, 'HEARTH_PORT', config.port);
    }),
    control.listen().catch((error: unknown) => {
      throw listenError(error, 'HEARTH_ADMIN_HOST', config.adminHost, 'HEARTH_ADMIN_PORT', config.adminPort);
    }),
    arklet?.listen().catch((error: unknown) => {
      throw listenError(error, 'HEARTH_ADMIN_HOST', config.adminHost, 'HEARTH_ARKLET_PORT', config.arkletPort ?? 0);
    }),
  ]);
  return { port, adminPort, arkletPort: arkletAt?.port };
}
