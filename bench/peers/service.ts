/**
 * An ordinary Node service in a directory of its own, as one is changed without a platform: the source is edited, built,
 * the process that runs is ended, and a new one is started.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scheduler } from 'node:timers/promises';
import { freePort } from './process.ts';

export type ServiceKind = 'esbuild + node' | 'npm run build (tsc) + npm start';

export interface Service extends AsyncDisposable {
  readonly name: ServiceKind;
  /** Ms from the edited source standing there to the first answer that is its own. */
  redeploy(id: string): Promise<number>;
}

const ROOT = join(import.meta.dirname, '../..');

const source = (id: string) => `import { serve } from '@hono/node-server';
import { Hono } from 'hono';
const app = new Hono();
app.get('/', (c) => c.text('${id}'));
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.env.PORT) });
`;

const PACKAGE = {
  type: 'module',
  scripts: { build: 'tsc', start: 'exec node dist/server.js' },
};

const TSCONFIG = {
  compilerOptions: {
    module: 'nodenext',
    target: 'es2024',
    strict: true,
    skipLibCheck: true,
    types: ['node'],
    outDir: 'dist',
    rootDir: '.',
  },
  files: ['server.ts'],
};

const STEPS: Record<ServiceKind, { build: string[]; start: string[] }> = {
  'esbuild + node': {
    build: [
      join(ROOT, 'node_modules/esbuild/bin/esbuild'),
      ...['server.ts', '--bundle', '--platform=node', '--format=esm', '--outfile=dist/server.js', '--log-level=error'],
    ],
    start: [process.execPath, 'dist/server.js'],
  },
  'npm run build (tsc) + npm start': {
    build: ['npm', 'run', '--silent', 'build'],
    start: ['npm', 'run', '--silent', 'start'],
  },
};

/** A build or a start that takes longer has failed. */
const LIMIT_MS = 60_000;

export async function startService(kind: ServiceKind): Promise<Service> {
  const directory = await mkdtemp(join(tmpdir(), 'hearth-bench-'));
  await writeFile(join(directory, 'package.json'), JSON.stringify(PACKAGE));
  await writeFile(join(directory, 'tsconfig.json'), JSON.stringify(TSCONFIG));
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  const port = await freePort();
  const { build, start } = STEPS[kind];
  let running: ChildProcess | null = null;

  function run(command: string[]): ChildProcess {
    const [file = '', ...args] = command;
    const path = `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`;
    // A process group of its own: npm and what it started are ended together.
    return spawn(file, args, {
      cwd: directory,
      detached: true,
      env: { ...process.env, PATH: path, PORT: String(port) },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }

  async function end(): Promise<void> {
    const child = running;
    running = null;
    if (child === null || child.pid === undefined || child.exitCode !== null) return;
    const gone = once(child, 'exit');
    process.kill(-child.pid, 'SIGTERM');
    await gone;
    await untilFree();
  }

  /** npm may be gone before what it started. */
  async function untilFree(): Promise<void> {
    for (let text = await ask(port); text !== null; text = await ask(port)) await scheduler.wait(POLL_MS);
  }

  return {
    name: kind,
    async redeploy(id) {
      await writeFile(join(directory, 'server.ts'), source(id));
      const begun = performance.now();
      const building = run(build);
      const [code] = await once(building, 'exit');
      if (code !== 0) throw new Error(`${build.join(' ')} ended with ${code}`);
      await end();
      running = run(start);
      while ((await ask(port)) !== id) {
        if (running.exitCode !== null) throw new Error(`${start.join(' ')} ended with ${running.exitCode}`);
        if (performance.now() - begun > LIMIT_MS) throw new Error(`${kind} did not answer`);
        await scheduler.wait(POLL_MS);
      }
      return performance.now() - begun;
    },
    async [Symbol.asyncDispose]() {
      await end();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const POLL_MS = 2;

async function ask(port: number): Promise<string | null> {
  try {
    return await (await fetch(`http://127.0.0.1:${port}/`)).text();
  } catch {
    return null; // not listening (yet)
  }
}
