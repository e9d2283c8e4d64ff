/** The gateway that `hearth dev` starts where none runs: a child process, with state of its own in `.hearth/dev`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Connection } from '../connection.ts';
import { Failure } from '../failure.ts';
import { GATEWAY_FLAGS, GATEWAY_MAIN } from '../gateway-entry.ts';

export interface DevGatewayOptions {
  cwd: string;
  env: Readonly<Record<string, string | undefined>>;
  dataDir: string;
  port: number;
  adminPort: number;
  /** Of the gateway, beside these. */
  flags: readonly string[];
  /** What it logs of itself, at `warn` and above. */
  say(line: string): void;
}

export interface DevGateway {
  url: string;
  connection: Connection;
  /** Resolves with how it ended. */
  exited: Promise<string>;
  /** SIGTERM; SIGKILL when it does not end within so long, or at the second call. Resolves when it is gone. */
  end(): Promise<void>;
}

/** Above what a drain takes that has nothing to wait for. */
const END_MS = 10_000;
const WITH_PARENT = new URL('./with-parent.ts', import.meta.url).href;

/** @throws Failure with what the gateway said when it does not come up. */
export async function startDevGateway(options: DevGatewayOptions): Promise<DevGateway> {
  const { cwd, env, dataDir, port, adminPort, flags } = options;
  const args = [
    ...GATEWAY_FLAGS,
    ...['--import', WITH_PARENT, GATEWAY_MAIN],
    ...['--data-dir', dataDir, '--port', `${port}`, '--admin-port', `${adminPort}`, '--examples', 'off'],
    ...flags,
  ];
  const child = spawn(process.execPath, args, {
    cwd,
    env: { HEARTH_WARM_BASES: '2', ...env, HEARTH_LOG: 'warn' },
    stdio: ['pipe', 'pipe', 'pipe'],
    // The terminal's Ctrl-C is for the command, which then ends this one.
    detached: true,
  });
  const exited = once(child, 'close').then(() => howEnded(child));
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-4000);
  });
  const ready = Promise.withResolvers<Ready>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const said = parsed(line);
    if (said?.msg === 'ready') ready.resolve(said as unknown as Ready);
    // What functions log comes with their logs.
    else if (said?.function === undefined) options.say(said === null ? line : textOf(said));
  });
  exited.then((how) => ready.reject(new Failure(`The gateway ${how} before it was ready: ${complaint.trim()}`)));
  const { url, adminUrl } = await ready.promise;
  const tokenFrom = join(dataDir, 'admin-token');
  const token = env.HEARTH_ADMIN_TOKEN || (await readFile(tokenFrom, 'utf8')).trim();
  return {
    url,
    connection: { url: adminUrl, token, tokenFrom },
    exited,
    async end() {
      const late = setTimeout(() => child.kill('SIGKILL'), END_MS);
      child.kill(child.killed ? 'SIGKILL' : 'SIGTERM');
      await exited;
      clearTimeout(late);
    },
  };
}

interface Ready {
  url: string;
  adminUrl: string;
}

interface Said {
  msg?: string;
  function?: string;
  error?: string;
}

function textOf({ msg = '', error }: Said): string {
  return error === undefined ? msg : `${msg}: ${error.split('\n', 1)[0]}`;
}

function parsed(line: string): Said | null {
  try {
    return JSON.parse(line) as Said;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function howEnded({ exitCode, signalCode }: ChildProcess): string {
  return exitCode === null ? `was ended by ${signalCode}` : `ended with ${exitCode}`;
}

/** This port of the loopback address, or 0 when somebody has it. */
export async function freeOr0(port: number): Promise<number> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', () => resolve(0));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(port)));
  });
}
