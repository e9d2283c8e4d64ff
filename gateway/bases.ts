/** Base definitions with their libraries found: what hosts are started with and what the builder leaves out of modules. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { type BuildFailure, build } from 'esbuild';
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
 * Makes each setup module one CommonJS file in `directory`: a base may read that file and its shared libraries, and
 * nothing else. The setup module is the operator's own, so it is bundled with all it imports from where it stands.
 * Throws ConfigError with file, line and column.
 */
export async function bundleSetups(definitions: BaseDefinition[], directory: string): Promise<BaseDefinition[]> {
  return Promise.all(
    definitions.map(async (definition) => {
      if (definition.setupPath === null) return definition;
      const outfile = join(directory, `${definition.name}.cjs`);
      try {
        await build({
          entryPoints: [definition.setupPath],
          outfile,
          bundle: true,
          platform: 'node',
          format: 'cjs',
          target: 'node26',
          logLevel: 'silent',
          legalComments: 'none',
        });
      } catch (error) {
        const [first] = (error as Partial<BuildFailure>).errors ?? [];
        if (first === undefined) throw error;
        const place =
          first.location === null ? '' : `${first.location.file}:${first.location.line}:${first.location.column + 1}: `;
        throw new ConfigError(`bases.${definition.name}.setup: ${place}${first.text}`, { cause: error });
      }
      return { ...definition, setupPath: outfile };
    }),
  );
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
    shared: source.shared.map((specifier) => resolveShared(name, specifier, directory)),
    setupPath,
    env: Object.fromEntries(
      source.env.flatMap((key) => {
        const value = env[key];
        return value === undefined ? [] : [[key, value]];
      }),
    ),
  };
}

function resolveShared(base: string, specifier: string, directory: string): BaseDefinition['shared'][number] {
  for (const from of [join(directory, 'hearth.config.jsonc'), import.meta.filename]) {
    const path = find(specifier, from);
    if (path === undefined) continue;
    const { name, version } = packageOf(path);
    return { specifier, library: name ?? specifier, version: version ?? '0.0.0', path, bytes: statSync(path).size };
  }
  throw new ConfigError(
    `bases.${base}.shared: ${JSON.stringify(specifier)} is installed neither in ${directory} nor with Hearth, or has no CommonJS entry; npm install it there.`,
  );
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
