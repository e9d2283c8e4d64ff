/**
 * bubblewrap around a host: an empty root that holds what Node and the host need, read-only, its own /proc, /tmp, PID
 * and IPC namespaces, and no network where none is wanted. Names, users and processes of the machine are not there.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';

const ROOT = path.join(import.meta.dirname, '../../..');

/** For names and addresses when the host has the network; what is missing on this machine is left out. */
const RESOLVER_FILES = ['/etc/resolv.conf', '/etc/hosts', '/etc/nsswitch.conf', '/etc/host.conf', '/etc/gai.conf'];

export interface SandboxOptions {
  /** Files and directories that the host or its bases read, the link's socket among them. */
  readable: string[];
  cwd: string;
  network: 'all' | 'none';
}

export interface Sandbox {
  /** Program and arguments that run `command` inside. The IPC descriptor and the environment pass through. */
  wrap(command: string[], options: SandboxOptions): { file: string; args: string[] };
}

/** Null where bubblewrap is not installed or may not do its work; `why` says which. */
export function findSandbox(searchPath = process.env.PATH ?? ''): { sandbox: Sandbox | null; why: string } {
  const file = searchPath
    .split(path.delimiter)
    .map((directory) => path.join(directory, 'bwrap'))
    .find((candidate) => path.isAbsolute(candidate) && existsSync(candidate));
  if (file === undefined) return { sandbox: null, why: 'bwrap is not on PATH' };
  const sandbox = createSandbox(file, nodeFiles());
  // Containers often forbid namespaces: only a trial tells.
  const trial = sandbox.wrap([process.execPath, '--version'], { readable: [], cwd: '/', network: 'none' });
  const { status, stderr, error } = spawnSync(trial.file, trial.args, { env: {}, timeout: 10_000, encoding: 'utf8' });
  if (status === 0) return { sandbox, why: 'bwrap works' };
  return { sandbox: null, why: `bwrap does not work here: ${error?.message ?? stderr.trim()}` };
}

function createSandbox(file: string, nodes: string[]): Sandbox {
  return {
    wrap(command, { readable, cwd, network }) {
      const args = ['--unshare-all', '--die-with-parent', '--new-session', '--cap-drop', 'ALL', '--hostname', 'hearth'];
      if (network === 'all') args.push('--share-net');
      args.push('--proc', '/proc', '--dev', '/dev', '--dir', '/tmp');
      for (const node of nodes) args.push('--ro-bind', node, node);
      if (network === 'all') for (const name of RESOLVER_FILES) args.push('--ro-bind-try', name, name);
      for (const name of readable) args.push('--ro-bind', name, name);
      args.push('--remount-ro', '/', '--chdir', cwd, '--', ...command);
      return { file, args };
    },
  };
}

/** What a host needs of Hearth itself, besides the base's bundle. */
export function hostFiles(): string[] {
  const { resolve } = createRequire(import.meta.url);
  const main = resolve('piscina');
  const piscina = main.slice(0, main.lastIndexOf('piscina') + 'piscina'.length);
  const own = ['pool', 'functions/contract', 'package.json'].map((name) => path.join(ROOT, name));
  // Beside Hearth's files, or above them where it is a package itself.
  const found = (resolve.paths('piscina') ?? []).map((directory) => path.join(directory, 'piscina')).find(existsSync);
  // Where node_modules is a link, the name it is found by and the place it leads to.
  return [...new Set([...own.filter((name) => existsSync(name)), ...(found === undefined ? [] : [found]), piscina])];
}

/** The running Node and the libraries it is linked with, by the names under which the loader looks for them. */
function nodeFiles(): string[] {
  const report = process.report.getReport() as { sharedObjects?: string[] };
  const libraries = (report.sharedObjects ?? []).filter((name) => path.isAbsolute(name) && existsSync(name));
  return [...new Set([process.execPath, realpathSync(process.execPath), ...libraries])];
}

/**
 * The process inside, as the machine numbers it: bubblewrap stands outside, its init inside, and the command below that.
 * Null while it has not been started, and once it is gone.
 */
export function pidInside(bubblewrap: ChildProcess): number | null {
  const init = onlyChild(bubblewrap.pid);
  return init === null ? null : onlyChild(init);
}

function onlyChild(pid: number | undefined): number | null {
  if (pid === undefined) return null;
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return children[0] === undefined || children[0] === '' ? null : Number(children[0]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
