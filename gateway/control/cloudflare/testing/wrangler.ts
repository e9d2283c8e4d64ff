/** Runs wrangler as its users do: the package as npm has it, a process of its own, a home and a project of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Far above what any command takes on a loaded machine: one that hangs must not hang the tests. */
const LIMIT_MS = 60_000;

const WRANGLER_PACKAGE = createRequire(import.meta.url).resolve('wrangler/package.json');
const WRANGLER = join(dirname(WRANGLER_PACKAGE), 'bin', 'wrangler.js');

export interface Ran {
  /** Null: ended by a signal. */
  code: number | null;
  stdout: string;
  /** With standard error, in the order they came. */
  output: string;
}

export interface Project extends AsyncDisposable {
  readonly directory: string;
  /** Files are added or replaced; null: removed. */
  write(files: Record<string, string | Uint8Array>): Promise<void>;
  wrangler(args: readonly string[], options?: { stdin?: string; token?: string }): Promise<Ran>;
  /** First lines of what it asked of anybody but the gateway. */
  outside(): readonly string[];
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
  // What a project has installed is what is installed here.
  await symlink(dirname(dirname(WRANGLER_PACKAGE)), join(directory, 'node_modules'));

  async function write(given: Record<string, string | Uint8Array>): Promise<void> {
    for (const [path, content] of Object.entries(given)) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), content);
    }
  }
  await write(files);

  // Stands in for every other server, so that what is asked of one is seen, and fails at once.
  const asked: string[] = [];
  const proxy = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (data) => {
      asked.push(String(data).split('\r\n', 1)[0] ?? '');
      socket.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const elsewhere = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;

  return {
    directory,
    write,
    outside: () => asked,
    async wrangler(args, { stdin = '', token = gateway.token } = {}) {
      const child = spawn(process.execPath, ['--no-warnings', WRANGLER, ...args], {
        cwd: directory,
        env: {
          PATH: process.env.PATH,
          HOME: home,
          XDG_CONFIG_HOME: join(home, 'config'),
          TMPDIR: home,
          // Its 15 MB are compiled once, and not for each command.
          NODE_COMPILE_CACHE: join(home, 'compiled'),
          CI: '1',
          NO_COLOR: '1',
          WRANGLER_SEND_METRICS: 'false',
          WRANGLER_HIDE_BANNER: 'true',
          CLOUDFLARE_API_BASE_URL: `${gateway.adminUrl}/client/v4`,
          CLOUDFLARE_API_TOKEN: token,
          CLOUDFLARE_ACCOUNT_ID: 'any-account',
          HTTPS_PROXY: elsewhere,
          NO_PROXY: '127.0.0.1,localhost',
        },
      });
      const late = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
      let stdout = '';
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
        output += text;
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
      child.stdin.end(stdin);
      await once(child, 'close');
      clearTimeout(late);
      return { code: child.exitCode, stdout, output };
    },
    async [Symbol.asyncDispose]() {
      proxy.close();
      await rm(root, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
