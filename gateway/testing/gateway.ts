/**
 * Starts the real gateway as its own process, for tests: free ports, a temporary data directory, and nothing left
 * behind, also when the test fails or its process is ended.
 *
 *     await using gateway = await startGateway();
 *     await gateway.deploy('hi', 'export default { fetch: () => new Response("hi") }');
 *     assert.equal(await (await fetch(`${gateway.url}/hi`)).text(), 'hi');
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface StartOptions {
  /** Settings and whatever else the process shall see; PATH and HOME are there already. */
  env?: Record<string, string>;
  /** Deploy functions/examples first (default: off). */
  examples?: boolean;
  /** State of an earlier gateway. Whoever made the directory removes it. */
  dataDir?: string;
  /** Working directory of the process, where hearth.config.jsonc is looked for (default: the data directory). */
  cwd?: string;
  /** Flags after main.ts. */
  args?: string[];
}

export interface Answer<Body = unknown> {
  status: number;
  headers: Headers;
  /** Parsed when it is JSON, else text. */
  body: Body;
}

export interface Deployed {
  name: string;
  version: string;
  state: string;
  url: string;
  sizeBytes: number;
  provided: { library: string; version: string; bytes: number }[];
  timings: { buildMs: number; loadMs: number; probeMs: number; totalMs: number };
}

export interface DeployOptions {
  manifest?: Record<string, unknown>;
  /** For instance `activate=false`. */
  query?: string;
}

export interface TestGateway extends AsyncDisposable {
  /** Function traffic, `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly adminUrl: string;
  readonly token: string;
  readonly pid: number;
  readonly dataDir: string;
  /** A control call with the admin token. Objects go as JSON; strings and bytes as they are, with a content type of your own. */
  api<Body = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<Body>>;
  /** Deploys one TypeScript file, or a tree given as path → text. Throws with the answer when it is not a 201. */
  deploy(name: string, source: string | Record<string, string>, options?: DeployOptions): Promise<Deployed>;
  /** SIGTERM, and the exit code once the process is gone. The data directory stays until disposal. */
  stop(): Promise<number | null>;
  /** SIGKILL of the gateway alone; resolves once it is gone. The data directory stays until disposal. */
  kill9(): Promise<void>;
  /** Standard output and error so far. */
  output(): string;
  /** Resolves once the output holds this; rejects when the process ends without it, or SAID_LIMIT_MS have passed. */
  said(what: string | RegExp): Promise<void>;
}

/** Far above what a start takes on a loaded machine, examples included. */
const READY_LIMIT_MS = 60_000;
/** Above what anything takes that tests wait for, and below their own limit, which tells nothing of what was said. */
const SAID_LIMIT_MS = 100_000;

const MAIN = new URL('../main.ts', import.meta.url).pathname;

/** Resolves when the gateway has said `ready`. Rejects with its output when it ends before that. */
export async function startGateway(options: StartOptions = {}): Promise<TestGateway> {
  const ownDir = options.dataDir === undefined ? await mkdtemp(join(tmpdir(), 'hearth-test-')) : null;
  const dataDir = options.dataDir ?? (ownDir as string);
  const process_ = spawnGateway({ ...options, dataDir });
  const { child } = process_;
  // A test runner that is ended takes its gateways along.
  const onExit = () => {
    child.kill('SIGKILL');
    if (ownDir !== null) rmSync(ownDir, { recursive: true, force: true });
  };
  process.on('exit', onExit);

  const dispose = async () => {
    await end(child, 'SIGTERM');
    if (ownDir !== null) await rm(ownDir, { recursive: true, force: true, maxRetries: 3 });
    process.off('exit', onExit);
  };

  let ready: ReadyLine;
  try {
    ready = await process_.ready;
  } catch (error) {
    await dispose();
    throw error;
  }
  const token = options.env?.HEARTH_ADMIN_TOKEN ?? (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim();

  const api = async <Body>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const raw =
      body === undefined || typeof body === 'string' || body instanceof Uint8Array || body instanceof FormData;
    const response = await fetch(`${ready.adminUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(raw ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined
        ? {}
        : { body: raw ? (body as string | Uint8Array<ArrayBuffer> | FormData) : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = /json/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      body: (json && text !== '' ? JSON.parse(text) : text) as Body,
    };
  };

  return {
    url: ready.url,
    adminUrl: ready.adminUrl,
    token,
    pid: child.pid as number,
    dataDir,
    api,
    async deploy(name, source, { manifest, query } = {}) {
      const path = `/v1/functions/${name}${query === undefined ? '' : `?${query}`}`;
      const files = typeof source === 'string' ? { 'index.ts': source } : source;
      const answer =
        typeof source === 'string' && manifest === undefined
          ? await api<Deployed>('PUT', path, source, { 'content-type': 'text/typescript' })
          : await api<Deployed>('PUT', path, { ...(manifest === undefined ? {} : { manifest }), files });
      if (answer.status !== 201) {
        throw new Error(
          `deploy of ${name} answered ${answer.status}: ${JSON.stringify(answer.body)}\n${process_.output()}`,
        );
      }
      return answer.body;
    },
    stop: () => end(child, 'SIGTERM'),
    async kill9() {
      await end(child, 'SIGKILL');
    },
    output: process_.output,
    said: process_.said,
    [Symbol.asyncDispose]: dispose,
  };
}

export interface ReadyLine {
  url: string;
  adminUrl: string;
}

/** The process alone, for tests of a start that fails: `ready` rejects when it ends first. */
export function spawnGateway(options: StartOptions & { dataDir: string }): {
  child: ChildProcess;
  ready: Promise<ReadyLine>;
  /** Resolves with the exit code. */
  exited: Promise<number | null>;
  output(): string;
  /** As TestGateway.said. */
  said(what: string | RegExp): Promise<void>;
} {
  const child = spawn(process.execPath, ['--disable-sigusr1', MAIN, ...(options.args ?? [])], {
    cwd: options.cwd ?? options.dataDir,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      HEARTH_PORT: '0',
      HEARTH_ADMIN_PORT: '0',
      HEARTH_DATA_DIR: options.dataDir,
      HEARTH_EXAMPLES: options.examples === true ? 'auto' : 'off',
      HEARTH_LOG: 'info',
      // Two cores run several tests at once: what a test needs of the pool is less than what a user wants.
      HEARTH_WARM_BASES: '2',
      ...options.env,
    },
  });
  const chunks: string[] = [];
  const listeners = new Set<() => void>();
  const output = () => chunks.join('');
  const take = (text: string) => {
    chunks.push(text);
    for (const listener of listeners) listener();
  };
  child.stderr.setEncoding('utf8').on('data', take);
  const lines = createInterface({ input: child.stdout });
  // One that hangs would hang the tests that wait for it.
  const late = setTimeout(() => {
    take(`not ready after ${READY_LIMIT_MS / 1000} s: killed\n`);
    child.kill('SIGKILL');
  }, READY_LIMIT_MS);
  const exited = once(child, 'close').then(() => {
    clearTimeout(late);
    return child.exitCode;
  });
  const ready = new Promise<ReadyLine>((resolve, reject) => {
    lines.on('line', (line) => {
      take(`${line}\n`);
      const found = readyLine(line);
      if (found === null) return;
      clearTimeout(late);
      resolve(found);
    });
    exited.then(
      (code) => reject(new Error(`the gateway ended with ${code} before it was ready:\n${output()}`)),
      reject,
    );
  });
  // Whoever waits for `exited` alone is not to be told of the same end a second time.
  ready.catch(() => undefined);
  const said = (what: string | RegExp) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        const text = output();
        if (typeof what === 'string' ? !text.includes(what) : !what.test(text)) return false;
        listeners.delete(look);
        clearTimeout(late);
        resolve();
        return true;
      };
      const late = setTimeout(() => {
        listeners.delete(look);
        reject(new Error(`the gateway has not said ${what} for ${SAID_LIMIT_MS / 1000} s:\n${output()}`));
      }, SAID_LIMIT_MS);
      if (look()) return;
      listeners.add(look);
      exited.then(() => {
        clearTimeout(late);
        if (!look()) reject(new Error(`the gateway ended and never said ${what}:\n${output()}`));
      }, reject);
    });
  return { child, ready, exited, output, said };
}

function readyLine(line: string): ReadyLine | null {
  if (!line.includes('"ready"')) return null;
  const parsed = JSON.parse(line) as { msg?: string } & ReadyLine;
  return parsed.msg === 'ready' ? { url: parsed.url, adminUrl: parsed.adminUrl } : null;
}

async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = once(child, 'close');
  child.kill(signal);
  // A drain takes at most 30 s; what lives longer than that hangs, and must not hang the tests.
  const late = setTimeout(() => child.kill('SIGKILL'), 40_000);
  await gone;
  clearTimeout(late);
  return child.exitCode;
}
