/**
 * A host: the child process whose threads Piscina owns. Each base is one `run()` that never resolves, idle time
 * included; ending a base is aborting its signal. A host is expendable: it is watched from outside and killed when it
 * does not answer, and it ends itself when its gateway has gone.
 */
import { createRequire } from 'node:module';
import { setPriority } from 'node:os';
import { dirname } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { type Gauge, makeGauge, THREAD } from '../base/gauge.ts';
import type { BaseTask } from '../base/task.ts';
import { assertNever, type FromHost, type HostSettings, type ToHost } from './messages.ts';
import { Profiler } from './profiler.ts';
import { letComputingStandBack } from './thread-use.ts';
import { type Breach, Watch } from './watch.ts';

/** The gateway ends a base that is over a limit, so that it knows why; when it is slow the host does. */
const END_AFTER_MS = 50;

interface RunningBase {
  controller: AbortController;
  gauge: Gauge;
}

class Host {
  readonly #pool: Piscina;
  readonly #bases = new Map<string, RunningBase>();
  readonly #wake = makeGauge();
  readonly #watch: Watch;
  readonly profiler: Profiler;

  constructor(settings: HostSettings) {
    const readable = [dirname(settings.baseFile), piscinaDirectory(), ...settings.readable];
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
        ...(settings.inspected ? ['--allow-inspector'] : []),
      ],
    });
    // Without a listener an error of one thread would end the host.
    this.#pool.on('error', (error: unknown) => console.error('pool error', error));
    this.#watch = new Watch({
      wake: this.#wake,
      worker: (threadId) => this.#worker(threadId),
      over: (base, breach) => this.#over(base, breach),
      now: () => performance.now(),
      cpu: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1000;
      },
      rss: residentBytes,
    });
    this.profiler = new Profiler({
      worker: (base) => this.#worker(this.#bases.get(base)?.gauge[THREAD] ?? 0),
      watch: this.#watch,
      say,
    });
  }

  boot(task: BaseTask): void {
    const controller = new AbortController();
    const gauge = makeGauge();
    this.#bases.set(task.base, { controller, gauge });
    this.#watch.add(task.base, gauge);
    this.#pool.run({ ...task, gauges: { gauge, wake: this.#wake } }, { signal: controller.signal }).then(
      () => this.#ended(task.base, 'it returned'),
      (error: unknown) => {
        // Aborted by `end`, which sees to the rest.
        if (!controller.signal.aborted) this.#ended(task.base, error instanceof Error ? error.message : 'it failed');
      },
    );
  }

  /** Says `ended` when the thread has really gone, which Piscina does not wait for. */
  end(base: string): void {
    const running = this.#bases.get(base);
    if (running === undefined || running.controller.signal.aborted) return;
    const worker = this.#worker(running.gauge[THREAD] ?? 0);
    worker?.once('exit', () => this.#ended(base, 'it was ended'));
    running.controller.abort();
    if (worker === undefined) this.#ended(base, 'it was ended before it began');
  }

  heldMb(): Record<string, number> {
    return this.#watch.heldMb();
  }

  #over(base: string, breach: Breach): void {
    say({ type: 'over', base, breach });
    setTimeout(() => this.end(base), END_AFTER_MS);
  }

  #ended(base: string, reason: string): void {
    this.#bases.delete(base);
    this.#watch.delete(base);
    say({ type: 'ended', base, reason });
  }

  #worker(threadId: number): Worker | undefined {
    return threadId === 0 ? undefined : this.#pool.threads.find((worker) => worker.threadId === threadId);
  }
}

function say(message: FromHost): void {
  process.send?.(message);
}

function residentBytes(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    return 0; // no /proc in a sandbox: the gateway's own polls are left
  }
}

/** Piscina's worker script is read by each thread before the base takes over. */
function piscinaDirectory(): string {
  const main = createRequire(import.meta.url).resolve('piscina');
  return main.slice(0, main.lastIndexOf('piscina') + 'piscina'.length);
}

/**
 * Below the gateway's, so that functions that keep all cores busy do not keep it from answering for the others. Threads
 * have their priority from the one that made them. No loss of warm throughput was seen on two cores.
 */
const NICENESS = 5;
setPriority(NICENESS);

let host: Host | null = null;

process.on('message', (message: ToHost) => {
  switch (message.type) {
    case 'configure':
      letComputingStandBack(NICENESS, message.settings.ownSession);
      host = new Host(message.settings);
      say({ type: 'ready' });
      return;
    case 'boot':
      host?.boot(message.task);
      return;
    case 'end':
      host?.end(message.base);
      return;
    case 'ping':
      say({ type: 'pong', heldMb: host?.heldMb() ?? {} });
      return;
    case 'profile':
      host?.profiler.begin(message);
      return;
    case 'profile-more':
      host?.profiler.more(message.id);
      return;
    case 'profile-stop':
      host?.profiler.stop(message.id);
      return;
    default:
      assertNever(message);
  }
});

// process.exit would hang behind a thread that is blocked in a system call.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
