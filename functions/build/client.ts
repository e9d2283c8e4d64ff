/** The gateway's side of the builder: keeps its process, queues builds, and ends those that take too long. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { HearthError, isErrorCode } from '../contract/errors.ts';
import type { BuildInput, BuildOutput } from './api.ts';
import { type BuildAnswer, createFrameReader, writeFrame } from './frames.ts';

const BUILDER = fileURLToPath(new URL('builder.ts', import.meta.url));
const BUILD_LIMIT_MS = 30_000;
/** More gain nothing on one esbuild, and each holds its tree in memory. */
const MOST_AT_ONCE = 4;
/** A build beside which the builder died is tried again once, alone: the fault may have been its neighbour's. */
const MOST_ATTEMPTS = 2;
const BREAKS_BUILDER =
  'The builder ended twice over this deploy, last when it built nothing else: the source is nested too deeply or too large for it.';

export interface BuilderLog {
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

export interface BuilderOptions {
  /** Working directory of the builder process; made when it is missing. */
  runDir: string;
  log: BuilderLog;
  /** Wall clock of one build once it has begun, ms. Default 30000. */
  limitMs?: number;
  /** Builds after which a fresh process takes over, between two builds. Default 200: each leaves some 0.7 MB behind. */
  renewAfter?: number;
}

export interface Builder {
  /**
   * Builds one tree. Any number may be asked for at once; they are queued.
   * @throws HearthError BUILD_FAILED or MANIFEST_INVALID with places to mend; INTERNAL when the builder itself fails.
   */
  build(input: BuildInput): Promise<BuildOutput>;
  /** Ends the process; what is still to be built is refused. Idempotent. */
  close(): Promise<void>;
  /** Process id while one runs; its group holds esbuild as well. */
  readonly pid: number | undefined;
}

interface Job {
  id: number;
  input: BuildInput;
  attempts: number;
  timer: NodeJS.Timeout | undefined;
  resolve(output: BuildOutput): void;
  reject(error: Error): void;
}

interface Running {
  child: ChildProcess;
  socket: Duplex;
  /** One request is written whole before the next. */
  writing: Promise<void>;
  ended: Promise<void>;
  /** Whether a build has come back from it. */
  answered: boolean;
  /** Builds that have come back from it. */
  builds: number;
}

export function createBuilder(options: BuilderOptions): Builder {
  const { runDir, log, limitMs = BUILD_LIMIT_MS, renewAfter = RENEW_AFTER } = options;
  const waiting: Job[] = [];
  const begun = new Map<number, Job>();
  let lastId = 0;
  let running: Running | undefined;
  let closed = false;

  function start(): Running {
    mkdirSync(runDir, { recursive: true });
    const child = spawn(process.execPath, ['--disable-sigusr1', BUILDER], {
      cwd: runDir,
      env: {},
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      // A process group of its own, so that esbuild, the builder's child, can be ended with it.
      detached: true,
    });
    const socket = child.stdio[3] as Duplex;
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      // The first line says it; what follows are Go's stacks, which go on for pages.
      if (complaint.length < 1000) complaint += text;
    });
    const ended = new Promise<void>((resolve) => {
      const settle = (why: string) => {
        resolve();
        // esbuild does not end by itself when it waits for an answer of the builder that will never come.
        kill(child);
        lost(child, complaint === '' ? why : `${why}: ${complaint.trim().split('\n')[0]}`);
      };
      child.once('error', (error) => settle(error.message));
      child.once('exit', (code, signal) => settle(`exit ${code ?? signal}`));
    });
    // A broken pipe shows as the end of the process, which is handled there.
    socket.on('error', () => kill(child));
    socket.on('data', createFrameReader(answered));
    return { child, socket, writing: Promise.resolve(), ended, answered: false, builds: 0 };
  }

  function pump(): void {
    while (!closed && begun.size < MOST_AT_ONCE) {
      const [job] = waiting;
      const alone = (job?.attempts ?? 0) > 0 || [...begun.values()].some(({ attempts }) => attempts > 1);
      if (job === undefined || (alone && begun.size > 0)) return;
      waiting.shift();
      running ??= start();
      const { child, socket } = running;
      job.attempts += 1;
      begun.set(job.id, job);
      job.timer = setTimeout(() => expired(job, child), limitMs);
      const { id, input } = job;
      const files = [...input.files].map(([path, { byteLength }]) => ({ path, bytes: byteLength }));
      const head = { id, manifest: input.manifest, provided: input.provided, files };
      running.writing = running.writing.then(() => writeFrame(socket, head, [...input.files.values()]));
    }
  }

  function finish(id: number): Job | undefined {
    const job = begun.get(id);
    begun.delete(id);
    clearTimeout(job?.timer);
    return job;
  }

  function answered(head: unknown, payload: Buffer): void {
    const answer = head as BuildAnswer;
    const job = finish(answer.id);
    if (job === undefined) return;
    if (running !== undefined) {
      running.answered = true;
      running.builds++;
    }
    if (answer.ok) {
      const { files, ...result } = answer.result;
      const { codeBytes, mapBytes } = answer;
      job.resolve({
        ...result,
        code: payload.subarray(0, codeBytes),
        sourceMap: mapBytes === null ? null : payload.subarray(codeBytes, codeBytes + mapBytes),
        files: files.flatMap((path) => {
          const bytes = job.input.files.get(path);
          return bytes === undefined ? [] : [{ path, bytes }];
        }),
      });
    } else if (isErrorCode(answer.code) && answer.code !== 'INTERNAL') {
      job.reject(new HearthError(answer.code, answer.message, { errors: answer.errors }));
    } else {
      log.error('the builder failed', { error: answer.message });
      job.reject(new HearthError('INTERNAL', 'The builder failed on this deploy.', { cause: answer.message }));
    }
    pump();
    renew();
  }

  /** The next one is started before this one goes, so that no deploy waits for it. */
  function renew(): void {
    if (closed || running === undefined || running.builds < renewAfter || begun.size > 0) return;
    const { child } = running;
    running = start();
    kill(child);
  }

  function expired(job: Job, child: ChildProcess): void {
    finish(job.id);
    const seconds = limitMs / 1000;
    job.reject(failedWith(`The build took longer than ${seconds} s and was ended.`));
    // It cannot be stopped alone; the others that had begun start anew.
    kill(child);
  }

  function lost(child: ChildProcess, why: string): void {
    if (running?.child !== child) return;
    const had = running;
    running = undefined;
    if (closed) return;
    log.warn('the builder process ended and is started again', { why, builds: begun.size });
    const again: Job[] = [];
    for (const job of [...begun.values()]) {
      finish(job.id);
      if (job.attempts < MOST_ATTEMPTS) again.push(job);
      else job.reject(failedWith(BREAKS_BUILDER));
    }
    waiting.unshift(...again);
    pump();
    // At once, so that the next deploy need not wait for it; unless it dies before it does anything at all.
    if (had.answered) running ??= start();
  }

  running = start();
  return {
    get pid() {
      return running?.child.pid;
    },
    build(input) {
      if (closed) return Promise.reject(closing());
      return new Promise((resolve, reject) => {
        lastId += 1;
        waiting.push({ id: lastId, input, attempts: 0, timer: undefined, resolve, reject });
        pump();
      });
    },
    async close() {
      const last = running;
      if (!closed) {
        closed = true;
        for (const job of [...begun.values()]) finish(job.id)?.reject(closing());
        for (const job of waiting.splice(0)) job.reject(closing());
        if (last !== undefined) kill(last.child);
      }
      await last?.ended;
    },
  };
}

const RENEW_AFTER = 200;

function failedWith(message: string): HearthError {
  return new HearthError('BUILD_FAILED', message, { errors: [{ message }] });
}

function closing(): HearthError {
  return new HearthError('NO_CAPACITY', 'The gateway is shutting down.', { retryAfterS: 5 });
}

/** The builder and esbuild: the whole group. Gone already is as good. */
function kill(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
