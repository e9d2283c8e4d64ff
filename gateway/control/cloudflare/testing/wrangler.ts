/** Runs wrangler as its users do: the package as npm has it, a process of its own, a home and a project of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Far above what any command takes on a loaded machine: one that hangs must not hang the tests. */
const LIMIT_MS = 60_000;

const WRANGLER = join(dirname(createRequire(import.meta.url).resolve('wrangler/package.json')), 'bin', 'wrangler.js');

export interface Ran {
  /** Null: ended by a signal. */
  code: number | null;
  /** Standard output and error, in the order they came. */
  output: string;
}

export interface Project extends AsyncDisposable {
  readonly directory: string;
  /** Files are added or replaced; null: removed. */
  write(files: Record<string, string | Uint8Array>): Promise<void>;
  wrangler(args: readonly string[], options?: { stdin?: string; token?: string }): Promise<Ran>;
}

/** A directory with these files, in which wrangler speaks to this gateway. */
export async function projectOf(
  gateway: { adminUrl: string; token: string },
  files: Record<string, string | Uint8Array>,
): Promise<Project> {
  const root = await mkdtemp(join(tmpdir(), 'hearth-wrangler-'));
  const directory = join(root, 'project');
  const home = join(root, 'home');
  await mkdir(directory);
  await mkdir(home);

  async function write(given: Record<string, string | Uint8Array>): Promise<void> {
    for (const [path, content] of Object.entries(given)) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), content);
    }
  }
  await write(files);

  return {
    directory,
    write,
    async wrangler(args, { stdin = '', token = gateway.token } = {}) {
      const child = spawn(process.execPath, ['--no-warnings', WRANGLER, ...args], {
        cwd: directory,
        env: {
          PATH: process.env.PATH,
          HOME: home,
          XDG_CONFIG_HOME: join(home, 'config'),
          TMPDIR: home,
          CI: '1',
          NO_COLOR: '1',
          WRANGLER_SEND_METRICS: 'false',
          WRANGLER_HIDE_BANNER: 'true',
          CLOUDFLARE_API_BASE_URL: `${gateway.adminUrl}/client/v4`,
          CLOUDFLARE_API_TOKEN: token,
          CLOUDFLARE_ACCOUNT_ID: 'any-account',
          // Whatever is asked of elsewhere fails at once, on every machine alike.
          HTTPS_PROXY: 'http://127.0.0.1:9',
          NO_PROXY: '127.0.0.1,localhost',
        },
      });
      const late = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text;
        });
      }
      child.stdin.end(stdin);
      await once(child, 'close');
      clearTimeout(late);
      return { code: child.exitCode, output };
    },
    async [Symbol.asyncDispose]() {
      await rm(root, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
