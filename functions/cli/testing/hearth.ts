/** Runs the `hearth` command as its users do: a process of its own, started through bin.js. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../bin.js', import.meta.url));

/** Far above what any command takes on a loaded machine: one that hangs must not hang the tests. */
const LIMIT_MS = 60_000;

export interface Ran {
  /** Null: ended by a signal. */
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  stdin?: string;
  /** Called with all of standard output so far; true: the command is ended with SIGTERM. */
  enough?: (stdout: string) => boolean;
}

export async function hearth(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = spawn(process.execPath, [BIN, ...args], {
    cwd: options.cwd,
    // Nothing of the environment that the tests themselves run in.
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...options.env },
  });
  const late = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (options.enough?.(stdout)) child.kill('SIGTERM');
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.end(options.stdin ?? '');
  await once(child, 'close');
  clearTimeout(late);
  return { code: child.exitCode, stdout, stderr };
}

/** For one gateway: `await cli('ls', '--json')`. */
export function hearthOf(gateway: { adminUrl: string; token: string }, more: RunOptions = {}) {
  const env = { HEARTH_URL: gateway.adminUrl, HEARTH_TOKEN: gateway.token, ...more.env };
  return {
    run: (...args: string[]) => hearth(args, { ...more, env }),
    /** Its --json output. Throws with what it said when it failed. */
    async json<Value>(...args: string[]): Promise<Value> {
      const ran = await hearth([...args, '--json'], { ...more, env });
      if (ran.code !== 0) throw new Error(`hearth ${args.join(' ')} ended with ${ran.code}: ${ran.stderr}`);
      return JSON.parse(ran.stdout) as Value;
    },
    with: (options: RunOptions, ...args: string[]) =>
      hearth(args, { ...more, ...options, env: { ...env, ...options.env } }),
  };
}
