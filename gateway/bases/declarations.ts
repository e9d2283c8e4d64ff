/**
 * What a setup makes, as declarations, by TypeScript's own compiler where that is installed: so that authors of modules
 * know `env.BASE` without anybody writing its type down. Nothing of the setup is run.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import type { Tree } from '../../functions/build/tree.ts';
import { declaresBase } from './types.ts';

/** The setup on this machine, or as it was uploaded. */
export type SetupSource = { kind: 'path'; path: string } | { kind: 'source'; files: Tree; main: string };

export interface DeclarationsOptions {
  /** Where the configuration file stands: libraries are looked for there, as for the base itself. */
  directory: string;
  shared: { as: string; from: string }[];
}

const LIMIT_MS = 20_000;
const MOST_BYTES = 256 * 1024;

/** Null where there is no compiler, or where what it says cannot be put into one file. Never rejects for what is wrong in a setup. */
export async function declarationsOf(setup: SetupSource, options: DeclarationsOptions): Promise<string | null> {
  const compiler = compilerPath();
  if (compiler === null) return null;
  const work = await mkdtemp(join(tmpdir(), 'hearth-types-'));
  try {
    const root = setup.kind === 'path' ? dirname(setup.path) : join(work, 'source');
    const main = setup.kind === 'path' ? setup.path : join(root, setup.main);
    if (setup.kind === 'source') await writeTree(root, setup.files, options.directory);
    const out = join(work, 'out');
    await writeFile(join(work, 'tsconfig.json'), JSON.stringify(tsconfig(main, out, options)));
    const emitted = await compile(compiler, work);
    const files = new Map<string, string>();
    // Of what it imports only what stands beside it; a library has declarations of its own.
    for (const path of emitted) {
      const source = relative(root, join('/', relative(out, path)));
      if (!source.startsWith('..')) files.set(withoutExtension(source), await readFile(path, 'utf8'));
    }
    const text = merge(files, withoutExtension(relative(root, main)));
    return text === null || text.length > MOST_BYTES ? null : text;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function compilerPath(): string | null {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return null;
    throw error;
  }
}

async function writeTree(root: string, files: Tree, directory: string): Promise<void> {
  for (const [path, bytes] of files) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), bytes);
  }
  const modules = join(directory, 'node_modules');
  const own = join(root, 'node_modules');
  if (existsSync(modules) && !existsSync(own)) await symlink(modules, own);
}

/** Types are not checked: an author's editor says what is wrong there, this is only to tell what there is. */
function tsconfig(main: string, outDir: string, { directory, shared }: DeclarationsOptions): object {
  const aliased = shared.filter(({ as, from }) => as !== from);
  return {
    files: [main],
    compilerOptions: {
      declaration: true,
      emitDeclarationOnly: true,
      noCheck: true,
      skipLibCheck: true,
      allowImportingTsExtensions: true,
      allowJs: true,
      strict: true,
      target: 'esnext',
      module: 'preserve',
      moduleResolution: 'bundler',
      types: [],
      rootDir: '/',
      outDir,
      paths: Object.fromEntries(aliased.map(({ as, from }) => [as, [join(directory, 'node_modules', from)]])),
    },
  };
}

function compile(compiler: string, directory: string): Promise<string[]> {
  const args = [compiler, '-p', join(directory, 'tsconfig.json'), '--listEmittedFiles', '--pretty', 'false'];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      args,
      { cwd: directory, env: {}, timeout: LIMIT_MS, killSignal: 'SIGKILL' },
      (_error, output) => {
        // It also says what is wrong, and emits all the same; without a file there is nothing to tell.
        resolve([...output.matchAll(/^TSFILE: (.+\.d\.[cm]?ts)$/gm)].map(([, path]) => path as string));
      },
    );
  });
}

/** One file of declarations that says what `Base` is; the others become namespaces in it. Null: that cannot be done. */
export function merge(files: ReadonlyMap<string, string>, main: string): string | null {
  const text = files.get(main);
  if (text === undefined) return null;
  const namespaces = new Map(
    [...files.keys()].filter((path) => path !== main).map((path, n) => [path, `Setup${n + 1}`]),
  );
  const libraries = new Set<string>();
  const placed = (path: string) => place(files.get(path) ?? '', path, namespaces, libraries);
  const own = placed(main);
  const others: string[] = [];
  for (const [path, name] of namespaces) {
    const inner = placed(path);
    if (inner === null) return null;
    others.push(`declare namespace ${name} {\n${indented(ambient(inner))}\n}`);
  }
  const based = own === null ? null : withBase(own);
  return based === null ? null : [...libraries, ...others, based].join('\n').trim();
}

/** Imports of its neighbours as aliases of their namespaces; imports of libraries go to `libraries`. */
function place(
  text: string,
  path: string,
  namespaces: ReadonlyMap<string, string>,
  libraries: Set<string>,
): string | null {
  const neighbour = (specifier: string) => namespaces.get(withoutExtension(join(dirname(path), specifier)));
  let unknown = false;
  const lines = text.split('\n').flatMap((line): string[] => {
    if (/^export (\*|(type )?\{[^}]*\}) from /.test(line)) unknown = true;
    const found = /^import (?:type )?(.+) from ['"](.+)['"];$/.exec(line);
    if (found === null) return line === 'export {};' ? [] : [line];
    const [, names = '', specifier = ''] = found;
    if (!specifier.startsWith('.')) {
      libraries.add(line);
      return [];
    }
    const namespace = neighbour(specifier);
    const aliases = namespace === undefined ? null : aliasesOf(names, namespace);
    if (aliases === null) unknown = true;
    return aliases ?? [];
  });
  if (unknown) return null;
  const whole = lines.join('\n').replaceAll(/import\(['"](\.[^'"]*)['"]\)/g, (all, specifier: string) => {
    return neighbour(specifier) ?? all;
  });
  return /import\(['"]\./.test(whole) ? null : whole;
}

function aliasesOf(names: string, namespace: string): string[] | null {
  const star = /^\* as (\w+)$/.exec(names);
  if (star !== null) return [`import ${star[1]} = ${namespace};`];
  const braces = /^\{(.*)\}$/.exec(names);
  if (braces === null) return null;
  return (braces[1] ?? '').split(',').flatMap((part) => {
    const name = /^\s*(?:type )?(\w+)(?: as (\w+))?\s*$/.exec(part);
    return name === null ? [] : [`import ${name[2] ?? name[1]} = ${namespace}.${name[1]};`];
  });
}

/** Within a namespace that is declared, nothing is declared again; nor has it a default. */
function ambient(text: string): string {
  return text
    .replaceAll(/^export default .*;$/gm, '')
    .replaceAll(/^(export )?declare /gm, '$1')
    .trim();
}

function indented(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ');
}

const BASE = `type Made<Setup> = Setup extends (...args: never[]) => infer Value ? Awaited<Value> : Setup;
/** What the setup of the base returns. */
export type Base = `;

function withBase(text: string): string | null {
  if (declaresBase(text)) return text;
  const named = text.replace(/^export default function \(/m, 'export default function _default(');
  const found =
    /^export default (?:async )?function (\w+)/m.exec(named) ?? /^export (?:default|=) (\w+);$/m.exec(named);
  if (found === null) return null;
  const inner = named.replace(/^export default (?=function )/m, 'declare ').replace(/^export (default|=) \w+;\n?/m, '');
  return `${inner.trim()}\n${BASE}Made<typeof ${found[1]}>;`;
}

function withoutExtension(path: string): string {
  return path.replace(/(\.d)?\.[cm]?[jt]sx?$/, '');
}
