/** For tests: trees from text and from installed packages, and a run of what was built. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { Script } from 'node:vm';
import { HearthError, type SourceError } from '../../contract/errors.ts';
import type { Manifest } from '../../contract/manifest.ts';
import { parseManifestValue } from '../../contract/manifest-file.ts';
import type { BuildResult, ProvidedSpecifier } from '../api.ts';
import { bundle } from '../bundle.ts';

const ROOT = join(import.meta.dirname, '../../..');
const require = createRequire(import.meta.url);

export function treeOf(files: Record<string, string | Uint8Array>): Map<string, Uint8Array> {
  return new Map(Object.entries(files).map(([path, content]) => [path, Buffer.from(content)]));
}

/** Installed packages with all they depend on, as npm would lay them out. */
export function installed(...names: string[]): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const seen = new Set<string>();
  const add = (name: string, from: string) => {
    let above = from;
    let directory = join(above, 'node_modules', name);
    while (!holds(directory) && above !== ROOT) {
      above = dirname(above);
      directory = join(above, 'node_modules', name);
    }
    if (!holds(directory)) throw new Error(`${name} is not installed`);
    if (seen.has(directory)) return;
    seen.add(directory);
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile() || relative(directory, path).split('/').includes('node_modules')) continue;
      files.set(relative(ROOT, path), readFileSync(path));
    }
    const json = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { dependencies?: object };
    for (const dependency of Object.keys(json.dependencies ?? {})) add(dependency, directory);
  };
  for (const name of names) add(name, ROOT);
  return files;
}

function holds(directory: string): boolean {
  try {
    readFileSync(join(directory, 'package.json'));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

export interface BuildExtras {
  manifest?: Manifest;
  provided?: ProvidedSpecifier[];
}

export function buildTree(files: ReadonlyMap<string, Uint8Array>, extras: BuildExtras = {}): Promise<BuildResult> {
  const { manifest = parseManifestValue({}, 'test'), provided = [] } = extras;
  return bundle({ files, manifest, provided });
}

export function buildFiles(files: Record<string, string | Uint8Array>, extras: BuildExtras = {}): Promise<BuildResult> {
  return buildTree(treeOf(files), extras);
}

/** The places a refused build names. Fails when it was not refused. */
export async function refusal(building: Promise<unknown>): Promise<SourceError[]> {
  const error = await building.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof HearthError) || error.code !== 'BUILD_FAILED')
    throw new Error('not refused', { cause: error });
  return error.errors ?? [];
}

/** Runs a CommonJS bundle as a base does, and gives what it exports. */
export function run(
  result: { format: string; code: Uint8Array },
  host: { dirname?: string; provides?: Record<string, unknown> } = {},
) {
  if (result.format !== 'cjs') throw new Error(`not CommonJS but ${result.format}`);
  const { dirname: directory = '/files', provides = {} } = host;
  const script = new Script(
    `(function (exports, require, module, __filename, __dirname) { ${Buffer.from(result.code).toString()}\n})`,
  );
  const module = { exports: {} as Record<string, unknown> };
  const load = (specifier: string): unknown =>
    Object.hasOwn(provides, specifier) ? provides[specifier] : require(specifier);
  script.runInThisContext()(module.exports, load, module, `${directory}/bundle.js`, directory);
  return module.exports;
}

export function textOf(result: { code: Uint8Array }): string {
  return Buffer.from(result.code).toString();
}
