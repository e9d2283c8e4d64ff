/**
 * A real redis-server for tests: its own port, its own temporary directory, and nothing left behind, also when the test
 * fails or its process is ended.
 *
 *     describe('…', { skip: REDIS_MISSING }, () => {
 *       it('…', async () => {
 *         await using redis = await startRedis();
 *         …  redis.url  …
 *       });
 *     });
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, rmSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';

export interface RedisServer extends AsyncDisposable {
  /** `redis://127.0.0.1:PORT`, with the password where there is one. The same after a restart. */
  readonly url: string;
  readonly port: number;
  /** Where it keeps its data. */
  readonly dir: string;
  /** One command on a connection of the test's own, such as `command('FLUSHALL')`. Rejects with what Redis says. */
  command(name: string, ...args: (string | number | Buffer)[]): Promise<unknown>;
  /** SIGTERM: it saves, and ends. */
  stop(): Promise<void>;
  /** SIGKILL: what it had not written yet is lost. */
  kill(): Promise<void>;
  /** After `stop` or `kill`: again on the same port and data; `empty`: its data is removed first. */
  restart(options?: { empty?: boolean }): Promise<void>;
  /** SIGSTOP: connections stay open and nothing is answered. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
  /** What it has said so far. */
  output(): string;
}

export interface RedisServerOptions {
  /** Further lines of its configuration, such as `{ maxmemory: '10mb' }`. Default: appendonly, appendfsync everysec. */
  config?: Record<string, string>;
}

/** For `skip`: why there can be no server here, or false. */
export const REDIS_MISSING: string | false = onPath('redis-server') ? false : 'redis-server is not on PATH';

/** Ports of tests stand below those the kernel gives to others, so that one is still free at a restart. */
const PORTS = { from: 20_000, to: 32_000 };
/** How many ports are tried: another process may take one between the look and the start. */
const MOST_TRIES = 20;
/** Far above what it takes on a loaded machine. */
const READY_LIMIT_MS = 30_000;

/** Resolves when it answers. */
export async function startRedis({ config = {} }: RedisServerOptions = {}): Promise<RedisServer> {
  const dir = await mkdtemp(join(tmpdir(), 'hearth-redis-'));
  let running: Running | null = null;
  let said = '';
  let port = 0;
  let admin: Redis | null = null;

  const onExit = () => {
    running?.child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  };
  process.on('exit', onExit);

  const run = async () => {
    running = await runServer({
      dir,
      port,
      config,
      said(text) {
        said += text;
      },
    });
  };
  async function end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    admin?.disconnect();
    admin = null;
    const ending = running;
    running = null;
    if (ending === null) return;
    ending.child.kill(signal);
    // One that is stopped sees no SIGTERM.
    ending.child.kill('SIGCONT');
    await ending.gone;
  }
  async function dispose(): Promise<void> {
    await end('SIGKILL');
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    process.off('exit', onExit);
  }

  try {
    for (let tries = 1; running === null; tries++) {
      port = await freePort();
      try {
        await run();
      } catch (error) {
        if (tries === MOST_TRIES || !said.includes('Address already in use')) throw error;
        said = '';
      }
    }
  } catch (error) {
    await dispose();
    throw error;
  }

  const password = config.requirepass;
  const url = `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`;
  return {
    url,
    port,
    dir,
    async command(name, ...args) {
      if (running === null) throw new Error('The test ended this redis-server and asks it something.');
      admin ??= new Redis(url, { retryStrategy: () => null, disableClientInfo: true }).on('error', (error) => {
        said += `the test's own connection: ${error.message}\n`;
      });
      return admin.call(name, ...args);
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async restart({ empty = false } = {}) {
      if (running !== null) throw new Error('It runs: stop or kill it first.');
      if (empty) for (const name of await readdir(dir)) await rm(join(dir, name), { recursive: true });
      await run();
    },
    pause: () => void running?.child.kill('SIGSTOP'),
    resume: () => void running?.child.kill('SIGCONT'),
    output: () => said,
    [Symbol.asyncDispose]: dispose,
  };
}

interface Running {
  child: ChildProcess;
  /** Never rejects. */
  gone: Promise<unknown>;
}

async function runServer(options: {
  dir: string;
  port: number;
  config: Record<string, string>;
  said(text: string): void;
}): Promise<Running> {
  const settings: Record<string, string> = {
    bind: '127.0.0.1',
    port: String(options.port),
    dir: options.dir,
    save: '',
    appendonly: 'yes',
    appendfsync: 'everysec',
    ...options.config,
  };
  const args = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, value]);
  const child = spawn('redis-server', args, { cwd: options.dir, stdio: ['ignore', 'pipe', 'pipe'] });
  const gone = once(child, 'close').catch(() => undefined);
  let text = '';
  const ready = Promise.withResolvers<void>();
  const take = (chunk: string) => {
    options.said(chunk);
    text += chunk;
    if (text.includes('Ready to accept connections')) ready.resolve();
  };
  child.stdout.setEncoding('utf8').on('data', take);
  child.stderr.setEncoding('utf8').on('data', take);
  child.on('error', ready.reject);
  gone.then(() => ready.reject(new Error(`redis-server ended before it was ready:\n${text}`)), ready.reject);
  const late = setTimeout(() => {
    ready.reject(new Error(`redis-server was not ready after ${READY_LIMIT_MS / 1000} s:\n${text}`));
  }, READY_LIMIT_MS);
  try {
    await ready.promise;
    return { child, gone };
  } catch (error) {
    child.kill('SIGKILL');
    await gone;
    throw error;
  } finally {
    clearTimeout(late);
  }
}

async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
}

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
