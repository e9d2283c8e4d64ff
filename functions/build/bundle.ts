/** One build: from tree to bundle. Runs in the builder process. */
import { type BuildFailure, type BuildOptions, build, type BuildResult as EsbuildResult, type Message } from 'esbuild';
import { HearthError, type SourceError } from '../contract/errors.ts';
import type { BuildInput, BuildResult } from './api.ts';
import { createKinds } from './kinds.ts';
import { type Insertion, PLACE_BANNER, PLACE_DEFINES } from './place.ts';
import { createProvide } from './provided.ts';
import { createResolver } from './resolve.ts';
import { leftOverFiles } from './static-files.ts';
import { mainOf } from './tree.ts';
import { TREE, type TreeUse, treePlugin } from './tree-plugin.ts';
import { readTsconfig } from './tsconfig.ts';

const MOST_ERRORS = 20;
const TOP_LEVEL_AWAIT = /top-level await.*"cjs"/i;

/**
 * Bundles a tree. Types are not checked: TypeScript's annotations are taken off as Node itself does.
 * @throws HearthError BUILD_FAILED with file, line and column; MANIFEST_INVALID when `main` is not in the tree.
 */
export async function bundle(input: BuildInput): Promise<BuildResult> {
  const main = mainOf(input.manifest, input.files);
  const tsconfig = readTsconfig(input.files, main);
  const resolver = createResolver(input.files, tsconfig.aliases);
  const provide = createProvide(input.provided, resolver);
  const kindOf = createKinds(input.manifest.rules ?? []);

  async function attempt(format: 'cjs' | 'esm') {
    const use: TreeUse = {
      insertions: new Map(),
      provided: new Map(),
      wants: new Map(),
      ownCopies: new Map(),
      placed: new Set(),
    };
    const plugin = treePlugin({ files: input.files, resolver, provide, kindOf, format, use });
    const nodeEnv = input.manifest.vars.NODE_ENV;
    const options = {
      entryPoints: [main],
      plugins: [plugin],
      bundle: true,
      write: false,
      metafile: true,
      // Nothing is read from or written to these: the plugin answers for every path.
      absWorkingDir: '/',
      outfile: '/bundle.js',
      tsconfigRaw: tsconfig.raw,
      platform: 'node',
      target: 'node26',
      format,
      supported: { 'dynamic-import': false },
      minifySyntax: true,
      legalComments: 'none',
      sourcemap: 'external',
      // With it, esbuild would read the sources that an uploaded source map names from this machine.
      sourcesContent: false,
      banner: { js: PLACE_BANNER[format] },
      define: {
        ...PLACE_DEFINES,
        'process.env.NODE_ENV': JSON.stringify(typeof nodeEnv === 'string' ? nodeEnv : 'production'),
      },
      logLevel: 'silent',
    } satisfies BuildOptions;
    try {
      return { format, use, result: (await build(options)) as EsbuildResult<typeof options> };
    } catch (error) {
      if (!isBuildFailure(error)) throw error;
      // The sentence about the output format is ours to act on, not the author's to read.
      const theirs = error.errors.filter(({ text }) => format === 'esm' || !TOP_LEVEL_AWAIT.test(text));
      if (theirs.length === 0) return undefined;
      throw failed(theirs, use.insertions);
    }
  }

  const built = (await attempt('cjs')) ?? (await attempt('esm'));
  if (built === undefined) throw new Error('a build with top-level await asked for a third format');
  const { format, use, result } = built;
  const code = result.outputFiles.find(({ path }) => path.endsWith('.js'))?.contents;
  if (code === undefined) throw new Error('esbuild answered without code');
  const map = result.outputFiles.find(({ path }) => path.endsWith('.map'));

  const bundled = new Set(Object.keys(result.metafile.inputs).map(withoutNamespace));
  const left = leftOverFiles(input.files, bundled, use.placed, resolver);
  const leftBytes = left.reduce((sum, path) => sum + (input.files.get(path)?.byteLength ?? 0), 0);
  const imported = new Set(
    Object.values(result.metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path)),
  );
  // In an ES module what the base provides is no import any more, but an input of its own.
  for (const path of bundled) if (path.startsWith('hearth-host:')) imported.add(path.slice('hearth-host:'.length));

  const provided = sumByLibrary([...use.provided.values()].filter(({ specifier }) => imported.has(specifier)));

  return {
    format,
    code,
    sourceMap: map === undefined ? null : Buffer.from(map.text.replaceAll(`"${TREE}:`, '"')),
    files: left,
    sizeBytes: code.byteLength + leftBytes,
    provided,
    wants: provided.flatMap(({ library }) => {
      const range = use.wants.get(library);
      return range === undefined ? [] : [{ library, range }];
    }),
    ownCopies: [...use.ownCopies.values()].sort((a, b) => (a.library < b.library ? -1 : 1)),
  };
}

function sumByLibrary(used: { library: string; version: string; bytes: number }[]): BuildResult['provided'] {
  const sums = new Map<string, { library: string; version: string; bytes: number }>();
  for (const { library, version, bytes } of used) {
    const sum = sums.get(library);
    if (sum === undefined) sums.set(library, { library, version, bytes });
    else sum.bytes += bytes;
  }
  return [...sums.values()].sort((a, b) => (a.library < b.library ? -1 : 1));
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && Array.isArray((error as Partial<BuildFailure>).errors);
}

function failed(messages: readonly Message[], insertions: ReadonlyMap<string, Insertion>): HearthError {
  const errors = messages.slice(0, MOST_ERRORS).map((message) => toSourceError(message, insertions));
  const [first] = errors;
  const where = first?.file === undefined ? '' : `${first.file}:${first.line ?? 1}:${first.column ?? 1}: `;
  const more = messages.length > 1 ? ` (and ${messages.length - 1} more)` : '';
  return new HearthError('BUILD_FAILED', `${where}${first?.message ?? 'The build failed.'}${more}`, { errors });
}

function toSourceError({ text, location }: Message, insertions: ReadonlyMap<string, Insertion>): SourceError {
  // esbuild's own sentence for what the plugin left to it: see `leave` in tree-plugin.ts.
  const unresolved = /^Could not resolve "(.*)"$/.exec(text)?.[1];
  const message =
    unresolved === undefined
      ? text
      : `"${unresolved}" is neither among the deployed files nor shared by the base: upload it in node_modules, or add it to the base's "shared" libraries.`;
  if (location === null) return { message };
  const file = withoutNamespace(location.file);
  const insertion = insertions.get(file);
  let { column, lineText } = location;
  if (insertion !== undefined && insertion.line === location.line && column >= insertion.column + insertion.bytes) {
    const line = Buffer.from(lineText);
    lineText = Buffer.concat([
      line.subarray(0, insertion.column),
      line.subarray(insertion.column + insertion.bytes),
    ]).toString();
    column -= insertion.bytes;
  }
  // esbuild counts columns in bytes from 0.
  const characters = Buffer.from(lineText).subarray(0, column).toString().length;
  return { message, file, line: location.line, column: characters + 1 };
}

function withoutNamespace(path: string): string {
  return path.startsWith(`${TREE}:`) ? path.slice(TREE.length + 1) : path;
}
