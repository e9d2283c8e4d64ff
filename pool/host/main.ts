/**
 * A host: the child process whose threads Piscina owns. Each base is one `run()` that never resolves, idle time
 * included; ending a base is aborting its signal. A host is expendable: it is watched from outside and killed when it
 * does not answer, and it ends itself when its gateway has gone.
 */
import { createRequire } from 'node:module';
import { Piscina } from 'piscina';
import type { BaseTask } from '../base/task.ts';
import { assertNever, type FromHost, type HostSettings, type ToHost } from './messages.ts';

class Host {
  readonly #pool: Piscina;
  readonly #bases = new Map<string, AbortController>();

  constructor(settings: HostSettings) {
    const readable = [settings.baseFile, piscinaDirectory(), ...settings.readable];
    this.#pool = new Piscina({
      filename: settings.baseFile,
      // A resolved run would hand its thread to the next base, and failed boots are not refilled: so no thread exists
      // but those that a boot asked for.
      minThreads: 0,
      maxThreads: settings.maxBases,
      // An idle thread blocked in Atomics.wait could not serve its socket.
      atomics: 'disabled',
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: settings.heapLimitMb },
      // Workers do not inherit the process's feature flags: each is said again.
      execArgv: [
        '--permission',
        '--allow-net',
        ...readable.map((path) => `--allow-fs-read=${path}`),
        '--no-experimental-ffi',
        '--no-experimental-sqlite',
        '--no-warnings',
      ],
    });
    // Without a listener an error of one thread would end the host.
    this.#pool.on('error', (error: unknown) => console.error('pool error', error));
  }

  boot(task: BaseTask): void {
    const controller = new AbortController();
    this.#bases.set(task.base, controller);
    this.#pool.run(task, { signal: controller.signal }).then(
      () => this.#ended(task.base, 'it returned'),
      (error: unknown) => this.#ended(task.base, error instanceof Error ? error.message : 'it failed'),
    );
  }

  end(base: string): void {
    this.#bases.get(base)?.abort();
  }

  #ended(base: string, reason: string): void {
    this.#bases.delete(base);
    say({ type: 'ended', base, reason });
  }
}

function say(message: FromHost): void {
  process.send?.(message);
}

/** Piscina's worker script is read by each thread before the base takes over. */
function piscinaDirectory(): string {
  const main = createRequire(import.meta.url).resolve('piscina');
  return main.slice(0, main.lastIndexOf('piscina') + 'piscina'.length);
}

let host: Host | null = null;

process.on('message', (message: ToHost) => {
  switch (message.type) {
    case 'configure':
      host = new Host(message.settings);
      say({ type: 'ready' });
      return;
    case 'boot':
      host?.boot(message.task);
      return;
    case 'end':
      host?.end(message.base);
      return;
    default:
      assertNever(message);
  }
});

// process.exit would hang behind a thread that is blocked in a system call.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
