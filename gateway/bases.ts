/** Base definitions with their libraries found: what hosts are started with and what the builder leaves out of modules. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { type BuildFailure, type BuildOptions, build, type Plugin } from 'esbuild';
import { splitSpecifier } from '../functions/build/resolve.ts';
import type { BaseDefinition } from '../pool/keeper/definition.ts';
import { ConfigError } from './config.ts';
import type { BaseSource, ConfigFile } from './config-file.ts';

/**
 * Resolves each definition. Libraries are looked for from the config file's directory, then among Hearth's own; with
 * the `require` condition, because bases load CommonJS. Throws ConfigError naming the definition and the specifier.
 */
export function resolveBases(file: ConfigFile, env: Readonly<Record<string, string | undefined>>): BaseDefinition[] {
  return Object.entries(file.bases).map(([name, source]) => resolveBase(name, source, file.directory, env));
}

/**
 * Makes each setup module one CommonJS file in `directory`, and finds out how much each shared library would add to a
 * module that carried it. Throws ConfigError with file, line and column.
 */
export function prepareBases(definitions: BaseDefinition[], directory: string): Promise<BaseDefinition[]> {
  return Promise.all(
    definitions.map(async (definition) => {
      const [setupPath, ...bytes] = await Promise.all([
        bundleSetup(definition, join(directory, `${definition.name}.cjs`)),
        ...definition.shared.map(bundledBytes),
      ]);
      const shared = definition.shared.map((entry, index) => ({ ...entry, bytes: bytes[index] ?? entry.bytes }));
      return { ...definition, setupPath, shared };
    }),
  );
}

const BUNDLED = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node26',
  logLevel: 'silent',
  legalComments: 'none',
  minifySyntax: true,
} as const satisfies BuildOptions;

/**
 * A base may read this file and its shared libraries, and nothing else. The setup module is the operator's own, so it
 * is bundled with all it imports from where it stands; what the base shares stays one copy for setup and modules.
 */
async function bundleSetup({ name, setupPath, shared }: BaseDefinition, outfile: string): Promise<string | null> {
  if (setupPath === null) return null;
  const paths = new Map(shared.map(({ specifier, path }) => [specifier, path]));
  const plugin: Plugin = {
    name: 'shared',
    setup({ onResolve }) {
      onResolve({ filter: /^[^./]/ }, ({ path }) => {
        const file = paths.get(path);
        return file === undefined ? undefined : { path: file, external: true };
      });
    },
  };
  try {
    await build({ ...BUNDLED, entryPoints: [setupPath], outfile, plugins: [plugin] });
    return outfile;
  } catch (error) {
    const [first] = (error as Partial<BuildFailure>).errors ?? [];
    if (first === undefined) throw error;
    const place =
      first.location === null ? '' : `${first.location.file}:${first.location.line}:${first.location.column + 1}: `;
    throw new ConfigError(`bases.${name}.setup: ${place}${first.text}`, { cause: error });
  }
}

/** As a module would carry it. Of one that no bundler takes (native parts, files it reads) the file alone counts. */
async function bundledBytes({ path, bytes }: BaseDefinition['shared'][number]): Promise<number> {
  try {
    const { outputFiles } = await build({ ...BUNDLED, entryPoints: [path], write: false });
    return outputFiles.reduce((sum, { contents }) => sum + contents.byteLength, 0);
  } catch (error) {
    if ((error as Partial<BuildFailure>).errors === undefined) throw error;
    return bytes;
  }
}

function resolveBase(
  name: string,
  source: BaseSource,
  directory: string,
  env: Readonly<Record<string, string | undefined>>,
): BaseDefinition {
  const setupPath = source.setup === undefined ? null : resolve(directory, source.setup);
  if (setupPath !== null && !existsSync(setupPath)) {
    throw new ConfigError(`bases.${name}.setup: there is no file ${setupPath}.`);
  }
  return {
    name,
    shared: oneVersionEach(
      name,
      source.shared.map((entry) => resolveShared(name, entry, directory)),
    ),
    setupPath,
    env: Object.fromEntries(
      source.env.flatMap((key) => {
        const value = env[key];
        return value === undefined ? [] : [[key, value]];
      }),
    ),
    ...(source.warm === undefined ? {} : { warm: source.warm }),
  };
}

type Shared = BaseDefinition['shared'][number];

function resolveShared(base: string, { as, from }: BaseSource['shared'][number], directory: string): Shared {
  for (const importer of [join(directory, 'hearth.config.jsonc'), import.meta.filename]) {
    const path = find(from, importer);
    if (path === undefined) continue;
    const version = packageOf(path).version ?? '0.0.0';
    return { specifier: as, library: splitSpecifier(as).name, version, path, bytes: statSync(path).size };
  }
  throw new ConfigError(
    `bases.${base}.shared: ${JSON.stringify(from)} is installed neither in ${directory} nor with Hearth, or has no CommonJS entry; npm install it there.`,
  );
}

/** A module gets a library whole, so its parts have to be of one version. */
function oneVersionEach(base: string, shared: Shared[]): Shared[] {
  const refuse = (what: string): never => {
    throw new ConfigError(
      `bases.${base}.shared: ${what}; a base shares one of each: give the other a base of its own.`,
    );
  };
  for (const [index, { specifier, library, version }] of shared.entries()) {
    for (const other of shared.slice(0, index)) {
      if (other.specifier === specifier) refuse(`${JSON.stringify(specifier)} stands there twice`);
      if (other.library === library && other.version !== version)
        refuse(`${JSON.stringify(library)} stands there in two versions, ${other.version} and ${version}`);
    }
  }
  return shared;
}

/** Absolute path of the file, undefined when it is not there. A built-in is nothing to share. */
function find(specifier: string, from: string): string | undefined {
  try {
    const path = createRequire(from).resolve(specifier);
    return path === specifier ? undefined : path;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return undefined;
    throw error;
  }
}

/** The nearest package.json that has a name and a version: inner ones that only say `"type": "commonjs"` are passed by. */
function packageOf(path: string): { name?: string; version?: string } {
  for (let directory = dirname(path); directory !== dirname(directory); directory = dirname(directory)) {
    const manifest = join(directory, 'package.json');
    if (!existsSync(manifest)) continue;
    const content = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string; version?: string };
    if (content.name !== undefined && content.version !== undefined) return content;
  }
  return {};
}
