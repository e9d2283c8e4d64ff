/** Deploys the examples as they stand in their directories, over HTTP, in each of the three body forms. */
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, sep } from 'node:path';
import { parse } from 'jsonc-parser';
import type { Answer, Deployed, TestGateway } from '../../../gateway/testing/gateway.ts';
import type { ManifestInput } from '../../contract/manifest.ts';

const EXAMPLES = join(import.meta.dirname, '..');

/** Every example that is one function on the default base: a directory with a manifest. */
export async function exampleNames(): Promise<string[]> {
  return (await manifestDirectories()).filter((path) => !path.includes(sep));
}

/** The functions of an example that is made of several: `snippet/post`. */
export async function partsOf(example: string): Promise<string[]> {
  return (await manifestDirectories()).filter((path) => path.startsWith(`${example}${sep}`));
}

/** Has the base definitions that some of the examples need. */
export const EXAMPLES_CONFIG = join(EXAMPLES, 'hearth.config.jsonc');

async function manifestDirectories(): Promise<string[]> {
  const entries = await readdir(EXAMPLES, { recursive: true });
  return entries
    .filter((path) => path.endsWith(`${sep}hearth.jsonc`))
    .map(dirname)
    .sort();
}

/** Paths with `/`, relative to the example. */
export async function readExample(name: string): Promise<Map<string, Uint8Array>> {
  return await readTree(join(EXAMPLES, name));
}

export async function readManifest(name: string): Promise<ManifestInput> {
  return parse(await readFile(join(EXAMPLES, name, 'hearth.jsonc'), 'utf8')) as ManifestInput;
}

/** `{manifest, files}` as JSON. `change` replaces top-level keys of the manifest. */
export async function deployAsJson(
  gateway: TestGateway,
  name: string,
  change: Partial<ManifestInput> = {},
): Promise<Answer<Deployed>> {
  const tree = await readExample(name);
  tree.delete('hearth.jsonc');
  const files = Object.fromEntries([...tree].map(([path, bytes]) => [path, Buffer.from(bytes).toString()]));
  const manifest = { ...(await readManifest(name)), ...change };
  return await gateway.api('PUT', `/v1/functions/${basename(name)}`, { manifest, files });
}

/** `multipart/form-data` with everything a `npm install` in the example would put there. */
export async function deployAsForm(gateway: TestGateway, name: string): Promise<Answer<Deployed>> {
  const form = new FormData();
  for (const [path, bytes] of [...(await readExample(name)), ...(await dependencies(name))]) {
    form.append('files', new Blob([new Uint8Array(bytes)]), path);
  }
  return await gateway.api('PUT', `/v1/functions/${name}`, form);
}

/** `node_modules` for what the example's package.json names: the packages and all that they need. */
async function dependencies(name: string): Promise<Map<string, Uint8Array>> {
  return await nodeModules(join(EXAMPLES, name, 'package.json'));
}

/** What npm would install for a package.json, or for these packages of it, as files of a tree. */
export async function nodeModules(packageJson: string, only?: readonly string[]): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const seen = new Set<string>();
  const todo = (only ?? (await dependenciesOf(packageJson))).map((dependency) => ({ dependency, from: packageJson }));
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const directory = packageDirectory(next.dependency, next.from);
    if (seen.has(directory)) continue;
    seen.add(directory);
    const place = directory.slice(directory.indexOf(`${sep}node_modules${sep}`) + 1).replaceAll(sep, '/');
    for (const [path, bytes] of await readTree(directory)) files.set(`${place}/${path}`, bytes);
    const from = join(directory, 'package.json');
    for (const dependency of await dependenciesOf(from)) todo.push({ dependency, from });
  }
  return files;
}

async function dependenciesOf(packageJson: string): Promise<string[]> {
  const { dependencies = {} } = JSON.parse(await readFile(packageJson, 'utf8')) as {
    dependencies?: Record<string, string>;
  };
  return Object.keys(dependencies);
}

function packageDirectory(dependency: string, from: string): string {
  const folders = createRequire(from).resolve.paths(dependency) ?? [];
  for (const folder of folders) {
    try {
      return dirname(createRequire(from).resolve(join(folder, dependency, 'package.json')));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw new Error(`${dependency}, which ${from} names, is not installed`);
}

async function readTree(directory: string): Promise<Map<string, Uint8Array>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !relative(directory, path).startsWith(`node_modules${sep}`));
  return new Map(
    await Promise.all(
      files.map(async (path) => {
        const name = relative(directory, path).replaceAll(sep, '/');
        return [name, new Uint8Array(await readFile(path))] as const;
      }),
    ),
  );
}
