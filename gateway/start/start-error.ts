/** Why Hearth could not start, as one sentence an operator can act on; the process ends with 1. */
export class StartError extends Error {
  override name = 'StartError';
}

/** What `listen` rejects with, as a sentence that names the setting. Anything else comes back as it is. */
export function listenError(
  error: unknown,
  hostSetting: string,
  host: string,
  portSetting: string,
  port: number,
): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new StartError(
        `Port ${port} on ${host} is in use (${portSetting}); end what listens there, or set ${portSetting} to another port, or to 0 for a free one.`,
        { cause: error },
      );
    case 'EACCES':
      return new StartError(
        `Port ${port} may not be opened (${portSetting}); ports below 1024 need a privilege. Choose a higher one.`,
        {
          cause: error,
        },
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new StartError(
        `${host} is no address of this machine (${hostSetting}); use 127.0.0.1, or 0.0.0.0 for all.`,
        {
          cause: error,
        },
      );
    default:
      return error;
  }
}
