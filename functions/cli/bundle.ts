/**
 * Bundles a project with its own node_modules, before it is uploaded: what the gateway gets is one file with its source
 * map in it. Where everything a project imports is sent anyway, nothing is bundled here, and the gateway does it all.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isBuiltin, SourceMap } from 'node:module';
import { basename, join, posix, relative, sep } from 'node:path';
import type { BuildFailure, Message, Metafile, Plugin } from 'esbuild';
import { HearthError, type SourceError } from '../contract/errors.ts';
import { isHidden } from './source-tree.ts';

export interface BundleRequest {
  /** Absolute; paths below are relative to it, with `/`. */
  directory: string;
  main: string;
  /** Whether this file is uploaded as it is, if nothing is bundled. */
  sent(path: string): boolean;
  nodeEnv: string;
  /** What the base shares: specifier → version. Left to it where the project has that very version. */
  shared: ReadonlyMap<string, string>;
  /** For a debugger on this machine: sources in the map are named by their whole path, and stand in it. */
  inspect: boolean;
}

export interface Bundle {
  path: string;
  code: Uint8Array<ArrayBuffer>;
  /** Files that it imports by relative paths: WebAssembly, bytes, texts. */
  assets: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Files of the project that are in it. */
  inputs: ReadonlySet<string>;
  /** Sources that lie elsewhere, absolute; those of packages are left out. */
  outside: readonly string[];
  /** The place in a source of what the gateway says about the bundle. */
  origin(error: SourceError): SourceError;
}

const RUNTIME = /^(hearth(\/business)?|cloudflare:.*)$/;
/** All else goes along as a file, and becomes in the gateway what the rules of the manifest say. */
const CODE = /\.([cm]?[jt]sx?|json)$/;
const MOST_ERRORS = 20;

/**
 * Null: all that is imported is sent as it is.
 * @throws HearthError BUILD_FAILED with file, line and column.
 */
export async function bundleProject(request: BundleRequest): Promise<Bundle | null> {
  const { directory, main, inspect } = request;
  const path = below(posix.dirname(main), `${basename(main).replace(/\.[^.]+$/, '')}.js`);
  const assets: Assets = new Map();
  const assetSources = new Map<string, string>();
  const built = await esbuildOf(request, resolvePlugin(request, assets, assetSources, posix.dirname(path))).catch(
    (error: unknown) => {
      throw isBuildFailure(error) ? failed(error.errors) : error;
    },
  );
  const inputs = Object.keys(built.metafile.inputs);
  const imported = [...inputs.filter((input) => !input.includes(':')), ...assetSources.keys()];
  for (const input of imported) {
    if (staysHome(input)) throw importsHidden(input, assetSources.get(input) ?? importerOf(input, built.metafile));
  }
  // A debugger wants the whole paths that only a bundle names.
  if (!inspect && !inputs.some((input) => !request.sent(input))) return null;

  const map = JSON.parse(built.outputFiles.find((file) => file.path.endsWith('.map'))?.text ?? '{}');
  const code = built.outputFiles.find((file) => file.path.endsWith('.js'))?.text ?? '';
  if (inspect) map.sources = map.sources.map((source: string) => join(directory, source));
  const inline = Buffer.from(JSON.stringify(map)).toString('base64');
  return {
    path,
    code: new TextEncoder().encode(`${code}\n//# sourceMappingURL=data:application/json;base64,${inline}\n`),
    assets,
    inputs: new Set(inputs),
    outside: imported
      .filter((input) => !request.sent(input) && !input.includes('node_modules/'))
      .map((input) => join(directory, input)),
    origin: (error) => (error.file === path ? originIn(new SourceMap(map), error) : error),
  };
}

async function esbuildOf({ directory, main, inspect, nodeEnv }: BundleRequest, plugin: Plugin) {
  // It starts a process of its own, which no other command needs.
  const { build } = await import('esbuild');
  return await build({
    absWorkingDir: directory,
    entryPoints: [`./${main}`],
    // At the top, so that its map names sources from there, wherever it stands in the upload.
    outfile: join(directory, 'bundle.js'),
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'esnext',
    sourcemap: 'external',
    sourcesContent: inspect,
    legalComments: 'none',
    logLevel: 'silent',
    define: { 'process.env.NODE_ENV': JSON.stringify(nodeEnv) },
    plugins: [plugin],
  });
}

type Assets = Map<string, Uint8Array<ArrayBuffer>>;

/** Packages, and what is not code. Paths between files are esbuild's alone: asking here for each takes longest of all. */
const ASKED_FOR = /^[^./]|\.[A-Za-z0-9_]+(\?module)?$/;

/** `sources`: of the assets, relative to the directory, with who imports them. */
function resolvePlugin(
  { directory, shared }: BundleRequest,
  assets: Assets,
  sources: Map<string, string>,
  bundleDirectory: string,
): Plugin {
  const seen = Symbol('resolved by esbuild itself');
  return {
    name: 'hearth',
    setup(esbuild) {
      esbuild.onResolve({ filter: ASKED_FOR }, async (args) => {
        if (args.kind === 'entry-point' || args.pluginData === seen) return undefined;
        if (args.path.startsWith('.') && CODE.test(args.path)) return undefined;
        if (isBuiltin(args.path) || RUNTIME.test(args.path)) return { path: args.path, external: true };
        const { importer, kind, namespace, resolveDir } = args;
        const [, suffix = ''] = /(\?module)$/.exec(args.path) ?? [];
        const resolved = await esbuild.resolve(args.path.slice(0, args.path.length - suffix.length), {
          importer,
          kind,
          namespace,
          resolveDir,
          with: args.with,
          pluginData: seen,
        });
        if (resolved.errors.length > 0) {
          // A package that is not installed here may be the base's. What is missing in both, the gateway tells.
          return isBare(args.path) ? { path: args.path, external: true } : undefined;
        }
        if (resolved.external || resolved.namespace !== 'file') return resolved;
        if (shared.has(args.path) && shared.get(args.path) === (await versionOf(args.path, resolved.path))) {
          return { path: args.path, external: true };
        }
        if (CODE.test(resolved.path) || !/\.\w+$/.test(resolved.path) || args.with.type !== undefined) return resolved;
        const bytes = await readFile(resolved.path);
        const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 12);
        const name = `${hash}-${basename(resolved.path)}`;
        assets.set(below(bundleDirectory, name), bytes);
        sources.set(relative(directory, resolved.path).replaceAll(sep, '/'), relative(directory, importer));
        return { path: `./${name}${suffix}`, external: true };
      });
    },
  };
}

/** A name with a dot in front, under which secrets are kept, is not sent because something imports it. */
function staysHome(path: string): boolean {
  if (path.includes('node_modules/')) return false;
  return path.split('/').some((name) => isHidden(name) && name !== '..');
}

function importsHidden(path: string, importer: string | undefined): HearthError {
  const message = `It imports ${path}: what has a name with a dot in front stays at home. Move it, or give it another name.`;
  return new HearthError('BUILD_FAILED', message, {
    errors: [{ message, ...(importer === undefined ? {} : { file: importer }) }],
  });
}

function importerOf(path: string, { inputs }: Metafile): string | undefined {
  return Object.keys(inputs).find((input) => inputs[input]?.imports.some((one) => one.path === path));
}

function isBare(specifier: string): boolean {
  return !/^(\.{0,2}\/|\.{1,2}$|#)/.test(specifier);
}

/** Of the package in whose directory this file was found; undefined where that cannot be told. */
async function versionOf(specifier: string, file: string): Promise<string | undefined> {
  const library = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  const at = file.lastIndexOf(join('node_modules', library) + sep);
  if (at === -1) return undefined;
  const text = await readFile(join(file.slice(0, at), 'node_modules', library, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version?: string }).version;
}

/** `a` of `.` and `a`. */
function below(directory: string, name: string): string {
  return directory === '.' ? name : `${directory}/${name}`;
}

function originIn(map: SourceMap, error: SourceError): SourceError {
  const origin = map.findOrigin(error.line ?? 1, error.column ?? 1);
  if (!('fileName' in origin) || origin.fileName === undefined) return error;
  return { ...error, file: origin.fileName, line: origin.lineNumber, column: origin.columnNumber };
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && Array.isArray((error as Partial<BuildFailure>).errors);
}

function failed(messages: readonly Message[]): HearthError {
  const errors = messages.slice(0, MOST_ERRORS).map(({ text, location }): SourceError => {
    if (location === null) return { message: text };
    // esbuild counts columns in bytes from 0.
    const column = Buffer.from(location.lineText).subarray(0, location.column).toString().length + 1;
    return { message: text, file: location.file, line: location.line, column };
  });
  const more = errors.length > 1 ? ` (and ${messages.length - 1} more)` : '';
  return new HearthError('BUILD_FAILED', `${errors[0]?.message ?? 'The build failed.'}${more}`, { errors });
}
