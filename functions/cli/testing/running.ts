/** A `hearth` command that goes on: what it says is waited for, and it is ended with the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../bin.js', import.meta.url));
/** Far above what anything takes that is waited for here. */
const LIMIT_MS = 60_000;

export interface RunningCommand extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Both streams so far, in the order in which they came. */
  output(): string;
  /** Resolves with the match once the output from `since` on has one; rejects when the command ends, or after a minute. */
  said(what: RegExp, since?: number): Promise<RegExpExecArray>;
  /** Resolves with the exit code, once it has ended by itself. */
  ended(): Promise<number | null>;
  /** Sends the signal, and resolves with the exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export function running(
  args: readonly string[],
  options: { cwd: string; env?: Record<string, string>; command?: readonly [string, ...string[]] },
): RunningCommand {
  const [file, ...before] = options.command ?? [process.execPath, BIN];
  const child = spawn(file, [...before, ...args], {
    cwd: options.cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...options.env },
  });
  let output = '';
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      for (const listener of listeners) listener();
    });
  }
  const closed = once(child, 'close');
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const ended = async () => {
    const late = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    await closed;
    clearTimeout(late);
    return child.exitCode;
  };
  const end = async (signal: NodeJS.Signals) => {
    if (!isOver()) child.kill(signal);
    return await ended();
  };
  return {
    child,
    output: () => output,
    said: (what, since = 0) =>
      new Promise((resolve, reject) => {
        const finish = (settle: () => void) => {
          clearTimeout(late);
          listeners.delete(look);
          settle();
        };
        const look = () => {
          const found = what.exec(output.slice(since));
          if (found !== null) finish(() => resolve(found));
        };
        const missing = (why: string) => finish(() => reject(new Error(`${why} without ${what}:\n${output}`)));
        const late = setTimeout(() => missing(`${LIMIT_MS / 1000} s went by`), LIMIT_MS);
        listeners.add(look);
        closed.then(() => {
          look();
          missing('it ended');
        }, reject);
        look();
      }),
    ended,
    end,
    async [Symbol.asyncDispose]() {
      await end('SIGTERM');
    },
  };
}
