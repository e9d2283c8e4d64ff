/** How the process ends: a drain on the first signal, at once on the second, and never with hosts left behind. */
import type { Logger } from '../telemetry/log.ts';

export interface Running {
  /** Takes no new work, finishes what runs, at most so long, and closes everything. */
  drain(deadlineMs: number): Promise<void>;
  /** Ends hosts and builder at once. Synchronous: it also runs when nothing else does any more. */
  kill(): void;
}

const DRAIN_MS = 30_000;

/** Takes over signals and uncaught errors of the process. `running` may still be null while it starts. */
export function endWithProcess(running: () => Running | null, log: Logger, exit: (code: number) => never): void {
  let draining = false;

  function signalled(signal: NodeJS.Signals): void {
    const current = running();
    if (draining || current === null) {
      log.warn(`${signal}: ending at once`);
      current?.kill();
      exit(1);
    }
    draining = true;
    log.info(`${signal}: draining, at most ${DRAIN_MS / 1000} s; a second one ends at once`);
    current.drain(DRAIN_MS).then(
      () => exit(0),
      (error: unknown) => {
        log.error('the drain failed', { error });
        current.kill();
        exit(1);
      },
    );
  }

  function failed(what: string, error: unknown): void {
    log.error(what, { error });
    running()?.kill();
    exit(1);
  }

  process.on('SIGTERM', signalled);
  process.on('SIGINT', signalled);
  process.on('uncaughtException', (error) => failed('uncaught exception: Hearth ends', error));
  process.on('unhandledRejection', (reason) => failed('unhandled rejection: Hearth ends', reason));
  // A reader that went away (`npm start | head`) is no reason to end.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
}
